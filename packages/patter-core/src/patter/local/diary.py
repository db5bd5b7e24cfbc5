"""A diary for the demo: a tool that the agent uses during the call, slow enough that it asks for a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from patter.local.times import find_times
from patter.tools.define import tool

if TYPE_CHECKING:
    from patter.tools.model import Tool

__all__ = ["DIARY", "ENTRY", "FILLER", "diary"]

DIARY = "look_in_diary"
ENTRY = "a meeting"
FILLER = "One moment, I will look in the diary."
_LOOKUP_S = 1.5


def diary() -> Tool:
    """The tool ``look_in_diary``. Whatever time is asked for first is taken, for an hour."""
    return tool(
        name=DIARY,
        description="Look in the customer's diary. Returns what is at a time of day, and when the next hour is free.",
        parameters={
            "type": "object",
            "properties": {"time": {"type": "string", "description": "in words, such as: four thirty"}},
            "required": ["time"],
        },
        handler=_look,
        speech={"filler": FILLER, "delay_ms": 400},
    )


async def _look(arguments: dict[str, str], context: object) -> dict[str, str]:
    await anyio.sleep(_LOOKUP_S)
    times = find_times(f"at {arguments['time']}")
    if not times:
        return {"entry": ""}
    return {"entry": ENTRY, "time": str(times[0]), "free_at": str(times[0].later(1, times[0].minute))}
