"""What the host asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from patter.agent import Agent

__all__ = ["CallRequest", "Event", "EventSink"]

Event = dict[str, Any]
"""A progress event: JSON values, with at least ``type``, ``call_id`` and ``at_s``, seconds since the dial."""

EventSink = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """One call to be placed, or one that has come in, checked.

    ``ref`` is our name of it until the carrier has one. The caller's number is ``from_number``, also if
    somebody calls us; ``carrier_id`` is known from the beginning then.
    """

    ref: str
    to: str
    from_number: str
    agent: Agent
    max_duration_s: int
    goal: str | None = None
    first_message: str | None = None
    carrier_id: str | None = None

    @property
    def inbound(self) -> bool:
        """True if somebody calls us."""
        return self.carrier_id is not None
