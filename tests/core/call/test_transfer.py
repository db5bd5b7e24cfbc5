"""Transfers under virtual time: what the carrier is asked, when, and what the call comes to."""

import anyio
import pytest

from patter.agent import Agent
from patter.carriers.base import CallUpdate, CarrierStatus, Stopped, TransferResult
from patter.errors import CarrierError
from patter.settings import Timing
from patter.testing import Callee, EventLog, ScriptedCarrier, ScriptedMind, ScriptedVoice, reply
from patter.tools.model import Tool
from patter.voice.base import ToolCall

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaked_tasks")]

TARGET = "+15550100777"
CALLER, LEG = (f"CA{number:032}" for number in (1, 2))


class Scene:
    """One call in which the mind transfers the caller at about 2.5 s."""

    def __init__(self, carrier=None, *, hangs_up=60.0, handler=None, max_duration_s=180, inbound=False, **order):
        self.callee = Callee().says(0.5, "Give me a person, please.").hangs_up(hangs_up)
        self.line = self.callee.line()
        self.carrier = (carrier or ScriptedCarrier()).rings(0.2).answers(1.0, self.line)
        self.mind = ScriptedMind([reply(ToolCall("t1", "transfer", "{}")), "I am still here for you."])
        tool = Tool(
            name="transfer",
            description="Transfers.",
            handler=handler or self.transfer,
            timeout_s=170,
            speech={"during": False},
        )
        agent = Agent(
            stt=self.callee.ears(self.line),
            llm=self.mind,
            tts=ScriptedVoice(),
            tools=[tool],
            system_prompt="Transfer.",
            timing=Timing(mind_filler_s=200, nudge_after_s=300),
        )
        self.log = EventLog()
        self.call = self.carrier.call(agent, on_event=self.log, max_duration_s=max_duration_s)
        self.order = {"to": TARGET, "mode": "warm", **order}
        self.outcome = None
        self.took_s = None

    async def transfer(self, arguments, context):
        began = anyio.current_time()
        self.outcome = await self.call.transfers.run(**self.order)
        self.took_s = anyio.current_time() - began
        return {"status": self.outcome.status}

    async def run(self):
        self.result = await self.carrier.run(self.call)
        self.details = self.result.details
        return self

    @property
    def ending(self):
        return (self.result.status, str(self.details.end_reason), (self.details.transfer or {}).get("status"))

    @property
    def kept(self):
        return "I am still here for you." in [line.text for line in self.result.transcript]


def answered(carrier=None, *, at=3.0, briefed=5.0):
    return (carrier or ScriptedCarrier()).leg(0.5, "ringing").leg(at, "in-progress").leg(briefed, room="join")


async def test_cold_leaves_the_call_to_the_carrier():
    scene = await Scene(mode="cold").run()
    assert scene.ending == ("completed", "transferred", "transferred")
    assert scene.carrier.legs == scene.carrier.moves == scene.carrier.hang_ups == []
    (order,) = scene.carrier.hand_overs
    assert (order.to, order.from_number, order.mode) == (TARGET, "+15550100100", "cold")
    assert scene.details.transfer == {"to": TARGET, "mode": "cold", "status": "transferred"}
    assert [event["status"] for event in scene.log.of("transfer")] == ["started", "transferred"]
    assert TARGET not in str(scene.log.events)


async def test_warm_moves_the_caller_when_the_target_was_briefed():
    scene = await Scene(answered(), announce="A guest.", post_dial_digits="1w", language="de-DE").run()
    assert scene.ending == ("completed", "transferred", "transferred")
    (leg,) = scene.carrier.legs
    (room,) = scene.carrier.moves
    assert leg.room == room
    assert (leg.to, leg.detect_machine, leg.ring_timeout_s) == (TARGET, False, 30)
    assert (room.announce, room.digits, room.language) == ("A guest.", "1w", "de-DE")
    assert leg.status_url == leg.machine_url == room.events_url == "https://patter.test/local/leg/" + leg.ref
    assert leg.ref == f"{scene.call.request.ref}-1"
    assert scene.carrier.hang_ups == []
    dialled, moved = (event["at_s"] for event in scene.log.of("transfer"))
    assert 5.0 < moved - dialled < 5.5


async def test_monitored_waits_for_the_verdict_and_not_longer_than_six_seconds():
    human = answered(briefed=3.1).leg(5.5, answered_by="human")
    scene = await Scene(human, mode="monitored").run()
    assert scene.carrier.legs[0].detect_machine
    started, moved = (event["at_s"] for event in scene.log.of("transfer"))
    assert 5.5 < moved - started < 6.0
    silent = await Scene(answered(briefed=3.1), mode="monitored").run()
    started, moved = (event["at_s"] for event in silent.log.of("transfer"))
    assert 9.0 < moved - started < 9.5
    assert silent.ending == ("completed", "transferred", "transferred")


async def test_a_machine_is_hung_up_and_the_caller_stays():
    scene = await Scene(answered(briefed=3.1).leg(4.0, answered_by="machine_start"), mode="monitored").run()
    assert scene.outcome == TransferResult("no-answer", "machine")
    assert scene.carrier.hang_ups == [LEG]
    assert scene.carrier.moves == []
    assert scene.kept


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({"status": "busy"}, TransferResult("busy")),
        ({"status": "no-answer"}, TransferResult("no-answer")),
        ({"status": "canceled"}, TransferResult("no-answer")),
        ({"status": "failed"}, TransferResult("failed")),
        ({"status": "failed", "sip_code": 486}, TransferResult("busy")),
        ({"status": "completed"}, TransferResult("failed", "hung_up")),
    ],
)
async def test_a_target_that_is_not_there_leaves_the_caller_with_the_agent(last, expected):
    scene = await Scene(ScriptedCarrier().leg(0.5, "ringing").leg(4.0, **last)).run()
    assert scene.outcome == expected
    assert scene.ending == ("completed", "user_hangup", expected.status)
    assert scene.kept
    assert scene.carrier.moves == scene.carrier.hang_ups == []
    assert len(scene.carrier.legs) == 1


async def test_a_telephone_that_rings_for_ever_is_given_up():
    scene = await Scene(ScriptedCarrier().leg(0.5, "ringing"), ring_timeout_s=10).run()
    assert scene.outcome == TransferResult("no-answer")
    assert scene.took_s == pytest.approx(15.1, abs=0.1)
    assert scene.carrier.hang_ups == [LEG]


async def test_lost_callbacks_are_asked_for():
    class Silent(ScriptedCarrier):
        async def fetch(self, carrier_id):
            assert carrier_id == LEG
            return CallUpdate(carrier_id, CarrierStatus.IN_PROGRESS)

    scene = await Scene(Silent(), ring_timeout_s=5, hangs_up=100.0).run()
    assert scene.ending == ("completed", "transferred", "transferred")


async def test_facts_of_another_leg_change_nothing():
    stray = ScriptedCarrier().leg(0.05, "initiated").leg(1.0, "in-progress", carrier_id="CAother")
    scene = await Scene(stray.leg(1.5, room="join", carrier_id="CAother").leg(3.0, "busy")).run()
    assert scene.outcome == TransferResult("busy")


# --- who hangs up --------------------------------------------------------------------------------


async def test_the_caller_hangs_up_while_it_rings():
    scene = await Scene(ScriptedCarrier().leg(0.5, "ringing"), hangs_up=6.0).run()
    assert scene.ending == ("completed", "user_hangup", "failed")
    assert scene.outcome is None
    assert LEG in scene.carrier.hang_ups


async def test_the_end_of_the_call_ends_a_transfer_that_somebody_else_waits_for():
    scene = Scene(ScriptedCarrier().leg(0.5, "ringing"), hangs_up=6.0, handler=lambda arguments, context: "no")

    async def elsewhere():
        await anyio.sleep(3.0)
        await scene.transfer({}, {})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(elsewhere)
        await scene.run()
        assert LEG in scene.carrier.hang_ups
    assert scene.outcome == TransferResult("failed", "hung_up")
    assert scene.took_s < 5.0


async def test_the_deadline_comes_while_it_rings():
    scene = await Scene(ScriptedCarrier().leg(0.5, "ringing"), max_duration_s=8).run()
    assert scene.ending == ("timeout", "max_duration", "failed")
    assert sorted(scene.carrier.hang_ups) == [CALLER, LEG]


async def test_the_caller_is_hung_up_when_the_target_left_before_they_met():
    class Empty(ScriptedCarrier):
        async def move(self, carrier_id, room):
            scene.line.bring(Stopped(clean=True, reason="moved"))
            scene.call.transfers.report(self.legs[0].ref, CallUpdate(LEG, CarrierStatus.COMPLETED))

    scene = Scene(answered(Empty(final_s=None)))
    await scene.run()
    assert scene.ending == ("completed", "user_hangup", "failed")
    assert CALLER in scene.carrier.hang_ups


async def test_the_agent_is_silent_about_a_call_that_was_ended_in_the_last_moment():
    class Slow(ScriptedCarrier):
        async def move(self, carrier_id, room):
            scene.call.hang_up()
            await super().move(carrier_id, room)

    scene = Scene(answered(Slow()))
    await scene.run()
    assert scene.ending == ("completed", "agent_hangup", "failed")
    assert sorted(scene.carrier.hang_ups) == [CALLER, LEG]


# --- what the carrier refuses --------------------------------------------------------------------

REFUSED = CarrierError("no", http_status=400)
LOST = CarrierError("late", doubtful=True)


async def test_a_refused_leg():
    scene = await Scene(ScriptedCarrier(leg_error=REFUSED)).run()
    assert scene.outcome == TransferResult("failed", "refused")
    assert scene.kept
    assert scene.carrier.hang_ups == []


async def test_a_doubtful_leg_that_makes_itself_known_is_taken():
    scene = await Scene(answered(ScriptedCarrier(leg_error=LOST))).run()
    assert scene.ending == ("completed", "transferred", "transferred")
    assert len(scene.carrier.legs) == 1
    assert scene.call.transfers.doubtful == set()


async def test_a_doubtful_leg_that_is_found_is_taken():
    silent = ScriptedCarrier(leg_error=LOST, found=[None, LEG]).leg(6.0, "in-progress").leg(7.0, room="join")
    scene = await Scene(silent).run()
    assert scene.ending == ("completed", "transferred", "transferred")
    assert {order.ref for order in scene.carrier.finds} == {scene.carrier.legs[0].ref}


async def test_a_doubtful_leg_that_is_not_found_is_hung_up_when_it_shows():
    late = ScriptedCarrier(leg_error=LOST).leg(8.0, "ringing").leg(9.0, "in-progress")
    scene = await Scene(late).run()
    assert scene.outcome == TransferResult("failed", "unreachable")
    assert scene.kept
    assert scene.carrier.hang_ups == [LEG]
    assert scene.carrier.moves == []


@pytest.mark.parametrize("mode", ["cold", "warm"])
@pytest.mark.parametrize(("error", "took_s"), [(REFUSED, 0.1), (LOST, 2.1)], ids=["refused", "lost"])
async def test_a_move_that_fails_leaves_the_caller_with_the_agent(mode, error, took_s):
    carrier = answered(ScriptedCarrier(transfer_error=error), at=1.0, briefed=1.0)
    scene = await Scene(carrier, mode=mode).run()
    assert scene.outcome.status == "failed"
    assert scene.kept
    assert scene.took_s == pytest.approx(took_s + (1.0 if mode == "warm" else 0.0), abs=0.2)
    assert len(scene.carrier.moves) + len(scene.carrier.hand_overs) == 1
    assert scene.carrier.hang_ups == ([LEG] if mode == "warm" else [])


@pytest.mark.parametrize("mode", ["cold", "warm"])
async def test_a_move_in_doubt_that_was_done_is_a_transfer(mode):
    carrier = answered(ScriptedCarrier(transfer_error=LOST, transfer_done=True), at=1.0, briefed=1.0)
    scene = await Scene(carrier, mode=mode).run()
    assert scene.ending == ("completed", "transferred", "transferred")
    assert scene.carrier.hang_ups == []


async def test_what_a_carrier_breaks_with_is_a_failed_transfer(caplog):
    class Broken(ScriptedCarrier):
        async def hand_over(self, carrier_id, order, *, events_url):
            raise KeyError(order.to)

    scene = await Scene(Broken(), mode="cold").run()
    assert scene.outcome == TransferResult("failed", "refused")
    assert "KeyError" in caplog.text
    assert TARGET not in caplog.text


# --- what is not asked of the carrier ------------------------------------------------------------


@pytest.mark.parametrize(
    "order",
    [
        {"to": "911"},
        {"to": "0049301234567"},
        {"to": "+15550100199"},
        {"to": "+15550100100"},
        {"to": "+1 555 010 0199"},
        {"post_dial_digits": "1;drop"},
    ],
)
@pytest.mark.parametrize("mode", ["cold", "warm", "monitored"])
async def test_what_is_never_dialled_is_refused(order, mode):
    scene = await Scene(mode=mode, **order).run()
    assert scene.outcome == TransferResult("failed", "not_allowed")
    assert scene.carrier.legs == scene.carrier.hand_overs == []
    assert scene.details.transfer is None
    assert scene.kept


async def test_one_transfer_at_a_time_and_another_one_after_a_failed_one():
    results = []

    async def handler(arguments, context):
        async with anyio.create_task_group() as tasks:

            async def one(mode):
                results.append(await scene.call.transfers.run(TARGET, mode=mode))

            tasks.start_soon(one, "warm")
            await anyio.sleep(0.3)
            tasks.start_soon(one, "cold")
        results.append(await scene.call.transfers.run(TARGET, mode="warm"))
        return results[-1].status

    scene = Scene(ScriptedCarrier().leg(3.0, "busy"), handler=handler)
    await scene.run()
    assert results == [TransferResult("failed", "not_possible"), TransferResult("busy"), TransferResult("busy")]
    assert [leg.ref[-2:] for leg in scene.carrier.legs] == ["-1", "-2"]
    assert scene.carrier.legs[0].room.name != scene.carrier.legs[1].room.name


async def test_nobody_is_transferred_before_the_answer_or_after_the_end():
    scene = Scene()
    assert await scene.call.transfers.run(TARGET) == TransferResult("failed", "not_possible")
    await scene.run()
    assert await scene.call.transfers.run(TARGET) == TransferResult("failed", "not_possible")


async def test_the_second_leg_is_billed_like_a_call():
    failed = await Scene(ScriptedCarrier(name="twilio").leg(3.0, "busy")).run()
    scene = await Scene(answered(ScriptedCarrier(name="twilio"))).run()
    assert failed.result.metrics.cost.telephony == pytest.approx(0.018)
    assert scene.result.metrics.cost.telephony == pytest.approx(0.036)
