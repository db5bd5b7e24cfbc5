"""How fast the local network is, and how it misbehaves on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["JUNK", "STREAM", "Faults", "Timings"]

CallbackFault = Literal["none", "dropped", "duplicated", "reordered"]
SignatureFault = Literal["none", "wrong", "missing"]
TokenFault = Literal["none", "wrong", "missing", "reused"]


STREAM = "{streamSid}"
"""Stands for the name of the stream in a message that is injected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """The network's own times, in seconds. `Timings.quick` is for tests."""

    queue_s: float = 0.1
    """From the create request to ``initiated``."""
    dial_s: float = 0.2
    """From ``initiated`` to ``ringing``."""
    answer_s: float = 1.2
    """Ringing before a callee answers, is busy or declines, if its persona does not say otherwise."""
    longest_ring_s: float = 8.0
    """The network lets no phone ring longer than this, whatever ``Timeout`` the create request asks for."""
    machine_s: float = 1.5
    """From the answer to the verdict of the machine detection."""
    frame_s: float = 0.02
    """Time between two frames of 20 ms; less than that is faster than life."""

    @classmethod
    def quick(cls) -> Timings:
        """As little waiting as possible, and still the real pace of the audio."""
        return cls(queue_s=0.0, dial_s=0.0, answer_s=0.05, longest_ring_s=0.3, machine_s=0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong, call for call. The default is: nothing.

    ``create_status`` other than 201 refuses the create request with Twilio's error ``create_code``;
    ``create_placed`` places the call all the same, which is the doubtful case that a client has to
    reconcile. ``create_delay_s`` answers the request this much later than the call starts;
    ``create_black_hole`` never answers it. ``redirect_status`` refuses new instructions for a live call;
    ``redirect_done`` carries them out all the same.

    ``media_silent_s`` and the rest concern the media socket: ``media_drop_s`` cuts it without ``stop``
    after so many seconds, ``media_junk`` are messages that are injected after the first frames (`JUNK`
    has some), ``media_shuffle`` swaps each two frames.
    """

    create_status: int = 201
    create_code: int = 20500
    create_retry_after_s: int | None = None
    create_placed: bool = False
    create_delay_s: float = 0.0
    create_black_hole: bool = False
    hangup_status: int = 200
    redirect_status: int = 200
    redirect_done: bool = False

    callbacks: CallbackFault = "none"
    callback_signature: SignatureFault = "none"

    completed_without_media: bool = False
    media_never_connects: bool = False
    media_signature: SignatureFault = "none"
    media_token: TokenFault = "none"
    media_stop_first: bool = False
    media_drop_s: float | None = None
    media_silent_s: float | None = None
    """After so many seconds no frame is sent any more, while the socket stays open."""
    media_junk: tuple[str | bytes, ...] = ()
    media_shuffle: bool = False
    marks_lost: bool = False


def _media(content: str) -> str:
    return f'{{"event":"media","streamSid":"{STREAM}","media":{{"track":"inbound",{content}}}}}'


JUNK: Mapping[str, str | bytes] = {
    "binary": b"\x00\x01\x02\xff",
    "not json": '{"event":"media",',
    "not an object": '["media"]',
    "no event": '{"media":{"payload":"//8="}}',
    "unknown event": f'{{"event":"jazz","sequenceNumber":"9","streamSid":"{STREAM}"}}',
    "another stream": _media('"chunk":"4","timestamp":"60","payload":"//8="').replace(STREAM, "MZanother"),
    "bad base64": _media('"chunk":"4","timestamp":"60","payload":"*"'),
    "no payload": _media('"chunk":"4","timestamp":"60"'),
    "empty payload": _media('"chunk":"4","timestamp":"60","payload":""'),
    "odd numbers": _media('"chunk":[],"timestamp":"1e999","payload":"//8="'),
    "unknown mark": f'{{"event":"mark","streamSid":"{STREAM}","mark":{{"name":"nobody asked for this"}}}}',
    "second connected": '{"event":"connected","protocol":"Call","version":"1.0.0"}',
    "oversize": _media('"chunk":"4","timestamp":"60","payload":"' + "/" * 400_000 + '"'),
}
"""Messages that no client may trip over. "oversize" is above any limit that a media socket needs."""
