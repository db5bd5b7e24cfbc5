"""A session's audio over several connections: what is to be sent, what is to be sent again, and when it was said.

A connection has a clock of its own, which counts the audio that went over it, silence that was put in
included. The session's clock counts the callee's audio only, from the first byte.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from patter.audio.mulaw import BYTES_PER_MS, SAMPLE_RATE_HZ

__all__ = ["Replay"]


@dataclass(slots=True)
class _Span:
    """Audio that went over the connection without a gap."""

    at: int
    """Where it begins, in bytes of the connection."""
    begin: int
    """Where it begins, in bytes of the session."""
    length: int


class Replay:
    """A ring of the audio that no final covers yet. Pure.

    Args:
        keep_ms: what is older is forgotten, whether it was sent or not.
    """

    def __init__(self, keep_ms: int = 10_000) -> None:
        self._keep = keep_ms * BYTES_PER_MS
        self._kept = bytearray()
        self._begin = 0
        """Where the kept audio begins, in bytes of the session, as all that follow."""
        self._next = 0
        self._sent_once = 0
        self._settled = 0
        self._replayed = 0
        self._spans: list[_Span] = []
        self._streamed = 0
        """Bytes of the connection."""

    @property
    def begin_s(self) -> float:
        """Where a new connection would begin, on the session's clock."""
        return self._begin / SAMPLE_RATE_HZ

    @property
    def settled_s(self) -> float:
        """What was said before is final, on the session's clock."""
        return self._settled / SAMPLE_RATE_HZ

    @property
    def replayed_ms(self) -> float:
        """Audio that was sent more than once."""
        return self._replayed / BYTES_PER_MS

    @property
    def waiting(self) -> int:
        """Bytes that this connection was not sent yet."""
        return self._begin + len(self._kept) - max(self._next, self._begin)

    def append(self, audio: bytes) -> None:
        """The callee's next audio."""
        self._kept += audio
        self._forget(self._begin + len(self._kept) - self._keep)

    def take(self, most: int) -> bytes:
        """The next audio to send, at most so many bytes; empty if all was sent."""
        begin = max(self._next, self._begin)
        audio = bytes(self._kept[begin - self._begin : begin - self._begin + most])
        if audio:
            self._note(begin, len(audio))
            self._next = begin + len(audio)
            self._replayed += max(min(self._sent_once, self._next) - begin, 0)
            self._sent_once = max(self._sent_once, self._next)
        return audio

    def fill(self, count: int) -> None:
        """So many bytes of silence went over the connection that are not the callee's."""
        self._streamed += count

    def settle(self, until_s: float, *, lead_ms: int = 0) -> None:
        """What was said until then, on the session's clock, is final and need not be sent again.

        Args:
            lead_ms: keep so much of it, for whoever listens from there. Its words have to be left out.
        """
        until = min(round(until_s * SAMPLE_RATE_HZ), self._sent_once)
        if until > self._settled:
            self._settled = until
            self._forget(until - lead_ms * BYTES_PER_MS)

    def rewind(self) -> None:
        """A new connection is there: it is sent all that is kept."""
        self._next = self._begin
        self._spans.clear()
        self._streamed = 0

    def place(self, stream_s: float) -> float:
        """A time on the connection's clock as one on the session's; in silence, where the silence was put in."""
        at = stream_s * SAMPLE_RATE_HZ
        found = bisect_right(self._spans, at, key=lambda span: span.at)
        if not found:
            return self.begin_s if not self._spans else self._spans[0].begin / SAMPLE_RATE_HZ
        span = self._spans[found - 1]
        return (span.begin + min(at - span.at, span.length)) / SAMPLE_RATE_HZ

    def _note(self, begin: int, length: int) -> None:
        last = self._spans[-1] if self._spans else None
        if last and last.at + last.length == self._streamed and last.begin + last.length == begin:
            last.length += length
        else:
            self._spans.append(_Span(self._streamed, begin, length))
        self._streamed += length

    def _forget(self, before: int) -> None:
        if before > self._begin:
            del self._kept[: before - self._begin]
            self._begin = before
