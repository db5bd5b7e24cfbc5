"""What holds of the tool runner whatever is submitted: one answer for one call, in one generation."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import anyio
import anyio.lowlevel
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.testing import run_virtual
from patter.tools.runner import Hooks, ToolOutcome, ToolRunner

KINDS = ["quick", "slow", "too slow", "stubborn", "raises", "cancels itself", "no json", "unknown"]
SUBMIT = st.tuples(st.just("submit"), st.integers(0, 12), st.sampled_from(KINDS), st.sampled_from(["{}", "{", ""]))
STEP = st.one_of(
    SUBMIT,
    st.tuples(st.just("wait"), st.floats(0.01, 1.5)),
    st.tuples(st.just("cancel"), st.integers(0, 12)),
    st.tuples(st.just("reset")),
)

SAFE = ("unknown_tool", "invalid_arguments", "handler_error", "timeout", "shutdown")
ANSWERS = {
    "done",
    *(f'{{"error": "{reason}"}}' for reason in SAFE),
}


async def quick(arguments: Any, context: Any) -> str:
    return "done"


async def slow(arguments: Any, context: Any) -> str:
    await anyio.sleep(0.5)
    return "done"


async def too_slow(arguments: Any, context: Any) -> str:
    await anyio.sleep(60)
    return "late"


async def stubborn(arguments: Any, context: Any) -> str:
    for _ in range(3):
        try:
            await asyncio.sleep(0.8)
        except asyncio.CancelledError:
            pass
    return "late"


async def raises(arguments: Any, context: Any) -> str:
    raise KeyboardInterrupt


async def cancels_itself(arguments: Any, context: Any) -> str:
    raise asyncio.CancelledError


async def no_json(arguments: Any, context: Any) -> object:
    return object()


HANDLERS = {
    "quick": quick,
    "slow": slow,
    "too slow": too_slow,
    "stubborn": stubborn,
    "raises": raises,
    "cancels itself": cancels_itself,
    "no json": no_json,
}


class Trial:
    """A runner, everything that was submitted to it, and everything that it told."""

    def __init__(self) -> None:
        self.invoked: Counter[tuple[int, str]] = Counter()
        self.completed: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.shutdowns = 0
        self.accepted = 0
        self.outcomes: list[tuple[int, ToolOutcome]] = []
        hooks = Hooks(
            invoked=lambda call_id, name: self.invoked.update([(self.runner.generation, call_id)]),
            completed=lambda call_id, name, is_error: self.completed.update([call_id]),
            failed=self._failed,
        )
        self.runner = ToolRunner(timeout_s=1.0, hooks=hooks)
        self.runner.register_all(HANDLERS)

    def _failed(self, call_id: str, name: str, reason: str) -> None:
        self.failed[call_id] += 1
        self.shutdowns += reason == "shutdown"

    async def use(self, call_id: str, name: str, arguments: str) -> None:
        generation = self.runner.generation
        self.accepted += self.runner.is_new(call_id)
        outcome = await self.runner.run(call_id, name, arguments)
        self.outcomes.append((generation, outcome))

    async def play(self, steps: list[tuple[Any, ...]]) -> None:
        async with anyio.create_task_group() as tasks:
            for step in steps:
                match step:
                    case ("submit", number, name, arguments):
                        tasks.start_soon(self.use, f"c{number}", name, arguments)
                        await anyio.lowlevel.checkpoint()
                    case ("wait", seconds):
                        await anyio.sleep(seconds)
                    case ("cancel", number):
                        self.runner.cancel(f"c{number}")
                    case ("reset",):
                        self.runner.reset()


@settings(max_examples=120)
@given(st.lists(STEP, max_size=40))
def test_every_call_is_answered_once_in_its_generation(steps: list[tuple[Any, ...]]) -> None:
    trial = Trial()
    run_virtual(lambda: trial.play(steps))
    assert len(trial.outcomes) == sum(step[0] == "submit" for step in steps)  # everyone is answered
    assert all(count == 1 for count in trial.invoked.values())  # nothing runs twice
    assert sum(trial.completed.values()) + trial.shutdowns == trial.accepted  # an output, or a shutdown
    by_call: dict[tuple[int, str], set[str]] = {}
    for generation, outcome in trial.outcomes:
        by_call.setdefault((generation, outcome.call_id), set()).add(outcome.output)
        assert outcome.output in ANSWERS
    assert all(len(outputs) == 1 for outputs in by_call.values())  # and all who ask hear the same
