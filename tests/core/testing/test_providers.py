import re

import anyio
import pytest

from patter.errors import ProviderError
from patter.testing import (
    Pause,
    ScriptedEars,
    ScriptedLine,
    ScriptedMind,
    ScriptedVoice,
    UnexpectedRequest,
    UnfinishedScript,
    VoiceFault,
    reply,
    word_audio,
)
from patter.voice.base import Hearing, Message, Speech, ToolCall, ToolSpec, Usage

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaked_tasks")]

HELLO = Hearing("Hello?", is_final=True)
GUESS = Hearing("Hell", is_final=False)
SYSTEM = Message("system", "Be brief.")


def answered_line():
    line = ScriptedLine()
    line.answer()
    return line


async def test_ears_hear_at_the_time_of_the_script():
    line = answered_line()
    ears = ScriptedEars(line, [(1.0, HELLO), (0.5, GUESS)], delay_s=0.2, final_s=0.3)
    got = []
    async with ears.open() as session:
        await session.send(b"\xff" * 160)
        async for hearing in session:
            got.append((line.now_s, hearing))
            if hearing.is_final:
                await session.finish()
    assert got == [(pytest.approx(0.7), GUESS), (pytest.approx(1.5), HELLO)]
    assert (ears.received_ms, ears.open_now) == (20.0, 0)
    ears.assert_complete()


async def test_finished_ears_flush_what_was_spoken_and_nothing_else():
    line = answered_line()
    ears = ScriptedEars(line, [(1.0, HELLO), (5.0, GUESS)], delay_s=0.2, final_s=3.0)
    async with ears.open() as session:
        await anyio.sleep(1.1)
        await session.finish()
        assert [hearing async for hearing in session] == [HELLO]
    assert line.now_s == pytest.approx(1.2)


async def test_the_iteration_may_be_cancelled_and_taken_up_again():
    ears = ScriptedEars(answered_line(), [(1.0, HELLO)])
    async with ears.open() as session:
        for _ in range(3):
            with anyio.move_on_after(0.1):
                await anext(session)
        assert await anext(session) == HELLO


async def test_ears_fail_as_told():
    error = ProviderError("stt", "gone")
    async with ScriptedEars(answered_line(), [(1.0, error)]).open() as session:
        with pytest.raises(ProviderError, match="gone"):
            await anext(session)
    began = anyio.current_time()
    with pytest.raises(ProviderError, match="refused"):
        async with ScriptedEars(answered_line(), open_s=2.0, open_error=ProviderError("stt", "refused")).open():
            pass
    assert anyio.current_time() - began == pytest.approx(2.0)


async def test_ears_serve_one_call_and_name_what_is_left():
    ears = ScriptedEars(answered_line(), [(1.0, HELLO)])
    async with ears.open():
        pass
    with pytest.raises(UnexpectedRequest, match="second time"):
        async with ears.open():
            pass
    with pytest.raises(UnfinishedScript, match=r"1 entries: 1 s: Hearing\(text='Hello\?'"):
        ears.assert_complete()


async def ask(mind, text, tools=()):
    async with mind.stream([SYSTEM, Message("user", text)], tools) as stream:
        return [delta async for delta in stream]


async def test_the_mind_answers_step_by_step():
    call, usage = ToolCall("1", "look", "{}"), Usage(10, 2)
    mind = ScriptedMind(["Hello.", reply("One ", Pause(1.0), "two.", call, usage)], first_token_s=0.5)
    assert await ask(mind, "a") == ["Hello."]
    assert anyio.current_time() == 0.5
    assert await ask(mind, "b", [ToolSpec("look", "", {})]) == ["One ", "two.", call, usage]
    assert anyio.current_time() == 2.0
    assert [(request.at, request.last_user, request.tools) for request in mind.requests] == [
        (0.0, "a", ()),
        (0.5, "b", ("look",)),
    ]
    assert mind.abandoned == []
    mind.assert_complete()


@pytest.mark.parametrize("expect", ["yes", re.compile("^y"), lambda messages: len(messages) == 2])
async def test_the_mind_checks_what_it_is_asked(expect):
    mind = ScriptedMind([reply("Good.", expect=expect)])
    assert await ask(mind, "yes") == ["Good."]
    mind.assert_complete()


@pytest.mark.parametrize("expect", ["no", re.compile("^n"), lambda messages: False])
async def test_a_request_that_does_not_match_is_reported_twice(expect):
    mind = ScriptedMind([reply("Good.", expect=expect)])
    with pytest.raises(UnexpectedRequest, match=r"Request 1 came after the callee said 'yes'; its step expects"):
        await ask(mind, "yes")
    with pytest.raises(UnexpectedRequest, match="its step expects"):
        mind.assert_complete()


async def test_a_request_too_many_and_a_step_too_many():
    mind = ScriptedMind([])
    with pytest.raises(UnexpectedRequest, match=r"the script ends after 0\."):
        await ask(mind, "yes")
    with pytest.raises(UnfinishedScript, match=r"not asked for 1 of 2 steps: MindStep\(pieces=\('b',\)"):
        mind = ScriptedMind(["a", "b"])
        await ask(mind, "yes")
        mind.assert_complete()


async def test_the_mind_fails_and_is_abandoned_as_told():
    mind = ScriptedMind([reply("One ", RuntimeError("boom")), reply("Two ", Pause(9.0), "three.")])
    with pytest.raises(RuntimeError, match="boom"):
        await ask(mind, "a")
    with anyio.move_on_after(1.0):
        await ask(mind, "b")
    assert mind.abandoned == [1]


async def speak(voice, *clauses):
    async with voice.open() as session, session.utter() as utterance:
        for clause in clauses:
            await utterance.say(clause)
        await utterance.finish()
        return [speech async for speech in utterance]


async def test_the_voice_speaks_word_by_word():
    voice = ScriptedVoice(word_ms=200, first_audio_s=0.1)
    speeches = await speak(voice, "Good morning.", "Bye.")
    assert speeches == [Speech(word_audio(word, 200), word) for word in ("Good", "morning.", "Bye.")]
    assert anyio.current_time() == pytest.approx(0.2)
    assert voice.utterances == [["Good morning.", "Bye."]]
    assert voice.texts == ["Good morning.", "Bye."]
    assert voice.open_now == 0
    voice.assert_complete()


async def test_the_voice_speaks_clause_by_clause():
    [speech] = await speak(ScriptedVoice(word_ms=200, per="clause"), "Good morning.")
    assert speech.text == "Good morning."
    assert speech.audio == word_audio("Good", 200) + word_audio("morning.", 200)


@pytest.mark.parametrize("after_words", [0, 1, 2, 9])
async def test_the_voice_fails_as_told(after_words):
    voice = ScriptedVoice(faults=[VoiceFault(1, ProviderError("tts", "gone"), after_words)])
    got = []
    with pytest.raises(ProviderError, match="gone"):
        async with voice.open() as session, session.utter() as utterance:
            await utterance.say("one two")
            await utterance.finish()
            async for speech in utterance:
                got += [speech.text]
    assert got == ["one", "two"][:after_words]
    voice.assert_complete()


async def test_a_fault_that_did_not_happen_is_named():
    voice = ScriptedVoice(faults=[VoiceFault(2, ProviderError("tts", "gone"))])
    await speak(voice, "one")
    with pytest.raises(UnfinishedScript, match=r"1 faults left: VoiceFault\(utterance=2"):
        voice.assert_complete()
