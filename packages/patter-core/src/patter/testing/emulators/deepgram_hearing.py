"""What the emulated Deepgram hears: words with their times on the audio clock of one connection. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from patter.audio import mulaw
from patter.local import tones

__all__ = ["Hearing", "ScriptedUtterance", "Word"]

_LOUD = 0.02
"""Level of a frame above which it is not silent."""
_FRAME_S = mulaw.FRAME_MS / 1000


@dataclass(frozen=True, slots=True)
class Word:
    """A word and its times, in seconds of audio since the connection began."""

    text: str
    start_s: float
    end_s: float

    @property
    def bare(self) -> str:
        """In lower case, without the punctuation around it."""
        return self.text.strip('.,;:!?¡¿"“”()…').lower() or self.text


@dataclass(frozen=True, slots=True)
class ScriptedUtterance:
    """Words that are heard whatever the audio holds.

    Args:
        text: the words, heard one after the other in equal distances.
        after_ms: audio that is not silent, counted from the end of the utterance before, until the last is heard.
    """

    text: str
    after_ms: int = 600


class Hearing:
    """Hears one connection's audio, frame by frame of 20 ms.

    Args:
        script: utterances to hear instead of data tones; each is removed when it was heard. An empty
            list hears tones.
    """

    def __init__(self, script: list[ScriptedUtterance]) -> None:
        self.position_s = 0.0
        """The audio clock: how much was heard so far."""
        self.sound_end_s = 0.0
        """Where the last sound ended."""
        self.sound_start_s: float | None = None
        """Where the sound began that is going on, or None in silence."""
        self._script = script
        self._scripted = bool(script)
        self._decoder = tones.ToneDecoder()
        self._loud_ms = 0.0
        self._heard = 0
        self._word_end_s = 0.0

    @property
    def silence_ms(self) -> float:
        """How long it has been silent."""
        return round((self.position_s - self.sound_end_s) * 1000, 3)

    def feed(self, frame: bytes) -> list[Word]:
        """Take the next frame, at most 20 ms, and return the words that it completed."""
        begin_s = self.position_s
        words = self._decoder.feed(frame)
        self.position_s = self._decoder.position / mulaw.SAMPLE_RATE_HZ
        if mulaw.level(frame) < _LOUD:
            self.sound_start_s = None
        else:
            if self.sound_start_s is None:
                self.sound_start_s = begin_s
            self.sound_end_s = self.position_s
            self._loud_ms += mulaw.duration_ms(frame)
        if self._scripted:
            return self._follow_script()
        return list(self._placed(words))

    def _placed(self, words: Iterable[str]) -> Iterable[Word]:
        end_s = self._decoder.word_end / mulaw.SAMPLE_RATE_HZ
        for text in words:
            start_s = max(end_s - len(tones.encode_word(text)) / mulaw.SAMPLE_RATE_HZ, self._word_end_s)
            self._word_end_s = end_s
            yield Word(text, round(start_s, 3), round(end_s, 3))

    def _follow_script(self) -> list[Word]:
        if not self._script:
            return []
        utterance = self._script[0]
        texts = utterance.text.split()
        due = min(int(len(texts) * self._loud_ms / max(utterance.after_ms, 1)), len(texts))
        heard: list[Word] = []
        for text in texts[self._heard : due]:
            start_s = max(self.sound_end_s - _FRAME_S, self._word_end_s)
            self._word_end_s = max(self.sound_end_s, start_s)
            heard.append(Word(text, round(start_s, 3), round(self._word_end_s, 3)))
        self._heard = due
        if due == len(texts):
            self._script.pop(0)
            self._heard, self._loud_ms = 0, 0.0
        return heard
