"""The exchange speaks Twilio's protocol: REST, statuses and callbacks, and every way a call ends."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import anyio
import pytest

from patter.carriers.base import CarrierStatus
from patter.errors import ConfigError
from patter.local import tones
from patter.local.callee import Callee, DialedCall, PersonaCallee
from patter.local.dialogue import Listen, Ring, Say, Wait, scripted
from patter.local.exchange import Exchange, Timings
from patter.local.personas import PERSONAS
from patter.local.voices import TonesSTT, TonesTTS

pytestmark = pytest.mark.anyio

FOREVER = Listen(timeout_s=None)


# --- REST ------------------------------------------------------------------------------------------


async def test_create_answers_as_twilio_does(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        answer = await rig.create()
        body = answer.json()
        assert answer.status_code == 201
        assert body["status"] == "queued"
        assert body["sid"].startswith("CA")
        assert body["direction"] == "outbound-api"
        assert body["price"] is None
        parsedate_to_datetime(body["date_created"])
        assert rig.exchange.creates == 1


REFUSED: list[tuple[dict[str, str], int]] = [
    ({"To": "12"}, 21211),
    ({"From": "Style Studio"}, 21212),
    ({"Twiml": ""}, 21205),
    ({"Twiml": "<Response><Sing/></Response>"}, 12200),
    ({"Twiml": "<Response>"}, 12100),
    ({"Twiml": '<!DOCTYPE x [<!ENTITY a "b">]><Response/>'}, 12100),
    ({"Twiml": "<Response>" + " " * 4000 + "</Response>"}, 21218),
    ({"Twiml": '<Response><Connect><Stream url="wss://example.com/media"/></Connect></Response>'}, 21205),
    ({"StatusCallback": "https://example.com/status"}, 21205),
    ({"Timeout": "0"}, 21208),
    ({"TimeLimit": "soon"}, 21208),
]


async def test_create_refuses_what_twilio_refuses(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        for form, code in REFUSED:
            answer = await rig.create(**form)
            assert (form, answer.status_code, answer.json()["code"]) == (form, 400, code)
        assert rig.exchange.calls == {}
        assert rig.exchange.creates == len(REFUSED)


async def test_wrong_credentials_are_refused(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        answer = await rig.http.get("/Calls.json", auth=("AC" + "1" * 32, "guess"))
        assert (answer.status_code, answer.json()["code"]) == (401, 20003)


async def test_calls_are_read_and_listed(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        first = await rig.dial(To="+15550100101")
        second = await rig.dial(To="+15550100102")
        body = (await rig.http.get(f"/Calls/{first.sid}.json")).json()
        assert body["to"] == "+15550100101"

        async def listed(**query: str) -> list[str]:
            return [one["sid"] for one in (await rig.http.get("/Calls.json", params=query)).json()["calls"]]

        assert await listed() == [second.sid, first.sid]
        assert await listed(To="+15550100102") == [second.sid]
        assert await listed(From="+15550100009") == []
        assert await listed(**{"StartTime>": "2020-01-01T00:00:00Z"}) == [second.sid, first.sid]
        assert await listed(**{"StartTime>": "2090-01-01T00:00:00Z"}) == []
        missing = await rig.http.get("/Calls/CAnobody.json")
        assert (missing.status_code, missing.json()["code"]) == (404, 20404)


# --- statuses --------------------------------------------------------------------------------------


async def test_callbacks_are_signed_and_numbered(make_rig: Any) -> None:
    async with make_rig(Say("hello")) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            await call.ended.wait()
        assert [form["CallStatus"] for form in rig.callbacks] == ["initiated", "ringing", "in-progress", "completed"]
        assert [form["SequenceNumber"] for form in rig.callbacks] == ["0", "1", "2", "3"]
        assert rig.signatures == [True] * 4
        last = rig.callbacks[-1]
        assert last["CallSid"] == call.sid
        assert (last["From"], last["To"]) == ("+15550100001", "+15550100999")
        assert last["Direction"] == "outbound-api"
        assert last["CallbackSource"] == "call-progress-events"
        assert (last["CallDuration"], last["Duration"]) == ("1", "1")
        parsedate_to_datetime(last["Timestamp"])
        assert call.record.statuses() == [form["CallStatus"] for form in rig.callbacks]


async def test_only_the_wanted_events_are_reported(make_rig: Any) -> None:
    async with make_rig(Wait(0.02)) as rig:
        call = await rig.dial(StatusCallbackEvent=["answered"])
        with anyio.fail_after(5):
            await call.ended.wait()
        assert [form["CallStatus"] for form in rig.callbacks] == ["in-progress"]


@pytest.mark.parametrize(
    ("name", "status", "sip_code"),
    [
        ("busy", "busy", "486"),
        ("no-answer", "no-answer", "487"),
        ("failed", "failed", "404"),
        ("declined", "failed", "603"),
    ],
)
async def test_personas_that_do_not_answer(make_rig: Any, name: str, status: str, sip_code: str) -> None:
    async with make_rig(PERSONAS[name]) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            last = await rig.callback(status)
            await call.ended.wait()
        assert last["SipResponseCode"] == sip_code
        assert last["CallDuration"] == "0"
        assert not call.answered.is_set()
        assert (await rig.http.get(f"/Calls/{call.sid}.json")).json()["status"] == status


async def test_a_table_of_personas_answers_its_numbers_only(make_rig: Any) -> None:
    async with make_rig(answerer=PERSONAS) as rig:
        busy, unknown = await rig.dial(To=PERSONAS["busy"].number), await rig.dial(To="+15550107777")
        with anyio.fail_after(5):
            await busy.ended.wait()
            await unknown.ended.wait()
        assert (busy.status, unknown.status) == (CarrierStatus.BUSY, CarrierStatus.FAILED)


async def test_ring_timeout_of_the_create_request(make_rig: Any) -> None:
    patient = Timings(queue_s=0, dial_s=0)
    async with make_rig(FOREVER, ring=Ring(after_s=30), timings=patient) as rig:
        call = await rig.dial(Timeout="1")
        with anyio.fail_after(5):
            await call.ended.wait()
        assert call.status is CarrierStatus.NO_ANSWER


@pytest.mark.parametrize(("answered_by"), ["human", "machine_start"])
async def test_machine_detection_reports_later(make_rig: Any, answered_by: str) -> None:
    async with make_rig(FOREVER, ring=Ring(answered_by=answered_by)) as rig:
        call = await rig.dial(
            MachineDetection="Enable", AsyncAmd="true", AsyncAmdStatusCallback=f"{rig.origin}/machine"
        )
        with anyio.fail_after(5):
            form = await rig.callback(answered_by)
            assert form["CallSid"] == call.sid
            assert "CallStatus" not in form
            await rig.update(call, Status="completed")
            last = await rig.callback("completed")
        assert last["AnsweredBy"] == answered_by
        assert all(rig.signatures)


# --- endings ---------------------------------------------------------------------------------------


async def test_the_callee_hangs_up(make_rig: Any) -> None:
    async with make_rig(Say("bye")) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            stop = await session.next("stop")
            await session.ended.wait()
            await rig.callback("completed")
        assert stop["stop"]["callSid"] == call.sid
        assert session.events()[-1] == "stop"
        assert session.words() == "bye"
        assert call.ended_by == "callee"


async def test_rest_hangs_up_and_the_end_is_final(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            early = await rig.update(call, Status="canceled")
            assert (early.status_code, early.json()["code"]) == (400, 21220)
            assert (await rig.update(call, Status="completed")).status_code == 200
            await session.next("stop")
            await rig.callback("completed")
        late = await rig.update(call, Status="completed")
        assert (late.status_code, late.json()["code"]) == (400, 21220)
        assert call.ended_by == "agent"


@pytest.mark.parametrize("status", ["canceled", "completed"])
async def test_a_ringing_call_is_canceled(make_rig: Any, status: str) -> None:
    async with make_rig(FOREVER, ring=Ring(after_s=30), timings=Timings()) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            await rig.callback("ringing")
            await rig.update(call, Status=status)
            last = await rig.callback("canceled")
        assert last["CallDuration"] == "0"
        assert not call.answered.is_set()


async def test_our_close_leads_to_the_next_verb(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            await session.close()
            await rig.callback("completed")
        assert "stop" not in session.events()
        assert call.ended_by == "agent"


async def test_a_refused_stream_completes_the_call(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        rig.refuse_media = True
        call = await rig.dial()
        with anyio.fail_after(5):
            await rig.callback("completed")
        assert [event.detail[:5] for event in call.record.events if event.kind == "stream-error"] == ["31920"]


async def test_the_time_limit_ends_the_call(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        call = await rig.dial(TimeLimit="1")
        with anyio.fail_after(5):
            session = await rig.session()
            await session.next("stop")
            await rig.callback("completed")
        assert call.ended_by == "time limit"


async def test_a_transfer_stops_the_stream_and_dials(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        call = await rig.dial()
        rig.action_twiml = "<Response><Hangup/></Response>"
        dial = f'<Response><Dial action="{rig.origin}/action"><Number>+15550100777</Number></Dial></Response>'
        with anyio.fail_after(5):
            session = await rig.session()
            assert (await rig.update(call, Twiml=dial)).status_code == 200
            await session.next("stop")
            target = await rig.exchange.nth_call(2)
            await target.answered.wait()
            target.end("callee")
            await rig.callback("completed")
        assert call.record.transferred_to == ["+15550100777"]
        assert [form["DialCallStatus"] for form in rig.callbacks if "DialCallStatus" in form] == ["completed"]


async def test_the_end_of_the_exchange_hangs_up_every_call(make_rig: Any) -> None:
    with anyio.fail_after(10):
        async with make_rig(FOREVER) as rig:
            calls = [await rig.dial(), await rig.dial()]
            sessions = [await rig.session(), await rig.session()]
            rig.stop()
            with anyio.CancelScope(shield=True):
                for call in calls:
                    await call.ended.wait()
    assert [call.status for call in calls] == [CarrierStatus.COMPLETED] * 2
    assert all("stop" in session.events() for session in sessions)


async def test_what_was_played_last_is_still_understood(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            await session.play(tones.encode("goodbye"))
            await session.mark("end")
            await session.next("mark")
            await session.close()
            await call.ended.wait()
        assert call.heard == ["goodbye"]


async def test_a_broken_callee_ends_only_its_own_call(make_rig: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        ring = Ring()

        async def run(self, handset: object) -> None:
            raise RuntimeError("tripped over the cable")

    class Patient:
        ring = Ring()

        async def run(self, handset: object) -> None:
            await anyio.sleep_forever()

    def answerer(dialed: DialedCall) -> Callee:
        return Broken() if dialed.to.endswith("666") else Patient()

    async with make_rig(answerer=answerer) as rig:
        healthy, broken = await rig.dial(), await rig.dial(To="+15550100666")
        with anyio.fail_after(5):
            await broken.ended.wait()
        assert [str(error) for error in broken.record.errors] == ["tripped over the cable"]
        assert not healthy.ended.is_set()
    assert "tripped over the cable" in caplog.text


async def test_calls_that_are_long_over_are_forgotten(make_rig: Any) -> None:
    def answerer(dialed: DialedCall) -> Callee:
        persona = scripted(FOREVER, ring=Ring("busy") if dialed.to.endswith("9") else Ring())
        return PersonaCallee(persona, TonesSTT(), TonesTTS())

    async with make_rig(answerer=answerer, keep_calls=2) as rig:
        live = await rig.dial(To="+15550100110")
        await rig.session()
        busy = []
        for number in range(5):
            busy.append(await rig.dial(To=f"+155501000{number}9"))
            with anyio.fail_after(5):
                await busy[-1].ended.wait()
        # What is over is forgotten when the next call is placed.
        assert list(rig.exchange.calls.values()) == [live, *busy[2:]]
        assert await rig.exchange.nth_call(6) is busy[-1]
        assert (rig.exchange.creates, len(rig.exchange.requests)) == (6, 6)
        await rig.create(To="12")
        assert (rig.exchange.creates, len(rig.exchange.requests)) == (7, 6)


def test_personas_need_a_voice() -> None:
    with pytest.raises(ConfigError, match="ears and a voice"):
        Exchange(callee=PERSONAS["salon"])
