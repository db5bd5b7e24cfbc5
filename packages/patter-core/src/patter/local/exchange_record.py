"""What happened in one call of the local network, for the tests and the console to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Arrival", "CallEvent", "CallRecord", "SentCallback"]


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One thing that happened, ``at_s`` seconds after the call was created."""

    at_s: float
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SentCallback:
    """One request to the phone's webhooks, and the HTTP status of its answer (None: none came)."""

    url: str
    form: Mapping[str, str]
    http_status: int | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A media message of the phone.

    Args:
        at_s: when it came, by `anyio.current_time`.
        ms: the audio that it brought.
        ahead_ms: what was still to be played when it came; below 0 it is how long playback had run dry.
    """

    at_s: float
    ms: float
    ahead_ms: float


@dataclass(slots=True)
class CallRecord:
    """The facts of one call, each appended when it happens.

    ``heard`` is what the callee's ears understood, ``said`` what it set out to say. ``received`` is the
    agent's audio as it came in, ``played`` the callee's view: a frame for each 20 ms of the stream, with
    silence in between; ``spoken`` is the callee's audio beside it. All are mu-law, and stay empty
    unless audio is kept, as do ``arrivals``, which tell when each piece of it came in. ``reached`` has for
    each of ``marks`` when it was sent back, and the milliseconds of audio that had come before it.
    ``warnings`` are Twilio's codes for messages that our phone should not have sent. ``late_s`` is how far
    the line itself was behind its time at most: on a busy machine less was played than the clock says.
    """

    heard: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    digits_heard: str = ""
    events: list[CallEvent] = field(default_factory=list)
    callbacks: list[SentCallback] = field(default_factory=list)
    clears: list[float] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    parameters: Mapping[str, str] = field(default_factory=dict)
    frames_sent: int = 0
    late_s: float = 0.0
    received: bytearray = field(default_factory=bytearray)
    received_bytes: int = 0
    arrivals: list[Arrival] = field(default_factory=list)
    reached: list[tuple[float, float]] = field(default_factory=list)
    played: bytearray = field(default_factory=bytearray)
    spoken: bytearray = field(default_factory=bytearray)
    warnings: list[tuple[int, str]] = field(default_factory=list)
    transferred_to: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def kinds(self) -> list[str]:
        """The kinds of all events, in their order."""
        return [event.kind for event in self.events]

    def statuses(self) -> list[str]:
        """The ``CallStatus`` of the status callbacks, in the order they were sent."""
        return [sent.form["CallStatus"] for sent in self.callbacks if "CallStatus" in sent.form]
