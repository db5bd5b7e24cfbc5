"""Thinking ahead: the answer is begun while the end of the turn is still being decided."""

import anyio
import pytest

from patter.errors import ProviderError
from patter.settings import Timing
from patter.testing import Callee, Pause, ScriptedVoice, reply
from patter.tools.model import Tool
from patter.voice.base import EndOfSpeech, ToolCall

pytestmark = pytest.mark.anyio

SLOW = {"first_token_s": 0.4}
WAIT = Timing(end_of_turn_s=1.5)
"""The turn is decided a second after its final, so there is something to gain."""


def callee(**says):
    return Callee().says(0.4, "Do you have a table tonight?", end=EndOfSpeech.NONE, **says)


async def latency_of(talk, timing):
    call = await talk(
        callee().hangs_up(9.0), ["Yes, we do."], mind=SLOW, voice=ScriptedVoice(first_audio_s=0.3), timing=timing
    )
    assert call.of("agent") == ["Yes, we do."]
    return call.turns[-1].latency_ms


async def test_the_time_to_think_is_hidden_behind_the_wait_for_the_end_of_the_turn(talk):
    assert await latency_of(talk, Timing(end_of_turn_s=1.5)) == pytest.approx(1500, abs=2)


async def test_without_it_the_times_add_up(talk):
    assert await latency_of(talk, Timing(end_of_turn_s=1.5, early_starts=0)) == pytest.approx(1500 + 400 + 300, abs=2)


async def test_an_eager_end_starts_the_mind(talk):
    script = Callee().says(0.4, "Do you have a table tonight?", end=EndOfSpeech.EAGER)
    script.hangs_up(9.0)
    call = await talk(script, ["Yes, we do."], mind=SLOW)
    request = call.mind.requests[0]
    assert request.messages[-1].content == "Do you have a table tonight?"
    assert call.of("agent") == ["Yes, we do."]


async def test_a_draft_is_dropped_without_trace_when_the_callee_goes_on(talk):
    script = callee().says(3.0, "For two persons, I mean.").hangs_up(12.0)
    call = await talk(script, ["Wrong. Very wrong.", "Yes, for two."], timing=WAIT)
    assert call.transcript == [
        ("user", "Do you have a table tonight? For two persons, I mean."),
        ("agent", "Yes, for two."),
    ]
    assert "Wrong" not in call.line.heard_text()
    assert all("Wrong" not in str(event) for event in call.log.events)
    assert [turn.generated_text for turn in call.turns if turn.role == "agent"] == ["Yes, for two."]
    assert len(call.mind.requests) == 2


async def test_what_was_thought_in_vain_is_billed(talk):
    script = callee().says(3.0, "For two persons, I mean.").hangs_up(12.0)
    call = await talk(script, ["Wrong.", "Yes, for two."], timing=WAIT)
    assert call.voice.texts == ["Wrong.", "Yes, for two."]


async def test_tools_wait_until_the_turn_is_over(talk):
    began = []

    async def book(arguments, context):
        began.append(anyio.current_time())
        return "booked"

    tool = Tool(name="book", description="Book a table.", handler=book)
    script = callee().hangs_up(12.0)
    call = await talk(script, [reply(ToolCall("t1", "book", "{}")), "It is booked."], tools=[tool], timing=WAIT)
    assert call.of("agent") == ["It is booked."]
    (said,) = call.log.of("user")
    (ran,) = call.log.of("tool")
    assert len(began) == 1
    assert ran["at_s"] >= said["at_s"]


async def test_a_tool_of_a_dropped_draft_never_runs(talk):
    async def book(arguments, context):
        raise AssertionError("the callee had not finished")

    tool = Tool(name="book", description="Book a table.", handler=book)
    script = callee().says(3.0, "No, forget it.").hangs_up(12.0)
    call = await talk(script, [reply(ToolCall("t1", "book", "{}")), "As you like."], tools=[tool], timing=WAIT)
    assert call.of("agent") == ["As you like."]
    assert call.result.details.tool_calls == []


async def test_a_draft_that_fails_is_asked_again(talk):
    error = ProviderError("llm", "Overloaded.", retryable=True)
    call = await talk(callee().hangs_up(9.0), [reply(error), "Yes, we do."], timing=WAIT)
    assert call.of("agent") == ["Yes, we do."]
    assert call.result.status == "completed"


async def test_keys_pressed_in_the_meantime_are_not_missed(talk):
    script = callee().presses(3.0, "1").hangs_up(8.0)
    call = await talk(script, ["Early.", "Late."], timing=WAIT)
    assert call.of("agent") == ["Late."]


async def test_a_turn_has_so_many_drafts_and_no_more(talk):
    script = Callee()
    for number in range(6):
        script.says(0.4 + number * 1.4, f"part {number}", end=EndOfSpeech.NONE)
    script.hangs_up(16.0)
    steps = [reply(Pause(9.0), "never") for _ in range(2)] + ["Now I see."]
    call = await talk(script, steps, timing=Timing(end_of_turn_s=2.0, early_starts=2))
    assert len(call.mind.requests) == 3
    assert call.of("agent") == ["Now I see."]


async def test_a_mind_whose_questions_have_consequences_is_not_asked_early(talk):
    call = await talk(callee().hangs_up(9.0), ["Yes, we do."], mind=SLOW, timing=WAIT)
    early = call.turns[-1].latency_ms
    call = await talk(callee().hangs_up(9.0), ["Yes, we do."], mind={**SLOW, "speculative": False}, timing=WAIT)
    assert call.turns[-1].latency_ms == pytest.approx(early + 400 + 150, abs=2)


async def test_an_interrupted_answer_that_was_begun_early_is_cut_like_any_other(talk):
    long = "We would like a table for two persons at the window on Friday evening at seven."
    script = callee().says(4.0, "Wait, stop, please.").hangs_up(10.0)
    call = await talk(script, [long, "Sorry."], timing=Timing(end_of_turn_s=1.0))
    heard = call.of("agent")
    assert long.startswith(heard[0])
    assert heard[0] != long
    assert " ".join(heard) == call.line.heard_text()


async def test_every_answered_turn_has_its_latency_whether_it_was_thought_ahead_or_not(talk):
    script = callee().says(6.0, "And at eight?", end=EndOfSpeech.TURN).hangs_up(12.0)
    call = await talk(script, ["Yes, we do.", "At eight too."], mind=SLOW)
    answered = [turn.latency_ms for turn in call.turns if turn.role == "agent"]
    assert len(answered) == call.result.details.latency.turns == 2
    assert call.result.details.latency.max_ms == pytest.approx(max(answered))


async def test_a_mind_that_fails_early_is_asked_once_more_and_no_more(talk):
    error = ProviderError("llm", "Overloaded.", retryable=True)
    call = await talk(callee(), [reply(error), reply(error)], timing=WAIT)
    assert len(call.mind.requests) == 2
    assert call.result.details.error.code == "llm_error"
