"""What the phone itself adds to a turn, between the vendors and to the carrier, at one call and at twenty.

Without the deliberate waits: Flux says when the turn is over, which commits it at once, and nothing is
thought ahead. The times are those at which the vendors' emulators and the exchange sent and received,
in another process on another core; what these and loopback need is in the figures.
"""

from __future__ import annotations

import sys
from typing import Any

import anyio

from benchmarks.figures import Kept, spread
from benchmarks.phone import agent_of, calls, phone_in
from benchmarks.talk import Plan
from benchmarks.world import World, world

STAGES = {
    "end of turn -> request at the mind": ("final", "asked"),
    "first clause -> text at the voice": ("clause", "text"),
    "first audio -> media at the carrier": ("audio", "arrived"),
}
ANSWER = "here you are. Is there anything else?"


def plan(turns: int) -> Plan:
    """Vendors that lose no time."""
    return Plan(turns=turns, answer=ANSWER, pause_ms=100, end_silence_ms=200)


async def measure(there: World, at_once: int, rounds: int, turns: int) -> dict[str, Any]:
    """The report of calls at once, so many times one after the other; the first call only warms up."""
    phone, agent = phone_in(there.env), agent_of()
    report: dict[str, Any] = {"turns": [], "lag_ms": []}
    async with phone:
        there.plan(plan(2))
        await calls(phone, agent, [0])
        for _ in range(rounds):
            there.plan(plan(turns))
            results = await calls(phone, agent, range(1, at_once + 1))
            assert all(result.status == "completed" for result in results), results
            part = there.report()
            report["turns"] += part["turns"]
            report["lag_ms"] += part["lag_ms"]
            report["cpu"] = part["cpu"]
    return report


def show(report: dict[str, Any]) -> None:
    """Print the stages, and their sum."""
    complete = [turn for turn in report["turns"] if {"final", "clause", "text", "audio", "arrived"} <= turn.keys()]
    for name, (begin, end) in STAGES.items():
        print(f"  {name:37}{spread([(turn[end] - turn[begin]) * 1000 for turn in complete])}")
    sums = [sum(turn[end] - turn[begin] for begin, end in STAGES.values()) * 1000 for turn in complete]
    print(f"  {'together':37}{spread(sums)}")
    print(f"  {'lost turns':37}{len(report['turns']) - len(complete)}")
    print(f"  {'(the world: its loop is late by':37}{spread(report['lag_ms'])}; {report['cpu']:.0%} of its core)")


def main() -> None:
    full = "--full" in sys.argv
    with world() as there:
        for at_once, rounds, turns in ((1, 5, 20), (20, 1, 12)) if full else ((1, 1, 15), (20, 1, 4)):
            kept = Kept()
            report = anyio.run(measure, there, at_once, rounds, turns)
            print(f"{at_once} at once, {kept}:")
            show(report)


if __name__ == "__main__":
    main()
