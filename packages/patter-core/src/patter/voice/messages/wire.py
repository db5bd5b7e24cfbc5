"""What an agent of the customer's own is told, and what it may answer. Pure."""

from __future__ import annotations

import codecs
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from patter.errors import ProviderError
from patter.voice.base import CallContext, Message

__all__ = ["ANSWER_BYTES", "DONE", "Ask", "Events", "Say", "message_of", "read_json", "read_piece"]

Say = Callable[[str], Awaitable[None]]
"""Takes the next piece of an answer."""
Ask = Callable[[dict[str, Any], Say], Awaitable[bool]]
"""Hands a message to the agent, says what it answers, and tells whether the call shall end after it."""

ANSWER_BYTES = 256 * 1024
"""An answer is no longer than this."""

DONE = "[DONE]"
"""What an event stream may say at its end."""

_SHAPE = 'Answer with {"text": "...", "end_call": false}.'


def message_of(messages: Sequence[Message], call: CallContext) -> dict[str, Any] | None:
    """The history as one message to the agent, or None if there is nothing that it could answer."""
    lines = list(messages)
    instructions = lines.pop(0).content if lines and lines[0].role == "system" else ""
    # What the callee says in passing is written down before the agent's line that it fell into.
    newest = next((place for place in range(len(lines) - 1, -1, -1) if lines[place].role != "assistant"), None)
    prompt = None if newest is None else lines[newest]
    if prompt is not None and prompt.role == "tool":
        return None  # the agent has no tools but hanging up, and that was refused: the callee speaks
    is_said = prompt is not None and prompt.role == "user"
    history = [
        {"role": "user" if line.role == "user" else "agent", "text": line.content}
        for place, line in enumerate(lines)
        if line.role in ("user", "assistant") and line.content and not (is_said and place == newest)
    ]
    message = {
        "text": prompt.content if prompt is not None and is_said else "",
        **call,
        "history": history,
        "instructions": instructions,
    }
    if not is_said:
        message["event"] = "silence" if history else "answered"
    if notes := _notes(lines[: len(lines) if newest is None else newest + 1]):
        message["note"] = notes
    return message


def read_piece(value: object) -> tuple[str, bool]:
    """The text of an answer, or of a piece of one, and whether the call shall end after it.

    Raises:
        ProviderError: it is neither a text nor an object with one.
    """
    if value is None:
        return "", False
    if isinstance(value, str):
        return value, False
    if isinstance(value, Mapping):
        text, end_call = value.get("text"), value.get("end_call")
        if isinstance(text, str | None) and isinstance(end_call, bool | None):
            return text or "", bool(end_call)
    raise ProviderError("llm", f"The on_message agent gave an answer of the wrong shape. {_SHAPE}")


def read_json(text: str | bytes) -> dict[str, Any]:
    """An object from JSON text.

    Raises:
        ProviderError: it is none.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ProviderError("llm", f"The on_message agent's answer is no JSON object. {_SHAPE}")
    return value


class Events:
    """Cuts an event stream into the texts of its ``data:`` lines; each is one event."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""

    def feed(self, data: bytes, *, last: bool = False) -> Iterator[str]:
        """The events that are complete with this data. With ``last``, also the line that has no end."""
        text = self._line + self._decoder.decode(data, last)
        *lines, self._line = text.split("\n")
        if last:
            lines, self._line = [*lines, self._line], ""
        for line in lines:
            name, _, value = line.rstrip("\r").partition(":")
            if name == "data" and value.strip():
                yield value.strip()


def _notes(lines: Sequence[Message]) -> str:
    """What the mind was told since the agent spoke last, such as keys that were pressed."""
    notes: list[str] = []
    for line in reversed(lines):
        if line.role == "assistant" and line.content:
            break
        if line.role == "system":
            notes.insert(0, line.content)
    return " ".join(notes)
