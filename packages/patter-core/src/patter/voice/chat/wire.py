"""What the streamed answers of all chat vendors have in common on the wire. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from patter.errors import ProviderError
from patter.voice.base import Delta, Usage

__all__ = [
    "LONGEST_CHARS",
    "Finish",
    "InStreamError",
    "NotAnAnswer",
    "Reply",
    "ServerSentData",
    "arguments_of",
    "check_end",
    "count_of",
    "object_of",
]

Finish = Literal["done", "length", "refused"]
"""Why a model has stopped: it was done, ran out of tokens, or would not go on."""

LONGEST_CHARS = 8_000
"""An answer that is longer is no answer: it is some eight minutes of speech, and every character is billed."""

_LONGEST_EVENT_BYTES = 4 * 1024 * 1024


class NotAnAnswer(Exception):
    """What has come is not what the vendor's protocol says."""


class InStreamError(Exception):
    """The vendor has reported an error in the middle of its answer, in ``body``."""

    def __init__(self, body: object) -> None:
        super().__init__("an error in the stream")
        self.body = body


class Reply(Protocol):
    """One answer as it comes in. ``feed`` raises `NotAnAnswer` and `InStreamError`."""

    finished: bool
    """True once the model has said why it stopped."""
    complete: bool
    """True once the vendor has said that nothing more comes."""
    size: int
    """Characters of text and of tool calls that have come."""

    @property
    def usage(self) -> Usage | None:
        """The tokens, as far as the vendor has told."""

    def feed(self, data: str) -> list[Delta]:
        """What an event adds to the answer."""

    def check(self) -> None:
        """After the last event: raise `ProviderError` if that was no answer."""


class ServerSentData:
    """The data of server-sent events, out of bytes that come in any pieces.

    Lines end only where the standard says so: a vendor's JSON may hold characters that Python, too,
    takes for the end of a line.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[str]:
        """The events that are complete now."""
        lines = (self._rest + data).splitlines(keepends=True)
        self._rest = lines.pop() if lines and not lines[-1].endswith((b"\n", b"\r")) else b""
        events = []
        for line in map(bytes.rstrip, lines):
            if line.startswith(b"data:"):
                self._data.append(line[5:].lstrip())
            elif not line:
                events += self.end()
        if len(self._rest) + sum(map(len, self._data)) > _LONGEST_EVENT_BYTES:
            raise NotAnAnswer("an event without an end")
        return events

    def end(self) -> list[str]:
        """The event that was begun, if any."""
        data, self._data = self._data, []
        return [b"\n".join(data).decode("utf-8", "replace")] if data else []


def object_of(data: str) -> Mapping[str, Any]:
    """The JSON object of an event. Raises `NotAnAnswer` if it is none."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise NotAnAnswer("no JSON") from None
    if not isinstance(found, dict):
        raise NotAnAnswer("no JSON object")
    return found


def arguments_of(text: str) -> dict[str, Any]:
    """The arguments of a tool call as an object; those that are none become an empty one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def count_of(value: object) -> int:
    """A number of tokens; what is none counts as 0."""
    return value if isinstance(value, int) and value > 0 else 0


def check_end(vendor: str, finish: Finish | None, *, spoken: bool) -> None:
    """Raise `ProviderError` if an answer that has ended so is none.

    Args:
        finish: why the model has stopped, or None if it has not said so.
        spoken: whether there was text or a tool call.
    """
    if finish is None:
        message = f"{vendor} ended without finishing its answer; try again, or add a fallback provider."
        raise ProviderError("llm", message, retryable=True)
    if spoken:
        return
    if finish == "refused":
        message = f"{vendor}'s safety filter has kept back the whole answer; change the prompt, or use another model."
        raise ProviderError("llm", message)
    if finish == "length":
        message = f"{vendor} used up max_tokens before it said anything; raise it, or let the model think less."
        raise ProviderError("llm", message, retryable=True)
    raise ProviderError("llm", f"{vendor} gave an empty answer; try again, or use another model.", retryable=True)
