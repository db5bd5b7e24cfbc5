"""What a program outside may do in a call that goes on. In virtual time."""

import anyio
import pytest

from patter import Agent
from patter.call.live import LiveCall
from patter.testing import Callee, ScriptedCarrier, ScriptedMind, ScriptedVoice, reply
from patter.voice.base import ToolCall

pytestmark = pytest.mark.anyio

BYE = ToolCall("bye", "end_call", "{}")


async def talk(act, *, at, mind, callee=None):
    """A call in which a program acts so many seconds after the answer; the agent's lines, and what the mind saw."""
    callee = callee or Callee().says(7.0, "Goodbye then.").hangs_up(60)
    line = callee.line()
    mind = ScriptedMind(mind)
    agent = Agent(stt=callee.ears(line), llm=mind, tts=ScriptedVoice(), first_message="Hello, this is the shop.")
    carrier = ScriptedCarrier().answers(1.0, line)
    call = carrier.call(agent)
    done = []

    async def later():
        await anyio.sleep(1.0 + at)
        done.append(act(LiveCall(call)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(later)
        result = await carrier.run(call)
        tasks.cancel_scope.cancel()
    return [one.text for one in result.transcript if one.role == "agent"], mind, done


async def test_before_the_greeting_nothing_is_lost_and_nothing_is_said_out_of_turn(no_leaked_tasks):
    said, mind, done = await talk(
        lambda call: call.speak("The door is open."), at=0.1, mind=["The door is open!", reply("Goodbye.", BYE)]
    )
    assert said == ["Hello, this is the shop.", "The door is open!", "Goodbye."]
    assert done == [True]
    assert mind.requests[0].messages[-1].content != "Goodbye then."


async def test_a_text_before_the_greeting_is_said_after_it(no_leaked_tasks):
    said, _, _ = await talk(lambda call: call.say("We close at five."), at=0.1, mind=[reply("Goodbye.", BYE)])
    assert said == ["Hello, this is the shop.", "We close at five.", "Goodbye."]


async def test_a_note_is_known_at_the_next_answer_and_asks_for_none(no_leaked_tasks):
    said, mind, _ = await talk(lambda call: call.note("It rains."), at=3.0, mind=[reply("Goodbye.", BYE)])
    assert said == ["Hello, this is the shop.", "Goodbye."]
    assert "It rains." in [message.content for message in mind.requests[0].messages]


async def test_there_is_an_end_to_what_a_call_takes(no_leaked_tasks):
    _, mind, done = await talk(
        lambda call: [call.note(f"Note {n}.") for n in range(5000)], at=3.0, mind=[reply("Goodbye.", BYE)]
    )
    assert done[0][0] is True and done[0][-1] is False
    assert sum(done[0]) == sum(message.content.startswith("Note ") for message in mind.requests[0].messages)


async def test_a_call_that_is_over_takes_nothing(no_leaked_tasks):
    _, _, (call,) = await talk(lambda call: call, at=1.5, mind=[], callee=Callee().hangs_up(3))
    assert call.say("Too late.") is False
