"""Patter's history in LangChain's words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from patter.voice.base import Message
from patter.voice.chat.history import in_order
from patter.voice.chat.wire import arguments_of

__all__ = ["langchain_messages"]


def langchain_messages(messages: Sequence[Message]) -> list[BaseMessage]:
    """The history as every vendor takes it."""
    system, turns = in_order(messages)
    names = {call.id: call.name for message in turns for call in message.tool_calls}
    told: list[BaseMessage] = [SystemMessage(system)] if system else []
    return told + [_message(message, names) for message in turns]


def _message(message: Message, names: dict[str, str]) -> BaseMessage:
    if message.role == "user":
        return HumanMessage(message.content)
    if message.role == "tool":
        id_ = message.tool_call_id or ""
        return ToolMessage(message.content, tool_call_id=id_, name=names.get(id_, ""))
    calls: list[Any] = [
        {"type": "tool_call", "id": call.id, "name": call.name, "args": arguments_of(call.arguments)}
        for call in message.tool_calls
    ]
    return AIMessage(message.content, tool_calls=calls)
