"""How an emulator misbehaves: small values, queued at the emulator, one for each connection or request.

::

    emulator.faults.append(Refuse(401, body={"err_code": "INVALID_AUTH"}))  # the next connection
    emulator.faults.extend([None, Drop(after_s=0.5)])                       # one well, then one that breaks
    emulator.faults.every = BlackHole()                                     # every one without a fault of its own

``after_messages`` counts what the emulator has sent: messages of a websocket, events or chunks of an
HTTP stream. 0 is before the first. A fault that makes no sense where it is applied does nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "BlackHole",
    "Drop",
    "ErrorFrame",
    "Fault",
    "Faults",
    "Garbage",
    "Refuse",
    "SilentEnd",
    "SlowClose",
    "Stall",
    "UnknownEvents",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """What all faults are. Vendors add their own kinds beside their emulators."""


@dataclass(frozen=True, slots=True)
class Refuse(Fault):
    """Answers the request or the handshake with an HTTP error.

    Args:
        status: the HTTP status.
        body: the body, sent as JSON; a text is sent as it is, None is the vendor's usual body of that status.
        retry_after_s: the header Retry-After, or none.
    """

    status: int
    body: Mapping[str, Any] | str | None = None
    retry_after_s: float | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer, besides those of its body."""
        return {} if self.retry_after_s is None else {"Retry-After": f"{self.retry_after_s:g}"}


@dataclass(frozen=True, slots=True)
class BlackHole(Fault):
    """Takes the connection and the request, and never answers."""


@dataclass(frozen=True, slots=True)
class Drop(Fault):
    """Breaks the connection at the first of the limits that are given, or at once if none is.

    Args:
        after_s: seconds since the handshake or the request.
        after_messages: messages, events or chunks sent.
        after_audio_ms: audio that came from the client (ears) or was sent to it (voices).
        code: close with this websocket code; None breaks off without one, as a lost network does.
        reason: goes with the code.
    """

    after_s: float | None = None
    after_messages: int | None = None
    after_audio_ms: float | None = None
    code: int | None = None
    reason: str = ""

    @property
    def at_once(self) -> bool:
        """True if no limit is given."""
        return self.after_s is None and self.after_messages is None and self.after_audio_ms is None


@dataclass(frozen=True, slots=True)
class Garbage(Fault):
    """Sends something that cannot be parsed in front of the next message, and goes on."""

    after_messages: int = 0


@dataclass(frozen=True, slots=True)
class Stall(Fault):
    """Stays connected, and sends nothing more."""

    after_messages: int = 0


@dataclass(frozen=True, slots=True)
class SilentEnd(Fault):
    """Ends properly (code 1000, or the end of the HTTP body) without what should have come before the end."""

    after_messages: int = 0


@dataclass(frozen=True, slots=True)
class UnknownEvents(Fault):
    """Sends, in front of every message, one of a kind that no client can know."""


@dataclass(frozen=True, slots=True)
class SlowClose(Fault):
    """Reads nothing more, so that neither messages nor the client's close are answered.

    A client that waits for the closing handshake waits for its own time limit.
    """

    after_messages: int = 0


@dataclass(frozen=True, slots=True)
class ErrorFrame(Fault):
    """Sends an error in place of the next message.

    Args:
        message: the error as the vendor words it; None is the vendor's usual one.
        code: close with this websocket code afterwards; None stays connected. An HTTP stream ends.
        after_messages: messages sent before it.
    """

    message: Mapping[str, Any] | None = None
    code: int | None = None
    after_messages: int = 0


class Faults:
    """The faults that an emulator still has to show. May be changed at any time."""

    def __init__(self) -> None:
        self.every: Fault | None = None
        """The fault of every connection for which none is queued."""
        self._queue: deque[Fault | None] = deque()

    def append(self, fault: Fault | None) -> None:
        """Queue a fault for one connection or request; None lets one pass without a fault."""
        self._queue.append(fault)

    def extend(self, faults: Iterable[Fault | None]) -> None:
        """Queue faults for as many connections or requests."""
        self._queue.extend(faults)

    def clear(self) -> None:
        """Behave from now on. Connections that have begun keep their fault."""
        self._queue.clear()
        self.every = None

    def take(self) -> Fault | None:
        """The fault of the connection or request that begins now."""
        return self._queue.popleft() if self._queue else self.every

    def __len__(self) -> int:
        return len(self._queue)
