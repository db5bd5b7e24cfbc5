"""The seam of a carrier: who dials, hangs up and reports, and the media connection of one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

__all__ = [
    "CallControl",
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
    "Room",
    "RoomEvent",
    "Stopped",
    "TransferMode",
    "TransferOrder",
    "TransferResult",
    "TransferStatus",
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


TransferMode = Literal["cold", "warm", "monitored"]
TransferStatus = Literal["transferred", "no-answer", "busy", "failed"]
RoomEvent = Literal["join", "leave"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOrder:
    """Who shall take over a live call, and how. Numbers are E.164.

    "cold" leaves the call to the carrier at once, and what becomes of it is not known. "warm" and
    "monitored" dial a second leg while the agent keeps the caller; the caller is moved when the second
    leg has answered and has heard ``announce``. "monitored" makes sure besides that no machine answered.

    Args:
        from_number: what the target's telephone shows; a number of the account.
        ring_timeout_s: how long the target's telephone rings.
        announce: spoken by the carrier to the target, and to nobody else, before the two are connected;
            not on a cold transfer.
        language: of the announcement, such as ``de-DE``; None takes the carrier's default.
        post_dial_digits: keys to press when the target has answered, such as an extension; ``w`` waits 0.5 s.
        talk_limit_s: the carrier ends the transferred call after this time.
    """

    to: str
    mode: TransferMode
    from_number: str
    ring_timeout_s: int = 30
    announce: str | None = None
    language: str | None = None
    post_dial_digits: str | None = None
    talk_limit_s: int = 3600


@dataclass(frozen=True, slots=True)
class TransferResult:
    """What became of a transfer. Unless it is "transferred", the caller was not moved.

    ``reason`` is a word for logs and for the agent, without numbers: "not_allowed" (the number is none to
    be dialled), "not_possible" (there is nobody to transfer, or a transfer is going on or done), "refused"
    and "unreachable" (of the carrier), "machine", "hung_up" (by the target, before it was connected).
    """

    status: TransferStatus
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where the two parties of a transfer meet at the carrier. Whoever leaves ends it for both.

    ``name`` cannot be guessed and serves one transfer. `CallUpdate.room` reports to ``events_url`` who
    joins and leaves. The rest concerns who is dialled into it, see `TransferOrder`.
    """

    name: str = field(repr=False)
    events_url: str
    announce: str | None = None
    language: str | None = None
    digits: str | None = None
    talk_limit_s: int = 3600


@dataclass(frozen=True, slots=True)
class DialOrder:
    """Everything a carrier needs to place one call. Numbers are E.164.

    ``ref`` is our own name of the call, known before the carrier has one; it stands in the callback
    addresses. ``token`` lets exactly one media socket join the call. A call with a ``room`` is the second
    leg of a transfer: it has no media stream, hears the room's announcement, and waits in the room.
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
    room: Room | None = None


@dataclass(frozen=True, slots=True)
class CallUpdate:
    """A fact that the carrier reports of a call.

    ``answered_by`` is a carrier's machine-detection word; ``room`` says that the call has joined or left
    the room of a transfer.
    """

    carrier_id: str
    status: CarrierStatus | None = None
    answered_by: str | None = None
    sip_code: int | None = None
    duration_s: int | None = None
    room: RoomEvent | None = None


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


class CallControl(Protocol):
    """What a carrier can do with a live call beside hanging it up.

    Both methods take the caller away from the call's media connection, which then ends, whether they have
    returned yet or not: its `Stopped`, clean or not, does not mean that the caller has hung up. They are
    carried out at most once, whatever fails.
    """

    async def hand_over(self, carrier_id: str, order: TransferOrder, *, events_url: str) -> None:
        """Cold: connect the caller with ``order.to``; when either hangs up, both calls end.

        ``events_url`` is told when the target is dialled.

        Raises:
            CarrierError: it was refused; with ``doubtful`` set, it may have been done all the same.
        """

    async def move(self, carrier_id: str, room: Room) -> None:
        """Warm and monitored: bring the caller into the room where the second leg waits.

        Raises:
            CarrierError: it was refused; with ``doubtful`` set, it may have been done all the same.
        """


class Carrier(CallControl, Protocol):
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
