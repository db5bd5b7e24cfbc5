"""The ledger of what was sent, what has been played, and therefore what was heard.

The carrier buffers outgoing audio and plays it in order; its marks are the only truth about what was
played. Between two marks the clock is believed, and a text counts as heard word by word, rounded
down: to credit too much is the dangerous side. Marks carry an epoch, because on ``clear`` a carrier
returns every pending mark at once, and those must not be credited to the next utterance.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Playout"]

_MS_PER_CHAR = 60.0
"""Speaking time of a character, for a text whose audio is not complete yet (about 1,000 characters a minute)."""
_SETTLED_MS = 300.0
_OVERDUE_MS = 500.0
"""A mark this late stops the clock: the carrier has not played so far."""
_BEFORE_CUT_MS, _AFTER_CUT_MS = 5.0, 40.0
"""How far the carrier may be from our clock when a clear reaches it: a frame of its playback, and the way there."""
_CUT_WAIT_MS = 45.0
_LOST_MS = 2500.0
"""A mark this late is lost, and the clock is believed again."""


@dataclass(slots=True)
class _Span:
    text: str
    start_ms: float
    length_ms: float
    """The audio that carries the text, as far as it is synthesised."""
    complete: bool = False

    @property
    def end_ms(self) -> float:
        return self.start_ms + self.length_ms

    def heard(self, position_ms: float, *, is_settled: bool) -> str:
        if not self.length_ms:
            return ""  # an emoji has no sound
        played_ms = position_ms - self.start_ms
        total_ms = self.length_ms
        if not (self.complete or (is_settled and " " not in self.text)):
            total_ms = max(total_ms, len(self.text) * _MS_PER_CHAR)
        if played_ms >= total_ms - 0.5:
            return self.text
        return _whole_words(self.text, played_ms / total_ms) if played_ms > 0 else ""


class Playout:
    """What the callee has heard of the current utterance. Pure: ``now`` is in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._epoch = 0
        self._marks_work: bool | None = None
        self._begin()

    def _begin(self) -> None:
        self._spans: list[_Span] = []
        self._sent_ms = 0.0
        self._base_ms = 0.0
        self._base_at: float | None = None
        self._pending: dict[str, float] = {}
        self._marks = 0

    @property
    def sent_ms(self) -> float:
        """Audio of this utterance handed to the line."""
        return self._sent_ms

    @property
    def drained(self) -> bool:
        """True if every mark has come back."""
        return not self._pending

    def sent(self, text: str, ms: float, now: float, *, whole_ms: float | None = None, pause: bool = False) -> None:
        """Enter audio that was just handed to the line.

        Args:
            text: what begins with this audio; "" continues the text before.
            ms: length of the audio.
            whole_ms: length of the whole piece that begins here, if only its first slice was sent.
            pause: it is silence after the text before, which is complete.
        """
        self._forget_lost_marks(now)
        if self._base_at is None or self._clock_ms(now) >= self._sent_ms:
            self._base_ms, self._base_at = self._sent_ms, now
        if text or pause:
            self.complete()
        if text:
            self._spans.append(_Span(text, self._sent_ms, 0.0))
        self._sent_ms += ms
        if self._spans and not pause:
            span = self._spans[-1]
            span.length_ms = max(span.length_ms, self._sent_ms - span.start_ms)
            if whole_ms is not None:
                span.length_ms = max(span.length_ms, self._sent_ms - ms + whole_ms - span.start_ms)

    def complete(self) -> None:
        """Enter that the audio of the last text is all there."""
        if self._spans:
            self._spans[-1].complete = True

    def mark(self) -> str:
        """The name of a mark to be sent now."""
        self._marks += 1
        name = f"{self._epoch}:{self._marks}"
        self._pending[name] = self._sent_ms
        return name

    def ack(self, name: str, now: float) -> None:
        """Enter that a mark came back. Marks of an earlier epoch, and repeats, change nothing."""
        if name not in self._pending:
            return
        self._marks_work = True
        while self._pending:
            first = next(iter(self._pending))
            self._base_ms, self._base_at = self._pending.pop(first), now
            if first == name:
                return

    @property
    def marks_work(self) -> bool:
        """False once the carrier has kept back a mark, until one comes again."""
        return self._marks_work is not False

    def give_up_marks(self) -> None:
        """Expect none of the pending marks any more, and believe the clock."""
        self._marks_work = False
        self._pending.clear()

    def position_ms(self, now: float) -> float:
        """How much of the utterance was played."""
        return min(self._sent_ms, self._clock_ms(now))

    def ahead_ms(self, now: float) -> float:
        """How much the carrier still holds."""
        return self._sent_ms - self.position_ms(now)

    def heard(self, now: float) -> str:
        """The text that was heard so far."""
        position = self.position_ms(now)
        # A word whose sound has stopped for so long is a whole word.
        is_settled = self._clock_ms(now) - self._sent_ms >= _SETTLED_MS
        texts = (span.heard(position, is_settled=is_settled) for span in self._spans)
        return " ".join(text for text in texts if text)

    def cut_at(self, now: float) -> float:
        """When to clear, at once or within 45 ms, so that it is certain which word was heard last.

        The carrier plays on until the clear has reached it. Where a word ends in that moment, nobody
        can tell whether it was heard; a few milliseconds later one can.
        """
        position = earliest = self.position_ms(now)
        for span in self._spans:
            if position >= self._sent_ms or position - earliest > _CUT_WAIT_MS:
                break
            if position - _BEFORE_CUT_MS < span.end_ms < position + _AFTER_CUT_MS:
                position = span.end_ms + _BEFORE_CUT_MS
        wait_ms = min(position, self._sent_ms) - earliest
        return now + wait_ms / 1000 if wait_ms <= _CUT_WAIT_MS else now

    def clear(self, now: float) -> str:
        """Close the utterance here and begin the next epoch; returns the text that was heard of it."""
        heard = self.heard(now)
        self._epoch += 1
        self._begin()
        return heard

    def _clock_ms(self, now: float) -> float:
        if self._base_at is None:
            return 0.0
        clock = self._base_ms + (now - self._base_at) * 1000
        if self._marks_work and self._pending:
            due_ms = next(iter(self._pending.values()))
            if _OVERDUE_MS < clock - due_ms < _LOST_MS:
                return due_ms
        return clock

    def _forget_lost_marks(self, now: float) -> None:
        if self._pending and self._clock_ms(now) - next(iter(self._pending.values())) >= _LOST_MS:
            self.give_up_marks()


def _whole_words(text: str, fraction: float) -> str:
    cut = int(len(text) * fraction)
    if cut >= len(text) or not any(character.isspace() for character in text):
        return text[:cut] if len(text.encode()) > len(text) * 2 else ""
    if text[cut].isspace():
        return text[:cut].rstrip()
    return text[:cut].rpartition(" ")[0].rstrip()
