import queue

import anyio
import anyio.lowlevel
import pytest

from patter.audio import mulaw
from patter.cli.typed import TypedCallee
from patter.local import tones
from patter.local.exchange_record import CallRecord
from patter.local.handset import DialedCall, Handset
from patter.local.voices_tones import TonesTTS

pytestmark = pytest.mark.anyio

QUIET = mulaw.silence(20)
LOUD = tones.encode_word("hello")[:160]


class Call:
    """A handset whose network plays these frames, as fast as the callee listens."""

    def __init__(self, callee):
        self.record = CallRecord()
        self.handset = Handset(DialedCall("CA1", "+15550101001", "+15550100001"), self.record)
        self.callee = callee
        self.over = False

    async def play(self, frame, times=1):
        for _ in range(times):
            self.handset.exchange(frame)
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()

    async def run(self):
        await self.callee.run(self.handset)
        self.over = True

    async def __aenter__(self):
        self.tasks = await anyio.create_task_group().__aenter__()
        self.tasks.start_soon(self.run)
        return self

    async def __aexit__(self, *error):
        self.tasks.cancel_scope.cancel()
        await self.tasks.__aexit__(*error)
        self.handset.dispose()


def lines_of(*lines):
    lines_ = queue.SimpleQueue()
    for line in lines:
        lines_.put(line)
    return lines_


async def test_it_says_each_line_when_it_comes():
    lines = lines_of()
    async with Call(TypedCallee(TonesTTS(), lines)) as call:
        await call.play(QUIET, 5)
        assert call.record.said == []
        lines.put("Hello there.")
        await call.play(LOUD, 2)
        assert call.record.said == ["Hello there."] and call.handset.speaking
        lines.put(None)
        await call.play(QUIET, 200)
        assert call.over and not call.handset.speaking


async def test_it_hangs_up_only_after_its_last_word():
    async with Call(TypedCallee(TonesTTS(), lines_of("Goodbye.", None))) as call:
        await call.play(QUIET, 3)
        assert call.handset.speaking and not call.over
        await call.play(QUIET, 200)
        assert call.over


async def test_the_end_of_the_call_ends_it():
    async with Call(TypedCallee(TonesTTS(), lines_of())) as call:
        await call.play(QUIET, 3)
        call.handset.end()
        await anyio.wait_all_tasks_blocked()
        assert call.over


async def test_lines_of_a_file_wait_for_their_turn():
    async with Call(TypedCallee(TonesTTS(), lines_of("One.", "Two.", None), takes_turns=True)) as call:
        await call.play(QUIET, 100)
        assert call.record.said == ["One."]
        await call.play(LOUD, 50)
        await call.play(QUIET, 30)
        assert call.record.said == ["One."]
        await call.play(QUIET, 20)
        assert call.record.said == ["One.", "Two."]
        await call.play(QUIET, 300)
        assert not call.over
        await call.play(QUIET, 200)
        assert call.over
