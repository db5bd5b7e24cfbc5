"""What comes in on the line: audio for the ears, the callee's voice, keys, marks; and what the ears make of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import anyio

from patter.audio.beep import Beep
from patter.audio.mulaw import duration_ms
from patter.call.meter import Meter
from patter.call.mouth import Tap
from patter.call.onset import Onset
from patter.carriers.base import Digits, Line, Mark, Media, Stopped
from patter.errors import ProviderError
from patter.voice.base import Ears, Hearing

__all__ = ["Beeped", "EarsFailed", "Intake", "LineFact", "VoiceChange"]

_UNHEARD_FRAMES = 250
"""Frames that wait for slow ears before the oldest are dropped: five seconds."""


@dataclass(frozen=True, slots=True)
class VoiceChange:
    """The callee's voice has begun or ended."""

    on: bool


@dataclass(frozen=True, slots=True)
class EarsFailed:
    """The ears are gone for good."""

    error: ProviderError


@dataclass(frozen=True, slots=True)
class Beeped:
    """An answering machine has beeped."""


LineFact = Hearing | Digits | Stopped | VoiceChange | EarsFailed | Beeped


class Intake:
    """Three tasks between the line and the conversation's inbox.

    Args:
        tell: takes each fact; does not wait.
        on_mark: takes the name and the time of each mark.
    """

    def __init__(
        self,
        line: Line,
        ears: Ears,
        *,
        hold_after_ms: int,
        meter: Meter,
        tell: Callable[[LineFact], None],
        on_mark: Callable[[str, float], None],
        tap: Tap | None,
    ) -> None:
        self._line = line
        self._ears = ears
        self._meter = meter
        self._tell = tell
        self._on_mark = on_mark
        self._tap = tap
        self._onset = Onset(onset_ms=hold_after_ms)
        self._beep: Beep | None = None
        self._unheard, self._audio = anyio.create_memory_object_stream[bytes](_UNHEARD_FRAMES)
        self._sent_ms = 0.0
        self._last_frame_at = self._loud_at = -math.inf
        self._taken_until = -math.inf

    @property
    def services(self) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What has to run while the conversation goes on."""
        return (self._receive, self._feed_ears, self._listen)

    @property
    def voice_is_on(self) -> bool:
        """True while the callee's voice is there."""
        return self._onset.is_on

    def listen_for_beep(self) -> None:
        """From now on tell of an answering machine's beep."""
        self._beep = Beep()

    def take(self, now: float) -> None:
        """The words so far were taken: what was loud until now belongs to them."""
        self._taken_until = now

    def end_of_words(self, hearing: Hearing, now: float) -> float:
        """When the last word ended: by the ears' own clock, or else when the line became quiet."""
        if hearing.ended_at_s is not None:
            behind_s = self._sent_ms / 1000 - hearing.ended_at_s
            return min(now, self._last_frame_at - behind_s)
        return self._loud_at if self._loud_at > self._taken_until else now

    def close(self) -> None:
        """Free the queues; the tasks must have ended."""
        self._unheard.close()
        self._audio.close()

    async def _receive(self) -> None:
        while True:
            event = await self._line.receive()
            now = anyio.current_time()
            if isinstance(event, Media):
                if event.audio:  # to some vendors an empty message is the end of the audio
                    self._take_audio(event.audio, now)
            elif isinstance(event, Mark):
                self._on_mark(event.name, now)
            else:
                self._tell(event)
                if isinstance(event, Stopped):
                    return

    def _take_audio(self, audio: bytes, now: float) -> None:
        self._last_frame_at = now
        if self._tap is not None:
            self._tap.callee(audio, now)
        if (changed := self._onset.feed(audio)) is not None:
            self._tell(VoiceChange(changed))
        if self._onset.is_loud:
            self._loud_at = now
        if self._beep is not None and self._beep.feed(audio):
            self._beep = None
            self._tell(Beeped())
        try:
            self._unheard.send_nowait(audio)
        except anyio.WouldBlock:
            self._audio.receive_nowait()
            self._unheard.send_nowait(audio)

    async def _feed_ears(self) -> None:
        try:
            async for audio in self._audio:
                frames = [audio]
                while waiting := self._audio.statistics().current_buffer_used:
                    frames += [self._audio.receive_nowait() for _ in range(waiting)]
                heard = b"".join(frames)
                self._meter.heard(duration_ms(heard))
                self._sent_ms += duration_ms(heard)
                await self._ears.send(heard)
        except ProviderError as error:
            self._tell(EarsFailed(error))

    async def _listen(self) -> None:
        try:
            async for hearing in self._ears:
                self._tell(hearing)
            # Nobody has told the ears to finish: a deaf agent would talk on.
            message = f"{self._meter.models.stt} ended its session before the call did; add a fallback provider."
            raise ProviderError("stt", message, retryable=True)
        except ProviderError as error:
            self._tell(EarsFailed(error))
