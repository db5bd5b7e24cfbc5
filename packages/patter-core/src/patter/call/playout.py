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
_OVERDUE_MS = 500.0
"""A mark this late stops the clock: the carrier has not played so far."""
_LOST_MS = 2500.0
"""A mark this late is lost, and the clock is believed again."""


@dataclass(slots=True)
class _Span:
    text: str
    start_ms: float
    end_ms: float
    complete: bool = False

    def heard(self, position_ms: float) -> str:
        played_ms = position_ms - self.start_ms
        total_ms = self.end_ms - self.start_ms
        if not self.complete:
            total_ms = max(total_ms, len(self.text) * _MS_PER_CHAR)
        if played_ms >= total_ms - 0.5:
            return self.text
        return _whole_words(self.text, played_ms / total_ms) if played_ms > 0 else ""


class Playout:
    """What the callee has heard of the current utterance. Pure: ``now`` is in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._epoch = 0
        self._echoes = False
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

    def sent(self, text: str, ms: float, now: float) -> None:
        """Enter audio that was just handed to the line; ``text`` begins with it, "" continues the text before."""
        if self._base_at is None or self._clock_ms(now) >= self._sent_ms:
            self._base_ms, self._base_at = self._sent_ms, now
        if text:
            self.complete()
            self._spans.append(_Span(text, self._sent_ms, self._sent_ms))
        self._sent_ms += ms
        if self._spans:
            self._spans[-1].end_ms = self._sent_ms

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
        self._echoes = True
        while self._pending:
            first = next(iter(self._pending))
            self._base_ms, self._base_at = self._pending.pop(first), now
            if first == name:
                return

    def position_ms(self, now: float) -> float:
        """How much of the utterance was played."""
        return min(self._sent_ms, self._clock_ms(now))

    def ahead_ms(self, now: float) -> float:
        """How much the carrier still holds."""
        return self._sent_ms - self.position_ms(now)

    def heard(self, now: float) -> str:
        """The text that was heard so far."""
        position = self.position_ms(now)
        texts = (span.heard(position) for span in self._spans)
        return " ".join(text for text in texts if text)

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
        if self._echoes and self._pending:
            due_ms = next(iter(self._pending.values()))
            if _OVERDUE_MS < clock - due_ms < _LOST_MS:
                return due_ms
        return clock


def _whole_words(text: str, fraction: float) -> str:
    cut = int(len(text) * fraction)
    if cut >= len(text) or not any(character.isspace() for character in text):
        return text[:cut] if len(text.encode()) > len(text) * 2 else ""
    if text[cut].isspace():
        return text[:cut].rstrip()
    return text[:cut].rpartition(" ")[0].rstrip()
