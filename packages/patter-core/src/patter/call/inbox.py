"""What a conversation is told; its facts are handled one after another."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from patter.call.intake import LineFact
from patter.call.transcript import Transcript
from patter.call.turn import Turn
from patter.errors import ProviderError

__all__ = ["Fact", "MachineFound", "News", "NotHandedOver", "Tidings", "TurnOver"]


@dataclass(frozen=True, slots=True)
class TurnOver:
    """An answer was played to its end, or has failed."""

    turn: Turn
    error: ProviderError | None


@dataclass(frozen=True, slots=True)
class MachineFound:
    """Only wakes the loop, which has something else to wait for now."""


@dataclass(frozen=True, slots=True)
class News:
    """Something from outside the conversation, such as the result of a tool that was not waited for.

    Args:
        note: told to the mind.
        text: said as it is, as soon as nobody else speaks.
        is_urgent: the mind answers as soon as nobody speaks; else it knows when it answers next.
    """

    note: str | None = None
    text: str | None = None
    is_urgent: bool = True


@dataclass(frozen=True, slots=True)
class NotHandedOver:
    """A transfer has come to nothing; ``status`` says why."""

    status: str


Fact = LineFact | TurnOver | MachineFound | News | NotHandedOver


class Tidings:
    """What the agent shall speak of as soon as nobody else does; what the mind shall know is noted at once. Pure."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._texts: deque[str] = deque()
        self._is_urgent = False

    def take(self, news: News) -> None:
        """There is something new."""
        if news.note is not None:
            self._transcript.note(news.note)
        if news.text is not None:
            self._texts.append(news.text)
        else:
            self._is_urgent |= news.is_urgent

    @property
    def are_due(self) -> bool:
        """True if there is something to be said, or to be answered."""
        return bool(self._texts) or self._is_urgent

    def next_text(self) -> str | None:
        """A text to be said, once; None if the mind shall answer instead."""
        return self._texts.popleft() if self._texts else None

    def answered(self) -> None:
        """The mind is asked for an answer now, and knows all that is new."""
        self._is_urgent = False
