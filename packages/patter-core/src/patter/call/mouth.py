"""Hands the agent's speech to the line, a little ahead of playback, and knows when it was played."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import Protocol

import anyio
import anyio.lowlevel

from patter.audio.mulaw import BYTES_PER_MS, duration_ms
from patter.call.playout import Playout
from patter.carriers.base import Line
from patter.settings import Timing
from patter.voice.base import Speech

__all__ = ["Mouth", "Tap"]

_SLICE_MS = 100
_MARK_LATE_S = 2.0
"""A carrier that owes a mark for longer than this will not send it."""


class Tap(Protocol):
    """Somebody who listens in, such as a recording. ``now`` is in seconds of the call's clock."""

    def callee(self, audio: bytes, now: float) -> None:
        """The callee's audio came in."""

    def agent(self, audio: bytes, now: float) -> None:
        """Agent audio was handed to the carrier, to be played after what it still holds."""

    def clear(self, now: float) -> None:
        """The carrier was told to drop what it has not played."""


class Mouth:
    """The agent's mouth on one line.

    Args:
        on_audio: called with the time whenever an utterance's first audio is handed over.
    """

    def __init__(self, line: Line, timing: Timing, *, on_audio: Callable[[float], None], tap: Tap | None) -> None:
        self.playout = Playout()
        self._line = line
        self._timing = timing
        self._on_audio = on_audio
        self._tap = tap
        self._unmarked_ms = 0.0
        self._go = anyio.Event()
        self._go.set()
        self._played = anyio.Event()
        self._handing_over = anyio.Lock(fast_acquire=True)

    async def speak(self, speech: AsyncIterable[Speech]) -> None:
        """Send all of it, paced, and return once it was played. Cancel and `cut` to interrupt."""
        async for piece in speech:
            async with self._handing_over:
                await self._send(piece)
        await anyio.lowlevel.checkpoint_if_cancelled()
        self.playout.complete()
        if self._unmarked_ms:
            self._mark()
        await self._drained()

    async def play(self, audio: bytes) -> None:
        """Send audio that is no speech, such as tones, behind what was handed over; returns once it was played."""
        async with self._handing_over:
            await self._send(Speech(audio))
        await anyio.sleep(self.playout.ahead_ms(anyio.current_time()) / 1000)

    def hold(self) -> None:
        """Stop feeding; the carrier plays what it has."""
        if self._go.is_set():
            self._go = anyio.Event()

    def resume(self) -> None:
        """Go on feeding."""
        self._go.set()

    def ack(self, name: str, now: float) -> None:
        """A mark came back."""
        self.playout.ack(name, now)
        if self.playout.drained:
            self._played.set()

    def cut(self, now: float) -> str:
        """Be silent at once; returns what was heard of the utterance. Does not wait for anything."""
        unplayed = self.playout.ahead_ms(now) > 0
        heard = self.playout.clear(now)
        if unplayed:
            self._line.clear()
            if self._tap is not None:
                self._tap.clear(now)
        self.reset()
        return heard

    def reset(self) -> None:
        """Make ready for the next utterance."""
        self._unmarked_ms = 0.0
        self._go = anyio.Event()
        self._go.set()

    async def _send(self, piece: Speech) -> None:
        audio, text = piece.audio, piece.text
        if text and not audio:
            self.playout.sent(text, 0.0, anyio.current_time())
            return
        for start in range(0, len(audio), _SLICE_MS * BYTES_PER_MS):
            slice_ = audio[start : start + _SLICE_MS * BYTES_PER_MS]
            await self._room(duration_ms(slice_))
            now = anyio.current_time()
            if self.playout.sent_ms == 0.0:
                self._on_audio(now)
            self._line.play(slice_)
            whole_ms = duration_ms(audio) if start == 0 else None
            self.playout.sent(text, duration_ms(slice_), now, whole_ms=whole_ms, pause=piece.pause)
            text = ""
            if self._tap is not None:
                self._tap.agent(slice_, now)
            self._unmarked_ms += duration_ms(slice_)
            if self._unmarked_ms >= self._timing.mark_every_ms:
                self._mark()

    async def _room(self, ms: float) -> None:
        """Wait until so much more audio keeps within the lead, and nobody holds the mouth."""
        while True:
            if not self._go.is_set():
                await self._go.wait()
            # Whoever was woken in the moment of a cut must not send behind the clear.
            await anyio.lowlevel.checkpoint_if_cancelled()
            excess_ms = self.playout.ahead_ms(anyio.current_time()) + ms - self._timing.lead_ms
            if excess_ms <= 0:
                return
            await anyio.sleep(excess_ms / 1000)

    def _mark(self) -> None:
        self._unmarked_ms = 0.0
        self._line.mark(self.playout.mark())

    async def _drained(self) -> None:
        while not self.playout.drained:
            self._played = anyio.Event()
            patience_s = _MARK_LATE_S if self.playout.marks_work else 0.0
            left_s = self.playout.ahead_ms(anyio.current_time()) / 1000
            with anyio.move_on_after(left_s + patience_s) as late:
                await self._played.wait()
            if late.cancelled_caught:
                self.playout.give_up_marks()
