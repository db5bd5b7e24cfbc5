from collections.abc import AsyncGenerator

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from patter.errors import ProviderError
from patter.voice.base import Speech, Voice
from patter.voice.clausewise import CLAUSES_AHEAD, PIECES_AHEAD, ClausewiseVoice

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Synthesiser:
    """Speaks each word; ``fail`` is a word it cannot say, ``stuck`` one it never gets done with."""

    def __init__(self, fail: Exception | None = None) -> None:
        self.fail = fail
        self.clauses: list[str] = []
        self.pieces = 0
        self.closed = 0

    async def __call__(self, text: str) -> AsyncGenerator[Speech, None]:
        self.clauses.append(text)
        try:
            for word in text.split():
                await checkpoint()
                if word == "fail" and self.fail:
                    raise self.fail
                if word == "stuck":
                    await anyio.sleep_forever()
                self.pieces += 1
                yield Speech(word.encode(), word)
        finally:
            self.closed += 1


async def test_clauses_are_spoken_in_order_and_the_end_is_the_end() -> None:
    synthesiser = Synthesiser()
    voice: Voice = ClausewiseVoice(synthesiser)
    async with voice.utter() as utterance:
        await utterance.say("one two")
        await utterance.say("  \n")
        await utterance.say("three")
        await utterance.finish()
        await utterance.finish()
        assert [speech.text async for speech in utterance] == ["one", "two", "three"]
        assert [speech.text async for speech in utterance] == []
    assert synthesiser.clauses == ["one two", "three"]


async def test_speech_comes_while_text_is_still_being_written() -> None:
    synthesiser = Synthesiser()
    async with ClausewiseVoice(synthesiser).utter() as utterance:
        await utterance.say("one")
        assert (await utterance.__anext__()).text == "one"
        await utterance.say("two")
        assert (await utterance.__anext__()).text == "two"
    assert synthesiser.closed == 2


async def test_it_reads_ahead_within_bounds() -> None:
    synthesiser = Synthesiser()
    async with ClausewiseVoice(synthesiser).utter() as utterance:
        await utterance.say("word " * 500)
        await wait_all_tasks_blocked()
        assert synthesiser.pieces == PIECES_AHEAD + 1
        for _ in range(CLAUSES_AHEAD):
            await utterance.say("more")
        with anyio.move_on_after(0) as waited:
            await utterance.say("too much")
        assert waited.cancelled_caught
    assert synthesiser.closed == 1


async def test_leaving_early_stops_the_synthesis() -> None:
    synthesiser = Synthesiser()
    async with ClausewiseVoice(synthesiser).utter() as utterance:
        await utterance.say("one stuck")
        await utterance.say("never")
        assert (await utterance.__anext__()).text == "one"
    assert (synthesiser.clauses, synthesiser.closed) == (["one stuck"], 1)


async def test_cancelling_the_turn_stops_the_synthesis() -> None:
    synthesiser = Synthesiser()
    with anyio.CancelScope() as turn:
        async with ClausewiseVoice(synthesiser).utter() as utterance:
            await utterance.say("stuck")
            await wait_all_tasks_blocked()
            turn.cancel()
            async for _ in utterance:
                pytest.fail("nothing was synthesised")
    assert turn.cancelled_caught
    assert synthesiser.closed == 1


async def test_a_failure_is_raised_by_the_iteration_only_after_what_was_spoken() -> None:
    failure = ProviderError("tts", "no more credit")
    async with ClausewiseVoice(Synthesiser(failure)).utter() as utterance:
        await utterance.say("one fail")
        assert (await utterance.__anext__()).text == "one"
        await wait_all_tasks_blocked()
        await utterance.say("two")
        await utterance.finish()
        for _ in range(2):
            with pytest.raises(ProviderError, match="no more credit"):
                await utterance.__anext__()


async def test_the_owners_error_passes_unwrapped() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with ClausewiseVoice(Synthesiser()).utter() as utterance:
            await utterance.say("stuck")
            raise KeyError("mine")


async def test_a_mistake_in_the_synthesis_is_not_hidden() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with ClausewiseVoice(Synthesiser(ZeroDivisionError())).utter() as utterance:
            await utterance.say("fail")
            await anyio.sleep_forever()
    assert caught.group_contains(ZeroDivisionError)
