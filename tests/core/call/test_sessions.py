"""Ears, mind and voice of a call: opened side by side, closed within a second."""

from contextlib import asynccontextmanager

import anyio
import pytest

from patter.agent import Agent
from patter.call.sessions import Sessions
from patter.errors import ProviderError
from patter.testing import ScriptedMind

pytestmark = pytest.mark.anyio

CALL = {"call_id": "CA1", "caller": "+15550100001", "callee": "+15550100199"}


class Provider:
    """Opens and closes slowly, or not at all."""

    def __init__(self, model, *, open_s=0.0, close_s=0.0, error=None, breaks_at=None):
        self.model = model
        self.is_open = False
        self._open_s, self._close_s, self._error, self._breaks_at = open_s, close_s, error, breaks_at

    @asynccontextmanager
    async def open(self, *_):
        await anyio.sleep(self._open_s)
        if self._error is not None:
            raise self._error
        self.is_open = True
        try:
            yield self
            if self._breaks_at is not None:
                raise RuntimeError("broke")
        finally:
            self.is_open = False
            await anyio.sleep(self._close_s)

    def stream(self, messages, tools):
        raise NotImplementedError


def sessions(stt=None, llm=None, tts=None, *, open_s=5.0, failures=None):
    agent = Agent(stt=stt or Provider("a/stt"), llm=llm or ScriptedMind(), tts=tts or Provider("c/tts"))
    return Sessions(agent, CALL, open_s=open_s, on_failure=(failures if failures is not None else []).append)


async def test_they_open_side_by_side(no_leaked_tasks):
    slow = [Provider(f"x/{name}", open_s=1.0) for name in ("stt", "llm", "tts")]
    async with sessions(*slow) as opened:
        assert anyio.current_time() == pytest.approx(1.0, abs=0.01)
        assert (opened.ears, opened.mind, opened.voice) == tuple(slow)
    assert not any(provider.is_open for provider in slow)


async def test_a_mind_without_sessions_is_used_as_it_is(no_leaked_tasks):
    mind = ScriptedMind()
    async with sessions(llm=mind) as opened:
        assert opened.mind is mind


async def test_a_session_names_the_model_that_works_now(no_leaked_tasks):
    ears = Provider("a/first")
    async with sessions(ears) as opened:
        assert (opened.stt, opened.llm, opened.tts) == ("a/first", "local/scripted-mind", "c/tts")
        ears.model = "a/second"
        assert opened.stt == "a/second"


@pytest.mark.parametrize(("stage", "place"), [("stt", 0), ("llm", 1), ("tts", 2)])
async def test_one_that_does_not_open_is_named(stage, place, no_leaked_tasks):
    providers = [None, None, None]
    providers[place] = Provider("slow/one", open_s=9.0)
    with pytest.raises(ProviderError, match="did not open its session within 5 s") as caught:
        async with sessions(*providers):
            raise AssertionError("it is not open")
    assert caught.value.stage == stage
    assert anyio.current_time() == pytest.approx(5.0, abs=0.01)


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_refusal_is_raised_at_once_and_closes_the_others(place, no_leaked_tasks):
    refusal = ProviderError("stt", "no such key")
    others = [Provider(f"x/{number}") for number in range(3)]
    others[place] = Provider("x/refused", error=refusal)
    with pytest.raises(ProviderError) as caught:
        async with sessions(*others):
            raise AssertionError("it is not open")
    assert caught.value is refusal
    assert not any(provider.is_open for provider in others)


async def test_one_that_is_slow_to_close_is_not_waited_for(no_leaked_tasks):
    async with sessions(Provider("x/stt", close_s=30.0)):
        pass
    assert anyio.current_time() == pytest.approx(1.0, abs=0.01)


async def test_an_error_of_the_owner_passes_as_it_is(no_leaked_tasks):
    with pytest.raises(KeyError):
        async with sessions():
            raise KeyError("mine")


async def test_what_breaks_at_the_close_does_not_reach_the_call(no_leaked_tasks):
    failures = []
    async with sessions(Provider("x/stt", breaks_at=1.0), failures=failures):
        pass
    assert failures == []
