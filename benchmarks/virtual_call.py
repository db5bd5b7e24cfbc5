"""How long a scripted call of 25 seconds takes under virtual time.

Run ``python benchmarks/virtual_call.py``: it prints the median and the slowest of 50 calls in real milliseconds.
"""

from __future__ import annotations

import statistics
import time

import anyio

from patter.agent import Agent
from patter.envelope import CallResult
from patter.testing import Callee, ScriptedCarrier, ScriptedMind, ScriptedVoice, reply, run_virtual
from patter.tools.model import Tool
from patter.voice.base import ToolCall

RUNS = 50


async def call() -> CallResult:
    """A greeting, a tool, a barge-in, a mumble, a backchannel, and a goodbye."""
    callee = (
        Callee()
        .says(0.5, "Good evening, who is there?")
        .says(7.0, "No wait please")
        .says(11.5, "What time is it for?")
        .mumbles(14.5, 300)
        .says(17.0, "Mhm")
        .says(20.5, "Seven is fine")
    )
    line = callee.line()

    async def lookup(arguments: object, context: object) -> str:
        await anyio.sleep(1.2)
        return "It is free."

    mind = ScriptedMind(
        [
            reply("One moment, I will have a look whether that is possible at all.", ToolCall("t1", "lookup", "{}")),
            "All right, I am waiting.",
            "It is for seven on Friday evening, for two persons at the window, if that is possible for you.",
            reply("Thank you very much. Goodbye.", ToolCall("t2", "end_call", '{"reason":"goal_reached"}')),
        ]
    )
    tool = Tool(name="lookup", description="Looks it up.", handler=lookup)
    agent = Agent(stt=callee.ears(line), llm=mind, tts=ScriptedVoice(), tools=[tool], system_prompt="Be brief.")
    carrier = ScriptedCarrier().rings(0.5).answers(1.5, line)
    return await carrier.place(agent, first_message="Hello, this is an automated assistant.")


def main() -> None:
    """Print the figures."""
    took_ms = []
    for _ in range(RUNS):
        began = time.perf_counter()
        result = run_virtual(call)
        took_ms.append((time.perf_counter() - began) * 1000)
        assert result.status == "completed", result
    talk_s = result.duration_seconds
    print(
        f"a call of {talk_s:.1f} s: median {statistics.median(took_ms):.1f} ms, slowest {max(took_ms):.1f} ms, "
        f"{talk_s * 1000 / statistics.median(took_ms):,.0f} times as fast as real time ({RUNS} calls)"
    )


if __name__ == "__main__":
    main()
