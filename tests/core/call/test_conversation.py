"""Scripts of whole conversations, in virtual time. Times are seconds after the answer."""

from itertools import pairwise

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.agent import Agent
from patter.call.prompt import APOLOGY, FILLER, GIVE_UP, NOBODY_SPEAKS, SILENCE, keys_pressed
from patter.errors import ProviderError
from patter.settings import Timing
from patter.testing import (
    Callee,
    EventLog,
    Pause,
    ScriptedCarrier,
    ScriptedMind,
    ScriptedVoice,
    VoiceFault,
    check_invariants,
    reply,
    run_virtual,
)
from patter.tools.model import Tool
from patter.voice.base import EndOfSpeech, ToolCall, Usage

pytestmark = pytest.mark.anyio

GREETING = "Hello, this is an automated assistant."
LONG = "We would like a table for two persons at the window on Friday evening at seven."


def goodbye(*texts):
    return reply(*texts, ToolCall("end", "end_call", '{"reason":"goal_reached"}'))


def history(request):
    """What the mind was told, without the system prompt."""
    return [(message.role, message.content) for message in request.messages[1:]]


# --- the first words -----------------------------------------------------------------------------


async def test_greets_after_the_hello(talk):
    call = await talk(Callee().says(0.4, "Hello?").hangs_up(6.0), first_message=GREETING)
    assert call.transcript == [("user", "Hello?"), ("agent", GREETING)]
    assert call.line.heard_text() == GREETING
    assert call.result.status == "completed"
    assert call.result.details.end_reason == "user_hangup"
    # The hello ends at 0.64; its final comes 0.5 s later and is marked, so nothing more is waited for.
    assert call.line.heard_words()[0].at_s == pytest.approx(1.14)


async def test_greets_after_a_second_and_a_half_of_silence(talk):
    call = await talk(Callee().hangs_up(6.0), first_message=GREETING)
    assert call.transcript == [("agent", GREETING)]
    assert call.line.heard_words()[0].at_s == pytest.approx(Timing().hello_wait_s)


async def test_does_not_greet_into_a_hello_that_has_begun(talk):
    call = await talk(Callee().says(1.3, "Good morning").hangs_up(8.0), first_message=GREETING)
    assert call.transcript == [("user", "Good morning"), ("agent", GREETING)]


async def test_a_hello_whose_words_come_late_is_answered_once(talk):
    """The voice is over when the wait for a hello is, and its one word is still being recognised."""
    call = await talk(Callee().says(1.1, "Hello?").hangs_up(9.0), first_message=GREETING)
    assert call.transcript == [("user", "Hello?"), ("agent", GREETING)]


async def test_the_greeting_is_synthesised_while_the_phone_rings(talk):
    slow = ScriptedVoice(first_audio_s=0.9)
    call = await talk(Callee().hangs_up(6.0), first_message=GREETING, voice=slow)
    assert call.line.heard_words()[0].at_s == pytest.approx(1.5)
    assert slow.texts == [GREETING]
    assert call.turns[0].latency_ms is None
    assert call.result.details.latency.turns == 0


async def test_a_greeting_that_is_late_is_played_when_it_comes(talk):
    slow = ScriptedVoice(first_audio_s=4.0)
    call = await talk(Callee().hangs_up(8.0), first_message=GREETING, voice=slow)
    assert call.line.heard_words()[0].at_s == pytest.approx(3.1)  # 4 s after the dial was placed
    assert call.transcript == [("agent", GREETING)]


async def test_without_a_first_message_the_mind_finds_the_words(talk):
    call = await talk(Callee().hangs_up(6.0), [GREETING])
    assert call.transcript == [("agent", GREETING)]
    assert history(call.mind.requests[0]) == [("system", NOBODY_SPEAKS)]


async def test_the_greeting_comes_after_a_hello_that_interrupts_it(talk):
    """The callee speaks in the moment in which the greeting was due and not heard yet."""
    slow = ScriptedVoice(first_audio_s=4.0)
    callee = Callee().says(2.0, "Hello who is there").hangs_up(9.0)
    call = await talk(callee, first_message=GREETING, voice=slow)
    assert call.transcript == [("user", "Hello who is there"), ("agent", GREETING)]
    assert call.line.heard_text() == GREETING


# --- taking turns --------------------------------------------------------------------------------


async def test_two_turns_with_their_latency(talk):
    callee = Callee().says(0.4, "Hello?").says(5.0, "Yes we are open").hangs_up(10.0)
    steps = [reply("Are you open on Friday?", expect="Hello?"), reply("Thank you.", expect="Yes we are open")]
    call = await talk(callee, steps)
    assert call.transcript == [
        ("user", "Hello?"),
        ("agent", "Are you open on Friday?"),
        ("user", "Yes we are open"),
        ("agent", "Thank you."),
    ]
    # The final comes 0.5 s after the last word; 0.2 s for the first token, 0.15 s for the first audio.
    assert [turn.latency_ms for turn in call.turns if turn.role == "agent"] == [850.0, 850.0]
    latency = call.result.details.latency
    assert (latency.turns, latency.p95_ms, latency.llm_ttft_p95_ms, latency.tts_p95_ms) == (2, 850.0, 200.0, 150.0)
    assert call.result.metrics.p95_latency_ms == 850.0


async def test_a_final_that_comes_at_once_does_not_hide_the_time_from_the_last_loud_frame(talk):
    """The latency runs from the end of the speech, however fast the ears are."""
    callee = Callee().says(0.4, "Hello?").hangs_up(6.0)
    call = await talk(callee, ["Good morning."], ears={"delay_s": 0.05, "final_s": 0.0})
    spoken_until = 0.64
    first_audio = call.line.heard_words()[0].at_s
    assert call.turns[1].latency_ms == pytest.approx((first_audio - spoken_until) * 1000, abs=25)


async def test_two_finals_of_one_turn_are_joined(talk):
    callee = (
        Callee(word_ms=200).says(0.4, "My name is", end=EndOfSpeech.NONE).says(1.2, "Miller with two Ls").hangs_up(8.0)
    )
    call = await talk(callee, [reply("Thank you.", expect="My name is Miller with two Ls")])
    assert call.transcript == [("user", "My name is Miller with two Ls"), ("agent", "Thank you.")]


async def test_a_missing_final_ends_the_turn_in_the_end(talk):
    callee = Callee().says(0.4, "Hello there", final=False).hangs_up(9.0)
    call = await talk(callee, [reply("Hello.", expect="Hello there")])
    assert call.transcript == [("user", "Hello there"), ("agent", "Hello.")]
    spoken_until = 0.94
    waited_s = call.at("user")[0].expected - spoken_until
    assert Timing().end_of_turn_max_s <= waited_s <= Timing().end_of_turn_max_s + 0.2 + 1e-6


async def test_an_end_of_turn_is_answered_at_once(talk):
    callee = Callee().says(0.4, "Hello?", end=EndOfSpeech.TURN).hangs_up(6.0)
    call = await talk(callee, ["Good morning."])
    assert call.at("user") == [0.64 + 0.5]


async def test_the_callee_goes_on_before_the_agent_is_heard(talk):
    callee = Callee().says(0.4, "I would like").says(2.0, "to know the price").hangs_up(9.0)
    steps = [reply("What would you like?", expect="I would like"), reply("Ten dollars.")]
    call = await talk(callee, steps, mind={"first_token_s": 1.0})
    assert call.transcript == [("user", "I would like to know the price"), ("agent", "Ten dollars.")]
    assert call.mind.abandoned == [0]
    assert call.log.kinds().count("retract") == 1
    assert history(call.mind.requests[1]) == [("user", "I would like to know the price")]
    assert call.line.heard_text() == "Ten dollars."


# --- barge-in ------------------------------------------------------------------------------------


async def test_barge_in_cuts_the_transcript_where_the_callee_stopped_hearing(talk):
    callee = Callee().says(0.4, "Hello?").says(4.0, "Sorry we are closed").hangs_up(12.0)
    call = await talk(callee, [LONG, reply("I see.", expect="Sorry we are closed")])
    heard = [word.text for word in call.line.heard_words()]
    cut = call.of("agent")[0]
    assert LONG.startswith(cut) and cut != LONG
    assert cut.split() == heard[: -len("I see.".split())]
    assert call.transcript[1:] == [("agent", cut), ("user", "Sorry we are closed"), ("agent", "I see.")]
    agent = call.turns[1]
    assert (agent.interrupted, agent.generated_text) == (True, LONG)
    assert agent.heard_ms == pytest.approx(300 * len(cut.split()), abs=300)
    assert history(call.mind.requests[1]) == [
        ("user", "Hello?"),
        ("assistant", cut),
        ("user", "Sorry we are closed"),
    ]


async def test_nothing_is_fed_after_120_ms_of_voice(talk):
    callee = Callee().says(0.4, "Hello?").says(4.0, "Sorry we are closed").hangs_up(12.0)
    call = await talk(callee, [LONG, "I see."])
    yielded = 4.0 + 0.3 + 0.24 + 0.2  # two words, and the ears' delay
    assert [sent.at_s for sent in call.line.sent if sent.kind == "media" and 4.12 < sent.at_s < yielded] == []
    assert call.turns[1].ended_at == pytest.approx(yielded)


async def test_what_the_carrier_still_holds_is_cleared(talk):
    callee = Callee(word_ms=100).says(0.4, "Hello?").says(4.0, "Sorry we are closed").hangs_up(12.0)
    call = await talk(callee, [LONG, "I see."], ears={"delay_s": 0.0})
    [cleared] = [sent.at_s for sent in call.line.sent if sent.kind == "clear"]
    assert cleared == pytest.approx(4.0 + 0.1 + 0.08)
    heard = [word.text for word in call.line.heard_words()]
    assert call.of("agent")[0].split() == heard[: -len("I see.".split())]


@pytest.mark.parametrize("word", ["Stop!", "wait", "No."])
async def test_one_word_is_enough_if_it_is_the_right_one(talk, word):
    callee = Callee().says(0.4, "Hello?").says(4.0, word).hangs_up(9.0)
    call = await talk(callee, [LONG, "All right."])
    assert call.turns[1].interrupted
    assert call.of("user") == ["Hello?", word]


async def test_a_mumble_holds_and_the_agent_goes_on(talk):
    callee = Callee().says(0.4, "Hello?").mumbles(4.0, 300).hangs_up(12.0)
    call = await talk(callee, [LONG])
    assert call.transcript == [("user", "Hello?"), ("agent", LONG)]
    assert call.line.heard_text() == LONG
    assert not call.turns[1].interrupted
    assert [sent.kind for sent in call.line.sent].count("clear") == 0
    words = call.line.heard_words()
    longest = max(after.until_s - before.until_s for before, after in pairwise(words))
    assert longest == pytest.approx(0.3 + Timing().resume_after_s - Timing().lead_ms / 1000, abs=0.1)


async def test_a_backchannel_does_not_take_the_floor(talk):
    callee = Callee().says(0.4, "Hello?").says(4.0, "Mhm").hangs_up(12.0)
    call = await talk(callee, [LONG])
    assert call.line.heard_text() == LONG
    assert sorted(call.transcript) == [("agent", LONG), ("user", "Hello?"), ("user", "Mhm")]
    assert not next(turn for turn in call.turns if turn.role == "agent").interrupted


async def test_a_backchannel_at_the_very_end_is_no_lost_turn(talk):
    """One word that falls on the agent's last word is answered once the agent is done."""
    callee = Callee().says(0.4, "Hello?").says(3.9, "Yes").hangs_up(12.0)
    call = await talk(callee, ["Is that the garage on Main Street?", reply("Good.", expect="Yes")])
    assert call.of("user") == ["Hello?", "Yes"]
    assert call.of("agent") == ["Is that the garage on Main Street?", "Good."]


async def test_barge_in_before_the_first_audio_leaves_no_line(talk):
    callee = Callee().says(0.4, "Hello?").says(2.1, "One moment please").hangs_up(8.0)
    call = await talk(callee, [LONG, "Fine."], voice=ScriptedVoice(first_audio_s=1.5))
    assert call.of("agent") == ["Fine."]
    assert call.of("user") == ["Hello? One moment please"]


async def test_barge_in_with_one_speech_per_clause_never_credits_too_much(talk):
    callee = Callee().says(0.4, "Hello?").says(4.0, "Sorry we are closed").hangs_up(12.0)
    call = await talk(callee, [LONG, "I see."], voice=ScriptedVoice(per="clause"))
    cut = call.of("agent")[0].split()
    heard = [word.text for word in call.line.heard_words()][: -len("I see.".split())]
    assert heard[: len(cut)] == cut[: len(heard)]
    assert len(cut) <= len(heard) + 1


async def test_barge_in_during_the_greeting_does_not_repeat_it(talk):
    callee = Callee().says(2.4, "Who is this").hangs_up(9.0)
    call = await talk(callee, [reply("A machine.", expect="Who is this")], first_message=GREETING)
    assert call.of("agent")[0] != GREETING and GREETING.startswith(call.of("agent")[0])
    assert call.of("agent")[1:] == ["A machine."]


async def test_marks_with_a_round_trip_never_credit_too_much(talk):
    callee = Callee().says(0.4, "Hello?").says(4.0, "Sorry we are closed").hangs_up(12.0)
    call = await talk(callee, [LONG, "I see."], line={"rtt_s": 0.15})
    cut = call.of("agent")[0].split()
    heard = [word.text for word in call.line.heard_words()]
    assert cut == heard[: len(cut)]


async def test_lost_marks_do_not_stop_the_conversation(talk):
    callee = Callee().says(0.4, "Hello?").says(9.0, "Yes").hangs_up(15.0)
    steps = ["Is that the garage on Main Street?", reply("Good.", expect="Yes")]
    call = await talk(callee, steps, line={"lose_marks": range(2, 1000)})
    assert call.of("agent") == ["Is that the garage on Main Street?", "Good."]
    assert call.of("user") == ["Hello?", "Yes"]


# --- silence -------------------------------------------------------------------------------------


async def test_nudges_then_gives_up(talk):
    steps = [GREETING, "Are you still there?", "Hello, are you there?", "Goodbye then."]
    call = await talk(Callee(), steps)
    assert call.of("agent") == steps
    assert call.line.heard_text() == " ".join(steps)
    assert call.result.status == "completed"
    assert call.result.details.end_reason == "agent_hangup"
    assert call.carrier.hang_ups == [call.result.call_id]
    notes = [content for role, content in history(call.mind.requests[-1]) if role == "system"]
    assert notes == [NOBODY_SPEAKS, SILENCE, SILENCE, GIVE_UP]
    ends = call.at("agent")
    begins = [speaking.expected for speaking in call.at("speaking")]
    waits = [begin - end.expected for begin, end in zip(begins[1:], ends, strict=False)]
    assert waits == [pytest.approx(Timing().nudge_after_s + 0.35)] * 3


async def test_an_answer_resets_the_nudges(talk):
    callee = Callee().says(0.4, "Hello?").says(13.0, "I am here").hangs_up(40.0)
    steps = ["Hello.", "Are you there?", reply("Good.", expect="I am here"), "Are you there?", "Hello?"]
    call = await talk(callee, steps)
    assert call.of("agent") == [*steps[:2], "Good.", *steps[3:]]


async def test_keys_are_told_to_the_mind(talk):
    callee = Callee().says(0.4, "Hello?").presses(4.0, "12").says(5.0, "Did you get that").hangs_up(9.0)
    call = await talk(callee, ["Press a key.", "I did."])
    assert ("system", keys_pressed("12")) in history(call.mind.requests[1])
    assert [event["digits"] for event in call.log.of("digits")] == ["12"]
    assert call.result.details.dtmf_received == "12"


# --- tools ---------------------------------------------------------------------------------------


def lookup(seconds, *, done=None, **speech):
    async def handler(arguments, context):
        await anyio.sleep(seconds)
        if done is not None:
            done.append(dict(context))
        return {"price": 10}

    return Tool(name="lookup", description="Look up a price.", handler=handler, speech=speech)


ASK_TOOL = ToolCall("t1", "lookup", "{}")


async def test_a_tool_runs_and_its_result_is_spoken(talk):
    callee = Callee().says(0.4, "How much is it").hangs_up(9.0)
    call = await talk(callee, [reply("Let me look.", ASK_TOOL), "It is ten dollars."], tools=[lookup(0.5)])
    assert call.of("agent") == ["Let me look. It is ten dollars."]
    assert call.line.heard_text() == "Let me look. It is ten dollars."
    [record] = call.result.details.tool_calls
    assert (record.name, record.tool_call_id, record.is_error, record.duration_ms) == ("lookup", "t1", False, 500.0)
    assert call.mind.requests[1].messages[-1].content == '{"price": 10}'
    assert call.mind.requests[1].tools == ("lookup", "end_call")


async def test_a_tool_that_runs_during_a_barge_in_finishes(talk):
    done = []
    callee = Callee().says(0.4, "How much is it").says(3.2, "And are you open").says(7.5, "Thanks").hangs_up(12.0)
    steps = [reply("Let me look that up for you.", ASK_TOOL), "We open at nine.", "You are welcome."]
    call = await talk(callee, steps, tools=[lookup(3.0, done=done)])
    assert len(done) == 1
    assert call.turns[1].interrupted
    [record] = call.result.details.tool_calls
    assert record.duration_ms == 3000.0
    results = [message for message in call.mind.requests[-1].messages if message.role == "tool"]
    assert [(result.tool_call_id, result.content) for result in results] == [("t1", '{"price": 10}')]


async def test_a_backchannel_during_a_reply_with_a_tool(talk):
    callee = Callee().says(0.4, "How much is it").presses(3.0, "1").says(3.2, "Mhm").hangs_up(12.0)
    first = "Let me look that up for you, if you do not mind."
    call = await talk(callee, [reply(first, ASK_TOOL), "It is ten dollars."], tools=[lookup(0.5)])
    assert call.transcript[1:] == [("agent", f"{first} It is ten dollars."), ("user", "Mhm")]


async def test_a_tool_that_still_runs_says_so(talk):
    callee = Callee().says(0.4, "How much is it").says(3.2, "And are you open").hangs_up(12.0)
    steps = [reply("Let me look that up for you.", ASK_TOOL), "We open at nine."]
    call = await talk(callee, steps, tools=[lookup(6.0)])
    results = [message.content for message in call.mind.requests[1].messages if message.role == "tool"]
    assert results == ['{"status":"running"}']


async def test_a_tool_that_runs_at_the_hang_up_has_a_record(talk):
    callee = Callee().says(0.4, "How much is it").hangs_up(4.0)
    call = await talk(callee, [reply("Let me look.", ASK_TOOL)], tools=[lookup(9.0)])
    [record] = call.result.details.tool_calls
    assert (record.tool_call_id, record.is_error, record.reason) == ("t1", True, "shutdown")


async def test_a_tool_learns_the_id_of_its_call(talk):
    done = []
    callee = Callee().says(0.4, "How much is it").hangs_up(9.0)
    call = await talk(callee, [reply("Let me look.", ASK_TOOL), "Ten."], tools=[lookup(0.1, done=done)])
    assert done[0]["call_id"] == call.result.call_id


async def test_a_tool_in_a_thread_takes_no_virtual_time(talk):
    tool = Tool(name="lookup", description="Look up a price.", handler=lambda arguments, context: "ten")
    callee = Callee().says(0.4, "How much is it").hangs_up(9.0)
    call = await talk(callee, [reply(ASK_TOOL), "It is ten dollars."], tools=[tool])
    assert call.of("agent") == ["It is ten dollars."]
    assert call.result.details.tool_calls[0].duration_ms == 0.0


async def test_a_tool_that_takes_too_long_is_an_error_for_the_mind(talk):
    callee = Callee().says(0.4, "How much is it").hangs_up(20.0)
    call = await talk(callee, [reply("Let me look.", ASK_TOOL), "I do not know."], tools=[lookup(99.0)])
    assert call.mind.requests[1].messages[-1].content == '{"error": "timeout"}'
    [record] = call.result.details.tool_calls
    assert (record.reason, record.duration_ms) == ("timeout", 10_000.0)


async def test_after_four_rounds_the_mind_answers_without_tools(talk):
    callee = Callee().says(0.4, "How much is it").hangs_up(9.0)
    rounds = [reply(ToolCall(f"t{number}", "lookup", "{}")) for number in range(4)]
    call = await talk(callee, [*rounds, "I do not know."], tools=[lookup(0.1)])
    assert [len(request.tools) for request in call.mind.requests] == [2, 2, 2, 2, 0]
    assert call.of("agent") == ["I do not know."]


async def test_usage_adds_up_over_requests(talk):
    callee = Callee().says(0.4, "How much is it").hangs_up(9.0)
    steps = [reply(ASK_TOOL, Usage(100, 10)), reply("Ten.", Usage(150, 5, cached_tokens=100))]
    call = await talk(callee, steps, tools=[lookup(0.1)], mind={"model": "openai/gpt-5.4-mini"})
    expected = 150 * 0.75e-6 + 100 * 0.075e-6 + 15 * 4.5e-6
    assert call.result.metrics.cost.llm == pytest.approx(expected, abs=1e-6)
    assert "llm" not in call.result.details.cost.estimated


# --- endings that the agent brings ----------------------------------------------------------------


async def test_the_goodbye_is_played_to_its_end_before_the_hang_up(talk):
    callee = Callee().says(0.4, "We are closed")
    text = "Thank you very much for your time, and have a nice day. Goodbye."
    call = await talk(callee, [goodbye(text)])
    assert call.line.heard_text() == text
    assert call.of("agent") == [text]
    assert call.result.details.end_reason == "agent_hangup"
    assert call.carrier.hang_ups == [call.result.call_id]
    assert call.result.duration_seconds == pytest.approx(call.line.heard_words()[-1].until_s, abs=0.01)
    assert [record.name for record in call.result.details.tool_calls] == ["end_call"]


async def test_nobody_interrupts_the_goodbye(talk):
    callee = Callee().says(0.4, "We are closed").says(3.0, "Wait one moment please")
    text = "Thank you very much for your time, and have a nice day. Goodbye."
    call = await talk(callee, [goodbye(text)])
    assert call.line.heard_text() == text
    assert call.of("agent") == [text]
    assert call.of("user") == ["We are closed", "Wait one moment please"]


async def test_end_call_without_a_word_asks_for_the_goodbye(talk):
    callee = Callee().says(0.4, "We are closed")
    call = await talk(callee, [goodbye(), "Goodbye."])
    assert call.line.heard_text() == "Goodbye."
    assert call.result.details.end_reason == "agent_hangup"


async def test_the_callee_hangs_up_during_the_goodbye(talk):
    callee = Callee().says(0.4, "We are closed").hangs_up(3.0)
    call = await talk(callee, [goodbye("Thank you very much for your time. Goodbye.")])
    assert call.result.details.end_reason == "user_hangup"
    assert call.of("agent") == [call.line.heard_text()]


async def test_a_machine_is_left_a_message(talk):
    callee = Callee().says(0.4, "Please leave a message")
    text = "This is a message for the salon."
    call = await talk(callee, [reply(text, ToolCall("end", "end_call", '{"reason":"voicemail"}'))])
    details = call.result.details
    assert (call.result.status, details.outcome, details.end_reason) == ("completed", "voicemail", "voicemail")
    assert call.line.heard_text() == text


# --- failures ------------------------------------------------------------------------------------


async def test_when_the_mind_fails_the_agent_apologises(talk):
    error = ProviderError("llm", "The model is overloaded.")
    call = await talk(Callee().says(0.4, "Hello?"), [reply(error)])
    assert call.of("agent") == [APOLOGY]
    assert call.line.heard_text() == APOLOGY
    details = call.result.details
    assert (call.result.status, details.end_reason, details.error.code) == ("failed", "pipeline_error", "llm_error")
    assert call.carrier.hang_ups == [call.result.call_id]


async def test_when_the_mind_fails_in_the_middle_what_was_heard_stays(talk):
    error = ProviderError("llm", "The model is overloaded.")

    call = await talk(Callee().says(0.4, "Hello?"), [reply("Good morning, this is a test. ", Pause(1.5), error)])
    first, apology = call.of("agent")
    assert apology == APOLOGY
    assert f"{first} {apology}" == call.line.heard_text()
    assert call.result.details.error.code == "llm_error"


async def test_a_mind_that_is_silent_for_too_long_has_failed(talk):
    call = await talk(Callee().says(0.4, "Hello?"), ["never"], mind={"first_token_s": 99.0})
    assert call.of("agent") == [FILLER, APOLOGY]
    assert call.line.heard_text() == f"{FILLER} {APOLOGY}"
    assert call.result.details.error.code == "llm_error"


async def test_a_mind_that_takes_long_is_bridged_once(talk):
    call = await talk(Callee().says(0.4, "Hello?"), [goodbye("It is at seven. Goodbye.")], mind={"first_token_s": 4.0})
    assert call.of("agent") == [f"{FILLER} It is at seven. Goodbye."]
    assert call.result.status == "completed"


async def test_a_request_for_patience_is_no_goodbye(talk):
    steps = [reply(ToolCall("t1", "end_call", "{}")), "Goodbye then."]
    call = await talk(Callee().says(0.4, "Hello?"), steps, mind={"first_token_s": 3.0})
    assert call.of("agent") == [f"{FILLER} Goodbye then."]
    assert call.result.details.end_reason == "agent_hangup"


@pytest.mark.parametrize("after_words", [0, 3])
async def test_when_the_voice_fails_the_call_fails(talk, after_words):
    voice = ScriptedVoice(faults=[VoiceFault(1, ProviderError("tts", "No such voice."), after_words)])
    call = await talk(Callee().says(0.4, "Hello?"), [LONG], voice=voice)
    details = call.result.details
    assert (call.result.status, details.end_reason, details.error.code) == ("failed", "pipeline_error", "tts_error")
    assert details.error.message == "No such voice."
    assert call.of("user") == ["Hello?"]
    assert " ".join(call.of("agent")) == call.line.heard_text()
    assert call.carrier.hang_ups == [call.result.call_id]


async def test_when_the_greeting_cannot_be_synthesised_the_call_fails(talk):
    voice = ScriptedVoice(faults=[VoiceFault(1, ProviderError("tts", "No such voice."))])
    call = await talk(Callee().says(0.4, "Hello?"), first_message=GREETING, voice=voice)
    assert (call.result.status, call.result.details.error.code) == ("failed", "tts_error")


async def test_when_the_ears_fail_the_call_fails(talk):
    callee = Callee().says(0.4, "Hello?").deafens(3.0, ProviderError("stt", "The recogniser is gone."))
    call = await talk(callee, [LONG])
    details = call.result.details
    assert (call.result.status, details.end_reason, details.error.code) == ("failed", "pipeline_error", "stt_error")
    first, apology = call.of("agent")
    assert apology == APOLOGY
    assert LONG.startswith(first)
    assert f"{first} {apology}" == call.line.heard_text()
    assert call.carrier.hang_ups == [call.result.call_id]


async def test_when_the_line_drops_what_was_heard_stays(talk):
    callee = Callee().says(0.4, "Hello?").drops(3.0)
    call = await talk(callee, [LONG])
    details = call.result.details
    assert (call.result.status, details.end_reason, details.error.code) == ("failed", "media_error", "media_error")
    assert call.of("agent") == [call.line.heard_text()]
    assert call.carrier.hang_ups == [call.result.call_id]


async def test_a_line_that_cannot_send_is_over_after_two_seconds(talk):
    callee = Callee().says(0.4, "Hello?")
    call = await talk(callee, [LONG], line={"stall": (2.0, 99.0)})
    assert call.result.details.end_reason == "media_error"
    assert call.result.duration_seconds <= 2.0 + 2.0 + 2.0 + 0.5


async def test_a_stranger_in_the_mind_does_not_tell_its_secrets(talk):
    call = await talk(Callee().says(0.4, "Hello?"), [reply(RuntimeError("key sk-123"))])
    assert call.result.details.error.code == "internal_error"
    assert "sk-123" not in call.result.to_json()


# --- the last words ------------------------------------------------------------------------------


async def test_the_last_words_before_the_hang_up_are_in_the_transcript(talk):
    callee = Callee().says(0.4, "Hello?").says(4.0, "Friday then goodbye").hangs_up(5.2)
    call = await talk(callee, ["When can we come?"])
    assert call.transcript[-1] == ("user", "Friday then goodbye")


async def test_last_words_that_follow_an_unanswered_turn_are_there_once(talk):
    """The final of what the callee added arrives after the hang-up, while an answer was being prepared."""
    callee = Callee().says(0.4, "Hello?").says(1.5, "Never mind goodbye", interims=False).hangs_up(2.5)
    call = await talk(callee, ["Good morning."], mind={"first_token_s": 5.0})
    spoken = " ".join(call.of("user"))
    assert spoken == "Hello? Never mind goodbye"


async def test_the_callee_hangs_up_while_the_agent_speaks(talk):
    callee = Callee().says(0.4, "Hello?").hangs_up(4.0)
    call = await talk(callee, [LONG])
    assert call.transcript == [("user", "Hello?"), ("agent", call.line.heard_text())]
    assert call.turns[1].interrupted
    assert call.result.status == "completed"
    assert call.carrier.hang_ups == []


# --- whatever happens ----------------------------------------------------------------------------

UTTERANCES = ["Yes", "No wait", "Hello?", "I would like a table please", "Mhm", "stop", "What is the price of that"]
ANSWERS = ["Fine.", LONG, "One moment, please. I will look. Then I tell you more about it."]


@st.composite
def callees(draw):
    """Somebody who speaks, mumbles and presses keys at any time, and may hang up or be cut off."""
    word_ms = draw(st.sampled_from([100, 200, 300]))
    callee, at = Callee(word_ms=word_ms), 0.0
    for _ in range(draw(st.integers(0, 6))):
        at += draw(st.floats(0.01, 5.0))
        act = draw(st.sampled_from(["says", "says", "says", "mumbles", "presses"]))
        if act == "says":
            text = draw(st.sampled_from(UTTERANCES))
            callee.says(at, text, end=draw(st.sampled_from(EndOfSpeech)), interims=draw(st.booleans()))
            at += len(text.split()) * word_ms / 1000
        elif act == "mumbles":
            callee.mumbles(at, 300)
            at += 0.3
        else:
            callee.presses(at, "1")
    at += draw(st.floats(0.01, 5.0))
    end = draw(st.sampled_from(["hangs_up", "drops", "stays"]))
    return callee if end == "stays" else getattr(callee, end)(at)


PERSON = Tool(
    name="person",
    description="Hand the call over.",
    tool_type="transfer_call",
    config={"phone_number": "+15550100777", "transfer_mode": "warm", "play_hold_music": True},
)


def second_leg(fate, at):
    """A carrier whose second leg of a transfer has this fate so long after its dial."""
    carrier = ScriptedCarrier().leg(0.2, "ringing")
    return carrier.leg(at, "in-progress").leg(at + 0.5, room="join") if fate == "join" else carrier.leg(at, fate)


@st.composite
def minds(draw):
    steps = []
    for number in range(40):
        calls = draw(st.sampled_from([(), (), (), ("lookup",), ("person",), ("end_call",)])) if number < 8 else ()
        text = draw(st.sampled_from(ANSWERS if number % 3 or not calls else [""]))
        steps.append(reply(text, *(ToolCall(f"t{number}", name, "{}") for name in calls)))
    return steps


def heard_in_order(said, heard):
    """True if the line played every word that the transcript says was heard, in that order."""
    rest = iter(heard)
    return all(word in rest for word in said)


@settings(deadline=None, max_examples=60)
@given(
    callees(),
    minds(),
    st.sampled_from([0.05, 0.2, 1.0]),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.sampled_from([None, GREETING]),
    st.sampled_from([{}, {"wait_before": True}, {"require_before": True}]),
    st.builds(second_leg, st.sampled_from(["join", "busy"]), st.floats(0.5, 12.0)),
)
def test_the_transcript_is_true_whatever_happens(callee, steps, mind_s, rtt_s, ears_s, greeting, speech, carrier):
    async def main():
        line = callee.line(rtt_s=rtt_s)
        ears = callee.ears(line, delay_s=ears_s)
        mind, log = ScriptedMind(steps, first_token_s=mind_s), EventLog()
        tools = [lookup(1.0, **speech), PERSON]
        agent = Agent(stt=ears, llm=mind, tts=ScriptedVoice(), tools=tools, system_prompt="Be brief.")
        carrier.rings(0.5).answers(1.0, line)
        result = await carrier.place(agent, first_message=greeting, max_duration_s=60, on_event=log)
        return result, line, ears, mind, log

    result, line, ears, mind, log = run_virtual(main)
    check_invariants(result, line, log, mind=mind, max_duration_s=60)
    assert len(carrier.dials) == 1 and len(carrier.hang_ups) == len(set(carrier.hang_ups))
    assert ears.open_now == 0 and line.closed
    said = [word for line in result.transcript if line.role == "agent" for word in line.text.split()]
    assert heard_in_order(said, [word.text for word in line.heard_words()])
    finals = [word for hearing in ears.delivered if hearing.is_final for word in hearing.text.split()]
    told = [word for line in result.transcript if line.role == "user" for word in line.text.split()]
    guess = ears.delivered[-1].text.split() if ears.delivered and not ears.delivered[-1].is_final else []
    assert told == finals + guess
