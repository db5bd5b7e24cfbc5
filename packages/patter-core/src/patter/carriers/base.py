"""The seam of a carrier: who dials, hangs up and reports, and the media connection of one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

__all__ = [
    "CallUpdate",
    "Carrier",
    "CarrierStatus",
    "DialOrder",
    "Digits",
    "IncomingCall",
    "Line",
    "LineEvent",
    "LineStart",
    "Mark",
    "Media",
    "MediaSocket",
    "Stopped",
]


class CarrierStatus(StrEnum):
    """How far a call is at the carrier, in Twilio's words (which the other carriers map to)."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """True if the call is over."""
        return self in _FINAL

    def follows(self, before: CarrierStatus | None) -> bool:
        """True if a call can get here from there. Callbacks come late, twice, and out of order."""
        return before is None or (not before.final and (self.final or _ORDER.index(self) > _ORDER.index(before)))


_ORDER = (CarrierStatus.QUEUED, CarrierStatus.INITIATED, CarrierStatus.RINGING, CarrierStatus.IN_PROGRESS)
_FINAL = frozenset(
    {
        CarrierStatus.COMPLETED,
        CarrierStatus.BUSY,
        CarrierStatus.NO_ANSWER,
        CarrierStatus.CANCELED,
        CarrierStatus.FAILED,
    }
)


@dataclass(frozen=True, slots=True)
class DialOrder:
    """Everything a carrier needs to place one call. Numbers are E.164.

    ``ref`` is our own name of the call, known before the carrier has one; it stands in the callback
    addresses. ``token`` lets exactly one media socket join the call.
    """

    ref: str
    to: str
    from_number: str
    token: str = field(repr=False)
    status_url: str
    machine_url: str
    media_url: str
    ring_timeout_s: int = 45
    time_limit_s: int = 180
    detect_machine: bool = True


@dataclass(frozen=True, slots=True)
class CallUpdate:
    """A fact that the carrier reports of a call. ``answered_by`` is a carrier's machine-detection word."""

    carrier_id: str
    status: CarrierStatus | None = None
    answered_by: str | None = None
    sip_code: int | None = None
    duration_s: int | None = None


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """Somebody calls us. Numbers are as the carrier writes them; ``caller`` may be "anonymous"."""

    carrier_id: str
    caller: str
    callee: str


@dataclass(frozen=True, slots=True)
class LineStart:
    """The first words of a media connection: whose call it is, and the parameters of the dial."""

    carrier_id: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Media:
    """The callee's audio, mu-law 8 kHz. ``at_ms`` is its place on the carrier's media clock."""

    audio: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class Mark:
    """The carrier has played everything that was sent before the mark of this name, or dropped it on clear."""

    name: str


@dataclass(frozen=True, slots=True)
class Digits:
    """The callee pressed keys: 0-9, *, #, A-D."""

    digits: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The line is over. ``clean`` is False if it broke without the carrier's goodbye."""

    clean: bool
    reason: str = ""


LineEvent = Media | Mark | Digits | Stopped


class Line(Protocol):
    """The media connection of one call.

    ``play``, ``mark`` and ``clear`` go through one ordered queue that `pump` writes, so nothing that
    was sent before a clear can follow it. They return at once and never raise; a line that cannot
    send for 2 s ends with ``Stopped(clean=False)``.
    """

    def play(self, audio: bytes) -> None:
        """Queue audio to be played after all that was queued before."""

    def mark(self, name: str) -> None:
        """Ask to be told when everything queued so far was played."""

    def clear(self) -> None:
        """Drop what the carrier holds and has not played. It answers with every pending mark."""

    async def pump(self) -> None:
        """Write the queue to the carrier until the line is over. Exactly one task runs this."""

    async def receive(self) -> LineEvent:
        """The next event. ``Stopped`` is the last one, and is returned again if asked again."""

    async def close(self) -> None:
        """End the connection, within a second. Calling it again does nothing."""


class MediaSocket(Protocol):
    """What a line needs of a websocket, so that any server can bring it."""

    async def receive(self) -> str | bytes | None:
        """The next message, or None once the socket is closed."""

    async def send(self, text: str) -> None:
        """Send a text message.

        Raises:
            LineError: the socket is closed.
        """

    async def close(self, code: int = 1000) -> None: ...


class Carrier(Protocol):
    """One account at a carrier. Methods are safe to call from many calls at once."""

    @property
    def name(self) -> str:
        """Short name that stands in addresses and in the envelope, such as ``twilio``."""

    async def start(self) -> None:
        """Import what is heavy, check the configuration. Calling it again does nothing."""

    async def dial(self, order: DialOrder) -> str:
        """Place the call once and return the carrier's id of it.

        Raises:
            CarrierError: it was refused; with ``doubtful`` set, it may have been placed all the same.
        """

    async def hang_up(self, carrier_id: str) -> None:
        """End the call. A call that is over already is no error.

        Raises:
            CarrierError: the carrier could not be reached, or refused.
        """

    async def fetch(self, carrier_id: str) -> CallUpdate:
        """Ask the carrier how the call stands."""

    async def find(self, order: DialOrder) -> str | None:
        """Look for the call of a doubtful dial; its id, or None if the carrier has no such call."""

    def read_webhook(self, url: str, headers: Mapping[str, str], body: bytes) -> CallUpdate:
        """Verify and read a callback. ``url`` is the configured public address, with its query.

        Raises:
            SignatureError: not signed by this account. Nothing of it may be used.
        """

    def read_call(self, url: str, headers: Mapping[str, str], body: bytes) -> IncomingCall | None:
        """Verify and read the webhook of an incoming call; None if it names no call.

        Raises:
            SignatureError: not signed by this account. Nothing of it may be used.
        """

    def accept(self, *, media_url: str, token: str, ref: str) -> str:
        """The XML that answers the webhook of an incoming call: connect a media socket that holds the token."""

    def decline(self) -> str:
        """The XML that turns an incoming call away as busy."""

    def check_upgrade(self, url: str, headers: Mapping[str, str]) -> bool:
        """Verify the media socket's handshake; False if it carries no signature, and its token must decide.

        Raises:
            SignatureError: it carries a signature, and a wrong one.
        """

    async def open_line(self, socket: MediaSocket) -> tuple[LineStart, Line]:
        """Read the opening messages of a media socket, within 5 s.

        Raises:
            LineError: the peer does not speak the protocol, or says nothing.
        """
