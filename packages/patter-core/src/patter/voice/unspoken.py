"""What of an utterance was not spoken yet: what a second voice, or a second connection, has to say."""

from __future__ import annotations

__all__ = ["Unspoken"]


class Unspoken:
    """Compares the clauses that were written with the texts whose sound was delivered. Pure.

    Words are counted, not compared: a voice may write "3 pm" another way. A word counts as spoken when
    the speech that begins with it was delivered, so nothing is ever said twice.
    """

    def __init__(self) -> None:
        self._clauses: list[str] = []
        self._spoken_words = 0

    def say(self, clause: str) -> None:
        """A clause was written."""
        self._clauses.append(clause)

    def spoke(self, text: str) -> None:
        """Speech that begins with this text was delivered; "" continues the text before."""
        self._spoken_words += len(text.split())

    def rest(self) -> list[str]:
        """What is still to be said, clause by clause."""
        left, skip = [], self._spoken_words
        for clause in self._clauses:
            words = clause.split()
            if skip < len(words):
                left.append(" ".join(words[skip:]))
            skip = max(skip - len(words), 0)
        return left
