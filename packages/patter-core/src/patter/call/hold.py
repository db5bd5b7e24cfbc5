"""What a caller hears who waits for somebody else to come to the telephone."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import anyio.lowlevel
import anyio.to_thread

from patter.audio.hold_music import hold_music
from patter.audio.mulaw import BYTES_PER_MS
from patter.call.mouth import Mouth
from patter.call.turn import Turn
from patter.voice.base import Speech, Voice

__all__ = ["HoldMusic"]

_PIECE_BYTES = 200 * BYTES_PER_MS


@dataclass(slots=True, kw_only=True)
class HoldMusic(Turn):
    """Plays music until it is stopped. Nothing is said in it, so it is in no transcript, and costs nothing."""

    async def _speak(self, voice: Voice, mouth: Mouth) -> None:
        await mouth.speak(_Endless(await anyio.to_thread.run_sync(hold_music)))


class _Endless:
    def __init__(self, loop: bytes) -> None:
        self._loop = loop
        self._at = 0

    def __aiter__(self) -> _Endless:
        return self

    async def __anext__(self) -> Speech:
        await anyio.lowlevel.checkpoint()
        begin, self._at = self._at, (self._at + _PIECE_BYTES) % len(self._loop)
        return Speech(self._loop[begin : begin + _PIECE_BYTES])
