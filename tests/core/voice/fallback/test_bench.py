"""Who is asked next, and sessions that are held beside the work."""

from contextlib import asynccontextmanager

import anyio
import pytest

from patter.errors import ConfigError, ProviderError
from patter.testing import ScriptedLine, ScriptedMind, ScriptedVoice
from patter.testing.pytest_plugin import anyio_backend, no_leaked_tasks
from patter.voice.base import ChatModel, PerCallChatModel, SpeechToText, TextToSpeech
from patter.voice.fallback.bench import Bench
from patter.voice.fallback.llm import FallbackLLM
from patter.voice.fallback.stt import FallbackSTT
from patter.voice.fallback.tts import FallbackTTS
from patter.voice.held import HeldSessions

__all__ = ["anyio_backend", "no_leaked_tasks"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaked_tasks")]

LATE = ProviderError("tts", "late")


@pytest.mark.parametrize(
    ("rests", "now", "out", "order"),
    [
        ((), 0, (), [0, 1, 2]),
        (((0, 0),), 5, (), [1, 2, 0]),
        (((0, 0), (1, 2)), 5, (), [2, 0, 1]),
        (((0, 0),), 10, (), [0, 1, 2]),
        (((0, 0), (1, 0), (2, 0)), 5, (), [0, 1, 2]),
        ((), 0, {0}, [1, 2]),
        (((1, 0),), 5, {0}, [2, 1]),
        ((), 0, {0, 1, 2}, [0, 1, 2]),
    ],
)
def test_whoever_rests_is_asked_last_and_whoever_is_out_is_not_asked(rests, now, out, order):
    bench = Bench(3, rest_s=10)
    for index, at in rests:
        bench.rest(index, at)
    assert bench.order(now, out=out) == order


def test_one_provider_is_no_fallback():
    for fallback, provider in ((FallbackLLM, ScriptedMind()), (FallbackTTS, ScriptedVoice())):
        with pytest.raises(ConfigError, match=f"{fallback.__name__} needs at least two"):
            fallback(provider)


def test_each_fallback_is_what_it_is_made_of():
    line = ScriptedLine()
    mind: ChatModel = FallbackLLM(ScriptedMind(model="a/one"), ScriptedMind(model="b/two"))
    voice: TextToSpeech = FallbackTTS(ScriptedVoice(model="a/one"), ScriptedVoice(model="b/two"))
    ears: SpeechToText = FallbackSTT(Callable(line, "a/one"), Callable(line, "b/two"))
    assert (mind.model, voice.model, ears.model) == ("a/one", "a/one", "a/one")
    assert isinstance(mind, PerCallChatModel)


class Callable:
    def __init__(self, line, model):
        self.model = model

    def open(self):
        raise NotImplementedError


class Startable(ScriptedMind):
    started = False

    async def start(self):
        self.started = True


async def test_starting_starts_those_that_have_something_to_start():
    startable = Startable()
    startable.speculative = False
    mind = FallbackLLM(ScriptedMind(), startable)
    await mind.start()
    assert startable.started
    assert mind.speculative is False
    assert FallbackLLM(ScriptedMind(), ScriptedMind()).speculative is True


@asynccontextmanager
async def session(log, *, open_s=0.0, close_s=0.0, error=None, close_error=None):
    await anyio.sleep(open_s)
    if error:
        raise error
    log.append("open")
    try:
        yield log
    finally:
        await anyio.sleep(close_s)
        log.append("closed")
        if close_error:
            raise close_error


async def test_a_session_is_held_until_the_end_and_closed_there():
    log = []
    async with HeldSessions() as sessions:
        assert await sessions.open(session(log, close_s=0.5), within_s=1, late=LATE) is log
        await anyio.sleep(5)
        assert log == ["open"]
    assert log == ["open", "closed"]
    assert anyio.current_time() == pytest.approx(5.5)


async def test_a_session_that_is_given_up_closes_beside_the_work():
    log = []
    async with HeldSessions() as sessions:
        held = await sessions.open(session(log, close_s=0.5, close_error=LATE), within_s=1, late=LATE)
        sessions.close(held)
        assert log == ["open"]
        await anyio.sleep(1)
        assert log == ["open", "closed"]
    assert anyio.current_time() == pytest.approx(1)


async def test_sessions_that_are_slow_to_close_do_not_hold_anybody_for_more_than_a_second():
    async with HeldSessions() as sessions:
        for _ in range(3):
            await sessions.open(session([], close_s=60), within_s=1, late=LATE)
    assert anyio.current_time() <= 1


async def test_a_session_that_fails_to_open_or_is_late_is_an_error_and_leaves_nothing():
    log = []
    async with HeldSessions() as sessions:
        with pytest.raises(ProviderError, match="refused"):
            await sessions.open(session(log, error=ProviderError("tts", "refused")), within_s=1, late=LATE)
        with pytest.raises(ProviderError, match="late"):
            await sessions.open(session(log, open_s=60), within_s=1, late=LATE)
        assert anyio.current_time() == pytest.approx(1)
    assert log == []
    assert anyio.current_time() == pytest.approx(1)


async def test_whoever_gives_up_opening_leaves_nothing():
    log = []
    async with HeldSessions() as sessions:
        with anyio.move_on_after(0.5):
            await sessions.open(session(log, open_s=1), within_s=5, late=LATE)
        await anyio.sleep(5)
    assert log == []
