"""The progress of a call on CrewAI's event bus."""

from __future__ import annotations

from typing import Any

from crewai.events.base_events import BaseEvent
from crewai.events.event_bus import crewai_event_bus

__all__ = ["PhoneCallEvent", "tell_bus"]


class PhoneCallEvent(BaseEvent):
    """One progress event of a call.

    CrewAI runs handlers in threads of its own, so they may see two events in another order than they were
    sent; ``timestamp`` orders them.

    Args:
        tool_name: the tool that makes the call.
        event: a progress event of `patter.PatterTool.execute`, with ``type``, ``call_id`` and ``at_s``.
    """

    type: str = "phone_call"
    tool_name: str
    event: dict[str, Any]


def tell_bus(source: Any, tool_name: str, event: dict[str, Any]) -> None:
    """Send a progress event to the handlers of `PhoneCallEvent`."""
    crewai_event_bus.emit(source, PhoneCallEvent(tool_name=tool_name, event=event))
