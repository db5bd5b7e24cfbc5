"""A caller who waits for the target of a warm transfer hears music. In virtual time, seconds after the answer."""

import re
from itertools import pairwise

import anyio
import pytest

from patter.audio.hold_music import hold_music
from patter.audio.mulaw import BYTES_PER_MS
from patter.call.prompt import SILENCE, transfer_failed
from patter.errors import CarrierError
from patter.settings import Timing
from patter.testing import Callee, ScriptedCarrier, reply
from patter.tools.model import Tool
from patter.voice.base import ToolCall

pytestmark = pytest.mark.anyio

TARGET = "+15550100777"
WORDS = re.compile(rb"\x02\d+:[^\x02\x03]*\x03N*")
ASK = reply("Gladly.", ToolCall("t1", "person", "{}"))
SORRY = "They are busy."
LEFT = "Are you there?"


def person(mode="warm", *, music=True):
    config = {"phone_number": TARGET, "transfer_mode": mode, "message": "I will put you through."}
    if music:
        config["play_hold_music"] = True
    return Tool(name="person", description="Hand over.", tool_type="transfer_call", config=config)


def answered(at, *, briefed=1.0):
    return ScriptedCarrier().leg(0.5, "ringing").leg(at, "in-progress").leg(at + briefed, room="join")


def caller(*, leaves=60.0):
    return Callee().says(0.4, "A person please").hangs_up(leaves)


class Heard:
    """What the caller heard of the agent: words, and music."""

    def __init__(self, call):
        self._call = call
        self.music = WORDS.sub(b"", call.line.heard_audio())
        self.music_ms = len(self.music) / BYTES_PER_MS
        self.spoken = [word.until_s for word in call.line.heard_words()]

    @property
    def begins(self):
        """When pieces of music were sent after something else."""
        times, was_music = [], False
        for sent in self._call.line.sent:
            if sent.kind == "media":
                is_music = b"\x02" not in sent.audio and b"N" * 50 not in sent.audio
                if is_music and not was_music:
                    times.append(sent.at_s)
                was_music = is_music
        return times

    @property
    def clears(self):
        return [sent.at_s for sent in self._call.line.sent if sent.kind == "clear"]


async def test_the_caller_hears_music_from_the_last_word_to_the_end(talk):
    call = await talk(caller(), [ASK], tools=[person()], carrier=answered(15.0))
    heard = Heard(call)
    assert call.result.details.end_reason == "transferred"
    (began,) = heard.begins
    assert began == pytest.approx(heard.spoken[-1], abs=0.01)
    # It goes round: the loop has 9.6 s, and more than 12 were heard, without a gap.
    assert 12_000 < heard.music_ms <= (call.result.duration_seconds - began) * 1000
    assert (hold_music() * 2).startswith(heard.music)
    ahead = [(sent.at_s, len(sent.audio)) for sent in call.line.sent if sent.kind == "media" and sent.at_s >= began]
    sent_ms = 0.0
    for at_s, size in ahead:
        sent_ms += size / BYTES_PER_MS
        assert sent_ms <= (at_s - began) * 1000 + Timing().lead_ms + 1


async def test_music_is_in_no_transcript_and_costs_nothing(talk):
    call = await talk(caller(), [ASK], tools=[person()], carrier=answered(15.0))
    silent = await talk(caller(), [ASK], tools=[person(music=False)], carrier=answered(15.0))
    assert Heard(silent).music == b""
    assert call.transcript == [("user", "A person please"), ("agent", "Gladly. I will put you through.")]
    assert call.turns == silent.turns
    assert call.result.details.latency == silent.result.details.latency
    assert call.result.metrics == silent.result.metrics
    assert call.log.kinds() == silent.log.kinds()


@pytest.mark.parametrize("music", [True, False])
async def test_nobody_asks_whether_a_waiting_caller_is_there(talk, music):
    call = await talk(caller(), [ASK], tools=[person(music=music)], carrier=answered(29.0))
    assert call.result.details.end_reason == "transferred"
    assert len(call.mind.requests) == 1


async def test_after_a_failed_transfer_silence_counts_again(talk):
    carrier = ScriptedCarrier().leg(0.5, "ringing").leg(15.0, "busy")
    steps = [ASK, reply(SORRY), reply(LEFT)]
    call = await talk(caller(leaves=32.0), steps, tools=[person()], carrier=carrier)
    notes = [message.content for message in call.mind.requests[2].messages[1:] if message.role == "system"]
    assert notes == [transfer_failed("busy"), SILENCE]


async def test_it_ends_where_the_transfer_fails_and_the_agent_goes_on(talk):
    carrier = ScriptedCarrier().leg(0.5, "ringing").leg(6.0, "busy")
    call = await talk(caller(leaves=14.0), [ASK, reply(SORRY)], tools=[person()], carrier=carrier)
    heard = Heard(call)
    (failed,) = [event["at_s"] for event in call.log.of("transfer") if event["status"] == "busy"]
    answered_at = call.log.of("answered")[0]["at_s"]
    assert heard.clears == [pytest.approx(failed - answered_at, abs=0.01)]
    assert call.of("agent") == ["Gladly. I will put you through.", SORRY]
    assert len(heard.begins) == 1


@pytest.mark.parametrize("words", ["Hello?", "Is anybody there"])
@pytest.mark.parametrize("music", [True, False])
async def test_a_caller_who_speaks_is_answered_and_waits_on(talk, words, music):
    callee = Callee().says(0.4, "A person please").says(6.0, words).hangs_up(60.0)
    steps = [ASK, reply("They are being called.", expect=words)]
    call = await talk(callee, steps, tools=[person(music=music)], carrier=answered(20.0))
    assert call.result.details.end_reason == "transferred"
    assert call.of("user") == ["A person please", words]
    assert call.of("agent") == ["Gladly. I will put you through.", "They are being called."]
    assert call.turns[-1].latency_ms < 2000
    # After 120 ms of voice nothing more is sent, and what follows is the answer.
    following = next(sent for sent in call.line.sent if sent.kind == "media" and sent.at_s > 6.13)
    assert following.audio.startswith(b"\x02")
    if music:
        first, second = Heard(call).begins
        assert second == pytest.approx(call.line.heard_words()[-1].until_s, abs=0.01)
        assert first < 6.0 < second


async def test_a_noise_holds_it_and_it_goes_on(talk):
    callee = Callee().says(0.4, "A person please").mumbles(6.0, 300).hangs_up(60.0)
    call = await talk(callee, [ASK], tools=[person()], carrier=answered(12.0))
    heard = Heard(call)
    assert heard.clears == []
    assert (hold_music() * 2).startswith(heard.music)
    assert len(call.mind.requests) == 1
    pieces = [sent.at_s for sent in call.line.sent if sent.kind == "media"]
    assert max(after - before for before, after in pairwise(pieces)) > 0.8


async def test_words_that_fall_on_the_agents_last_ones_are_answered_before_the_music(talk):
    callee = Callee().says(0.4, "A person please").says(3.0, "Thanks").hangs_up(60.0)
    steps = [ASK, reply("You are welcome.", expect="Thanks")]
    call = await talk(callee, steps, tools=[person()], carrier=answered(12.0))
    assert call.of("user") == ["A person please", "Thanks"]
    (began,) = Heard(call).begins
    assert began == pytest.approx(call.line.heard_words()[-1].until_s, abs=0.01)


async def test_a_result_that_comes_meanwhile_is_told_between_two_pieces_of_music(talk):
    async def handler(arguments, context):
        await anyio.sleep(5.0)
        return "blue"

    look = Tool(
        name="look", description="Look.", handler=handler, execution_mode="async", timeout_s=20, wait_for_response=True
    )
    steps = [reply("Gladly.", ToolCall("t1", "person", "{}"), ToolCall("t2", "look", "{}")), reply("It is blue.")]
    call = await talk(caller(), steps, tools=[person(), look], carrier=answered(15.0))
    assert call.of("agent") == ["Gladly. I will put you through.", "It is blue."]
    assert len(Heard(call).begins) == 2


async def test_no_second_transfer_begins_beside_the_first(talk):
    callee = Callee().says(0.4, "A person please").says(6.0, "Now hurry up").hangs_up(60.0)
    again = reply("I will try.", ToolCall("t2", "person", "{}"))
    call = await talk(callee, [ASK, again, reply("Please wait.")], tools=[person()], carrier=answered(15.0))
    assert [event["status"] for event in call.log.of("transfer")] == ["started", "transferred"]
    told = [message.content for message in call.mind.requests[2].messages if message.tool_call_id == "t2"]
    assert "a transfer is under way" in told[0]
    assert call.result.details.end_reason == "transferred"


async def test_a_caller_who_hangs_up_has_hung_up(talk):
    call = await talk(caller(leaves=8.0), [ASK], tools=[person()], carrier=answered(20.0))
    assert call.result.details.end_reason == "user_hangup"
    assert call.of("agent") == ["Gladly. I will put you through."]


async def test_after_a_cold_transfer_the_carrier_rings_and_we_are_silent(talk):
    call = await talk(caller(), [ASK], tools=[person("cold")])
    assert call.result.details.end_reason == "transferred"
    assert Heard(call).music == b""


# --- the floor of a call that is being handed over -------------------------------------------------


@pytest.mark.parametrize("mode", ["cold", "warm"])
async def test_words_over_the_last_ones_of_a_transfer_that_fails_are_not_lost(talk, mode):
    """Nobody interrupts the agent while it hands the call over; once that has failed, it must not stay so."""
    carrier = ScriptedCarrier(transfer_error=CarrierError("no", http_status=400)).leg(0.1, "busy")
    callee = Callee().says(0.4, "A person please").says(2.6, "Thank you so much").hangs_up(9.0)
    call = await talk(callee, [ASK, reply(SORRY)], tools=[person(mode)], carrier=carrier)
    assert call.of("user") == ["A person please", "Thank you so much"]
    told = [message.content for message in call.mind.requests[1].messages]
    assert "Thank you so much" in told and any(text.startswith("The transfer came to nothing") for text in told)


async def test_a_goodbye_in_the_middle_of_a_transfer_stays_one(talk):
    goodbye = "Then I wish you a very nice day, and thank you for your call. Goodbye."
    callee = Callee().says(0.4, "A person please").says(4.0, "Forget it").says(7.0, "No wait please")
    steps = [ASK, reply(goodbye, ToolCall("t2", "end_call", "{}"))]
    carrier = ScriptedCarrier().leg(0.5, "ringing").leg(3.2, "busy")
    call = await talk(callee, steps, tools=[person()], carrier=carrier)
    (failed,) = [event["at_s"] for event in call.log.of("transfer") if event["status"] == "busy"]
    began, ended = call.turns[3].started_at, call.turns[3].ended_at
    assert began < failed - call.log.of("answered")[0]["at_s"] < ended
    assert call.of("agent")[-1] == goodbye
    assert call.result.details.end_reason == "agent_hangup"
