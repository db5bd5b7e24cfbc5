"""The exchange misbehaves on demand, in each of the ways that a phone has to survive."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest

from patter.carriers.base import CarrierStatus
from patter.local import tones
from patter.local.dialogue import Listen, Say, Wait
from patter.local.exchange import JUNK, Faults

pytestmark = pytest.mark.anyio

FOREVER = Listen(timeout_s=None)


@pytest.mark.parametrize(
    ("status", "code", "placed"),
    [(400, 21211, False), (401, 20003, False), (429, 20429, False), (500, 20500, False), (500, 20500, True)],
)
async def test_create_is_refused(make_rig: Any, status: int, code: int, placed: bool) -> None:
    faults = Faults(create_status=status, create_code=code, create_placed=placed, create_retry_after_s=2)
    async with make_rig(FOREVER, faults=faults) as rig:
        answer = await rig.create()
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["Retry-After"] == "2"
        assert rig.exchange.creates == 1
        assert len(rig.exchange.calls) == placed


async def test_create_answers_after_the_first_callback(make_rig: Any) -> None:
    async with make_rig(Wait(0.02), faults=Faults(create_delay_s=0.5)) as rig:
        answer = await rig.create()
        assert answer.status_code == 201
        assert [form["CallStatus"] for form in rig.callbacks][-1] == "completed"
        assert answer.json()["status"] == "queued"


async def test_create_is_never_answered_and_the_call_is_placed(make_rig: Any) -> None:
    with anyio.fail_after(10):
        async with make_rig(FOREVER, faults=Faults(create_black_hole=True)) as rig:
            rig.http.timeout = httpx2.Timeout(0.3)
            with pytest.raises(httpx2.ReadTimeout):
                await rig.create()
            call = await rig.exchange.nth_call(1)
            await call.answered.wait()


async def test_hang_up_is_refused(make_rig: Any) -> None:
    async with make_rig(FOREVER, faults=Faults(hangup_status=503)) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            await call.answered.wait()
        assert (await rig.update(call, Status="completed")).status_code == 503
        assert call.status is CarrierStatus.IN_PROGRESS


@pytest.mark.parametrize(
    ("order", "statuses"),
    [
        ("dropped", []),
        ("duplicated", ["initiated"] * 2 + ["ringing"] * 2 + ["in-progress"] * 2 + ["completed"] * 2),
        ("reordered", ["ringing", "initiated", "completed", "in-progress"]),
    ],
)
async def test_callbacks(make_rig: Any, order: Any, statuses: list[str]) -> None:
    async with make_rig(Wait(0.02), faults=Faults(callbacks=order)) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            await call.ended.wait()
        assert [form["CallStatus"] for form in rig.callbacks] == statuses
        assert all(rig.signatures)


@pytest.mark.parametrize("fault", ["wrong", "missing"])
async def test_signatures(make_rig: Any, fault: Any) -> None:
    async with make_rig(Wait(0.02), faults=Faults(callback_signature=fault, media_signature=fault)) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            await call.ended.wait()
        assert rig.signatures == [False] * 4
        assert not session.signed


async def test_completed_without_media(make_rig: Any) -> None:
    async with make_rig(FOREVER, faults=Faults(completed_without_media=True)) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            await call.ended.wait()
        assert [form["CallStatus"] for form in rig.callbacks][-2:] == ["in-progress", "completed"]
        assert "start" not in call.record.kinds()


async def test_media_never_connects(make_rig: Any) -> None:
    async with make_rig(FOREVER, faults=Faults(media_never_connects=True)) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            await rig.callback("in-progress")
            with anyio.move_on_after(0.2) as patience:
                await rig.raw_session()
            assert patience.cancelled_caught
            assert call.status is CarrierStatus.IN_PROGRESS
            await rig.update(call, Status="completed")
            await rig.callback("completed")


@pytest.mark.parametrize(("fault", "parameters"), [("wrong", {"token": "not-t0ken"}), ("missing", {})])
async def test_the_token_is_wrong(make_rig: Any, fault: Any, parameters: dict[str, str]) -> None:
    async with make_rig(FOREVER, faults=Faults(media_token=fault)) as rig:
        await rig.dial()
        with anyio.fail_after(5):
            session = await rig.raw_session()
            start = await session.next("start")
        assert start["start"]["customParameters"] == parameters


async def test_a_second_socket_comes_with_the_same_token(make_rig: Any) -> None:
    async with make_rig(FOREVER, faults=Faults(media_token="reused")) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            first = await rig.session()
            second = await rig.raw_session()
            start = await second.next("start")
            assert start["start"]["customParameters"] == {"token": "t0ken"}
            await second.close(1008)
            await first.next("media")
            while "intruder" not in call.record.kinds():
                await first.next("media")
        assert [event.detail for event in call.record.events if event.kind == "intruder"] == ["closed 1008"]


async def test_stop_comes_without_start(make_rig: Any) -> None:
    async with make_rig(FOREVER, faults=Faults(media_stop_first=True)) as rig:
        await rig.dial()
        with anyio.fail_after(5):
            session = await rig.raw_session()
            await session.next("stop")
        assert session.events() == ["connected", "stop"]


async def test_the_line_is_cut_without_stop(make_rig: Any) -> None:
    async with make_rig(FOREVER, faults=Faults(media_drop_s=0.2)) as rig:
        await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            await session.ended.wait()
            await rig.callback("completed")
        assert "stop" not in session.events()
        assert session.close_code in (1005, 1006)
        assert session.events().count("media") == 10


async def test_frames_stop_while_the_socket_stays(make_rig: Any) -> None:
    async with make_rig(FOREVER, faults=Faults(media_silent_s=0.1)) as rig:
        await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            await session.play(tones.encode("hello"))
            await session.mark("end")
            await session.next("mark")
        assert session.events().count("media") == 5


async def test_junk_is_injected(make_rig: Any) -> None:
    junk = [message for name, message in JUNK.items() if name != "oversize"]
    async with make_rig(FOREVER, faults=Faults(media_junk=tuple(junk))) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            while (await session.next("media"))["media"].get("chunk") != "5":
                pass
        assert call.record.kinds().count("junk") == len(junk)
        regular = ("connected", "start", *["media"] * 5)
        assert len(session.received) == len(regular) + len(junk)
        assert JUNK["binary"] in session.received
        assert "{streamSid}" not in str(session.received)


async def test_an_oversize_message_ends_the_stream_as_on_any_server(make_rig: Any) -> None:
    async with make_rig(FOREVER, faults=Faults(media_junk=(JUNK["oversize"],))) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            await session.ended.wait()
            await call.ended.wait()
        assert call.status is CarrierStatus.COMPLETED


async def test_frames_come_out_of_order(make_rig: Any) -> None:
    async with make_rig(Say("hello"), FOREVER, faults=Faults(media_shuffle=True)) as rig:
        await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            chunks = [(await session.next("media"))["media"]["chunk"] for _ in range(6)]
        assert chunks == ["2", "1", "4", "3", "6", "5"]


async def test_marks_are_lost(make_rig: Any) -> None:
    async with make_rig(FOREVER, faults=Faults(marks_lost=True)) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            await session.mark("end")
            for _ in range(10):
                await session.next("media")
            await session.close()
            await call.ended.wait()
        assert "mark" not in session.events()


async def test_a_phone_that_does_not_answer_callbacks(make_rig: Any) -> None:
    async with make_rig(Wait(0.02)) as rig:
        call = await rig.dial(StatusCallback="http://127.0.0.1:9/nobody")
        with anyio.fail_after(5):
            await call.ended.wait()
        assert [sent.http_status for sent in call.record.callbacks] == [None] * 4
