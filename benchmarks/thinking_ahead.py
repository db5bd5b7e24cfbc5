"""From the end of the callee's speech to the agent's first audio at the carrier, with and without thinking ahead.

The vendors take their time as in life: 300 ms to the first token, 150 ms to the first audio. Without
thinking ahead, that comes after the wait which makes sure that the turn is over.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import anyio

from benchmarks.figures import spread
from benchmarks.phone import agent_of, calls, phone_in
from benchmarks.talk import Plan
from benchmarks.world import World, world
from patter import DeepgramSTT, Timing

FIRST_TOKEN_MS, FIRST_AUDIO_MS = 300, 150
AT_ONCE = 4
EARS: dict[str, dict[str, Any]] = {
    "nova-3": {},
    "nova-3, endpointing_ms=300": {"endpointing_ms": 300},
    "flux-general-en": {"model": "flux-general-en"},
}


def plan(turns: int) -> Plan:
    return Plan(
        turns=turns,
        answer="here you are. Is there anything else?",
        pause_ms=300,
        first_token_ms=FIRST_TOKEN_MS,
        first_byte_ms=FIRST_AUDIO_MS,
        realtime_factor=10,
    )


async def measure(there: World, ears: dict[str, Any], early_starts: int, turns: int) -> list[dict[str, Any]]:
    """The turns of four calls, as the vendors and the carrier saw them."""
    phone = phone_in(there.env)
    agent = agent_of(stt=DeepgramSTT(**ears), early_starts=early_starts)
    async with phone:
        there.plan(plan(1))
        await calls(phone, agent, [0])
        there.plan(plan(turns))
        results = await calls(phone, agent, range(1, AT_ONCE + 1))
    assert all(result.status == "completed" for result in results), results
    heard: list[dict[str, Any]] = [turn for turn in there.report()["turns"] if "arrived" in turn]
    return heard


def main() -> None:
    turns = 10 if "--full" in sys.argv else 3
    usual = Timing().early_starts
    with world() as there:
        for name, ears in EARS.items():
            gaps = {}
            for early_starts in (usual, 0):
                heard = anyio.run(measure, there, ears, early_starts, turns)
                gaps[early_starts] = [(turn["arrived"] - turn["spoken"]) * 1000 for turn in heard]
                print(f"  {name}, early_starts={early_starts}: {spread(gaps[early_starts])}")
            # From the last run, in which the mind was asked when the turn was certainly over.
            wait = statistics.median((turn["asked"] - turn["spoken"]) * 1000 for turn in heard if "asked" in turn)
            total = wait + FIRST_TOKEN_MS + FIRST_AUDIO_MS
            print(
                f"    end-of-turn wait {wait:.0f} + first token {FIRST_TOKEN_MS} + first audio {FIRST_AUDIO_MS}"
                f" = {total:.0f} ms; thinking ahead saves {total - statistics.median(gaps[usual]):.0f} ms of them"
            )


if __name__ == "__main__":
    main()
