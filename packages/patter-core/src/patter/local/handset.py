"""The callee's telephone: what is heard and spoken in one call of the local network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio

from patter.audio import mulaw
from patter.local.exchange_playback import SILENT_FRAME
from patter.local.exchange_record import CallRecord

__all__ = ["DialedCall", "Handset"]


@dataclass(frozen=True, slots=True)
class DialedCall:
    """The call as the exchange sees it. ``form`` is the create request."""

    sid: str
    to: str
    from_number: str
    form: Mapping[str, str] = field(default_factory=dict, repr=False)


class Handset:
    """What a callee holds in its hand from the moment it answers.

    The exchange's clock exchanges frames, 20 ms each way; the callee listens and speaks at its own
    leisure. What it speaks is queued and goes out at the pace of life.
    """

    def __init__(self, dialed: DialedCall, record: CallRecord) -> None:
        self.dialed = dialed
        self.hung_up = anyio.Event()
        self._record = record
        self._frames, self._ear = anyio.create_memory_object_stream[bytes](math.inf)
        self._mouth = bytearray()
        self._keys: list[str] = []

    # --- the callee's side

    async def listen(self) -> bytes:
        """The next 20 ms of the agent's side; silence is 0xFF.

        Raises:
            anyio.EndOfStream: the call is over, and everything was heard.
        """
        return await self._ear.receive()

    def speak(self, audio: bytes) -> None:
        """Queue mu-law audio behind what is being spoken."""
        self._mouth += audio

    def hush(self) -> None:
        """Stop speaking at once."""
        self._mouth.clear()

    @property
    def speaking(self) -> bool:
        """True while queued audio is going out."""
        return bool(self._mouth)

    def press(self, digits: str) -> None:
        """Press keys, which the carrier reports as DTMF."""
        self._keys += digits

    def hang_up(self) -> None:
        """End the call."""
        self.hung_up.set()

    def heard(self, text: str) -> None:
        """Enter into the call's record what the ears understood."""
        self._record.heard.append(text)

    def heard_digit(self, digit: str) -> None:
        """Enter a key that was recognised by its tones."""
        self._record.digits_heard += digit

    def said(self, text: str) -> None:
        """Enter what is going to be spoken."""
        self._record.said.append(text)

    # --- the exchange's side

    def exchange(self, frame: bytes) -> bytes:
        """Pass on 20 ms of the agent's audio, and take 20 ms of the callee's."""
        self._frames.send_nowait(frame)
        if not self._mouth:
            return SILENT_FRAME
        spoken = bytes(self._mouth[: mulaw.FRAME_BYTES])
        del self._mouth[: mulaw.FRAME_BYTES]
        return spoken.ljust(mulaw.FRAME_BYTES, SILENT_FRAME[:1])

    def take_keys(self) -> list[str]:
        """The keys that were pressed since the last time."""
        keys, self._keys = self._keys, []
        return keys

    def end(self) -> None:
        """Let `listen` end once it has given everything that was played."""
        self._frames.close()

    def dispose(self) -> None:
        """Drop everything: nobody listens any more."""
        self._frames.close()
        self._ear.close()
