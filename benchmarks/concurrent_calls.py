"""Forty calls at once on one core: how late the agent's audio is, calls lost, memory and processor.

A slice of audio is due when, with it, the carrier holds as much ahead of its playback as the phone wants it
to (`Timing.lead_ms`), as its marks tell; its lateness is how much later it came, with the way there. A gap is
what the callee hears when the carrier has nothing left to play in the middle of an answer.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import anyio

from benchmarks.figures import Kept, rss_mib, spread
from benchmarks.phone import agent_of, calls, phone_in
from benchmarks.records import gaps_ms, lateness_ms
from benchmarks.talk import Plan
from benchmarks.world import World, world
from patter import CallResult, Patter, Timing

CALLS = 40
APART_S = 0.15
USUAL = "completed, user_hangup"
ANSWER = " ".join(["here is what I wanted to say about the table."] * 4)
QUESTION = " ".join(["And how about the other one?"] * 4)


@dataclass(slots=True)
class Load:
    """The phone's process while all calls are live."""

    idle_mib: float
    live_mib: float = 0.0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    results: list[CallResult] = field(default_factory=list)

    async def watch(self, phone: Patter) -> None:
        """Measure from the moment in which all calls are live to the end of the first."""
        while len(phone.live_calls) < CALLS:  # noqa: ASYNC110 - the phone lives on another loop
            await anyio.sleep(0.05)
        await anyio.sleep(2)
        cpu, wall = time.process_time(), time.monotonic()
        while len(phone.live_calls) == CALLS:
            self.cpu_s, self.wall_s = time.process_time() - cpu, time.monotonic() - wall
            self.live_mib = max(self.live_mib, rss_mib())
            await anyio.sleep(0.25)


def plan(seconds: float) -> Plan:
    """The agent speaks for four seconds, the callee for two. The vendors never let the phone wait for audio."""
    return Plan(
        turns=1000,
        seconds=seconds,
        question=QUESTION,
        answer=ANSWER,
        pause_ms=300,
        first_token_ms=300,
        token_ms=5,
        first_byte_ms=50,
        realtime_factor=20,
    )


async def measure(there: World, seconds: float) -> Load:
    """Two calls warm up; then all of them."""
    phone, agent = phone_in(there.env), agent_of()
    async with phone:
        there.plan(plan(4))
        for _ in range(2):
            await calls(phone, agent, [0])
        load = Load(idle_mib=rss_mib())
        there.plan(plan(seconds))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load.watch, phone)
            load.results = await calls(phone, agent, range(1, CALLS + 1), apart_s=APART_S)
            tasks.cancel_scope.cancel()
    return load


def _ending(result: CallResult) -> str:
    details = result.details
    if details is None:
        return str(result.status)
    error = "" if details.error is None else f", {details.error.code}: {details.error.message}"
    return f"{result.status}, {details.end_reason}{error}"


def main() -> None:
    seconds = 60 if "--full" in sys.argv else 15
    with world() as there:
        kept = Kept()
        load = anyio.run(measure, there, seconds)
        report = there.report()
    late = [ms for call in report["media"] for ms in lateness_ms(call, Timing().lead_ms)]
    gaps = [ms for call in report["media"] for ms in gaps_ms(call)]
    lost = Counter(_ending(result) for result in load.results) - Counter({USUAL: CALLS})
    answered = sum("arrived" in turn for turn in report["turns"])
    print(
        f"{CALLS} calls of {seconds} s, {len(report['turns'])} turns, {answered} answered; calls lost: {lost.total()}"
    )
    for ending, number in lost.items():
        print(f"  {number} ended so: {ending}")
    print(f"  lateness of a slice of audio   {spread(late)}")
    print(f"  gaps in the agent's speech     {len(gaps)}" + (f": {spread(gaps)}" if gaps else ""))
    per_call = (load.live_mib - load.idle_mib) / CALLS
    print(f"  memory                         {load.idle_mib:.0f} MiB warm and idle, {per_call:.2f} MiB for each call")
    print(f"  processor                      {load.cpu_s / max(load.wall_s, 1e-9):.0%} of the core; {kept}")
    print(f"  (the world: its loop is late by {spread(report['lag_ms'])}; {report['cpu']:.0%} of its core)")


if __name__ == "__main__":
    main()
