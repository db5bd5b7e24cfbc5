import anyio
import pytest

from patter.audio.mulaw import BYTES_PER_MS
from patter.carriers.base import Digits, Mark, Media, Stopped
from patter.testing import HeardWord, ScriptedLine, word_audio

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaked_tasks")]


async def until(line, at_s):
    await anyio.sleep_until(line.answered_at + at_s)


async def with_pump(line, script):
    """Pump and receive while the script runs; returns the events with their times."""
    events = []

    async def receive():
        while True:
            event = await line.receive()
            events.append((round(line.now_s, 6), event))
            if isinstance(event, Stopped):
                return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(line.pump)
        tasks.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        await script()
        await line.close()
    return events


def word(text, ms=300):
    return word_audio(text, ms)


async def test_audio_is_played_in_order_at_1x():
    line = ScriptedLine()

    async def script():
        line.play(word("one"))
        line.play(word("two"))
        await until(line, 0.45)
        assert line.heard_text() == "one"
        assert len(line.heard_audio()) == 450 * BYTES_PER_MS
        await until(line, 1.0)
        line.play(word("three"))
        await until(line, 2.0)

    await with_pump(line, script)
    assert line.heard_words() == [HeardWord("one", 0.0, 0.3), HeardWord("two", 0.3, 0.6), HeardWord("three", 1.0, 1.3)]


async def test_a_word_may_come_in_slices():
    line = ScriptedLine()

    async def script():
        audio = word("sliced", 250)
        for start in range(0, len(audio), 800):
            line.play(audio[start : start + 800])
        await until(line, 1.0)

    await with_pump(line, script)
    assert line.heard_words() == [HeardWord("sliced", 0.0, 0.25)]


@pytest.mark.parametrize("rtt_s", [0.0, 0.12])
async def test_marks_come_back_when_the_audio_before_them_was_played(rtt_s):
    line = ScriptedLine(rtt_s=rtt_s)

    async def script():
        line.mark("empty")
        line.play(word("one"))
        line.mark("one")
        line.play(word("two"))
        line.mark("two")
        await until(line, 2.0)

    events = await with_pump(line, script)
    expected = [(rtt_s, Mark("empty")), (0.3 + rtt_s, Mark("one")), (0.6 + rtt_s, Mark("two"))]
    assert events[:-1] == [(pytest.approx(at_s), mark) for at_s, mark in expected]


async def test_clear_drops_what_was_not_played_and_brings_every_mark_back():
    line = ScriptedLine()

    async def script():
        for text in ("one", "two", "three"):
            line.play(word(text))
            line.mark(text)
        await until(line, 0.4)
        line.clear()
        await until(line, 0.5)
        line.play(word("next"))
        line.mark("next")
        await until(line, 2.0)

    events = await with_pump(line, script)
    assert events[:-1] == [(0.3, Mark("one")), (0.4, Mark("two")), (0.4, Mark("three")), (0.8, Mark("next"))]
    assert line.heard_words() == [HeardWord("one", 0.0, 0.3), HeardWord("next", 0.5, 0.8)]
    assert [(sent.kind, sent.at_s) for sent in line.sent if sent.kind == "clear"] == [("clear", 0.4)]


async def test_marks_can_be_lost():
    line = ScriptedLine(lose_marks=[2])

    async def script():
        for name in ("a", "b", "c"):
            line.mark(name)
        await until(line, 1.0)

    events = await with_pump(line, script)
    assert [event.name for _, event in events[:-1]] == ["a", "c"]


async def test_the_callee_is_heard_and_hangs_up():
    frame = Media(b"\x10" * 160, 120)
    line = ScriptedLine([(0.5, Digits("1")), (0.12, frame), (2.0, Stopped(clean=True, reason="hung up"))])
    got = [await line.receive() for _ in range(3)]
    assert got == [frame, Digits("1"), Stopped(clean=True, reason="hung up")]
    assert line.now_s == 2.0
    assert await line.receive() == got[-1]
    assert line.over.is_set() and not line.closed


async def test_nothing_is_played_after_the_end():
    line = ScriptedLine([(0.45, Stopped(clean=False))])

    async def script():
        line.play(word("one"))
        line.play(word("two"))
        await until(line, 1.0)
        line.play(word("late"))

    await with_pump(line, script)
    assert line.heard_text() == "one"
    assert len(line.sent) == 2


async def test_a_short_stall_delays_and_a_long_one_ends_the_line():
    line = ScriptedLine(stall=(0.5, 1.5))

    async def script():
        await until(line, 1.0)
        line.play(word("late"))
        await until(line, 3.0)

    await with_pump(line, script)
    assert [sent.at_s for sent in line.sent] == [1.5]

    line = ScriptedLine(stall=(0.5, 99.0))

    async def long_script():
        await until(line, 1.0)
        line.play(word("never"))
        await until(line, 10.0)

    events = await with_pump(line, long_script)
    assert events == [(3.0, Stopped(clean=False, reason="the carrier does not read"))]
    assert line.sent == []


async def test_queued_audio_is_dropped_by_a_clear_and_queued_marks_are_not():
    line = ScriptedLine(stall=(0.0, 1.0))

    async def script():
        line.play(word("never"))
        line.mark("m")
        line.clear()
        await until(line, 2.0)

    events = await with_pump(line, script)
    assert events[0] == (1.0, Mark("m"))
    assert line.heard_words() == []


async def test_closing_twice_does_nothing():
    line = ScriptedLine()
    await line.close()
    await line.close()
    assert line.closed
    assert await line.receive() == Stopped(clean=True, reason="closed")


@pytest.mark.parametrize(("script", "expected"), [([(1.0, Stopped(clean=True))], True), ([], False)])
async def test_a_hang_up_is_known_even_if_nobody_receives(script, expected):
    line = ScriptedLine(script)
    line.answer()
    async with anyio.create_task_group() as tasks:
        if not expected:
            tasks.start_soon(line.close)
        assert await line.wait_hung_up() is expected
    assert line.now_s == (1.0 if expected else 0.0)
