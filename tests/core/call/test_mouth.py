"""The mouth sends nothing behind a clear, whatever wakes it in that moment."""

import anyio
import pytest

from patter.audio.mulaw import silence
from patter.call.mouth import Mouth
from patter.settings import Timing
from patter.voice.base import Speech

pytestmark = pytest.mark.anyio


class Line:
    """Writes down what it is told."""

    def __init__(self):
        self.sent = []

    def play(self, audio):
        self.sent.append("play")

    def mark(self, name):
        self.sent.append("mark")

    def clear(self):
        self.sent.append("clear")


async def words():
    for number in range(20):
        yield Speech(silence(100), f"word{number}")


async def test_a_mouth_that_wakes_in_the_moment_of_a_cut_is_silent():
    line = Line()
    mouth = Mouth(line, Timing(), on_audio=lambda now: None, tap=None)
    began = anyio.current_time()
    with anyio.CancelScope() as scope:

        async def cut():
            # The mouth has sent its lead of 300 ms, and its own timer for the next slice ends at the same time.
            await anyio.sleep_until(began + 0.1)
            mouth.cut(anyio.current_time())
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cut)
            await anyio.lowlevel.checkpoint()
            await mouth.speak(words())
    assert line.sent[-1] == "clear"
    assert line.sent.count("play") == 3
