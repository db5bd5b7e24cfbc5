"""The contract of an adapter over CrewAI's form of the tool: by hand, and in a crew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

pytest.importorskip("crewai")

from crewai.events.event_bus import crewai_event_bus
from crewai.hooks import register_after_tool_call_hook, unregister_after_tool_call_hook
from crewai.hooks.tool_hooks import ToolCallHookContext
from crewai.tools import ToolFailure
from crewai.utilities.agent_utils import convert_tools_to_openai_schema
from tests.crewai.scripted import ScriptedLLM, crew_of

from patter.envelope import CallResult
from patter.testing.contract import AdapterContract, Observed, Use
from patter.tool import PatterTool
from patter_crewai import PatterCrewAITool, PhoneCallEvent

# CrewAI reads fields of its own that it has given up.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:crewai")

_use: ContextVar[object] = ContextVar("_use")


class CrewAIHarness:
    """`PatterCrewAITool`, called by hand and by the agent of a crew.

    A crew runs its tools in threads, which the cancellation of the crew does not reach.
    """

    name = "crewai"
    cancels_on_await = True
    cancels_agent = False
    has_events = True
    sees_use_id = False
    has_result = True

    def build(self, tool: PatterTool) -> PatterCrewAITool:
        return PatterCrewAITool(tool)

    def schema(self, native: PatterCrewAITool) -> dict[str, Any]:
        ((told,), _, _) = convert_tools_to_openai_schema([native])
        function: dict[str, Any] = told["function"]
        return function

    def invoke(self, native: PatterCrewAITool, use: Use) -> Observed:
        with _listening() as events:
            raw = native.run(**use.arguments)
        return _observed(native, raw, events)

    async def ainvoke(self, native: PatterCrewAITool, use: Use) -> Observed:
        with _listening() as events:
            raw = await native.arun(**use.arguments)
        return _observed(native, raw, events)

    def run_agent(self, native: PatterCrewAITool, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        with _Watch(native, turns) as watch:
            crew_of(native, watch.llm).kickoff()
        return watch.observed()

    async def arun_agent(self, native: PatterCrewAITool, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        with _Watch(native, turns) as watch:
            await crew_of(native, watch.llm).akickoff()
        return watch.observed()


class _Watch:
    """A script, and what becomes of its uses."""

    def __init__(self, native: PatterCrewAITool, turns: Sequence[Sequence[Use]]) -> None:
        self._native = native
        self._uses = [use for turn in turns for use in turn]
        self._ended: list[tuple[dict[str, Any], Any, str | None]] = []
        self._events: dict[str | None, list[PhoneCallEvent]] = defaultdict(list)
        script = [[(native.name, use.id, dict(use.arguments)) for use in turn] for turn in turns]
        self.llm = ScriptedLLM(model="scripted", turns=script)

    def __enter__(self) -> _Watch:
        crewai_event_bus.on(PhoneCallEvent)(self._keep)
        register_after_tool_call_hook(self._end)
        return self

    def __exit__(self, *_: object) -> None:
        unregister_after_tool_call_hook(self._end)
        crewai_event_bus.flush()
        crewai_event_bus.off(PhoneCallEvent, self._keep)

    def observed(self) -> list[Observed]:
        """What the model read of each use, in the order of the script."""
        observed = []
        for use, read in zip(self._uses, self.llm.read(), strict=True):
            place = next(i for i, (arguments, _, _) in enumerate(self._ended) if arguments == use.arguments)
            _, raw, parent = self._ended.pop(place)
            observed.append(_observed(self._native, raw, self._events[parent], read))
        return observed

    def _keep(self, source: object, event: PhoneCallEvent) -> None:
        self._events[event.parent_event_id].append(event)

    def _end(self, context: ToolCallHookContext) -> None:
        from crewai.events.event_context import get_current_parent_id

        self._ended.append((dict(context.tool_input), context.raw_tool_result, get_current_parent_id()))


@contextmanager
def _listening() -> Iterator[list[PhoneCallEvent]]:
    """The events of the uses that are made in this context, and not of those beside it."""
    events: list[PhoneCallEvent] = []
    mark = object()
    token = _use.set(mark)

    def keep(source: object, event: PhoneCallEvent) -> None:
        if _use.get(None) is mark:
            events.append(event)

    crewai_event_bus.on(PhoneCallEvent)(keep)
    try:
        yield events
    finally:
        crewai_event_bus.flush()
        crewai_event_bus.off(PhoneCallEvent, keep)
        _use.reset(token)


def _observed(native: PatterCrewAITool, raw: Any, events: list[PhoneCallEvent], read: str | None = None) -> Observed:
    text = native.format_output_for_agent(raw) if read is None else read
    result = raw if isinstance(raw, CallResult) else None
    ordered = sorted(events, key=lambda event: event.timestamp)
    return Observed(text, isinstance(raw, ToolFailure), result, [event.event for event in ordered])


class TestCrewAI(AdapterContract):
    harness = CrewAIHarness()
