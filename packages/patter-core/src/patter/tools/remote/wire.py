"""The messages between a phone and the clients that carry out its tools: those of Phonic's conversations. Pure.

A client's first message is a ``config``. It answers a ``tool_call`` by a ``tool_call_output``; whatever else it
sends is left alone, as Phonic does with types that it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from patter.errors import ConfigError
from patter.tools.model import Tool
from patter.tools.variables import SYSTEM_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Config", "Generate", "Message", "Note", "Output", "Say", "WireError", "parse", "tool_call"]

MAX_TOOLS = 128
_MAX_TEXT = 4_000
_EVENTS = ("transcript",)


class WireError(Exception):
    """A message is wrong.

    Args:
        code: ``invalid_message``, ``invalid_config``, ``unsupported_tool_type`` or ``duplicate_tool``, and what
            the phone adds.
        message: what was wrong, and what is accepted.
        param_errors: what was wrong by path, such as ``tools.0.type``.
    """

    def __init__(self, code: str, message: str, param_errors: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param_errors = dict(param_errors or {})

    def frame(self) -> dict[str, Any]:
        """The message that tells it."""
        error = {"message": self.message, "code": self.code}
        return {"type": "error", "error": error, "param_errors": self.param_errors or None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Whose tools a client carries out, and which.

    Args:
        agent: a name or an id.
        names: tools that the phone knows already; None, with no inline tools either, is all of the agent's.
        inline: tools that are there while the client is.
        call_id: the one call that it is for; None is every call of the agent.
        variables: values for templates.
        events: what else it is told: ``transcript``.
        api_key: for clients that cannot send a header.
    """

    agent: str
    names: tuple[str, ...] | None = None
    inline: tuple[Tool, ...] = ()
    call_id: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    events: frozenset[str] = frozenset()
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Output:
    """The result of a tool call; ``output`` is any JSON value."""

    tool_call_id: str
    output: Any = field(repr=False)
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Say:
    """The agent shall say this."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """The mind shall know this when it answers next."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Generate:
    """The mind shall answer now, knowing this."""

    text: str | None = field(repr=False)


Message = Config | Output | Say | Note | Generate


def parse(text: str) -> Message | None:
    """A message of a client; None for a type that means nothing here.

    Raises:
        WireError: it is malformed.
    """
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise WireError("invalid_message", "The message is no JSON object.") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise WireError("invalid_message", "The message is no JSON object with a type.")
    match message["type"]:
        case "config":
            return _config(message)
        case "tool_call_output":
            return _output(message)
        case "say":
            return Say(_text(message, "text"))
        case "add_system_message":
            return Note(_text(message, "system_message"))
        case "generate_reply":
            return Generate(None if message.get("system_message") is None else _text(message, "system_message"))
    return None


def conversation_created(conversation_id: str) -> dict[str, Any]:
    """The first message to a client; ``ready_to_start_conversation`` follows."""
    return {"type": "conversation_created", "conversation_id": conversation_id}


def tool_call(
    *, tool_call_id: str, tool_name: str, parameters: Mapping[str, Any], call_id: str, conversation_id: str
) -> dict[str, Any]:
    """Asks a client to carry a tool out."""
    return {
        "type": "tool_call",
        "tool_call_id": tool_call_id,
        "tool_name": tool_name,
        "parameters": dict(parameters),
        "call_id": call_id,
        "conversation_id": conversation_id,
    }


def interrupted(tool_call_id: str, tool_name: str) -> dict[str, Any]:
    """Tells a client that nobody waits for a tool any more."""
    return {"type": "tool_call_interrupted", "tool_call_id": tool_call_id, "tool_name": tool_name}


def processed(
    tool: Tool,
    *,
    tool_call_id: str,
    parameters: Mapping[str, Any],
    output: Any = None,
    duration_ms: float,
    error: str | None = None,
) -> dict[str, Any]:
    """Tells a client what became of its tool; ``error`` is one of the five codes."""
    return {
        "type": "tool_call_output_processed",
        "tool_call_id": tool_call_id,
        "tool": {"id": None if tool.id is None else str(tool.id), "name": tool.name},
        "parameters": dict(parameters),
        "output": output,
        "duration_ms": round(duration_ms, 1),
        "timed_out": error == "timeout",
        "error_message": error,
    }


def warning(code: str, message: str) -> dict[str, Any]:
    """Tells a client of something that it should look into; nothing else happens."""
    return {"type": "warning", "warning": {"message": message, "code": code}}


def _config(message: Mapping[str, Any]) -> Config:
    wrong: dict[str, str] = {}
    agent, call_id, api_key = (message.get(key) for key in ("agent", "call_id", "api_key"))
    if not isinstance(agent, str) or not 1 <= len(agent) <= 100:
        wrong["agent"] = "it must be the name or the id of an agent"
    for key, value in (("call_id", call_id), ("api_key", api_key)):
        if value is not None and (not isinstance(value, str) or not 1 <= len(value) <= 500):
            wrong[key] = "it must be a text"
    variables = message.get("template_variables") or {}
    if not isinstance(variables, dict):
        wrong["template_variables"] = "it must be an object of values by names"
    elif any(name in SYSTEM_NAMES or name == name.upper() for name in variables):
        wrong["template_variables"] = "a name is one of the call's own, or in capital letters, as those of secrets are"
    events = message.get("events") or ()
    if not isinstance(events, list | tuple) or not set(map(str, events)) <= set(_EVENTS):
        wrong["events"] = f"it must be a list of {', '.join(_EVENTS)}"
    listed = message.get("tools")
    if listed is not None and (not isinstance(listed, list) or len(listed) > MAX_TOOLS):
        wrong["tools"] = f"it must be a list of at most {MAX_TOOLS} names and inline tools"
    if wrong:
        raise WireError("invalid_config", "The config is malformed.", wrong)
    names, inline = _tools(listed or ())
    return Config(
        agent=str(agent),
        names=names if listed is not None else None,
        inline=inline,
        call_id=call_id,
        variables=variables,
        events=frozenset(events),
        api_key=api_key,
    )


def _tools(listed: Sequence[Any]) -> tuple[tuple[str, ...], tuple[Tool, ...]]:
    names: list[str] = []
    inline: list[Tool] = []
    for place, entry in enumerate(listed):
        if isinstance(entry, str):
            names.append(entry)
            continue
        if isinstance(entry, dict) and entry.get("type") != "custom_websocket":
            problem = {f"tools.{place}.type": "it must be custom_websocket"}
            raise WireError("unsupported_tool_type", "An inline tool is of type custom_websocket.", problem)
        if not isinstance(entry, dict) or "tool_schema" not in entry:
            problem = {f"tools.{place}": "it must be the name of a tool, or an object with a tool_schema"}
            raise WireError("invalid_config", "The config is malformed.", problem)
        try:
            inline.append(Tool(**entry))
        except ConfigError as error:
            raise WireError("invalid_config", "A tool is malformed.", {f"tools.{place}": str(error)}) from None
        except (TypeError, RecursionError):
            problem = {f"tools.{place}": "its keys are wrong, or it is nested too deeply"}
            raise WireError("invalid_config", "A tool is malformed.", problem) from None
    called = [*names, *(tool.name for tool in inline)]
    if twice := next((name for name in called if called.count(name) > 1), None):
        problem = {"tools": f"{twice:.100} is there twice"}
        raise WireError("duplicate_tool", "Two tools have one name.", problem)
    return tuple(names), tuple(inline)


def _output(message: Mapping[str, Any]) -> Output:
    tool_call_id, is_error = message.get("tool_call_id"), message.get("is_error") or False
    if not isinstance(tool_call_id, str) or not isinstance(is_error, bool) or "output" not in message:
        raise WireError("invalid_message", "A tool_call_output has a tool_call_id and an output.")
    return Output(tool_call_id, message["output"], is_error)


def _text(message: Mapping[str, Any], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX_TEXT:
        raise WireError(
            "invalid_message", f"{message['type']}.{key}: it must be a text of at most {_MAX_TEXT} characters."
        )
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
