"""Texts are played in the order in which they came, and whoever waits knows when."""

import anyio
import pytest

from patter.call.delivery import Delivery
from patter.testing import ScriptedVoice

pytestmark = pytest.mark.anyio


class Stage:
    """A delivery that is run, and played word by word, a second each."""

    def __init__(self):
        self.delivery = Delivery()
        self.voice = ScriptedVoice(first_audio_s=0.0)
        self.heard = []
        self.began = anyio.current_time()

    async def run(self):
        await self.delivery.run(self.voice, self.play)

    async def play(self, utterance):
        async for speech in utterance:
            await anyio.sleep(1.0)
            self.heard.append(speech.text)

    @property
    def now_s(self):
        return anyio.current_time() - self.began


async def test_what_follows_a_wait_is_another_utterance():
    stage = Stage()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stage.run)
        await stage.delivery.played()
        assert stage.now_s == 0.0  # nothing was said
        await stage.delivery.say("one two")
        await stage.delivery.say("three")
        await stage.delivery.played()
        assert (stage.now_s, stage.heard) == (3.0, ["one", "two", "three"])
        await stage.delivery.played()
        assert stage.now_s == 3.0
        await stage.delivery.say("four")
        await stage.delivery.finish()
    assert stage.now_s == 4.0
    assert stage.voice.utterances == [["one two", "three"], ["four"]]


async def test_what_is_said_while_somebody_waits_is_said_afterwards_in_its_order():
    stage = Stage()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stage.run)
        await stage.delivery.say("one")
        tasks.start_soon(stage.delivery.played)
        await anyio.sleep(0.5)
        for text in ("two", "three"):
            tasks.start_soon(stage.delivery.say, text)
        await anyio.sleep(0.1)
        assert stage.voice.utterances == [["one"]]
        await anyio.sleep(2.0)
        await stage.delivery.finish()
    assert stage.heard == ["one", "two", "three"]


async def test_finishing_right_after_a_wait_says_nothing_more():
    stage = Stage()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stage.run)
        await stage.delivery.say("one")
        await stage.delivery.played()
        await stage.delivery.finish()
    assert (stage.heard, stage.now_s) == (["one"], 1.0)


async def test_a_cancelled_delivery_leaves_nobody_waiting():
    stage = Stage()
    with anyio.move_on_after(1.5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.run)
            await stage.delivery.say("one two three")
            tasks.start_soon(stage.delivery.played)
            await anyio.sleep(0.1)
            await stage.delivery.say("four")
    assert stage.heard == ["one"]
