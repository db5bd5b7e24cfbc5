"""The exchange connects calls with each other: <Dial>, <Conference>, <Say>, and what it tells of them."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from patter.audio import mulaw
from patter.local import tones
from patter.local.dialogue import Dialogue, Heard, Listen, Persona, Ring, Say, Wait, scripted
from patter.local.exchange import ExchangeCall, Faults
from patter.local.exchange_rooms import Rooms, mix

pytestmark = pytest.mark.anyio

FIRST, SECOND = "+15550100998", "+15550100999"
FOREVER = Listen(timeout_s=None)
SILENT = mulaw.silence(20)


def speaker(number: str, says: str, waits_for: str) -> Persona:
    """Says its sentence until it hears the other's, and a second later hangs up."""

    def script() -> Dialogue:
        heard = Heard()
        while waits_for not in heard.text:
            yield Say(says)
            heard = yield Listen(timeout_s=0.7)
        yield Say(says)
        yield Wait(1)

    return Persona("speaker", "Speaker", number, script)


TALKERS = {"first": speaker(FIRST, "I am first.", "I am second."), "second": speaker(SECOND, "I am second.", "first.")}


def with_target(second: Persona, first: Persona | None = None) -> dict[str, Persona]:
    return {"first": first or scripted(FOREVER, FOREVER, number=FIRST), "second": second}


def dial(rig: Any, number: str = SECOND, attributes: str = "", **number_attributes: str) -> str:
    extra = "".join(f' {name}="{value}"' for name, value in number_attributes.items())
    return (
        f'<Response><Dial action="{rig.origin}/action" {attributes}><Number{extra}>{number}</Number></Dial></Response>'
    )


def conference(rig: Any, name: str = "room 1", said: str = "") -> str:
    say = f"<Say>{said}</Say>" if said else ""
    events = f'statusCallback="{rig.origin}/status" statusCallbackEvent="join leave"'
    return f'<Response>{say}<Dial><Conference {events} endConferenceOnExit="true">{name}</Conference></Dial></Response>'


def outcome(rig: Any) -> str:
    (form,) = [form for form in rig.callbacks if "DialCallStatus" in form]
    return str(form["DialCallStatus"])


async def ended(*calls: ExchangeCall) -> None:
    for call in calls:
        await call.ended.wait()


# --- <Dial> --------------------------------------------------------------------------------------


async def test_a_dial_lets_two_telephones_hear_each_other(make_rig: Any) -> None:
    async with make_rig(answerer=TALKERS) as rig:
        call = await rig.dial(To=FIRST)
        with anyio.fail_after(10):
            session = await rig.session()
            twiml = dial(rig, statusCallback=f"{rig.origin}/status", statusCallbackEvent="initiated answered")
            assert (await rig.update(call, Twiml=twiml)).status_code == 200
            await session.next("stop")
            target = await rig.exchange.nth_call(2)
            await ended(call, target)
        assert "I am first." in target.heard
        assert "I am second." in call.heard
        assert target.dialed.from_number == "+15550100001"
        assert target.resource()["parent_call_sid"] == call.sid
        told = [form["CallStatus"] for form in rig.callbacks if form.get("ParentCallSid") == call.sid]
        assert told == ["initiated", "in-progress"]
        assert all(rig.signatures)
        assert tones.ToneDecoder().feed(bytes(target.record.spoken))[:3] == ["I", "am", "second."]


@pytest.mark.parametrize(
    ("ring", "status"), [("busy", "busy"), ("no-answer", "no-answer"), ("failed", "failed"), ("declined", "failed")]
)
async def test_the_action_hears_why_nobody_came_and_says_what_follows(make_rig: Any, ring: Any, status: str) -> None:
    async with make_rig(answerer=with_target(scripted(ring=Ring(ring), number=SECOND))) as rig:
        call = await rig.dial(To=FIRST)
        rig.action_twiml = rig.twiml
        with anyio.fail_after(10):
            await rig.session()
            await rig.update(call, Twiml=dial(rig))
            again = await rig.session()
            assert outcome(rig) == status
            await again.close()
            await ended(call)


async def test_the_dial_gives_up_after_its_timeout(make_rig: Any) -> None:
    slow = scripted(FOREVER, ring=Ring(after_s=30), number=SECOND)
    async with make_rig(answerer=with_target(slow)) as rig:
        call = await rig.dial(To=FIRST)
        with anyio.fail_after(10):
            await rig.session()
            await rig.update(call, Twiml=dial(rig, attributes='timeout="1"'))
            await ended(call)
        assert outcome(rig) == "no-answer"


async def test_hanging_up_ends_the_leg_that_was_dialled(make_rig: Any) -> None:
    patient = scripted(FOREVER, number=SECOND)
    async with make_rig(answerer=with_target(patient)) as rig:
        call = await rig.dial(To=FIRST)
        with anyio.fail_after(10):
            await rig.session()
            await rig.update(call, Twiml=dial(rig))
            target = await rig.exchange.nth_call(2)
            await target.answered.wait()
            await rig.update(call, Status="completed")
            await ended(call, target)
        assert (str(call.status), str(target.status)) == ("completed", "completed")


async def test_a_redirect_while_it_rings_cancels_the_leg(make_rig: Any) -> None:
    slow = scripted(FOREVER, ring=Ring(after_s=0.25), number=SECOND)
    async with make_rig(answerer=with_target(slow)) as rig:
        call = await rig.dial(To=FIRST)
        with anyio.fail_after(10):
            await rig.session()
            await rig.update(call, Twiml=dial(rig))
            target = await rig.exchange.nth_call(2)
            await rig.update(call, Twiml=rig.twiml)
            await ended(target)
            await rig.session()
        assert str(target.status) == "canceled"


async def test_the_target_hears_the_digits_that_are_sent(make_rig: Any) -> None:
    clerk = scripted(Listen(), Listen(), Listen(timeout_s=0.2), number=SECOND, hears_keys=True)
    async with make_rig(answerer=with_target(clerk)) as rig:
        call = await rig.dial(To=FIRST)
        with anyio.fail_after(10):
            await rig.session()
            await rig.update(call, Twiml=dial(rig, sendDigits="4w2"))
            await ended(call)
        assert (await rig.exchange.nth_call(2)).record.digits_heard == "42"


# --- <Conference> and <Say> ----------------------------------------------------------------------


async def test_two_calls_meet_in_a_conference(make_rig: Any) -> None:
    async with make_rig(answerer=TALKERS) as rig:
        second = await rig.dial(To=SECOND, Twiml=conference(rig, said="A call for you."))
        with anyio.fail_after(10):
            await rig.callback("in-progress")
            first = await rig.dial(To=FIRST, Twiml=conference(rig))
            await ended(first, second)
        assert second.heard[0] == "A call for you."
        assert "I am first." in second.heard
        assert "I am second." in first.heard
        assert "A call" not in " ".join(first.heard)
        joins = [form for form in rig.callbacks if form.get("StatusCallbackEvent") == "participant-join"]
        leaves = [form for form in rig.callbacks if form.get("StatusCallbackEvent") == "participant-leave"]
        assert {form["CallSid"] for form in joins} == {form["CallSid"] for form in leaves} == {first.sid, second.sid}
        assert joins[0]["FriendlyName"] == "room 1"
        assert all(rig.signatures)


async def test_a_conference_of_another_name_is_another_room(make_rig: Any) -> None:
    async with make_rig(scripted(Say("Anybody?"), Listen(timeout_s=0.5))) as rig:
        calls = [await rig.dial(Twiml=conference(rig, name)) for name in ("one", "two")]
        with anyio.fail_after(10):
            await ended(*calls)
        assert [call.heard for call in calls] == [[], []]


async def test_a_time_limit_can_be_moved(make_rig: Any) -> None:
    async with make_rig(scripted(Wait(1.6))) as rig:
        call = await rig.dial(TimeLimit="1")
        with anyio.fail_after(10):
            await rig.session()
            await rig.update(call, Twiml=conference(rig), TimeLimit="60")
            await ended(call)
        assert call.ended_by == "callee"


@pytest.mark.parametrize(
    "twiml",
    [
        "<Response><Dial>sip:somebody</Dial></Response>",
        "<Response><Dial><Number>12</Number></Dial></Response>",
        "<Response><Dial><Conference></Conference></Dial></Response>",
        '<Response><Dial timeout="soon">+15550100777</Dial></Response>',
        '<Response><Dial><Number sendDigits="x">+15550100777</Number></Dial></Response>',
        '<Response><Dial action="https://example.com/action">+15550100777</Dial></Response>',
        '<Response><Dial><Conference statusCallback="https://example.com">a</Conference></Dial></Response>',
    ],
)
async def test_odd_instructions_are_refused_and_the_call_goes_on(make_rig: Any, twiml: str) -> None:
    async with make_rig(FOREVER) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            assert (await rig.update(call, Twiml=twiml)).status_code == 400
            await session.next("media")
        assert len(rig.exchange.calls) == 1


@pytest.mark.parametrize(("faults", "stops"), [({}, False), ({"redirect_done": True}, True)])
async def test_a_redirect_fails_as_told(make_rig: Any, faults: dict[str, bool], stops: bool) -> None:
    async with make_rig(FOREVER, faults=Faults(redirect_status=503, **faults)) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            assert (await rig.update(call, Twiml=conference(rig))).status_code == 503
            await session.next("stop" if stops else "media")


# --- rooms, pure ---------------------------------------------------------------------------------


def test_a_room_carries_each_voice_to_the_others_only() -> None:
    room = Rooms().open("a")
    one, two = room.enter(), room.enter()
    voice = tones.encode_word("hi")[:160]
    one.speak(voice)
    assert (two.hear(), one.hear(), two.hear()) == (voice, SILENT, SILENT)


def test_nobody_is_heard_before_the_room_has_started() -> None:
    room = Rooms().open("a")
    one, two = room.enter(starts_room=False), room.enter(starts_room=False)
    one.speak(b"\x00" * 160)
    assert two.hear() == SILENT


def test_a_room_is_over_when_the_right_one_leaves_and_its_name_is_free_again() -> None:
    rooms = Rooms()
    room = rooms.open("a")
    guest, host = room.enter(), room.enter(ends_room=True)
    room.leave(guest)
    assert not room.is_over
    assert rooms.open("a") is room
    room.leave(host)
    assert room.is_over
    assert rooms.open("a") is not room


def test_mixed_voices_are_added_and_do_not_wrap_around() -> None:
    loud = mulaw.encode(b"\xff\x7f" * 160)
    assert mix([loud, loud]) == loud
    assert mix([]) == mix([SILENT, SILENT]) == SILENT
    half = mulaw.encode((8000).to_bytes(2, "little", signed=True) * 160)
    assert abs(mulaw.level(mix([half, half])) - 2 * mulaw.level(half)) < 0.02
