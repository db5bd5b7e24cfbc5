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
    """One call to be placed, checked. ``ref`` is our name of it until the carrier has one."""

    ref: str
    to: str
    from_number: str
    agent: Agent
    goal: str | None
    first_message: str | None
    max_duration_s: int
