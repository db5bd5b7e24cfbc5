"""Tool calls of Phonic's websocket conversations, and of this project's own tool socket. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from patter.tools.codecs.base import FunctionCall

__all__ = ["FunctionCall", "decode", "encode_output"]


def decode(event: Mapping[str, Any]) -> FunctionCall | None:
    """The function call of a ``tool_call`` message. None for every other message."""
    if event.get("type") != "tool_call":
        return None
    call_id, name, parameters = (event.get(key) for key in ("tool_call_id", "tool_name", "parameters"))
    if not (isinstance(call_id, str) and isinstance(name, str) and call_id and name):
        return None
    return FunctionCall(call_id, name, json.dumps(parameters) if parameters else "")


def encode_output(call_id: str, output: str, *, is_error: bool = False) -> dict[str, Any]:
    """The message that answers a tool call: objects and lists stand as such, all else is text."""
    message: dict[str, Any] = {"type": "tool_call_output", "tool_call_id": call_id, "output": _value(output)}
    return message | ({"is_error": True} if is_error else {})


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _value(output: str) -> Any:
    try:
        value = json.loads(output, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return output
    return value if isinstance(value, dict | list) else output
