"""Every ending of a call, at every state: one envelope, at most one dial, hung up exactly when it must be."""

from dataclasses import dataclass

import anyio
import pytest

from patter.agent import Agent
from patter.call.call import Call
from patter.call.gear import PhoneGear
from patter.call.prices import Prices
from patter.carriers.addresses import Addresses
from patter.envelope import Ending, EndReason
from patter.errors import CarrierError, ProviderError
from patter.settings import Timing
from patter.testing import Callee, EventLog, ScriptedCarrier, ScriptedMind, ScriptedVoice, check_invariants, reply
from patter.tools.model import Tool
from patter.voice.base import ToolCall

pytestmark = pytest.mark.anyio

SETTLE_S = Timing().settle_s
FOUND = "CA00000000000000000000000000000001"
GREETING = "Hello, this is an automated assistant calling about your opening hours on Friday."

STATES = {
    # name: seconds after the dial, by the script of `parts`
    "dialling": 0.05,
    "queued": 0.3,
    "ringing": 1.0,
    "answered": 2.3,
    "joined": 2.7,
    "greeting": 5.0,
    "listening": 9.0,
    "thinking": 12.4,
    "tool": 13.2,
    "replying": 14.5,
    "replied": 18.2,
    "goodbye": 21.5,
}
"""Dialled at 0, ringing from 0.5, answered at 2.0, joined at 2.5."""


@dataclass
class Parts:
    carrier: ScriptedCarrier
    agent: Agent
    line: object
    ears: object
    voice: ScriptedVoice
    mind: ScriptedMind
    log: EventLog

    def call(self, **options):
        return self.carrier.call(self.agent, on_event=self.log, first_message=GREETING, **options)

    def check(self, result, **options):
        check_invariants(result, self.line, self.log, mind=self.mind, **options)
        assert len(self.carrier.dials) <= 1
        assert len(self.carrier.hang_ups) <= 1
        assert self.ears.open_now == self.voice.open_now == 0
        assert self.log.kinds().count("ended") == 1


def parts(callee=None, *, carrier=None, join=True, **options):
    """A call whose agent greets, answers with a tool, and says goodbye."""
    callee = callee or Callee().says(0.3, "Hello?").says(8.0, "When do you open").says(16.0, "Goodbye then")

    async def lookup(arguments, context):
        await anyio.sleep(1.0)
        return "nine"

    line = callee.line()
    ears = callee.ears(line)
    steps = [
        reply("One moment, let me have a look at that.", ToolCall("t1", "lookup", "{}")),
        reply("We open at nine in the morning."),
        reply("Thank you very much for your time. Goodbye.", ToolCall("t2", "end_call", "{}")),
    ]
    mind = ScriptedMind(steps, first_token_s=0.5)
    voice = ScriptedVoice()
    tool = Tool(name="lookup", description="Looks it up.", handler=lookup)
    agent = Agent(stt=ears, llm=mind, tts=voice, tools=[tool], system_prompt="Be brief.")
    if carrier is None:
        carrier = ScriptedCarrier(**options).rings(0.5).reports(2.0, "in-progress")
        if join:
            carrier.joins(2.5, line)
    return Parts(carrier, agent, line, ears, voice, mind, EventLog())


async def ended_by(made, call, at, act):
    """Run the call, act on it at this time after the dial, and return the envelope and the seconds from act to end."""
    ended_at = None

    async def act_then():
        await anyio.sleep(at)
        act(call)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(act_then)
        began = anyio.current_time()
        result = await made.carrier.run(call)
        ended_at = anyio.current_time() - began
        tasks.cancel_scope.cancel()
    return result, ended_at - at


@pytest.fixture(autouse=True)
async def clean(no_leaked_tasks):
    pass


async def test_the_whole_script_runs_to_its_end():
    """The times of the states below are right."""
    made = parts()
    result = await made.carrier.run(made.call())
    made.check(result)
    made.mind.assert_complete()
    assert result.details.end_reason == "agent_hangup"
    assert result.duration_seconds > STATES["goodbye"] - 2.0
    at_s = {kind: [event["at_s"] for event in made.log.of(kind)] for kind in set(made.log.kinds())}
    speaking = at_s["speaking"]
    assert speaking[0] < STATES["greeting"] < at_s["agent"][0]
    assert at_s["user"][1] < STATES["thinking"] < speaking[1] < STATES["tool"] < at_s["tool"][0] < STATES["replying"]
    assert at_s["agent"][1] < STATES["replied"] < at_s["user"][2] < speaking[2] < STATES["goodbye"] < at_s["ended"][0]


# --- what the carrier and the network bring --------------------------------------------------------

DIAL_ERRORS = {
    "400": (CarrierError("bad request", code=21201, http_status=400), "carrier_error", "carrier_rejected"),
    "invalid number": (CarrierError("not a number", code=21211, http_status=400), "invalid_number", "invalid_number"),
    "401": (CarrierError("who are you", code=20003, http_status=401), "carrier_error", "carrier_auth"),
    "429": (CarrierError("slow down", code=20429, http_status=429), "carrier_error", "carrier_rejected"),
    "500": (CarrierError("oh dear", http_status=500, doubtful=True), "carrier_error", "carrier_unreachable"),
    "unreachable": (CarrierError("no route"), "carrier_error", "carrier_unreachable"),
    "timed out": (CarrierError("no answer", doubtful=True), "carrier_error", "carrier_unreachable"),
}


@pytest.mark.parametrize("name", DIAL_ERRORS)
async def test_the_dial_is_refused(name):
    error, reason, code = DIAL_ERRORS[name]
    made = parts(carrier=ScriptedCarrier(dial_error=error))
    began = anyio.current_time()
    result = await made.carrier.run(made.call())
    made.check(result)
    assert (result.status, result.details.end_reason, result.details.outcome) == ("failed", reason, "failed")
    assert result.details.error.code == code
    assert (len(made.carrier.dials), made.carrier.hang_ups) == (1, [])
    assert (result.duration_seconds, result.transcript, result.cost_usd) == (0.0, [], 0.0)
    assert result.call_id.startswith("local_")
    assert len(made.carrier.finds) > 0 if error.doubtful else made.carrier.finds == []
    assert anyio.current_time() - began <= 0.1 + SETTLE_S


async def test_a_doubtful_dial_is_found_and_goes_on():
    line_of = Callee().says(0.4, "Hello?").hangs_up(8.0)
    made = parts(line_of, carrier=ScriptedCarrier(dial_error=CarrierError("late", doubtful=True), found=[None, FOUND]))
    made.carrier.rings(2.0).answers(3.0, made.line)
    result = await made.carrier.run(made.call())
    made.check(result)
    assert result.status == "completed"
    assert result.call_id == FOUND
    assert (len(made.carrier.dials), len(made.carrier.finds), made.carrier.hang_ups) == (1, 2, [])


async def test_a_doubtful_dial_makes_itself_known():
    made = parts(
        Callee().says(0.4, "Hello?").hangs_up(8.0),
        carrier=ScriptedCarrier(dial_error=CarrierError("late", doubtful=True)),
    )
    made.carrier.rings(0.3).answers(3.0, made.line)
    result = await made.carrier.run(made.call())
    made.check(result)
    assert result.status == "completed"
    assert made.carrier.finds == []


async def test_a_doubtful_dial_that_cannot_be_looked_for():
    error = CarrierError("late", doubtful=True)
    made = parts(carrier=ScriptedCarrier(dial_error=error, found=[CarrierError("down")] * 20))
    call = made.call()
    result = await made.carrier.run(call)
    made.check(result)
    assert result.details.error.code == "carrier_unreachable"
    assert call.is_doubtful


UNANSWERED = {
    "busy": ({"status": "busy"}, "busy", "busy", "busy"),
    "busy by SIP": ({"status": "failed", "sip_code": 486}, "busy", "busy", "busy"),
    "busy everywhere": ({"status": "failed", "sip_code": 600}, "busy", "busy", "busy"),
    "no answer": ({"status": "no-answer"}, "no-answer", "no_answer", "no_answer"),
    "canceled": ({"status": "canceled"}, "no-answer", "no_answer", "no_answer"),
    "declined": ({"status": "failed", "sip_code": 603}, "failed", "failed", "declined"),
    "declined as busy": ({"status": "busy", "sip_code": 603}, "failed", "failed", "declined"),
    "failed": ({"status": "failed"}, "failed", "failed", "carrier_error"),
    "failed with SIP 404": ({"status": "failed", "sip_code": 404}, "failed", "failed", "carrier_error"),
    "completed without media": ({"status": "completed"}, "failed", "failed", "media_error"),
}


@pytest.mark.parametrize("name", UNANSWERED)
@pytest.mark.parametrize("at", [0.05, 0.3, 3.0], ids=["while dialling", "queued", "ringing"])
async def test_nobody_answers(name, at):
    facts, status, outcome, reason = UNANSWERED[name]
    made = parts(carrier=ScriptedCarrier().rings(0.02 if at < 1 else 0.5).reports(at, **facts))
    began = anyio.current_time()
    result = await made.carrier.run(made.call())
    made.check(result)
    details = result.details
    assert (result.status, details.outcome, details.end_reason) == (status, outcome, reason)
    assert (len(made.carrier.dials), made.carrier.hang_ups) == (1, [])
    assert (result.duration_seconds, result.transcript, result.metrics.cost.telephony) == (0.0, [], 0.0)
    assert details.carrier_status == facts["status"]
    assert result.call_id == FOUND
    assert anyio.current_time() - began <= at + SETTLE_S


async def test_it_rings_for_ever():
    made = parts(carrier=ScriptedCarrier().rings(0.5))
    began = anyio.current_time()
    result = await made.carrier.run(made.call())
    made.check(result)
    assert (result.status, result.details.end_reason) == ("no-answer", "no_answer")
    assert made.carrier.hang_ups == [FOUND]
    assert anyio.current_time() - began <= Timing().ring_s + 5.0 + SETTLE_S


async def test_the_media_never_comes():
    made = parts(join=False)
    began = anyio.current_time()
    result = await made.carrier.run(made.call())
    made.check(result)
    assert (result.status, result.details.outcome, result.details.end_reason) == ("failed", "failed", "media_error")
    assert result.details.error.code == "media_error"
    assert made.carrier.hang_ups == [FOUND]
    assert anyio.current_time() - began <= 2.0 + Timing().media_wait_s + SETTLE_S


async def test_it_is_over_before_the_media_comes():
    made = parts(join=False)
    made.carrier.reports(3.0, "completed")
    result = await made.carrier.run(made.call())
    made.check(result)
    assert (result.status, result.details.end_reason) == ("failed", "media_error")
    assert made.carrier.hang_ups == []


async def test_a_line_without_the_token_is_refused():
    made = parts(join=False)
    made.carrier.joins(2.5, made.line, token="wrong")
    result = await made.carrier.run(made.call())
    assert made.carrier.refused
    assert result.details.end_reason == "media_error"
    assert made.line.sent == []


async def test_the_token_serves_once():
    made = parts()
    other = Callee().says(0.4, "I am somebody else").line()
    made.carrier.joins(3.0, other)
    result = await made.carrier.run(made.call())
    made.check(result)
    assert len(made.carrier.refused) == 1
    assert other.sent == []
    assert "somebody" not in result.to_json()


async def test_facts_of_another_call_change_nothing():
    made = parts()
    made.carrier.reports(3.0, "completed", carrier_id="CAother")
    result = await made.carrier.run(made.call())
    made.check(result)
    assert result.details.end_reason == "agent_hangup"


async def test_a_line_that_comes_before_the_answer_is_an_answer():
    made = parts(Callee().says(0.4, "Hello?").hangs_up(8.0), carrier=ScriptedCarrier())
    made.carrier.joins(1.0, made.line).reports(1.5, "in-progress")
    result = await made.carrier.run(made.call())
    made.check(result)
    assert result.status == "completed"
    assert result.duration_seconds == 8.0


async def test_a_line_that_comes_while_the_dial_is_on_its_way():
    made = parts(Callee().says(0.4, "Hello?").hangs_up(8.0), carrier=ScriptedCarrier(dial_s=1.5))
    made.carrier.answers(1.0, made.line)
    result = await made.carrier.run(made.call())
    made.check(result)
    assert result.status == "completed"
    assert result.transcript[0].text == "Hello?"


async def test_a_machine_answers():
    made = parts()
    made.carrier.reports(3.5, answered_by="machine_start")
    result = await made.carrier.run(made.call())
    made.check(result)
    details = result.details
    assert (result.status, details.outcome, details.end_reason) == ("completed", "voicemail", "voicemail")
    assert details.answered_by == "machine_start"


# --- the callee hangs up -------------------------------------------------------------------------

ANSWERED = [name for name, at in STATES.items() if at >= 2.5]


@pytest.mark.parametrize("final_s", [0.1, None], ids=["reported", "never reported"])
@pytest.mark.parametrize("state", ANSWERED)
async def test_the_callee_hangs_up(state, final_s):
    at = STATES[state]
    callee = Callee().says(0.3, "Hello?").says(8.0, "When do you open").says(16.0, "Goodbye then").hangs_up(at - 2.5)
    made = parts(callee, final_s=final_s)
    began = anyio.current_time()
    result = await made.carrier.run(made.call())
    made.check(result)
    assert (result.status, result.details.end_reason, result.details.ended_by) == ("completed", "user_hangup", "user")
    assert result.duration_seconds == pytest.approx(at - 2.0, abs=1e-6)
    assert anyio.current_time() - began - at <= SETTLE_S
    assert made.carrier.hang_ups == ([] if final_s else [FOUND])
    heard = " ".join(line.text for line in result.transcript if line.role == "agent")
    assert made.line.heard_text() == heard


@pytest.mark.parametrize("state", ANSWERED)
async def test_the_carrier_says_so_before_the_line_does(state):
    at = STATES[state]
    made = parts()
    made.carrier.reports(at, "completed")
    began = anyio.current_time()
    result = await made.carrier.run(made.call())
    made.check(result)
    assert (result.status, result.details.end_reason) == ("completed", "user_hangup")
    assert made.carrier.hang_ups == []
    assert anyio.current_time() - began - at <= SETTLE_S


@pytest.mark.parametrize("slow", ["ears", "voice"])
async def test_the_callee_hangs_up_while_a_provider_is_still_connecting(slow):
    made = parts(Callee().hangs_up(1.0))
    slow_ears = Callee().ears(made.line, open_s=30.0) if slow == "ears" else made.ears
    slow_voice = ScriptedVoice(open_s=30.0) if slow == "voice" else made.voice
    made.agent = Agent(stt=slow_ears, llm=made.mind, tts=slow_voice, system_prompt="Be brief.")
    began = anyio.current_time()
    result = await made.carrier.run(made.call())
    made.check(result)
    assert (result.status, result.details.end_reason) == ("completed", "user_hangup")
    assert anyio.current_time() - began - 3.5 <= SETTLE_S
    assert made.carrier.hang_ups == []


@pytest.mark.parametrize("state", ANSWERED)
async def test_the_socket_drops(state):
    at = STATES[state]
    made = parts(Callee().says(0.3, "Hello?").says(8.0, "When do you open").says(16.0, "Goodbye then").drops(at - 2.5))
    began = anyio.current_time()
    result = await made.carrier.run(made.call())
    made.check(result)
    assert (result.status, result.details.end_reason) == ("failed", "media_error")
    assert made.carrier.hang_ups == [FOUND]
    assert anyio.current_time() - began - at <= SETTLE_S


# --- we end it -----------------------------------------------------------------------------------


def hung_up_once(made):
    """Nothing is dialled after an end, and what was dialled is hung up."""
    return [FOUND] * len(made.carrier.dials)


@pytest.mark.parametrize("state", ["before", *STATES])
async def test_the_phone_stops(state):
    made = parts()
    call = made.call()
    at = STATES.get(state, 0.0)
    if state == "before":
        call.end(Ending(EndReason.SHUTDOWN))
    result, took_s = await ended_by(made, call, at, lambda call: call.end(Ending(EndReason.SHUTDOWN)))
    made.check(result)
    assert (result.status, result.details.outcome, result.details.end_reason) == ("failed", "failed", "shutdown")
    assert took_s <= SETTLE_S
    assert len(made.carrier.dials) == (0 if state == "before" else 1)
    assert made.carrier.hang_ups == hung_up_once(made)
    assert call.result is result


@pytest.mark.parametrize("state", STATES)
async def test_the_host_hangs_up(state):
    made = parts()
    result, took_s = await ended_by(made, made.call(), STATES[state], lambda call: call.hang_up())
    made.check(result)
    if STATES[state] < 2.0:  # requirements 6.2: caller-cancelled before answer
        assert (result.status, result.details.outcome) == ("no-answer", "no_answer")
    else:
        assert (result.status, result.details.end_reason) == ("completed", "agent_hangup")
    assert took_s <= SETTLE_S
    assert made.carrier.hang_ups == hung_up_once(made)


@pytest.mark.parametrize("state", STATES)
async def test_the_host_cancels(state):
    made = parts()
    call = made.call()
    began = anyio.current_time()
    with anyio.move_on_after(STATES[state]) as host:
        await made.carrier.run(call)
    assert host.cancelled_caught
    assert anyio.current_time() - began - STATES[state] <= SETTLE_S
    made.check(call.result)
    assert call.over.is_set()
    assert (call.result.status, call.result.details.end_reason) == ("failed", "canceled")
    assert made.carrier.hang_ups == hung_up_once(made)


@pytest.mark.parametrize("max_s", [1, 3, 5, 9, 12, 13, 15, 18, 21])
async def test_the_time_is_up(max_s):
    made = parts()
    began = anyio.current_time()
    result = await made.carrier.run(made.call(max_duration_s=max_s))
    made.check(result, max_duration_s=max_s)
    answered = max_s > 2
    assert (result.status, result.details.end_reason) == ("timeout", "max_duration")
    assert result.details.outcome == ("answered" if answered else "no_answer")
    assert made.carrier.hang_ups == [FOUND]
    assert anyio.current_time() - began <= max_s + SETTLE_S
    assert made.carrier.dials[0].time_limit_s >= max_s
    agent = " ".join(line.text for line in result.transcript if line.role == "agent")
    assert made.line.heard_text() == agent


async def test_the_time_is_up_and_stays_so_whatever_the_carrier_says():
    made = parts(final_s=None)
    made.carrier.reports(10.2, "completed")
    result = await made.carrier.run(made.call(max_duration_s=10))
    made.check(result, max_duration_s=10)
    assert (result.status, result.details.carrier_status) == ("timeout", "completed")


# --- what fails while it ends --------------------------------------------------------------------


async def test_hanging_up_fails():
    made = parts(hang_up_error=CarrierError("unreachable"))
    call = made.call()
    result, took_s = await ended_by(made, call, 5.0, lambda call: call.end(Ending(EndReason.SHUTDOWN)))
    made.check(result)
    assert result.details.end_reason == "shutdown"
    assert call.is_doubtful
    assert took_s <= SETTLE_S


async def test_hanging_up_takes_for_ever():
    made = parts()

    class Deaf(ScriptedCarrier):
        async def hang_up(self, carrier_id):
            self.hang_ups.append(carrier_id)
            await anyio.sleep_forever()

    made.carrier = Deaf().rings(0.5).answers(2.0, made.line)
    result, took_s = await ended_by(made, made.call(), 5.0, lambda call: call.end(Ending(EndReason.SHUTDOWN)))
    made.check(result)
    assert took_s <= SETTLE_S


@pytest.mark.parametrize("provider", ["ears", "voice"])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 5.0], ids=["queued", "ringing", "answered"])
async def test_a_provider_cannot_be_reached(provider, seconds):
    made = parts()
    if provider == "ears":
        error = ProviderError("stt", "The key was refused.")
        stt, tts = Callee().ears(made.line, open_s=seconds, open_error=error), made.voice
    else:
        error = ProviderError("tts", "The key was refused.")
        stt, tts = made.ears, ScriptedVoice(open_s=seconds, open_error=error)
    made.agent = Agent(stt=stt, llm=made.mind, tts=tts, system_prompt="Be brief.")
    began = anyio.current_time()
    result = await made.carrier.run(made.call())
    made.check(result)
    assert (result.status, result.details.end_reason) == ("failed", "pipeline_error")
    assert result.details.error.code == f"{error.stage}_error"
    assert made.carrier.hang_ups == [FOUND]
    assert anyio.current_time() - began <= 0.1 + seconds + SETTLE_S


async def test_a_host_whose_callback_raises_gets_its_envelope():
    made = parts(Callee().says(0.4, "Hello?").hangs_up(8.0))

    def broken(event):
        raise RuntimeError("the host's own trouble")

    result = await made.carrier.run(made.carrier.call(made.agent, on_event=broken, first_message=GREETING))
    assert result.status == "completed"


async def test_the_deadline_falls_into_a_slow_dial():
    made = parts(dial_s=1.5)
    result, _ = await ended_by(made, made.call(max_duration_s=1), 1.0, lambda call: None)
    made.check(result)
    assert (result.status, result.details.outcome) == ("timeout", "no_answer")
    assert made.carrier.hang_ups == [FOUND]


async def test_a_call_that_ends_while_it_waits_for_its_turn_to_dial_does_not_dial():
    made, lock = parts(), anyio.Lock()
    call = Call(
        made.call().request,
        carrier=made.carrier,
        addresses=Addresses("https://patter.test", "local"),
        prices=Prices(),
        dial_lock=lock,
        gear=PhoneGear(),
    )
    async with lock, anyio.create_task_group() as tasks:
        tasks.start_soon(made.carrier.run, call)
        await anyio.sleep(1.0)
        call.end(Ending(EndReason.SHUTDOWN))
        with anyio.move_on_after(SETTLE_S):
            await call.over.wait()
        assert call.over.is_set()
    assert call.result.details.end_reason == "shutdown"
    assert made.carrier.dials == []


async def test_a_host_that_cancels_while_its_call_waits_to_dial():
    made, lock = parts(), anyio.Lock()
    call = Call(
        made.call().request,
        carrier=made.carrier,
        addresses=Addresses("https://patter.test", "local"),
        prices=Prices(),
        dial_lock=lock,
        gear=PhoneGear(),
    )
    async with lock:
        with anyio.move_on_after(1.0):
            await made.carrier.run(call)
    assert anyio.current_time() <= 1.0 + SETTLE_S
    assert (call.result.status, made.carrier.dials, made.carrier.hang_ups) == ("failed", [], [])


async def test_the_envelope_of_a_good_call():
    made = parts()
    result = await made.carrier.run(made.call(goal="Ask when they open."))
    details = result.details
    assert (details.goal, details.to, details.from_) == ("Ask when they open.", "+15550100199", "+15550100100")
    assert (details.ring_seconds, details.carrier, details.carrier_status) == (2.0, "local", "completed")
    assert (details.answered_at - details.started_at).total_seconds() == 2.0
    assert (details.ended_at - details.answered_at).total_seconds() == pytest.approx(result.duration_seconds, abs=1e-3)
    assert [record.name for record in details.tool_calls] == ["lookup", "end_call"]
    assert result.cost_usd == sum(result.metrics.cost.model_dump().values())
    assert len({event["call_id"] for event in made.log.events[1:]}) == 1
