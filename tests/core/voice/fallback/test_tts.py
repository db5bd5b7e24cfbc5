"""When one voice fails, the next one says the rest: no word twice, none left out."""

from contextlib import asynccontextmanager

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.agent import Agent
from patter.errors import ProviderError
from patter.testing import Callee, ScriptedCarrier, ScriptedMind, ScriptedVoice, VoiceFault, check_invariants
from patter.testing.pytest_plugin import anyio_backend, no_leaked_tasks
from patter.voice.fallback.tts import FallbackTTS

__all__ = ["anyio_backend", "no_leaked_tasks"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaked_tasks")]

GONE = ProviderError("tts", "the connection is gone", retryable=True)
QUOTA = ProviderError("tts", "no more credit")
CLAUSES = ["Good day,", "I would like a table for two.", "At seven, please."]
WORDS = " ".join(CLAUSES).split()


async def speech(session, clauses=CLAUSES, *, pause_s=0.0):
    """Everything that is spoken when these clauses are said."""
    async with session.utter() as utterance, anyio.create_task_group() as tasks:

        async def say():
            for clause in clauses:
                await utterance.say(clause)
                await anyio.sleep(pause_s)
            await utterance.finish()

        tasks.start_soon(say)
        return [piece async for piece in utterance]


def words_of(pieces):
    return " ".join(piece.text for piece in pieces).split()


async def test_the_first_choice_speaks_as_long_as_it_can():
    first, second = ScriptedVoice(model="a/one"), ScriptedVoice()
    async with FallbackTTS(first, second).open() as session:
        assert words_of(await speech(session)) == WORDS
        assert words_of(await speech(session, ["  ", "Goodbye."], pause_s=10)) == ["Goodbye."]
        assert session.model == "a/one"
    assert (first.texts, second.texts) == ([*CLAUSES, "Goodbye."], [])
    assert (first.open_now, second.open_now) == (0, 0)


@pytest.mark.parametrize("pause_s", [0.0, 1.0])
@pytest.mark.parametrize("after_words", range(len(WORDS) + 1))
async def test_the_next_voice_goes_on_with_the_next_word(after_words, pause_s):
    first = ScriptedVoice(faults=[VoiceFault(1, GONE, after_words)])
    second = ScriptedVoice(model="b/two")
    async with FallbackTTS(first, second).open() as session:
        assert words_of(await speech(session, pause_s=pause_s)) == WORDS
        assert " ".join(second.texts).split() == WORDS[after_words:]
        assert words_of(await speech(session)) == WORDS
        assert session.model == "b/two"
    assert len(first.utterances) == 1, "a voice that has failed stays aside"
    first.assert_complete()


async def test_a_voice_without_words_goes_on_with_the_next_clause():
    first = ScriptedVoice(per="clause", faults=[VoiceFault(1, GONE, after_words=5)])
    second = ScriptedVoice()
    async with FallbackTTS(first, second).open() as session:
        assert words_of(await speech(session)) == WORDS
    assert second.texts == ["At seven, please."]


@given(
    clauses=st.lists(st.lists(st.sampled_from(["yes", "no,", "well", "seven."]), min_size=1, max_size=6), max_size=5),
    faults=st.lists(st.integers(0, 12), max_size=3),
    per=st.lists(st.sampled_from(["word", "clause"]), min_size=4, max_size=4),
    pause_s=st.sampled_from([0.0, 0.05, 1.0]),
)
async def test_every_word_is_spoken_once_whatever_dies(clauses, faults, per, pause_s):
    texts = [" ".join(words) for words in clauses]
    voices = [ScriptedVoice(faults=[VoiceFault(1, GONE, after)], per=per[i]) for i, after in enumerate(faults)]
    async with FallbackTTS(*voices, ScriptedVoice(per=per[3]), ScriptedVoice()).open() as session:
        assert words_of(await speech(session, texts, pause_s=pause_s)) == " ".join(texts).split()


async def test_a_voice_that_gives_no_sound_is_given_up():
    mute, second = ScriptedVoice(first_audio_s=3600), ScriptedVoice()
    async with FallbackTTS(mute, second).open() as session:
        assert words_of(await speech(session)) == WORDS
    assert anyio.current_time() < 3.5


async def test_a_substitute_that_gives_no_sound_is_given_up_too():
    first, mute, last = (
        ScriptedVoice(faults=[VoiceFault(1, GONE, 2)]),
        ScriptedVoice(first_audio_s=3600),
        ScriptedVoice(),
    )
    async with FallbackTTS(first, mute, last).open() as session:
        assert words_of(await speech(session)) == WORDS
    assert anyio.current_time() < 4


async def test_the_wait_for_sound_counts_from_the_first_text():
    first, second = ScriptedVoice(first_audio_s=2.5), ScriptedVoice()
    async with FallbackTTS(first, second).open() as session, session.utter() as utterance:
        await anyio.sleep(10)
        await utterance.say("Hello there.")
        await utterance.finish()
        assert words_of([piece async for piece in utterance]) == ["Hello", "there."]
    assert second.texts == []


async def test_a_slow_clause_and_a_text_without_words_are_no_silence():
    first, second = ScriptedVoice(), ScriptedVoice()
    async with FallbackTTS(first, second).open() as session, session.utter() as utterance:
        await utterance.say("\N{WINKING FACE}")
        assert (await anext(utterance)).text
        await anyio.sleep(20)
        await utterance.say("Hello.")
        await utterance.finish()
        assert words_of([piece async for piece in utterance]) == ["Hello."]
    assert second.texts == []


async def test_the_last_voice_may_take_its_time():
    first, last = ScriptedVoice(faults=[VoiceFault(1, GONE)]), ScriptedVoice(first_audio_s=6)
    async with FallbackTTS(first, last).open() as session:
        assert words_of(await speech(session, ["Hello."])) == ["Hello."]


async def test_when_all_have_failed_the_iteration_says_so():
    first = ScriptedVoice(faults=[VoiceFault(1, GONE, 1)])
    second = ScriptedVoice(faults=[VoiceFault(1, QUOTA, 2)])
    async with FallbackTTS(first, second).open() as session, session.utter() as utterance:
        await utterance.say("one two three four")
        assert [(await anext(utterance)).text for _ in range(3)] == ["one", "two", "three"]
        for _ in range(2):
            with pytest.raises(ProviderError, match="no more credit"):
                await anext(utterance)
        await utterance.say("five")
        await utterance.finish()
        async with session.utter() as again:
            with pytest.raises(ProviderError, match="no more credit"):
                await anext(again)


async def test_a_failure_behind_the_last_word_is_none():
    first, second = ScriptedVoice(faults=[VoiceFault(1, GONE, len(WORDS))]), ScriptedVoice(open_s=60)
    async with FallbackTTS(first, second).open() as session:
        assert words_of(await speech(session)) == WORDS
    assert anyio.current_time() < 1


class Deaf(ScriptedVoice):
    """Takes one clause and refuses the next, without a word of why in its speech."""

    @asynccontextmanager
    async def utter(self):
        async with super().utter() as utterance:
            say = utterance.say

            async def first_only(text):
                if self.texts:
                    raise QUOTA
                await say(text)

            utterance.say = first_only
            yield utterance


class Curt(ScriptedVoice):
    """Ends the utterance after the first clause, as if it were over."""

    @asynccontextmanager
    async def utter(self):
        async with super().utter() as utterance:
            say = utterance.say

            async def only(text):
                await say(text)
                await utterance.finish()

            utterance.say = only
            yield utterance


class Shut(ScriptedVoice):
    """Does not begin an utterance."""

    @asynccontextmanager
    async def utter(self):
        raise GONE
        yield


@pytest.mark.parametrize("first", [Deaf(), Curt(), Shut()], ids=["deaf", "curt", "shut"])
async def test_other_ways_to_fail(first):
    async with FallbackTTS(first, ScriptedVoice()).open() as session:
        assert words_of(await speech(session, pause_s=1.0)) == WORDS


@pytest.mark.parametrize(
    ("first", "within_s"),
    [(ScriptedVoice(open_error=QUOTA), 0.1), (ScriptedVoice(open_s=60), 2.6)],
    ids=["refused", "slow"],
)
async def test_the_first_voice_that_opens_is_the_calls(first, within_s):
    second = ScriptedVoice(model="b/two")
    voice = FallbackTTS(first, second)
    async with voice.open() as session:
        assert session.model == "b/two"
        assert words_of(await speech(session, ["Hello."])) == ["Hello."]
        assert anyio.current_time() < within_s + 0.2
    before = anyio.current_time()
    async with voice.open() as session:
        assert session.model == "b/two"
    assert anyio.current_time() == before, "who has failed is tried last for a while"
    assert (first.open_now, second.open_now) == (0, 0)


async def test_a_call_that_nobody_can_speak_in_does_not_open():
    with pytest.raises(ProviderError, match="no more credit"):
        async with FallbackTTS(ScriptedVoice(open_error=GONE), ScriptedVoice(open_error=QUOTA)).open():
            pytest.fail("nobody speaks")


async def test_leaving_and_cancelling_early_stop_the_synthesis():
    first = ScriptedVoice(first_audio_s=1)
    async with FallbackTTS(first, ScriptedVoice()).open() as session:
        async with session.utter() as utterance:
            await utterance.say("Hello.")
            await anyio.sleep(0.5)
        with anyio.move_on_after(0.5) as turn:
            await speech(session)
        assert turn.cancelled_caught
        with pytest.raises(KeyError, match="mine"):
            async with session.utter():
                raise KeyError("mine")
    assert anyio.current_time() == pytest.approx(1.0)
    assert session.model == first.model


async def test_a_mistake_in_a_provider_is_not_hidden():
    first = ScriptedVoice(faults=[VoiceFault(1, ZeroDivisionError())])
    with pytest.raises(ExceptionGroup) as caught:
        async with FallbackTTS(first, ScriptedVoice()).open() as session, session.utter() as utterance:
            await utterance.say("Hello.")
            await anyio.sleep_forever()
    assert caught.group_contains(ZeroDivisionError)


@pytest.mark.parametrize("greeting", [None, "Good day, here is the assistant."])
async def test_a_call_in_which_the_first_voice_dies_has_each_sentence_once(greeting):
    callee = Callee().says(0.5, "Hello?").hangs_up(20.0)
    line = callee.line()
    mind = ScriptedMind(["Good day. I would like a table for two at seven.", "Are you there?"])
    faults = [VoiceFault(1, GONE, after_words=3)]
    voice = FallbackTTS(ScriptedVoice(faults=faults, model="a/one"), ScriptedVoice(model="b/two"))
    agent = Agent(stt=callee.ears(line), llm=mind, tts=voice)
    result = await ScriptedCarrier().rings(0.5).answers(1.0, line).place(agent, first_message=greeting)
    said = [entry.text for entry in result.transcript if entry.role == "agent"]
    assert said[0] == (greeting or "Good day. I would like a table for two at seven.")
    assert result.status == "completed"
    assert [word.text for word in line.heard_words()][: len(said[0].split())] == said[0].split()
    check_invariants(result, line, mind=mind)
