"""The tools of agents as they come and go: TalkPilot's shape, and what a tool of ours has beside."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_args

from patter.errors import ConfigError
from patter.server.rest.bodies import wrong
from patter.server.rest.errors import invalid
from patter.tools import configs
from patter.tools.addresses import check_url
from patter.tools.model import Tool
from patter.tools.shapes import settings_of, to_wire

__all__ = ["NAMED", "REQUIRED", "SETTINGS", "SHOWN", "TOOL_TYPES", "changed_tool", "new_tool", "shown"]

TOOL_TYPES: tuple[str, ...] = tuple(kind for kind in get_args(configs.ToolType) if kind != "handler")
"""A handler lives in its program and cannot be sent."""

NAMED = ("name", "display_name", "description", "is_enabled", "priority")
SETTINGS = (
    "parameters",
    "strict",
    "execution_mode",
    "timeout_ms",
    "speech",
    "interruption",
    "wait_for_response",
    "max_retries",
    "assignments",
    "static_arguments",
)
SHOWN = ("id", "agent_id", *NAMED[:3], "tool_type", "config", *NAMED[3:], "created_at", "updated_at")
_FIELDS = frozenset((*NAMED, "tool_type", "config", *SETTINGS))
REQUIRED = ("name", "description", "tool_type", "config")
_SERVERS = frozenset({"id", "agent_id", "created_at", "updated_at"})
_END_CALL = "end_call"


def new_tool(given: Mapping[str, Any], *, agent: str | None, allow_hosts: Collection[str]) -> Tool:
    """The tool that a body describes.

    Raises:
        ApiError: the details name every field that is wrong, and no value.
    """
    missing = [(name, "it is missing") for name in REQUIRED if name not in given]
    if problems := missing + _unknown(given):
        raise wrong(problems)
    return _made(dict(given), agent, allow_hosts)


def changed_tool(tool: Tool, given: Mapping[str, Any], *, allow_hosts: Collection[str]) -> Tool:
    """The tool as a body changes it: key by key in its config, where null resets a key.

    Another ``tool_type`` comes with its whole config; then what was set on the old type's tool is forgotten.

    Raises:
        ApiError: the details name every field that is wrong, and no value.
    """
    if problems := _unknown(given):
        raise wrong(problems)
    settings = settings_of(tool)
    change = dict(given)
    if change.get("tool_type", tool.tool_type) != tool.tool_type:
        if "config" not in given:
            raise invalid("config", "it must be given in full where tool_type changes")
        settings = {name: settings[name] for name in NAMED if name in settings}
    elif isinstance(part := change.get("config"), dict):
        config = settings["config"] | part
        change["config"] = {name: value for name, value in config.items() if part.get(name, value) is not None}
    return _made(settings | change, tool.agent_id, allow_hosts if "config" in given else None)


def shown(tool: Tool) -> dict[str, Any]:
    """A stored tool as it is answered: TalkPilot's fields, and those of ours that are set."""
    told = to_wire(tool, "talkpilot")
    always = {name: told.pop(name, None) for name in SHOWN}
    return always | told


def _made(fields: dict[str, Any], agent: str | None, allow_hosts: Collection[str] | None) -> Tool:
    _check_shape(fields)
    try:
        tool = Tool(**fields, agent_id=agent)
    except ConfigError as error:
        raise wrong(error.problems) from None
    if tool.name == _END_CALL and tool.tool_type != _END_CALL:
        raise invalid("name", "end_call is always there; only a tool of type end_call may have its name")
    if getattr(tool.config, "command", None) is not None:
        raise invalid("config.command", "a program is started only for a tool that the phone's own program declares")
    if allow_hosts is not None:
        _check_address(getattr(tool.config, "url", None), allow_hosts)
    return tool


def _check_shape(fields: Mapping[str, Any]) -> None:
    """What a program may write in more ways than a request."""
    if fields["tool_type"] not in TOOL_TYPES:
        raise invalid("tool_type", f"it must be one of {', '.join(TOOL_TYPES)}")
    if not isinstance(config := fields["config"], dict):
        raise invalid("config", "it must be an object")
    if "tool_type" in config:
        raise invalid("config.tool_type", "there is no such field")
    if not isinstance(fields.get("parameters"), dict | None):
        raise invalid("parameters", "it must be a JSON Schema of type object")
    if not isinstance(config.get("command"), list | None):
        raise invalid("config.command", "it must be a list of texts")


def _check_address(url: str | None, allow_hosts: Collection[str]) -> None:
    if url is None:
        return
    try:
        check_url(url, allow_hosts=allow_hosts)
    except ConfigError:  # its message names the host
        raise invalid("config.url", "it leads to this machine or to a private network; use a public address") from None


def _unknown(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"{name:.60}", "the server sets it" if name in _SERVERS else "there is no such field")
        for name in given
        if name not in _FIELDS
    ]
