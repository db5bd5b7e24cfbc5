"""In which order the tool calls of one answer are carried out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from patter.voice.base import ToolCall

if TYPE_CHECKING:
    from patter.tools.model import Tool

__all__ = ["CALL_CONTROL", "Planned", "plan", "refused"]

CALL_CONTROL = ("end_call", "transfer_call", "monitored_transfer")
"""What takes the call away from the agent: last of all, and one at most."""

Planned = tuple[ToolCall, "Tool | None"]


def plan(calls: Iterable[Planned]) -> list[list[ToolCall]]:
    """Groups that run one after another; the calls of a group run side by side.

    The lowest priority number is first, and a call of an unknown tool has 0. Call control comes after
    everything else, and of several the one of the lowest number is carried out; `refused` has the others.
    """
    calls = list(calls)
    others = sorted((call for call in calls if not _is_control(call)), key=_priority)
    groups = [[call for call, _ in group] for _, group in groupby(others, key=_priority)]
    return groups + [[call] for call, _ in _control(calls)[:1]]


def refused(calls: Iterable[Planned]) -> list[ToolCall]:
    """The calls that are not carried out, because another one ends the call or hands it over."""
    return [call for call, _ in _control(list(calls))[1:]]


def _control(calls: Sequence[Planned]) -> list[Planned]:
    return sorted((call for call in calls if _is_control(call)), key=_priority)


def _is_control(planned: Planned) -> bool:
    tool = planned[1]
    return tool is not None and (tool.tool_type in CALL_CONTROL or tool.name == "end_call")


def _priority(planned: Planned) -> int:
    tool = planned[1]
    return 0 if tool is None else tool.priority
