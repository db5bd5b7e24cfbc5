"""Patter's history and tools in LangChain's words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from patter.voice.base import Message, ToolSpec
from patter.voice.chat.anthropic_wire import ANSWERED, NOTHING_NEW
from patter.voice.chat.wire import arguments_of

__all__ = ["langchain_messages", "tool_schemas"]


def langchain_messages(messages: Sequence[Message]) -> list[BaseMessage]:
    """The history as every vendor takes it: one system message first, and then the user's begin and end it.

    Later system messages are notes in brackets, said by the user.
    """
    leading = list(takewhile(lambda message: message.role == "system", messages))
    rest = [message for message in messages[len(leading) :] if message.content.strip() or _is_exchange(message)]
    system = "\n\n".join(message.content for message in leading if message.content.strip())
    names = {call.id: call.name for message in rest for call in message.tool_calls}
    told: list[BaseMessage] = [SystemMessage(system)] if system else []
    if not rest or rest[0].role == "assistant":
        told.append(HumanMessage(ANSWERED))
    told += [_message(message, names.get(message.tool_call_id or "", "")) for message in rest]
    if isinstance(told[-1], AIMessage):
        told.append(HumanMessage(NOTHING_NEW))
    return told


def _is_exchange(message: Message) -> bool:
    return message.role == "tool" or bool(message.tool_calls)


def _message(message: Message, tool_name: str) -> BaseMessage:
    match message.role:
        case "assistant":
            calls: list[Any] = [
                {"type": "tool_call", "id": call.id, "name": call.name, "args": arguments_of(call.arguments)}
                for call in message.tool_calls
            ]
            return AIMessage(message.content, tool_calls=calls)
        case "tool":
            return ToolMessage(message.content, tool_call_id=message.tool_call_id or "", name=tool_name)
        case "system":
            return HumanMessage(f"[{message.content}]")
        case _:
            return HumanMessage(message.content)


def tool_schemas(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The tools in the form that every chat model's ``bind_tools`` takes: OpenAI's."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
        }
        for tool in tools
    ]
