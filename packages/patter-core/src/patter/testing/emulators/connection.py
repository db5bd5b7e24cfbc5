"""What an emulator keeps of its connections and requests, for tests to assert on."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio

from patter.testing.emulators.faults import Fault

__all__ = ["Connection", "Connections", "Entry"]

ENTRIES_KEPT = 100_000
AUDIO_KEPT = 32 * 1024 * 1024

_SECRET = {"authorization", "xi-api-key", "cookie", "sec-websocket-key"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A message that was sent or received.

    Args:
        at_s: when, by `anyio.current_time`.
        by: who sent it.
        message: the JSON object; a text that is none; or the number of bytes of a binary message.
    """

    at_s: float
    by: Literal["client", "emulator"]
    message: dict[str, Any] | str | int


@dataclass(slots=True)
class Connection:
    """One websocket connection, or one HTTP request. Times are those of `anyio.current_time`, in seconds."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    """By their names in lower case, without those that carry a key."""
    fault: Fault | None = None
    opened_s: float = field(default_factory=anyio.current_time)
    closed_s: float | None = None
    status: int | None = None
    """The HTTP status of the answer; 101 for a websocket that was accepted, None before an answer."""
    close_code: int | None = None
    """The websocket close code that came first, from either side; 1005 or 1006 without any."""
    closed_by: Literal["client", "emulator"] | None = None
    audio: bytearray = field(default_factory=bytearray, repr=False)
    """The audio that the client sent (ears) or was sent (voices), joined."""
    characters: int = 0
    """What a voice bills: characters of the text that was synthesised."""
    log: deque[Entry] = field(default_factory=lambda: deque(maxlen=ENTRIES_KEPT), repr=False)

    @property
    def received(self) -> list[dict[str, Any]]:
        """The client's JSON messages, in their order; for a request, its body."""
        return [entry.message for entry in self.log if entry.by == "client" and isinstance(entry.message, dict)]

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The emulator's JSON messages, in their order."""
        return [entry.message for entry in self.log if entry.by == "emulator" and isinstance(entry.message, dict)]

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter, or None."""
        values = self.query.get(name)
        return values[0] if values else None

    def note(self, by: Literal["client", "emulator"], message: dict[str, Any] | str | int) -> None:
        """Enter a message into the log."""
        self.log.append(Entry(anyio.current_time(), by, message))

    def keep(self, audio: bytes) -> None:
        """Append audio, as far as there is room."""
        self.audio += audio[: max(AUDIO_KEPT - len(self.audio), 0)]

    def closed(self, by: Literal["client", "emulator"], code: int | None) -> None:
        """Enter the end, unless it was entered before."""
        if self.closed_s is None:
            self.closed_s, self.closed_by, self.close_code = anyio.current_time(), by, code


class Connections(list[Connection]):
    """The connections of an emulator in the order in which they came."""

    def __init__(self) -> None:
        super().__init__()
        self._came = anyio.Event()

    def begin(self, connection: Connection) -> None:
        """Append a connection, and wake who waits for it."""
        self.append(connection)
        self._came.set()
        self._came = anyio.Event()

    async def nth(self, number: int = 1) -> Connection:
        """Wait until so many connections have come, and return the last of them. Bound the wait."""
        while len(self) < number:
            await self._came.wait()
        return self[number - 1]


def public_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without those that carry a key."""
    return {name.lower(): value for name, value in headers.items() if name.lower() not in _SECRET}
