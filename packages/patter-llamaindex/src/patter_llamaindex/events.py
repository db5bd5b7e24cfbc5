"""The progress of a phone call on a workflow's stream."""

from __future__ import annotations

from typing import Any

from llama_index.core.workflow import Event as WorkflowEvent
from pydantic import Field

from patter.call.request import Event

__all__ = ["PhoneCallEvent"]


class PhoneCallEvent(WorkflowEvent):
    """Something happened in a call: ``async for event in handler.stream_events()`` finds it.

    ``type`` says what, ``at_s`` when, in seconds since the dial; ``data`` holds what else is known, such as
    the ``text`` of a turn. ``tool_id`` is the model's id of the tool call, where it has one.
    """

    type: str
    call_id: str
    at_s: float
    data: dict[str, Any] = Field(default_factory=dict)
    tool_id: str | None = None

    @classmethod
    def of(cls, event: Event, *, tool_id: str | None) -> PhoneCallEvent:
        """A progress event of Patter's as one of LlamaIndex's."""
        rest = dict(event)
        known = {name: rest.pop(name) for name in ("type", "call_id", "at_s")}
        return cls(**known, data=rest, tool_id=tool_id)
