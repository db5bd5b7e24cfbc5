"""The person at the other end, as a script: what is said, pressed and hung up, and when."""

from __future__ import annotations

from collections.abc import Container
from typing import Self

from patter.audio.mulaw import BYTES_PER_MS, silence
from patter.carriers.base import Digits, LineEvent, Media, Stopped
from patter.errors import PatterError
from patter.testing.line import ScriptedLine
from patter.testing.providers import ScriptedEars
from patter.voice.base import EndOfSpeech, Hearing

__all__ = ["Callee"]

_LOUD = b"\x10\x90" * (BYTES_PER_MS // 2)
"""A millisecond of a tone close to full scale."""
_TAIL_MS = 240
"""Quiet after which a voice counts as over: all the silence that is delivered."""


class Callee:
    """A script of the callee, which drives a line and the ears alike.

    Times are seconds after the answer. Speech is loud audio with a pause after each word, so that
    the voice is noticed as on a real line; silence between two speeches is not delivered.

    ::

        callee = Callee().says(0.4, "Hello?").mumbles(3.0).presses(5.0, "1").hangs_up(9.0)
        line = callee.line()
        ears = callee.ears(line)

    Args:
        word_ms: length of a spoken word with the pause after it, which is a fifth of it.
        frame_ms: longest frame of audio; real carriers send 20 ms, and fewer frames run faster.
    """

    def __init__(self, *, word_ms: int = 300, frame_ms: int = 60) -> None:
        self._word_ms = word_ms
        self._frame_ms = frame_ms
        self._events: list[tuple[float, LineEvent]] = []
        self._heard: list[tuple[float, Hearing | PatterError]] = []
        self._voice_until = 0.0

    def says(
        self,
        at: float,
        text: str,
        *,
        heard: str | None = None,
        end: EndOfSpeech = EndOfSpeech.PAUSE,
        interims: bool = True,
        final: bool = True,
    ) -> Self:
        """Say a text, beginning at this time.

        Args:
            heard: what the ears make of it, if it is something else.
            end: what the ears say with the final.
            interims: whether the ears guess after each word.
            final: whether the ears ever give the final text.
        """
        words = (heard or text).split()
        word_s, voice_s = self._word_ms / 1000, self._word_ms * 0.0008
        self._voice(at, len(text.split()))
        for count in range(1, len(words) + 1):
            if interims and (count < len(words) or not final):
                spoken_at = at + (count - 1) * word_s + voice_s
                self._heard.append((spoken_at, Hearing(" ".join(words[:count]), is_final=False)))
        if final:
            spoken_at = at + (len(words) - 1) * word_s + voice_s
            self._heard.append((spoken_at, Hearing(" ".join(words), is_final=True, end=end)))
        return self

    def mumbles(self, at: float, ms: int = 600) -> Self:
        """Make a sound without words."""
        self._voice(at, max(ms // self._word_ms, 1))
        return self

    def presses(self, at: float, digits: str) -> Self:
        """Press keys."""
        self._events.append((at, Digits(digits)))
        return self

    def hangs_up(self, at: float) -> Self:
        """End the call."""
        self._events.append((at, Stopped(clean=True, reason="hung up")))
        return self

    def drops(self, at: float, reason: str = "the socket is gone") -> Self:
        """Let the line break, without anybody having hung up."""
        self._events.append((at, Stopped(clean=False, reason=reason)))
        return self

    def deafens(self, at: float, error: PatterError) -> Self:
        """Let the ears fail."""
        self._heard.append((at, error))
        return self

    def line(
        self, *, rtt_s: float = 0.0, lose_marks: Container[int] = (), stall: tuple[float, float] | None = None
    ) -> ScriptedLine:
        """A line that this callee is at the end of; the arguments are those of `ScriptedLine`."""
        return ScriptedLine(self._events, rtt_s=rtt_s, lose_marks=lose_marks, stall=stall)

    def ears(
        self,
        line: ScriptedLine,
        *,
        delay_s: float = 0.2,
        final_s: float = 0.3,
        open_s: float = 0.0,
        open_error: PatterError | None = None,
    ) -> ScriptedEars:
        """Ears on that line; the arguments are those of `ScriptedEars`."""
        return ScriptedEars(line, self._heard, delay_s=delay_s, final_s=final_s, open_s=open_s, open_error=open_error)

    def _voice(self, at: float, words: int) -> None:
        if at < self._voice_until - 1e-9:
            raise ValueError(f"The callee still speaks at {at:g} s, until {self._voice_until:g} s.")
        voice_ms = self._word_ms * 4 // 5
        for word in range(words):
            began_ms = word * self._word_ms
            for from_ms in range(0, voice_ms, self._frame_ms):
                ms = min(self._frame_ms, voice_ms - from_ms)
                self._frame(at, began_ms + from_ms + ms, _LOUD * ms)
            self._frame(at, began_ms + self._word_ms, silence(self._word_ms - voice_ms))
        self._voice_until = at + words * self._word_ms / 1000
        self._frame(self._voice_until, _TAIL_MS, silence(_TAIL_MS))

    def _frame(self, at: float, ended_ms: int, audio: bytes) -> None:
        self._events.append((at + ended_ms / 1000, Media(audio, round(at * 1000) + ended_ms)))
