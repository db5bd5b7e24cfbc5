"""In-call tools: what the runner adds to a tool call, what a blocking handler does to other calls, the first filler.

Blocking handlers run in one call beside others, whose lateness is measured as in `concurrent_calls`: that of the
slices that came while a handler blocked, and that of all others. The filler is timed from the moment in which the
handler begins to its first audio at the carrier, with a voice that needs 150 ms for its first audio.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import anyio

from benchmarks.concurrent_calls import plan
from benchmarks.figures import Kept, spread
from benchmarks.phone import agent_of, call, calls, phone_in
from benchmarks.records import lateness_ms
from benchmarks.talk import Plan
from benchmarks.world import World, world
from patter import Agent, Patter, Timing, Tool
from patter.engine import Engine
from patter.tools.handlers import handler_loop
from patter.tools.runner import ToolRunner
from patter.voice.base import Delta, Message, ToolCall, ToolSpec

OVERHEAD_GOAL_MS, LATENESS_GOAL_MS, FILLER_GOAL_MS = 0.2, 20, 1200
OTHERS = 10
BLOCK_S, SLOW_S = 1.0, 2.5
PARAMETERS = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
ARGUMENTS = {"name": "c0000 t0"}
RESULT = {"status": "shipped", "order": "ORD-1", "days": 3}


def main() -> None:
    full = "--full" in sys.argv
    Engine.shared().run_sync(lambda _: overhead(5000 if full else 1000))
    with world() as there:
        anyio.run(blocking, there, 60 if full else 15)
        anyio.run(fillers, there, 10 if full else 2)


# --- what the runner adds --------------------------------------------------------------------------


async def overhead(runs: int) -> None:
    """Each kind of handler, run by the runner and awaited directly, on the engine's loop."""

    async def coroutine(arguments: dict[str, Any], context: Any) -> dict[str, Any]:
        return RESULT

    def function(arguments: dict[str, Any], context: Any) -> dict[str, Any]:
        return RESULT

    async def directly() -> None:
        await coroutine(ARGUMENTS, {})

    async def in_thread() -> None:
        await asyncio.to_thread(function, ARGUMENTS, {})

    print(f"what the runner adds to a tool call (goal: below {OVERHEAD_GOAL_MS} ms)")
    with _handlers_on(asyncio.get_running_loop()):
        await _compare("executor", _runner(None, bind=lambda tool: coroutine), directly, runs)
        await _compare("coroutine, on this loop", _runner(coroutine), directly, runs)
    await _compare("coroutine, on another loop", _runner(coroutine), directly, runs)
    await _compare("function, in a thread", _runner(function), in_thread, runs)


@contextmanager
def _handlers_on(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    token = handler_loop.set(lambda: loop)
    try:
        yield
    finally:
        handler_loop.reset(token)


def _runner(handler: Callable[..., Any] | None, **options: Any) -> Callable[[int], Awaitable[Any]]:
    fields: dict[str, Any] = {"name": "look", "description": "Looks up where an order is."}
    if handler is None:
        fields |= {"tool_type": "webhook", "config": {"url": "https://example.com/"}}
    else:
        fields["handler"] = handler
    runner = ToolRunner([Tool(parameters=PARAMETERS, **fields)], **options)
    text = json.dumps(ARGUMENTS)

    async def run(number: int) -> None:
        outcome = await runner.run(f"t{number}", "look", text)
        assert not outcome.is_error, outcome

    return run


async def _compare(
    name: str, run: Callable[[int], Awaitable[Any]], directly: Callable[[], Awaitable[Any]], runs: int
) -> None:
    """Turn about, so that both meet the same machine; the first tenth warms up."""
    by_runner: list[float] = []
    by_hand: list[float] = []
    for number in range(runs + runs // 10):
        began = time.perf_counter()
        await run(number)
        between = time.perf_counter()
        await directly()
        ended = time.perf_counter()
        by_runner.append((between - began) * 1000)
        by_hand.append((ended - between) * 1000)
        await asyncio.sleep(0)
    by_runner, by_hand = by_runner[runs // 10 :], by_hand[runs // 10 :]
    added = sorted(by_runner)[runs // 2] - sorted(by_hand)[runs // 2]
    print(f"  {name:28}{added:.3f} ms  by the runner {_fine(by_runner)}; directly {_fine(by_hand)}")


def _fine(values: Sequence[float]) -> str:
    ranked = sorted(values)
    return f"p50 {ranked[len(ranked) // 2]:.3f}  p99 {ranked[len(ranked) * 99 // 100]:.3f}"


# --- what a blocking handler does to other calls ---------------------------------------------------


class Mind:
    """Uses the tool ``look`` so many times in each turn, one after the other, and then says that it is there."""

    model = "bench/tools"

    def __init__(self, uses: int) -> None:
        self._uses = uses

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        question = next(number for number in range(len(messages), 0, -1) if messages[number - 1].role == "user")
        results = [message for message in messages[question:] if message.role == "tool"]

        async def deltas() -> AsyncIterator[Delta]:
            if len(results) < self._uses:
                name = " ".join(messages[question - 1].content.split()[-2:])
                yield ToolCall("t", "look", json.dumps({"name": name}))
            else:
                yield "It is there."

        yield deltas()


def using(handler: Callable[..., Any], uses: int = 1) -> Agent:
    """The agent with a mind that uses this handler in every turn."""
    tool = Tool(name="look", description="Looks up what was asked for.", parameters=PARAMETERS, handler=handler)
    return replace(agent_of(), llm=Mind(uses), tools=[tool])


async def blocking(there: World, seconds: float) -> None:
    """Rounds of calls: without a blocking handler, with a function that blocks, and with a coroutine that does."""
    blocks: list[float] = []

    def function(arguments: dict[str, Any], context: Any) -> str:
        blocks.append(time.monotonic())
        time.sleep(BLOCK_S)
        return "done"

    async def coroutine(arguments: dict[str, Any], context: Any) -> str:
        return function(arguments, context)

    async def quick(arguments: dict[str, Any], context: Any) -> str:
        return "done"

    print(f"{OTHERS} calls beside one whose handler blocks for {BLOCK_S:g} s (goal: {LATENESS_GOAL_MS} ms)")
    async with phone_in(there.env) as phone:
        await _round(phone, there, 4, quick)
        for name, handler in (("nothing", quick), ("a function", function), ("a coroutine", coroutine)):
            blocks.clear()
            kept = Kept()
            late = await _round(phone, there, seconds, handler)
            meanwhile = [ms for at_s, ms in late if any(begin <= at_s < begin + BLOCK_S for begin in blocks)]
            print(f"  {name} blocks, {len(blocks)} times; {kept}")
            if blocks:
                print(f"    slices that came meanwhile   {spread(meanwhile)}")
                late = [(at_s, ms) for at_s, ms in late if all(not 0 <= at_s - begin < BLOCK_S for begin in blocks)]
            print(f"    {'other' if blocks else 'all  '} slices                 {spread([ms for _, ms in late])}")


async def _round(phone: Patter, there: World, seconds: float, handler: Callable[..., Any]) -> list[tuple[float, float]]:
    """When each slice of the other calls came, and how late; the call with the handler is the world's first."""
    there.plan(plan(seconds))
    agent = agent_of()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, phone, using(handler, uses=4), 0)
        await anyio.sleep(0.3)
        results = await calls(phone, agent, range(1, OTHERS + 1))
    assert all(result.status == "completed" for result in results), results
    media = there.report()["media"]
    assert len(media) == OTHERS + 1
    return [timed for one in media[1:] for timed in _timed_lateness(one)]


def _timed_lateness(one: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    at_s = 0.0

    def media() -> Iterator[tuple[float, ...]]:
        nonlocal at_s
        for message in one["media"]:
            at_s = message[0]
            yield message

    for ms in lateness_ms({"media": media(), "marks": one["marks"]}, Timing().lead_ms):
        yield at_s, ms


# --- the first filler ------------------------------------------------------------------------------


async def fillers(there: World, turns: int) -> None:
    """Calls whose mind says nothing before it uses a slow tool: what is heard next is the filler."""
    began: dict[str, float] = {}

    async def slow(arguments: dict[str, Any], context: Any) -> str:
        began[arguments["name"]] = time.monotonic()
        await anyio.sleep(SLOW_S)
        return "done"

    there.plan(Plan(turns=turns, pause_ms=2000, first_byte_ms=150, realtime_factor=20))
    async with phone_in(there.env) as phone:
        results = await calls(phone, using(slow), range(1, OTHERS + 1))
    assert all(result.status == "completed" for result in results), results
    audible = [(turn["arrived"] - began[turn["name"]]) * 1000 for turn in there.report()["turns"]]
    print(f"filler audible after the start of a tool that needs {SLOW_S:g} s (goal: {FILLER_GOAL_MS} ms)")
    print(f"  {OTHERS} calls at once            {spread(audible)}")


if __name__ == "__main__":
    main()
