"""Providers, carriers and hosts that misbehave beside the conversation: the envelope stays true and in time."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest

from patter.agent import Agent
from patter.call.gear import PhoneGear, call_gear
from patter.call.toolbox import CallTools
from patter.call.transcript import Transcript
from patter.carriers.base import CallUpdate, CarrierStatus
from patter.engine import HostedEngine
from patter.errors import ConfigError, ProviderError
from patter.settings import Timing
from patter.testing import Callee, ScriptedCarrier, ScriptedMind, ScriptedVoice, reply
from patter.tools.model import Tool
from patter.voice.base import ToolCall

pytestmark = pytest.mark.anyio

CALLEE = Callee().says(0.5, "Hello?").hangs_up(20)


def agent_of(callee, line, *, mind=None, voice=None, **options):
    ears = callee.ears(line, **options)
    return Agent(stt=ears, llm=mind or ScriptedMind(["Hi there."]), tts=voice or ScriptedVoice())


async def place(callee=CALLEE, *, carrier=None, mind=None, voice=None, ears=None, **request):
    line = callee.line()
    carrier = carrier or ScriptedCarrier().rings(0.5).answers(1.0, line)
    result = await carrier.place(agent_of(callee, line, mind=mind, voice=voice, **(ears or {})), **request)
    return result, result.details.error.code if result.details.error else None


class SlowSession(ScriptedVoice):
    """A voice whose session takes its time to open, or to close."""

    def __init__(self, *, open_s=0.0, close_s=0.0):
        super().__init__()
        self.open_s, self.close_s = open_s, close_s

    @asynccontextmanager
    async def open(self):
        await anyio.sleep(self.open_s)
        async with super().open() as session:
            try:
                yield session
            finally:
                await anyio.sleep(self.close_s)


async def test_a_session_that_is_slow_to_close_does_not_hold_the_envelope():
    began = anyio.current_time()
    result, _ = await place(Callee().says(0.5, "Hello?").hangs_up(4), voice=SlowSession(close_s=60))
    assert result.status == "completed"
    assert anyio.current_time() - began < 5 + 5


async def test_a_session_that_does_not_open_is_a_failure_of_its_stage():
    began = anyio.current_time()
    result, error = await place(voice=SlowSession(open_s=600))
    assert (result.status, error) == ("failed", "tts_error")
    assert anyio.current_time() - began < 5 + 5


class Mute(ScriptedVoice):
    """A voice that takes the text and never gives a sound."""

    def __init__(self):
        super().__init__(first_audio_s=3600)


@pytest.mark.parametrize("greeting", [None, "Good day, here is the assistant."])
async def test_a_voice_that_gives_no_sound_ends_the_call(greeting):
    began = anyio.current_time()
    result, error = await place(voice=Mute(), first_message=greeting)
    assert (result.status, error) == ("failed", "tts_error")
    assert result.transcript == [] or [line.role for line in result.transcript] == ["user"]
    assert anyio.current_time() - began < 3 + 8 + 5


class BrokenGreeting(ScriptedVoice):
    @asynccontextmanager
    async def open(self):
        yield self

    def utter(self):
        raise LookupError("a bug of the provider, with a secret in its text")


async def test_a_bug_in_the_voice_is_told_as_what_it_is():
    result, error = await place(voice=BrokenGreeting(), first_message="Hello.")
    assert (result.status, error) == ("failed", "internal_error")
    assert "secret" not in result.to_json()


async def test_whoever_hangs_up_during_the_apology_does_not_hide_the_failure():
    mind = ScriptedMind([ProviderError("llm", "the model is gone")])
    result, error = await place(Callee().says(0.5, "Hello?").hangs_up(3.0), mind=mind)
    assert (result.status, error) == ("failed", "llm_error")


async def test_a_machine_that_hangs_up_during_the_message_is_still_a_machine():
    message = "This is a message for Alex: the meeting begins at nine on Friday. Goodbye."
    mind = ScriptedMind([reply(message, ToolCall("t1", "end_call", '{"reason":"voicemail"}'))])
    result, _ = await place(Callee().says(0.5, "Leave a message").hangs_up(4.0), mind=mind)
    assert (result.status, result.details.outcome) == ("completed", "voicemail")


@pytest.mark.parametrize("delay_s", [0.5, 2.0, 3.5])
async def test_slow_ears_are_in_the_latency(delay_s):
    callee = Callee().says(0.5, "Hello?").hangs_up(9)
    line = callee.line()
    agent = replace(agent_of(callee, line, delay_s=delay_s), timing=Timing(resume_after_s=6))
    result = await ScriptedCarrier().rings(0.5).answers(1.0, line).place(agent, goal="Talk")
    assert result.metrics.p95_latency_ms >= delay_s * 1000


async def test_a_busy_line_whose_callback_was_lost_is_found_busy():
    carrier = ScriptedCarrier().rings(0.5)
    fetched = CallUpdate("", CarrierStatus.BUSY)

    async def fetch(carrier_id):
        return CallUpdate(carrier_id, fetched.status)

    carrier.fetch = fetch
    result, _ = await place(carrier=carrier)
    assert result.status == "busy"


async def test_facts_that_come_late_or_twice_change_nothing():
    line = CALLEE.line()
    carrier = ScriptedCarrier().rings(0.5).answers(1.0, line).reports(3.0, "ringing").reports(3.5, "initiated")
    call = carrier.call(agent_of(CALLEE, line), max_duration_s=6)
    result = await carrier.run(call)
    before = result.to_json()
    call.report(CallUpdate(result.call_id, CarrierStatus.IN_PROGRESS))
    call.report(CallUpdate(result.call_id, CarrierStatus.RINGING))
    assert result.details.carrier_status != "ringing"
    assert call.result.to_json() == before


@pytest.mark.parametrize("keeps_floor", [True, False])
async def test_a_turn_that_has_lost_the_floor_cannot_end_the_call(keeps_floor):
    """The callee takes the floor while the tool that ends the call is on its way."""
    call = ScriptedCarrier().call(Agent(stt=Callee().ears(Callee().line()), llm=ScriptedMind([]), tts=ScriptedVoice()))
    transcript = Transcript()
    gear = call_gear(call.request, PhoneGear(), transcript, anyio.sleep, lambda: "CA1")
    tools = CallTools([], gear=gear, transcript=transcript, timeout_s=1, context=dict, emit=lambda *_, **__: None)
    async with anyio.create_task_group() as tasks:
        tools.open(tasks, on_closing=lambda: keeps_floor)
        (answer,) = await tools.run([ToolCall("t1", "end_call", "{}")])
    assert tools.leaving is keeps_floor
    assert json.loads(answer.content)["status"] == ("ending" if keeps_floor else "not ended")


async def test_a_model_that_numbers_its_calls_anew_can_still_hang_up():
    runs = []
    tool = Tool(name="note", description="Takes a note.", handler=lambda arguments, context: runs.append(1) or "ok")
    callee = Callee().says(0.5, "Hello?").hangs_up(30)
    line = callee.line()
    mind = ScriptedMind(
        [reply("Noted.", ToolCall("call_0", "note", "{}")), reply("Goodbye.", ToolCall("call_0", "end_call", "{}"))]
    )
    agent = Agent(stt=callee.ears(line), llm=mind, tts=ScriptedVoice(), tools=[tool])
    result = await ScriptedCarrier().rings(0.5).answers(1.0, line).place(agent, goal="Talk")
    assert (runs, str(result.details.end_reason)) == ([1], "agent_hangup")
    assert [record.name for record in result.details.tool_calls] == ["note", "end_call"]


async def test_text_without_sound_was_not_heard():
    mind = ScriptedMind(["👍"])
    result, _ = await place(mind=mind, voice=Silent())
    assert [line.role for line in result.transcript] == ["user"]


class Silent(ScriptedVoice):
    """A voice that finishes, and has no sound for its text."""

    @asynccontextmanager
    async def open(self):
        yield self

    @asynccontextmanager
    async def utter(self):
        from patter.voice.clausewise import ClausewiseVoice

        async def nothing(text):
            return
            yield

        async with ClausewiseVoice(nothing).utter() as utterance:
            yield utterance


@pytest.mark.parametrize("times", [1, 2])
async def test_a_native_cancel_on_the_phones_own_loop_waits_for_the_dial_and_hangs_up(times):
    """``Task.cancel`` knows nothing of shields; the call runs in a task of the engine's own."""
    line = CALLEE.line()
    carrier = ScriptedCarrier(dial_s=0.5).rings(1.0)
    async with HostedEngine() as engine:
        host = asyncio.ensure_future(engine.run(lambda _: carrier.place(agent_of(CALLEE, line))))
        for _ in range(times):
            await anyio.sleep(0.1)
            host.cancel()
        with pytest.raises(asyncio.CancelledError):
            await host
        await anyio.sleep(5)
    assert (len(carrier.dials), len(carrier.hang_ups)) == (1, 1)


def handler(arguments, context):
    return None


@pytest.mark.parametrize(
    "options",
    [
        {"llm": None},
        {"llm": object()},
        {"tools": ["nonsense"]},
        {"tools": [Tool(name="end_call", description="d", handler=handler)]},
        {"tools": [Tool(name="a", description="d", handler=handler)] * 2},
    ],
)
async def test_an_agent_that_could_not_finish_a_call_is_refused_before_the_dial(options):
    line = CALLEE.line()
    good = {"stt": CALLEE.ears(line), "llm": ScriptedMind([]), "tts": ScriptedVoice()}
    with pytest.raises(ConfigError, match="agent"):
        Agent(**(good | options))


@pytest.mark.parametrize("dial_s", [2.0, 12.0])
async def test_a_deadline_does_not_wait_for_a_slow_dial(dial_s):
    """What the dial brings after all is hung up by its owner."""
    line = CALLEE.line()
    carrier = ScriptedCarrier(dial_s=dial_s)
    began = anyio.current_time()
    async with anyio.create_task_group() as background:
        result = await carrier.call(agent_of(CALLEE, line), max_duration_s=1).run(background)
        took_s = anyio.current_time() - began
    assert result.status == "timeout"
    assert took_s <= 1 + 5 + 2
    assert (len(carrier.dials), len(carrier.hang_ups)) == (1, 1)
