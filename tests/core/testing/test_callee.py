import pytest

from patter.audio.mulaw import duration_ms
from patter.call.onset import Onset
from patter.carriers.base import Digits, Media, Stopped
from patter.testing import Callee
from patter.voice.base import EndOfSpeech, Hearing

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaked_tasks")]


async def events(callee, until=Stopped):
    line = callee.line()
    got = []
    while not got or not isinstance(got[-1][1], until):
        event = await line.receive()
        got.append((round(line.now_s, 6), event))
    return got


@pytest.mark.parametrize("frame_ms", [10, 20, 60])
async def test_speech_opens_and_closes_the_onset_gate(frame_ms):
    callee = Callee(frame_ms=frame_ms).says(1.0, "one two three").hangs_up(9.0)
    gate, changes = Onset(), []
    for at, event in await events(callee):
        if isinstance(event, Media) and (change := gate.feed(event.audio)) is not None:
            changes.append((at, change))
    assert changes == [(pytest.approx(1.12, abs=0.06), True), (pytest.approx(1.9 + 0.24), False)]


async def test_frames_come_when_they_were_spoken():
    frames = [
        (at, event)
        for at, event in await events(Callee(frame_ms=20).says(1.0, "one").hangs_up(9.0))
        if isinstance(event, Media)
    ]
    assert [at for at, _ in frames[:3]] == [1.02, 1.04, 1.06]
    assert sum(duration_ms(frame.audio) for _, frame in frames) == 300 + 240
    assert all(frame.at_ms == round(at * 1000) for at, frame in frames)


async def test_words_are_guessed_one_by_one_and_then_final():
    callee = Callee().says(1.0, "one two three", end=EndOfSpeech.TURN)
    line = callee.line()
    line.answer()
    ears = callee.ears(line, delay_s=0.1, final_s=0.2)
    got = []
    async with ears.open() as session:
        async for hearing in session:
            got.append((round(line.now_s, 6), hearing))
            if hearing.is_final:
                await session.finish()
    assert got == [
        (1.34, Hearing("one", is_final=False)),
        (1.64, Hearing("one two", is_final=False)),
        (2.14, Hearing("one two three", is_final=True, end=EndOfSpeech.TURN)),
    ]


async def test_the_ears_may_mishear_and_never_be_sure():
    callee = Callee().says(1.0, "one two", heard="won too", final=False)
    line = callee.line()
    line.answer()
    ears = callee.ears(line)
    async with ears.open() as session:
        assert [(await anext(session)).text for _ in range(2)] == ["won", "won too"]
    ears.assert_complete()


async def test_keys_mumbles_and_a_broken_line():
    got = await events(Callee().mumbles(0.5, 300).presses(2.0, "12").drops(3.0, "gone"))
    assert got[-2:] == [(2.0, Digits("12")), (3.0, Stopped(clean=False, reason="gone"))]
    assert any(isinstance(event, Media) for _, event in got)


async def test_nobody_says_two_things_at_once():
    with pytest.raises(ValueError, match=r"still speaks at 1\.5 s, until 1\.6 s"):
        Callee().says(1.0, "one two").says(1.5, "three")
