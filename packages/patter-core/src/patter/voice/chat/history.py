"""The order of messages that every vendor takes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from patter.voice.base import Message

__all__ = ["in_order"]

_ANSWERED = Message("user", "[The call was answered.]")
_NOTHING_NEW = Message("user", "[The other side has said nothing since.]")


def in_order(messages: Iterable[Message]) -> tuple[str, list[Message]]:
    """The system prompt, and the conversation, which the user, or a tool's result, begins and ends.

    The prompt is made of the leading system messages. Later ones are notes in brackets, said by the user; messages
    without words and tool calls are left out.
    """
    prompt: list[str] = []
    told: list[Message] = []
    has_begun = False
    for message in messages:
        has_begun = has_begun or message.role != "system"
        if not (message.content.strip() or message.tool_calls or message.role == "tool"):
            continue
        if message.role != "system":
            told.append(message)
        elif has_begun:
            told.append(replace(message, role="user", content=f"[{message.content}]"))
        else:
            prompt.append(message.content)
    if not told or told[0].role == "assistant":
        told.insert(0, _ANSWERED)
    if told[-1].role == "assistant":
        told.append(_NOTHING_NEW)
    return "\n\n".join(prompt), told
