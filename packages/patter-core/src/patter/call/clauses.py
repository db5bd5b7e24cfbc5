"""From the mind's deltas to pieces that can be spoken: the first clause fast, then whole sentences."""

from __future__ import annotations

import re

__all__ = ["Clauses"]

_SPACE = re.compile(r"\s+")
_MARKUP = str.maketrans("", "", "*#`")
_SENTENCE = re.compile(r"[.!?…][\"')\]]*\s|[。！？]")
_CLAUSE = re.compile(r"[,;:.!?…][\"')\]]*\s|[—–]\s|[，；：。！？]")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|st|no|vs|etc|e\.g|i\.e|approx|dept|[ap]\.m)|\b[A-Z])\.$", re.IGNORECASE
)
_RUN_ON_CHARS = 100
"""A first clause without punctuation is spoken after this many characters; later ones after twice as many."""


class Clauses:
    """Cuts one answer of the mind into clauses. Pure; feed it deltas, flush it at the end.

    Args:
        first_chars: the first clause has at least this many characters.
    """

    def __init__(self, *, first_chars: int = 12) -> None:
        self._first_chars = first_chars
        self._buffer = ""
        self._spoken = False

    def feed(self, delta: str) -> list[str]:
        """Add text and take the clauses that are complete now."""
        self._buffer += delta.translate(_MARKUP)
        ready = []
        while (end := self._end()) is not None:
            clause = _tidy(self._buffer[:end])
            self._buffer = self._buffer[end:]
            if clause:
                ready.append(clause)
                self._spoken = True
        return ready

    def flush(self) -> list[str]:
        """Take what is left; the next text begins a new sentence."""
        rest, self._buffer = _tidy(self._buffer), ""
        self._spoken = self._spoken or bool(rest)
        return [rest] if rest else []

    def _end(self) -> int | None:
        pattern, least = (_SENTENCE, 1) if self._spoken else (_CLAUSE, self._first_chars)
        for match in pattern.finditer(self._buffer):
            if len(self._buffer[: match.end()].strip()) >= least and not self._inside(match):
                return match.end()
        limit = _RUN_ON_CHARS * (2 if self._spoken else 1)
        if len(self._buffer) > limit:
            space = self._buffer.rfind(" ", 0, limit)
            return space + 1 if space > 0 else None
        return None

    def _inside(self, match: re.Match[str]) -> bool:
        """True if the dot belongs to an abbreviation, as far as can be told."""
        if not _ABBREVIATION.search(self._buffer[: match.end()].rstrip()):
            return False
        following = self._buffer[match.end() :].lstrip()
        # After "p.m." a capital letter begins a new sentence; after "Dr." it is a name.
        ends_sentence = self._buffer[: match.end()].rstrip().lower().endswith(".m.")
        return not (ends_sentence and following[:1].isupper())


def _tidy(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
