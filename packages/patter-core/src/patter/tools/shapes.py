"""The shapes in which a tool is written elsewhere, read into the fields of `patter.tools.model.Tool`, and back.

Ours and TalkPilot's (``tool_type`` and ``config``), a mapping with a ``handler`` or a ``webhook_url``,
Phonic's predefined tools (``parameters`` are a list) and its inline entries (``tool_schema``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel

from patter.errors import ConfigError
from patter.tools.configs import ToolType, speech_of
from patter.tools.parameter_list import schema_from_list, schema_to_list

if TYPE_CHECKING:
    from patter.tools.model import Tool

__all__ = ["Wire", "canonical", "settings_of", "to_wire"]

Wire = Literal["talkpilot", "phonic", "phonic-inline"]

_ALIASES = {"websocket": "custom_websocket", "send_dtmf": "play_tone", "custom_webhook": "webhook"}
_TYPES: tuple[str, ...] = get_args(ToolType)
_PHONIC_NAME = re.compile(r"[a-z0-9_]{1,100}")
_INLINE = frozenset({"type", "tool_schema", "execution_mode", "tool_call_output_timeout_ms", "wait_for_response"})
_WAIT = "tool_call_output_timeout_ms"
_SPEECH = {
    "require_speech_before_tool_call": "require_before",
    "wait_for_speech_before_tool_call": "wait_before",
    "forbid_speech_after_tool_call": "after",
}
_ENDPOINT = {"endpoint_url": "url", "endpoint_headers": "headers"}


def canonical(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a tool, from any shape that is a mapping. Unknown keys are handed on.

    Raises:
        ConfigError: the shape is contradictory, or names no way to carry the tool out.
    """
    fields = _from_inline(given) if "tool_schema" in given else dict(given)
    _read_type(fields)
    _read_speech(fields)
    _read_timeout(fields)
    _read_executor(fields)
    _read_parameters(fields)
    return fields


def to_wire(tool: Tool, wire: Wire) -> dict[str, Any]:
    """The tool as JSON in the shape of another system.

    Args:
        tool: any but a handler, which lives in this process alone; for Phonic, a custom_websocket.
        wire: ``talkpilot`` (with fields of ours where they are set), ``phonic`` (the body of a predefined tool), or
            ``phonic-inline`` (an entry of a ``config`` message).

    Raises:
        ConfigError: the tool cannot be told in this shape.
    """
    if wire not in get_args(Wire):
        raise ConfigError(f"wire must be one of {', '.join(get_args(Wire))}.")
    if tool.tool_type == "handler":
        raise ConfigError(f"Tool {tool.name}: a handler lives in this process and has no form on a wire.")
    if wire == "talkpilot":
        return _to_talkpilot(tool)
    if tool.tool_type != "custom_websocket":
        raise ConfigError(f"Tool {tool.name}: Phonic's shape is for custom_websocket, not for {tool.tool_type}.")
    return _to_phonic(tool) if wire == "phonic" else _to_inline(tool)


def settings_of(tool: Tool) -> dict[str, Any]:
    """What is set on a tool, as JSON that makes it again; what is not set follows the defaults. No ids, no times."""
    return tool.model_dump(mode="json", exclude_unset=True, exclude={"id", "agent_id", "created_at", "updated_at"})


def _from_inline(given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("type") != "custom_websocket":
        raise ConfigError("type: an inline tool must be custom_websocket.")
    fields = {key: value for key, value in given.items() if key != "tool_schema"}
    schema = given["tool_schema"]
    function = schema.get("function") if isinstance(schema, Mapping) and schema.get("type") == "function" else None
    if not isinstance(function, Mapping) or set(schema) != {"type", "function"}:
        raise ConfigError('tool_schema: it must be {"type": "function", "function": {"name": ..., "parameters": ...}}.')
    if unknown := sorted(set(fields) - _INLINE - set(_SPEECH)):
        raise ConfigError(f"{unknown[0]!s:.60}: an inline tool has no such field.")
    if unknown := sorted(set(function) - {"name", "description", "parameters", "strict"}):
        raise ConfigError(f"tool_schema.function.{unknown[0]!s:.60}: a function has no such field.")
    return {**fields, **function}


def _read_type(fields: dict[str, Any]) -> None:
    if "type" in fields:
        if "tool_type" in fields:
            raise ConfigError("type: it is the same as tool_type. Pass one of them.")
        fields["tool_type"] = fields.pop("type")
    kind = fields.get("tool_type")
    config = fields.get("config")
    if kind is None:
        fields.pop("tool_type", None)
        if isinstance(config, BaseModel):
            fields["tool_type"] = getattr(config, "tool_type", None)
        return
    if kind == "function":
        raise ConfigError(
            "type: a function's schema says nothing of who carries it out. "
            "Pass name, description and parameters with a handler or a webhook_url."
        )
    kind = _ALIASES.get(kind, kind) if isinstance(kind, str) else kind
    if kind not in _TYPES:
        raise ConfigError(f"tool_type: it must be one of {', '.join(_TYPES)}.")
    fields["tool_type"] = kind


def _read_speech(fields: dict[str, Any]) -> None:
    speech: dict[str, Any] = {}
    for flag, name in _SPEECH.items():
        if flag not in fields:
            continue
        value = fields.pop(flag)
        if not isinstance(value, bool):
            raise ConfigError(f"{flag}: it must be true or false.")
        speech[name] = not value if name == "after" else value
    if (told := fields.pop("reassurance", None)) is not None:
        told = {"message": told} if isinstance(told, str) else told
        if not isinstance(told, Mapping) or "message" not in told or set(told) - {"message", "after_ms"}:
            raise ConfigError('reassurance: it must be {"message": ..., "after_ms": ...}.')
        speech |= {"filler": told["message"], "delay_ms": told.get("after_ms", 1500)}
    if speech:
        if fields.get("speech") is not None:
            raise ConfigError("speech: it cannot be combined with single flags of speech.")
        fields["speech"] = speech


def _read_timeout(fields: dict[str, Any]) -> None:
    """``timeout_s`` and Phonic's fields, which stand beside the config."""
    if "timeout_s" in fields:
        timeout_s = fields.pop("timeout_s")
        if timeout_s is not None:
            if fields.get("timeout_ms") is not None:
                raise ConfigError("timeout_s: it is the same as timeout_ms. Pass one of them.")
            is_number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
            if not is_number or not 0.001 <= timeout_s <= 600:
                raise ConfigError("timeout_s: it must be a number of seconds, above 0 and at most 600.")
            fields["timeout_ms"] = round(timeout_s * 1000)
    if _WAIT in fields:
        if fields.get("tool_type") != "custom_websocket":
            raise ConfigError(f"{_WAIT}: only a custom_websocket has it. Pass timeout_ms.")
        _add_to_config(fields, _WAIT, fields.pop(_WAIT))
    if fields.get("tool_type") == "webhook":
        for key, name in _ENDPOINT.items():
            if key in fields:
                _add_to_config(fields, name, fields.pop(key))
        if fields.pop("endpoint_method", "POST") != "POST":
            raise ConfigError("endpoint_method: a webhook is asked by POST. Use an http_request for others.")
        if "endpoint_timeout_ms" in fields:
            fields["timeout_ms"] = fields.pop("endpoint_timeout_ms")


def _read_executor(fields: dict[str, Any]) -> None:
    """Who carries the tool out: ``handler``, ``webhook_url``, or a type with its config."""
    url = fields.pop("webhook_url", None)
    handler = fields.get("handler")
    if handler is not None and url is not None:
        raise ConfigError("handler, webhook_url: a tool has exactly one of them.")
    kind = fields.get("tool_type")
    if url is not None:
        if kind not in (None, "webhook"):
            raise ConfigError(f"webhook_url: a tool of type {kind} has none.")
        fields["tool_type"] = kind = "webhook"
        for key, value in (
            ("url", url),
            ("headers", fields.pop("headers", None)),
            ("secret", fields.pop("secret", None)),
        ):
            if value is not None:
                _add_to_config(fields, key, value)
    elif kind is None and handler is not None:
        fields["tool_type"] = kind = "handler"
    if kind is None:
        raise ConfigError("handler, webhook_url: a tool needs exactly one of them, or a tool_type with its config.")
    config = fields.get("config")
    if isinstance(config, BaseModel):
        if getattr(config, "tool_type", None) != kind:
            raise ConfigError(f"config: it is not that of tool_type {kind}.")
    elif config is None or isinstance(config, Mapping):
        if (config or {}).get("tool_type", kind) != kind:
            raise ConfigError(f"config.tool_type: it is not {kind}.")
        fields["config"] = {**(config or {}), "tool_type": kind}


def _read_parameters(fields: dict[str, Any]) -> None:
    if not isinstance(listed := fields.get("parameters"), list | tuple):
        return
    fields["parameters"] = schema_from_list(listed)
    name = fields.get("name")
    if fields["tool_type"] == "custom_websocket" and isinstance(name, str) and not _PHONIC_NAME.fullmatch(name):
        raise ConfigError("name: with a list of parameters it must be 1 to 100 characters of a-z 0-9 _.")


def _add_to_config(fields: dict[str, Any], key: str, value: Any) -> None:
    config = fields.get("config") or {}
    if not isinstance(config, Mapping) or key in config:
        raise ConfigError(f"config.{key}: it is given twice.")
    fields["config"] = {**config, key: value}


def _to_talkpilot(tool: Tool) -> dict[str, Any]:
    body = tool.model_dump(mode="json", exclude_defaults=True, exclude={"config", "speech"})
    if tool.speech != speech_of(tool.config):
        body["speech"] = tool.speech.model_dump(mode="json", exclude_defaults=True)
    body |= {"name": tool.name, "description": tool.description, "tool_type": tool.tool_type}
    body |= {"config": tool.config.model_dump(mode="json", exclude_unset=True)}
    return body | {"priority": tool.priority, "is_enabled": tool.is_enabled}


def _to_phonic(tool: Tool) -> dict[str, Any]:
    if not _PHONIC_NAME.fullmatch(tool.name):
        raise ConfigError(f"Tool {tool.name}: Phonic's names are 1 to 100 characters of a-z 0-9 _.")
    body = {"name": tool.name, "description": tool.description, "type": tool.tool_type}
    listed = schema_to_list(tool.llm_parameters())
    return body | {"execution_mode": tool.execution_mode, "parameters": listed} | _flags(tool)


def _to_inline(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.llm_parameters()}
    schema = {"type": "function", "function": function | ({"strict": True} if tool.strict else {})}
    return {"type": tool.tool_type, "tool_schema": schema, "execution_mode": tool.execution_mode} | _flags(tool)


def _flags(tool: Tool) -> dict[str, Any]:
    """Phonic's other fields, where they are not at their defaults."""
    flags: dict[str, Any] = tool.config.model_dump(exclude_unset=True)
    if tool.wait_for_response:
        flags["wait_for_response"] = True
    for flag, name in _SPEECH.items():
        if (value := getattr(tool.speech, name)) is not (name == "after"):
            flags[flag] = not value if name == "after" else value
    return flags
