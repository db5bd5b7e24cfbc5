"""The same script gives the same call, to the byte."""

import anyio
import pytest

from patter.agent import Agent
from patter.testing import (
    Callee,
    EventLog,
    ScriptedCarrier,
    ScriptedMind,
    ScriptedVoice,
    check_invariants,
    reply,
    run_virtual,
)
from patter.tools.model import Tool
from patter.voice.base import ToolCall

RUNS = 200


async def call_of_25_s():
    """Greeting, a tool, a barge-in, a mumble, a backchannel, keys, and a goodbye."""
    callee = (
        Callee()
        .says(0.5, "Good evening, who is there?")
        .says(7.0, "No wait please")
        .says(11.5, "What time is it for?")
        .mumbles(14.5, 300)
        .says(17.0, "Mhm")
        .presses(18.0, "1")
        .says(20.5, "Seven is fine")
    )
    line = callee.line()

    async def lookup(arguments, context):
        await anyio.sleep(1.2)
        return {"free": True}

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
    log = EventLog()
    carrier = ScriptedCarrier().rings(0.5).answers(1.5, line)
    result = await carrier.place(agent, on_event=log, first_message="Hello, this is an automated assistant.")
    check_invariants(result, line, log, mind=mind)
    return result, line, log


def test_the_same_call_many_times():
    result, line, log = run_virtual(call_of_25_s)
    assert result.status == "completed"
    assert 22 < result.duration_seconds < 28
    golden = log.json(), line.sent, result.transcript
    for _ in range(RUNS - 1):
        result, line, log = run_virtual(call_of_25_s)
        assert (log.json(), line.sent, result.transcript) == golden


@pytest.mark.parametrize("kind", ["hearing", "saying", "speaking", "agent", "user", "tool", "digits", "ended"])
def test_the_call_has_everything_in_it(kind):
    _, _, log = run_virtual(call_of_25_s)
    assert kind in log.kinds()
