"""The exchange's media socket: frames at the pace of life, a playback buffer, marks, clear and keys."""

from __future__ import annotations

import base64
from typing import Any

import anyio
import pytest

from patter.audio import dtmf
from patter.local import tones
from patter.local.dialogue import Listen, Press, Say

pytestmark = pytest.mark.anyio

FOREVER = Listen(timeout_s=None)


async def test_media_opens_as_twilio_does(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            session = await rig.raw_session()
            connected = await session.next("connected")
            start = await session.next("start")
            media = await session.next("media")
        assert session.signed
        assert (connected["protocol"], connected["version"]) == ("Call", "1.0.0")
        assert start["sequenceNumber"] == "1"
        assert start["start"]["callSid"] == call.sid
        assert start["start"]["customParameters"] == {"token": "t0ken"}
        assert start["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        assert media["media"]["track"] == "inbound"
        assert (media["media"]["chunk"], media["media"]["timestamp"]) == ("1", "0")
        assert base64.b64decode(media["media"]["payload"]) == b"\xff" * 160
        assert media["streamSid"] == start["streamSid"]


async def test_fifty_frames_a_second_without_drift(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        await rig.dial()
        with anyio.fail_after(10):
            session = await rig.session()
            frames = [await session.next("media") for _ in range(51)]
        assert frames[-1]["at"] - frames[0]["at"] == pytest.approx(1.0, abs=0.15)
        assert [frame["media"]["chunk"] for frame in frames] == [str(n) for n in range(1, 52)]
        assert frames[50]["media"]["timestamp"] == "1000"
        assert [int(frame["sequenceNumber"]) for frame in frames] == list(range(2, 53))


async def test_both_sides_hear_each_other_word_for_word(make_rig: Any) -> None:
    async with make_rig(Say("good morning this is the studio"), FOREVER) as rig:
        call = await rig.dial()
        with anyio.fail_after(10):
            session = await rig.session()
            audio = tones.encode("hello I am an assistant")
            for at in range(0, len(audio), 333):  # any size of payload will do
                await session.play(audio[at : at + 333])
            await session.mark("end")
            await session.next("mark")
            await rig.update(call, Status="completed")
            await call.ended.wait()
        assert call.heard == ["hello I am an assistant"]
        assert call.said == ["good morning this is the studio"]
        assert session.words().startswith("good morning this")
        assert call.record.received == audio
        assert call.record.warnings == []


async def test_a_mark_comes_back_when_its_audio_has_been_played(make_rig: Any, silence_s: Any) -> None:
    async with make_rig(FOREVER) as rig:
        await rig.dial()
        with anyio.fail_after(10):
            session = await rig.session()
            began = anyio.current_time()
            await session.mark("nothing before")
            await session.play(silence_s(0.25))
            await session.mark("first")
            await session.play(silence_s(0.25))
            await session.mark("second")
            marks = [await session.next("mark") for _ in range(3)]
        assert [mark["mark"]["name"] for mark in marks] == ["nothing before", "first", "second"]
        late = [mark["at"] - began for mark in marks]
        assert late[0] < 0.2
        assert 0.25 <= late[1] < 0.45
        assert 0.5 <= late[2] < 0.8


async def test_clear_drops_the_audio_and_returns_the_marks_at_once(make_rig: Any, silence_s: Any) -> None:
    async with make_rig(FOREVER) as rig:
        call = await rig.dial()
        with anyio.fail_after(10):
            session = await rig.session()
            await session.play(tones.encode("heard") + silence_s(0.3))
            await session.mark("heard")
            await session.play(tones.encode("never heard by anybody") * 10)
            await session.mark("one")
            await session.mark("two")
            await session.next("mark")
            cleared_at = anyio.current_time()
            await session.clear()
            marks = [await session.next("mark") for _ in range(2)]
            assert marks[-1]["at"] - cleared_at < 0.3
            await session.play(silence_s(0.02))
            await session.mark("after")
            after = await session.next("mark")
            await session.close()
            await call.ended.wait()
        assert [mark["mark"]["name"] for mark in (*marks, after)] == ["one", "two", "after"]
        # What played before the clear was at most a frame or two of the next word.
        assert call.heard == ["heard"]
        assert len(call.record.clears) == 1


async def test_keys_of_the_callee_arrive_as_dtmf(make_rig: Any) -> None:
    async with make_rig(Press("1#"), FOREVER) as rig:
        await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            keys = [await session.next("dtmf") for _ in range(2)]
        assert [key["dtmf"] for key in keys] == [
            {"track": "inbound_track", "digit": "1"},
            {"track": "inbound_track", "digit": "#"},
        ]


async def test_arrivals_tell_what_was_left_to_play_and_marks_what_was_reached(make_rig: Any, silence_s: Any) -> None:
    async with make_rig(FOREVER) as rig:
        call = await rig.dial()
        with anyio.fail_after(10):
            session = await rig.session()
            began = anyio.current_time()
            await session.play(silence_s(0.2))
            await session.mark("first")
            await session.play(silence_s(0.1))
            await session.mark("second")
            await session.next("mark")
            await session.next("mark")
            await session.play(silence_s(0.1))
            await session.mark("third")
            await session.next("mark")
        first, second, third = call.record.arrivals
        assert [arrival.ms for arrival in (first, second, third)] == [200, 100, 100]
        assert began <= first.at_s <= second.at_s <= third.at_s
        assert first.ahead_ms < 0
        assert 100 < second.ahead_ms <= 220
        assert -200 < third.ahead_ms <= 20
        assert [before_ms for _, before_ms in call.record.reached] == [200, 300, 400]
        assert second.at_s < call.record.reached[1][0] <= third.at_s < call.record.reached[2][0]


async def test_keys_of_the_agent_are_heard_in_band(make_rig: Any) -> None:
    async with make_rig(Listen(), Say("thank you"), hears_keys=True) as rig:
        call = await rig.dial()
        with anyio.fail_after(10):
            session = await rig.session()
            await session.play(dtmf.tones("7"))
            await call.ended.wait()
        assert call.record.digits_heard == "7"
        assert call.said == ["thank you"]


async def test_our_mistakes_are_noted_with_twilios_codes(make_rig: Any) -> None:
    async with make_rig(FOREVER) as rig:
        call = await rig.dial()
        with anyio.fail_after(5):
            session = await rig.session()
            await session.send_raw(b"\x00")
            await session.send(event="jazz")
            await session.send(event="clear", streamSid="MZother")
            await session.send(event="media", media={"payload": "*"})
            await session.send(event="media", media={"payload": "//8=", "track": "outbound"})
            await session.mark("still alive")
            await session.next("mark")
        assert [code for code, _ in call.record.warnings] == [31950, 31951, 31951, 31951, 31951]


async def test_interruption_by_a_script(make_rig: Any) -> None:
    async with make_rig(Listen(after_words=2), Say("wait"), Listen()) as rig:
        call = await rig.dial()
        with anyio.fail_after(10):
            session = await rig.session()
            await session.play(tones.encode("one two three four five six seven eight nine ten"))
            while "wait" not in session.words():
                await session.next("media")
            await session.clear()
            await call.ended.wait()
        heard = " ".join(call.heard).split()
        assert 2 <= len(heard) < 10
        assert heard == "one two three four five six seven eight nine ten".split()[: len(heard)]
