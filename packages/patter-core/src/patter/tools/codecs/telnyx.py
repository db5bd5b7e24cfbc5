"""Function calls of Telnyx's voice conversations: JSON-RPC notifications of the method ``ai_conversation``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from patter.tools.codecs.base import FunctionCall

__all__ = ["FunctionCall", "decode", "encode_output"]

_METHOD = "ai_conversation"


def decode(event: Mapping[str, Any]) -> FunctionCall | None:
    """The function call of an event: of the whole message, or of its ``params``. None for every other event."""
    params = event.get("params") if event.get("method") == _METHOD else event
    if not isinstance(params, Mapping) or params.get("type") != "conversation.item.created":
        return None
    item = params.get("item")
    if not isinstance(item, Mapping) or item.get("type") != "function_call":
        return None
    call_id, name, arguments = (item.get(key) for key in ("call_id", "name", "arguments"))
    if not (isinstance(call_id, str) and isinstance(name, str) and isinstance(arguments, str) and call_id and name):
        return None
    return FunctionCall(call_id, name, arguments)


def encode_output(call_id: str, output: str, *, is_error: bool = False) -> dict[str, Any]:
    """The message that answers a function call: a notification, so it has no id. An error is told by its output."""
    item = {"type": "function_call_output", "call_id": call_id, "output": output}
    return {"jsonrpc": "2.0", "method": _METHOD, "params": {"type": "conversation.item.create", "item": item}}
