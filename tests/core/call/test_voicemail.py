"""Answering machines: when the message is left, and what becomes of the call."""

import math

import pytest

from patter.agent import Agent
from patter.call.voicemail import Voicemail
from patter.carriers.base import Media
from patter.errors import ProviderError
from patter.settings import Timing
from patter.testing import Callee, EventLog, ScriptedCarrier, ScriptedMind, ScriptedVoice, check_invariants, reply
from patter.voice.base import ToolCall

pytestmark = pytest.mark.anyio

MESSAGE = "This is an automated assistant. Please call us back."
TIMING = Timing()


def test_the_message_is_due_after_the_beep():
    machine = Voicemail(TIMING, 10.0, is_speaking=True)
    assert machine.wake_at() == 10.0 + TIMING.machine_wait_s
    machine.beeped(14.0)
    assert machine.wake_at() == 14.0


def test_or_after_a_silence_if_it_does_not_beep():
    machine = Voicemail(TIMING, 10.0, is_speaking=False)
    assert machine.wake_at() == 12.5
    machine.voice(True, 11.0)
    assert machine.wake_at() == 40.0
    machine.voice(False, 15.0)
    assert machine.wake_at() == 17.5
    assert math.isfinite(machine.wake_at())


async def leave(callee, *, steps=(), machine_at=1.5, message=MESSAGE, first_message=None):
    line = callee.line()
    log = EventLog()
    carrier = ScriptedCarrier().rings(0.5).answers(1.0, line)
    if machine_at is not None:
        carrier.reports(1.0 + machine_at, None, answered_by="machine_start")
    mind, voice = ScriptedMind(steps), ScriptedVoice()
    agent = Agent(stt=callee.ears(line), llm=mind, tts=voice, voicemail_message=message, system_prompt="Be brief.")
    result = await carrier.place(agent, on_event=log, first_message=first_message)
    mind.assert_complete()
    check_invariants(result, line, log, mind=mind)
    return result, line


async def test_a_machine_gets_the_message_after_its_greeting_and_the_agent_hangs_up():
    callee = Callee().says(0.4, "Hello, you have reached the salon. Please leave a message.")
    result, line = await leave(callee)
    agent = [entry.text for entry in result.transcript if entry.role == "agent"]
    assert agent == [MESSAGE]
    assert line.heard_text() == MESSAGE
    assert (result.status, result.details.outcome, result.details.end_reason) == ("completed", "voicemail", "voicemail")
    ended = 0.4 + 10 * 0.3
    assert line.heard_words()[0].at_s >= ended + TIMING.machine_quiet_s - 0.2


async def test_the_greeting_of_the_agent_is_cut_short_for_it():
    callee = Callee().says(4.0, "Please leave a message.")
    result, line = await leave(callee, machine_at=2.0, first_message="Hello, this is an automated assistant from Rome.")
    agent = [entry.text for entry in result.transcript if entry.role == "agent"]
    assert agent[-1] == MESSAGE
    assert len(agent) == 2
    assert " ".join(agent) == line.heard_text()


async def test_the_mind_may_find_the_machine_by_itself():
    callee = Callee().says(0.4, "Please leave a message after the beep.")
    steps = [reply(ToolCall("t1", "end_call", '{"reason":"voicemail"}'))]
    result, line = await leave(callee, steps=steps, machine_at=None)
    assert [entry.text for entry in result.transcript if entry.role == "agent"] == [MESSAGE]
    assert result.details.end_reason == "voicemail"
    assert line.heard_text() == MESSAGE


async def test_a_machine_that_speaks_for_ever_gets_the_message_at_last():
    callee = Callee()
    for number in range(12):
        callee.says(0.4 + number * 3.0, "buy one and get one free today only")
    result, line = await leave(callee)
    assert line.heard_text() == MESSAGE
    assert result.details.end_reason == "voicemail"


class Beeping(Callee):
    """Sounds a beep of half a second, and 200 ms of silence behind it."""

    def beeps(self, at):
        audio = beep_audio()
        for index in range(0, len(audio), 160):
            self._events.append((at + index / 8000, Media(audio[index : index + 160], index // 8)))
        return self


def beep_audio():
    from patter.audio import mulaw

    pcm = bytearray()
    for index in range(4000):
        pcm += int(12000 * math.sin(2 * math.pi * 1000 * index / 8000)).to_bytes(2, "little", signed=True)
    return mulaw.encode(bytes(pcm)) + mulaw.silence(200)


async def test_the_beep_is_heard():
    callee = Beeping().says(0.4, "Please leave a message.").beeps(2.6)
    result, line = await leave(callee)
    assert line.heard_text() == MESSAGE
    assert 3.1 <= line.heard_words()[0].at_s <= 3.5
    assert result.details.end_reason == "voicemail"


async def test_a_verdict_that_comes_after_the_end_changes_nothing():
    callee = Callee().says(0.4, "Hello, who is this?").hangs_up(2.6)
    result, _ = await leave(callee, steps=["It is me."], machine_at=3.2)
    assert [entry.text for entry in result.transcript if entry.role == "user"] == ["Hello, who is this?"]
    assert result.details.error is None


async def test_ears_that_fail_in_the_meantime_are_not_needed_for_the_message():
    callee = Callee().says(0.4, "Please leave a message.").deafens(2.4, ProviderError("stt", "Gone."))
    result, line = await leave(callee)
    assert line.heard_text() == MESSAGE
    assert (result.status, result.details.end_reason, result.details.error) == ("completed", "voicemail", None)
