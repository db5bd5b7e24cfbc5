"""When one provider's ears fail, the next one hears again what was not understood yet."""

from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.agent import Agent
from patter.audio.mulaw import BYTES_PER_MS, silence
from patter.errors import ProviderError
from patter.testing import (
    Callee,
    ScriptedCarrier,
    ScriptedEars,
    ScriptedMind,
    ScriptedVoice,
    check_invariants,
    word_audio,
)
from patter.testing.pytest_plugin import anyio_backend, no_leaked_tasks
from patter.voice.base import EndOfSpeech, Hearing
from patter.voice.fallback.stt import FallbackSTT

__all__ = ["anyio_backend", "no_leaked_tasks"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaked_tasks")]

GONE = ProviderError("stt", "the connection is gone", retryable=True)
WRONG_KEY = ProviderError("stt", "wrong key")
BYTES_PER_S = 1000 * BYTES_PER_MS


@dataclass
class Fault:
    """The session dies after so many bytes, in sending or in hearing."""

    after: int
    error: ProviderError = GONE
    where: str = "hearing"


class Listener:
    """Ears that understand `word_audio`: a final for each word, timed by their own session's audio."""

    def __init__(self, *faults, model="local/listener", open_s=0.0, open_errors=(), timed=True):
        self.model = model
        self.faults = list(faults)
        self.open_errors = list(open_errors)
        self.open_s = open_s
        self.timed = timed
        self.opened = 0
        self.open_now = 0
        self.received = []

    @asynccontextmanager
    async def open(self):
        self.opened += 1
        await anyio.sleep(self.open_s)
        if self.open_errors and (error := self.open_errors.pop(0)):
            raise error
        self.open_now += 1
        self.received.append(0)
        try:
            yield Listening(self, self.faults.pop(0) if self.faults else None)
        finally:
            self.open_now -= 1


class Listening:
    def __init__(self, owner, fault):
        self.owner, self.fault = owner, fault
        self.audio, self.read = bytearray(), 0
        self.finished = False
        self.news = anyio.Event()

    async def send(self, audio):
        await anyio.lowlevel.checkpoint()
        self.audio += audio
        self.owner.received[-1] += len(audio)
        if self.dead and self.fault.where == "sending":
            raise self.fault.error
        self.wake()

    async def finish(self):
        self.finished = True
        self.wake()

    @property
    def dead(self):
        return self.fault is not None and len(self.audio) >= self.fault.after

    def wake(self):
        self.news.set()
        self.news = anyio.Event()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            await anyio.lowlevel.checkpoint()
            if (word := self.next_word()) is not None:
                return word
            if self.dead and self.fault.where == "hearing":
                raise self.fault.error
            if self.finished or (self.dead and self.fault.where == "silently"):
                raise StopAsyncIteration
            await self.news.wait()

    def next_word(self):
        found = self.audio.find(b"\x02", self.read)
        if found < 0 or (head := self.audio.find(b"\x03", found)) < 0:
            return None
        ms, _, text = bytes(self.audio[found + 1 : head]).partition(b":")
        until = found + int(ms) * BYTES_PER_MS
        if len(self.audio) < until or (self.dead and until > self.fault.after):
            return None
        self.read = until
        return Hearing(text.decode(), True, ended_at_s=until / BYTES_PER_S if self.owner.timed else None)


def spoken(words, gaps):
    """Audio of the words with silence between them, and when each word ends."""
    audio, ends = b"", []
    for word, gap in zip(words, gaps, strict=True):
        audio += silence(gap) + word_audio(word, 200)
        ends.append(pytest.approx(len(audio) / BYTES_PER_S, abs=1e-3))
    return audio, ends


async def hear(ears, audio, *, frame=160, pace_s=0.0):
    """Everything that is understood of it."""
    got = []

    async def listen():
        async for hearing in ears:
            got.append(hearing)  # noqa: PERF401

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        for start in range(0, len(audio), frame):
            await ears.send(audio[start : start + frame])
            await anyio.sleep(pace_s)
        await ears.finish()
    return got


WORDS = ["a", "table", "for", "two", "at", "seven"]
AUDIO, ENDS = spoken(WORDS, [100, 0, 300, 0, 0, 900])


async def test_the_first_choice_listens_as_long_as_it_can():
    first, second = Listener(model="a/one"), Listener(model="b/two")
    async with FallbackSTT(first, second).open() as ears:
        got = await hear(ears, AUDIO)
        assert ears.model == "a/one"
        assert [hearing async for hearing in ears] == []
    assert ([hearing.text for hearing in got], [hearing.ended_at_s for hearing in got]) == (WORDS, ENDS)
    assert (second.opened, first.open_now) == (0, 0)


@pytest.mark.parametrize("where", ["hearing", "sending", "silently"])
async def test_the_next_one_hears_again_what_no_final_has_covered(where):
    # It dies in the middle of the fourth word.
    first, second = Listener(Fault(9400, where=where)), Listener(model="b/two")
    async with FallbackSTT(first, second).open() as ears:
        got = await hear(ears, AUDIO, pace_s=0.02)
        assert ears.model == "b/two"
        assert (first.open_now, second.open_now) == (0, 1)
    assert ([hearing.text for hearing in got], [hearing.ended_at_s for hearing in got]) == (WORDS, ENDS)
    replayed = sum(first.received + second.received) - len(AUDIO)
    assert 0 < replayed < 3200, "no more than the unfinished word is heard again"


@given(
    words=st.lists(st.integers(0, 2000), min_size=1, max_size=12),
    faults=st.lists(st.tuples(st.integers(1, 20_000), st.sampled_from(["hearing", "sending", "silently"])), max_size=4),
    frame=st.sampled_from([80, 160, 1600, 5000]),
)
async def test_every_word_is_heard_once_and_at_its_time_whatever_dies(words, faults, frame):
    names = [f"word{number}" for number in range(len(words))]
    audio, ends = spoken(names, words)
    providers = [Listener(Fault(after, where=where)) for after, where in faults] + [Listener(), Listener()]
    async with FallbackSTT(*providers).open() as ears:
        got = await hear(ears, audio, frame=frame, pace_s=frame / BYTES_PER_S)
    assert [hearing.text for hearing in got] == names
    assert [hearing.ended_at_s for hearing in got] == ends


async def test_finals_without_a_time_cover_what_was_sent_before_them():
    first, second = Listener(Fault(4000), timed=False), Listener(timed=False)
    async with FallbackSTT(first, second).open() as ears:
        got = await hear(ears, AUDIO, pace_s=0.02)
    texts = [hearing.text for hearing in got]
    assert len(set(texts)) == len(texts)
    assert texts[-1] == "seven"
    assert {hearing.ended_at_s for hearing in got} == {None}


async def test_ears_that_take_too_long_to_open_are_passed_over_and_nothing_that_is_said_meanwhile_is_lost():
    first, slow, last = Listener(Fault(4000)), Listener(open_s=60), Listener()
    async with FallbackSTT(first, slow, last).open() as ears:
        got = await hear(ears, AUDIO, pace_s=0.02)
    assert [hearing.text for hearing in got] == WORDS
    assert anyio.current_time() < 2.5 + len(AUDIO) / BYTES_PER_S + 1


@pytest.mark.parametrize(
    ("first", "within_s"),
    [(Listener(open_errors=[WRONG_KEY]), 0.1), (Listener(open_s=60), 2.6)],
    ids=["refused", "slow"],
)
async def test_the_first_ears_that_open_are_the_calls(first, within_s):
    second = Listener(model="b/two")
    async with FallbackSTT(first, second).open() as ears:
        assert ears.model == "b/two"
    assert anyio.current_time() < within_s
    assert (first.open_now, second.open_now) == (0, 0)


async def test_a_provider_that_failed_is_tried_last_by_the_next_calls_for_a_while():
    first, second = Listener(open_errors=[GONE]), Listener()
    ears = FallbackSTT(first, second)
    for _ in range(2):
        async with ears.open():
            pass
    assert (first.opened, second.opened) == (1, 2)
    await anyio.sleep(30)
    async with ears.open():
        pass
    assert first.opened == 2


async def test_a_call_that_nobody_can_hear_does_not_open():
    with pytest.raises(ProviderError, match="wrong key"):
        async with FallbackSTT(Listener(open_errors=[GONE]), Listener(open_errors=[WRONG_KEY])).open():
            pytest.fail("nobody listens")


async def test_when_all_have_failed_in_a_row_the_iteration_says_so_each_time():
    first, second = Listener(Fault(4000)), Listener(Fault(100, WRONG_KEY))
    async with FallbackSTT(first, second).open() as ears:
        got = []
        with pytest.raises(ProviderError, match="wrong key"):
            await ears.send(AUDIO)
            async for hearing in ears:
                got.append(hearing.text)  # noqa: PERF401
        await ears.send(AUDIO)
        with pytest.raises(ProviderError, match="wrong key"):
            await anext(ears)
    assert got == ["a", "table"]
    assert (first.opened, second.opened) == (1, 1)


async def test_ears_that_failed_long_ago_are_worth_another_attempt():
    # Ten seconds of silence each time; then the one that listens dies.
    first, second = Listener(Fault(80_000)), Listener(Fault(150_000), model="b/two")
    audio = silence(10_000) + word_audio("one", 200) + silence(15_000) + word_audio("two", 200)
    async with FallbackSTT(first, second).open() as ears:
        got = await hear(ears, audio, pace_s=0.02)
        assert ears.model == first.model
    assert [hearing.text for hearing in got] == ["one", "two"]
    assert (first.opened, second.opened) == (2, 1)


async def test_a_permanent_failure_lasts_for_the_rest_of_the_call():
    first, second = Listener(Fault(80_000, WRONG_KEY)), Listener(Fault(150_000))
    audio = silence(10_000) + word_audio("one", 200) + silence(15_000)
    async with FallbackSTT(first, second).open() as ears:
        got = []
        with pytest.raises(ExceptionGroup) as failed:
            got = await hear(ears, audio, pace_s=0.02)
    assert failed.group_contains(ProviderError, match="gone")
    assert (got, first.opened) == ([], 1)


async def test_the_iteration_may_be_cancelled_and_taken_up_again():
    first, second = Listener(Fault(9400)), Listener()
    got = []
    async with FallbackSTT(first, second).open() as ears, anyio.create_task_group() as tasks:

        async def speak():
            for start in range(0, len(AUDIO), 160):
                await ears.send(AUDIO[start : start + 160])
                await anyio.sleep(0.02)
            await ears.finish()

        tasks.start_soon(speak)
        over = False
        while not over:
            with anyio.move_on_after(0.01):
                try:
                    got.append((await anext(ears)).text)
                except StopAsyncIteration:
                    over = True
    assert got == WORDS


async def test_leaving_closes_within_a_second():
    class Slow(Listener):
        @asynccontextmanager
        async def open(self):
            async with super().open() as session:
                try:
                    yield session
                finally:
                    await anyio.sleep(60)

    async with FallbackSTT(Slow(), Listener()).open() as ears:
        await ears.send(AUDIO)
    assert anyio.current_time() <= 1


async def test_the_owners_error_and_its_cancellation_pass_as_they_are():
    with pytest.raises(KeyError, match="mine"):
        async with FallbackSTT(Listener(), Listener()).open():
            raise KeyError("mine")
    with anyio.move_on_after(1) as call:
        async with FallbackSTT(Listener(), Listener()).open() as ears:
            await anext(ears)
    assert call.cancelled_caught


async def test_a_mistake_in_a_provider_is_not_hidden():
    class Wrong(Listening):
        async def __anext__(self):
            raise ZeroDivisionError

    class Mistaken(Listener):
        @asynccontextmanager
        async def open(self):
            yield Wrong(self, None)

    with pytest.raises(ExceptionGroup) as caught:
        async with FallbackSTT(Mistaken(), Listener()).open():
            await anyio.sleep_forever()
    assert caught.group_contains(ZeroDivisionError)


async def test_a_call_in_which_the_first_ears_die_has_each_sentence_once():
    def heard(at, text):
        return at, Hearing(text, is_final=True, end=EndOfSpeech.PAUSE)

    callee = Callee().says(0.5, "Hello?").says(6.0, "Seven is fine.").hangs_up(14.0)
    line = callee.line()
    first = ScriptedEars(line, [heard(0.74, "Hello?"), (5.9, GONE)], model="a/one")
    second = ScriptedEars(line, [heard(6.84, "Seven is fine.")], model="b/two", open_s=0.4)
    mind = ScriptedMind(["Good day, I would like a table.", "Thank you, goodbye."])
    agent = Agent(stt=FallbackSTT(first, second), llm=mind, tts=ScriptedVoice())
    result = await ScriptedCarrier().rings(0.5).answers(1.0, line).place(agent)
    assert [(entry.role, entry.text) for entry in result.transcript] == [
        ("user", "Hello?"),
        ("agent", "Good day, I would like a table."),
        ("user", "Seven is fine."),
        ("agent", "Thank you, goodbye."),
    ]
    assert result.status == "completed"
    assert second.received_ms > 0
    check_invariants(result, line, mind=mind)
