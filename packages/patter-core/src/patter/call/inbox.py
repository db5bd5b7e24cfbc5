"""What a conversation is told; its facts are handled one after another."""

from __future__ import annotations

from dataclasses import dataclass

from patter.call.intake import LineFact
from patter.call.turn import Turn
from patter.errors import ProviderError

__all__ = ["Fact", "MachineFound", "News", "NotHandedOver", "TurnOver"]


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
    """Something that the agent shall speak of, such as the result of a tool; ``note`` is told to the mind."""

    note: str | None = None


@dataclass(frozen=True, slots=True)
class NotHandedOver:
    """A transfer has come to nothing; ``status`` says why."""

    status: str


Fact = LineFact | TurnOver | MachineFound | News | NotHandedOver
