import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from patter.audio import mulaw
from patter.errors import ConfigError, ProviderError
from patter.local import spoken
from patter.local.recogniser import IDLE_DECODERS, DecoderPool
from patter.local.tones import encode, encode_word
from patter.local.voices import SpeechSTT, SpeechTTS, TonesSTT, TonesTTS, available, pick
from patter.local.voices_speech import apportion, pauses_in
from patter.voice.base import EndOfSpeech, Hearing, Speech, SpeechToText, TextToSpeech

pytestmark = pytest.mark.anyio

PHRASES = (
    "Hello, this is Anna's hair studio, how can I help you?",
    "I would like to book a haircut for tomorrow at 3:30 pm.",
    "What is your name please?",
    "My name is Mirela Okonkwo.",
    "We have a free slot at ten a.m.",
    "Okay, that works for me.",
    "Sorry, we are closed on Monday.",
    "It costs 45 dollars.",
    "Thank you very much, have a nice day.",
    "Goodbye.",
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def speak(tts: TextToSpeech, *clauses: str) -> list[Speech]:
    async with tts.open() as voice, voice.utter() as utterance:
        for clause in clauses:
            await utterance.say(clause)
        await utterance.finish()
        return [speech async for speech in utterance]


async def listen(stt: SpeechToText, audio: bytes, chunk: int = 160) -> list[Hearing]:
    async with stt.open() as ears:
        for at in range(0, len(audio), chunk):
            await ears.send(audio[at : at + chunk])
        await ears.finish()
        return [hearing async for hearing in ears]


def joined(pieces: list[Speech]) -> bytes:
    return b"".join(piece.audio for piece in pieces)


# Tones


async def test_tones_are_spoken_word_by_word() -> None:
    pieces = await speak(TonesTTS(), "Hello there,", " how are  you? ")
    assert [piece.text for piece in pieces] == ["Hello", "there,", "how", "are", "you?"]
    assert joined(pieces) == encode("Hello there, how are you?")


async def test_tones_give_an_interim_a_word_and_a_final_a_pause() -> None:
    first, second = encode("Hello there"), encode("bye")
    audio = mulaw.silence(100) + first + mulaw.silence(300) + second
    assert await listen(TonesSTT(), audio) == [
        Hearing("Hello", False),
        Hearing("Hello there", False),
        Hearing("Hello there", True, EndOfSpeech.PAUSE, 0.1 + len(first) / 8000),
        Hearing("bye", False),
        Hearing("bye", True, EndOfSpeech.PAUSE, len(audio) / 8000),
    ]


@pytest.mark.parametrize("chunk", [1, 160, 333, 100_000])
async def test_tones_are_heard_the_same_in_any_chunks(chunk: int) -> None:
    audio = encode("one two") + mulaw.silence(260) + encode("three") + mulaw.silence(500)
    finals = [hearing for hearing in await listen(TonesSTT(), audio, chunk) if hearing.is_final]
    assert [final.text for final in finals] == ["one two", "three"]
    assert finals[0].ended_at_s == len(encode("one two")) / 8000


@pytest.mark.parametrize(("pause_ms", "finals"), [(160, 1), (240, 2)])
async def test_a_pause_of_tones_is_200_ms(pause_ms: int, finals: int) -> None:
    audio = encode("one") + mulaw.silence(pause_ms) + encode("two")
    assert sum(hearing.is_final for hearing in await listen(TonesSTT(), audio)) == finals


async def test_a_long_word_is_no_pause() -> None:
    audio = encode("a " + "b" * 60 + " c")
    finals = [hearing.text for hearing in await listen(TonesSTT(), audio) if hearing.is_final]
    assert finals == ["a " + "b" * 60 + " c"]


async def test_a_word_that_was_cut_off_is_not_heard() -> None:
    audio = encode("please wait") + encode_word("tomorrow")[:500] + mulaw.silence(400)
    assert [hearing.text for hearing in await listen(TonesSTT(), audio) if hearing.is_final] == ["please wait"]


async def test_silence_and_noise_are_nothing_for_tones() -> None:
    assert await listen(TonesSTT(), mulaw.silence(1000) + bytes(range(256)) * 20) == []


async def test_finals_come_while_the_call_goes_on() -> None:
    async with TonesSTT().open() as ears:
        heard: list[Hearing] = []

        async def iterate() -> None:
            heard.extend([hearing async for hearing in ears])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(iterate)
            await ears.send(encode("yes") + mulaw.silence(220))
            await wait_all_tasks_blocked()
            assert heard == []
            await ears.finish()
            await ears.send(encode("late"))
            await ears.finish()
    assert [hearing.text for hearing in heard] == ["yes", "yes"]


# What there is


def test_importing_the_voices_imports_no_models() -> None:
    code = (
        "import sys, patter.local.voices; "
        "sys.exit(str(sorted({'numpy', 'pocketsphinx', 'soxr', '_pocketsphinx'} & sys.modules.keys())))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"


def test_without_flite_there_are_tones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    best = available()
    assert best.kind == "tones"
    assert "flite" in best.reason and "apt install flite" in best.reason
    stt, tts = pick("auto", role="agent", phrases=PHRASES)
    assert (stt.model, tts.model) == ("local/tones", "local/tones")
    with pytest.raises(ConfigError, match="apt install flite"):
        pick("speech", role="agent", phrases=PHRASES)
    with pytest.raises(ConfigError, match="apt install flite"):
        SpeechTTS().open()


async def test_without_pocketsphinx_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(ConfigError, match=r"pip install patter-core\[speech\]"):
        async with SpeechSTT(["only in this test"]).open():
            pytest.fail("opened without pocketsphinx")


def test_bad_voices_and_phrases_are_refused() -> None:
    with pytest.raises(ConfigError, match="has no voice 'nobody'; it has rms, awb"):
        SpeechTTS("nobody")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="have no words"):
        SpeechSTT(["...", ""])


def test_tones_can_always_be_picked() -> None:
    stt, tts = pick("tones", role="callee", phrases=())
    assert (stt.model, tts.model) == ("local/tones", "local/tones")


# Speech


@pytest.mark.speech
def test_speech_is_picked_where_it_is_installed() -> None:
    assert available() == ("speech", "")
    stt, tts = pick("auto", role="callee", phrases=PHRASES)
    assert (stt.model, tts.model) == ("local/pocketsphinx", "local/flite")


@pytest.mark.parametrize(
    ("text", "pauses", "begins"),
    [
        ("one two", [(0.0, 0.1), (0.7, 1.0)], [0.0, 0.4]),
        ("one, two", [(0.0, 0.1), (0.2, 0.3), (0.9, 1.0)], [0.0, 0.3]),
        ("one, two", [(0.0, 0.1), (0.9, 1.0)], [0.0, 0.1 + 0.8 / 2]),
        ("one two", [(0.0, 0.1), (0.3, 0.5), (0.9, 1.0)], [0.0, 0.1 + 0.8 / 2]),
        ("one two", [], [0.0, 0.5]),
    ],
)
def test_words_are_placed_between_the_pauses(text: str, pauses: list[tuple[float, float]], begins: list[float]) -> None:
    audio = bytes(8000)
    pieces = apportion(spoken.say(text), audio, pauses)
    assert joined(pieces) == audio
    assert [piece.text for piece in pieces] == text.split()
    assert [0.0, len(pieces[0].audio) / 8000] == pytest.approx(begins, abs=0.001)


def test_flites_pauses_are_read_over_all_its_lines() -> None:
    printed = "pau:0.100 hh:0.200 ax:0.300 pau:0.450 \npau:0.150 b:0.250 pau:0.300 \n"
    assert list(pauses_in(printed)) == [
        (0.0, 0.1),
        (0.3, 0.45),
        (0.45, pytest.approx(0.6)),
        (pytest.approx(0.7), 0.75),
    ]
    assert list(pauses_in("")) == []


@pytest.mark.speech
async def test_speech_is_cut_into_the_words_of_the_text() -> None:
    text = "Hello, I'd like 3:30 pm 👍 please. Is that $5?"
    pieces = await speak(SpeechTTS(), text)
    assert [piece.text for piece in pieces] == [word for word in text.split() if word != "👍"]
    assert all(piece.audio for piece in pieces)
    assert 2500 < mulaw.duration_ms(joined(pieces)) < 6000
    assert mulaw.level(joined(pieces)) > 0.03


@pytest.mark.speech
@pytest.mark.parametrize("text", ["👍", "你好", "...", "-o /nowhere/x; $(id)", "-"])
async def test_any_text_is_said_safely(text: str, tmp_path: Path) -> None:
    pieces = await speak(SpeechTTS(), text)
    assert [piece.text for piece in pieces] == [part.token for part in spoken.say(text)]


@pytest.mark.speech
async def test_a_flite_that_writes_nothing_is_a_failure_of_the_voice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "flite"
    for code, message in ((0, "wrote no speech"), (3, "failed with code 3")):
        fake.write_text(f"#!/bin/sh\nexit {code}\n")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ProviderError, match=message):
            await speak(SpeechTTS(), "hello")


@pytest.mark.speech
async def test_leaving_early_ends_flite() -> None:
    async with SpeechTTS().open() as voice, voice.utter() as utterance:
        await utterance.say("This is never heard. " * 20)


@pytest.mark.speech
@pytest.mark.parametrize("voice", ["rms", "awb"])
async def test_a_conversation_is_understood(voice: str) -> None:
    audio = b""
    ends: list[float] = []
    for phrase in PHRASES:
        audio += joined(await speak(SpeechTTS(voice), phrase))  # type: ignore[arg-type]
        ends.append(len(audio) / 8000)
        audio += mulaw.silence(700)
    hearings = await listen(SpeechSTT(PHRASES), audio)
    finals = [hearing for hearing in hearings if hearing.is_final]
    texts = [final.text for final in finals]
    exact = [" ".join(spoken.words(phrase)) in " ".join(texts) for phrase in PHRASES]
    assert exact[0], texts
    assert exact.count(False) <= 1, texts
    assert {final.end for final in finals} == {EndOfSpeech.PAUSE}
    assert finals[-1].ended_at_s is not None
    assert ends[-1] - 0.5 < finals[-1].ended_at_s <= ends[-1]


@pytest.mark.speech
async def test_interims_grow_while_speech_goes_on() -> None:
    audio = joined(await speak(SpeechTTS(), PHRASES[1]))
    hearings = await listen(SpeechSTT(PHRASES), audio)
    interims = [hearing for hearing in hearings if not hearing.is_final]
    assert len(interims) >= 3 * (len(audio) // 8000)
    assert len(interims[-1].text.split()) >= len(interims[0].text.split()) + 5
    assert hearings[-1].text == "i would like to book a haircut for tomorrow at three thirty p.m."


@pytest.mark.speech
@pytest.mark.parametrize("word", ["Yes.", "No.", "Stop."])
async def test_one_short_word_is_heard(word: str) -> None:
    stt = SpeechSTT(["Yes.", "No.", "Stop.", "Wait."])
    audio = mulaw.silence(500) + joined(await speak(SpeechTTS("awb"), word))
    assert [hearing.text for hearing in await listen(stt, audio) if hearing.is_final] == [word[:-1].lower()]


@pytest.mark.speech
async def test_several_calls_listen_at_once() -> None:
    stt = SpeechSTT(PHRASES)
    texts = [PHRASES[2], PHRASES[3], PHRASES[5]]
    audios = [joined(await speak(SpeechTTS(), text)) for text in texts]
    heard: dict[int, str] = {}

    async def call(number: int) -> None:
        hearings = await listen(stt, audios[number])
        heard[number] = " ".join(hearing.text for hearing in hearings if hearing.is_final)

    async with anyio.create_task_group() as calls:
        for number in range(len(texts)):
            calls.start_soon(call, number)
    assert heard == {number: " ".join(spoken.words(text)) for number, text in enumerate(texts)}


@pytest.mark.speech
async def test_a_cancelled_step_of_the_iteration_loses_no_audio() -> None:
    audio = joined(await speak(SpeechTTS(), PHRASES[2])) + mulaw.silence(600)
    early: list[Hearing] = []
    async with SpeechSTT(PHRASES).open() as ears:
        hearings = ears.__aiter__()

        async def listen_once() -> None:
            with suppress(StopAsyncIteration):
                early.append(await hearings.__anext__())

        for at in range(0, len(audio), 160):
            await ears.send(audio[at : at + 160])
            async with anyio.create_task_group() as step:
                step.start_soon(listen_once)
                for _ in range(5):
                    await checkpoint()
                step.cancel_scope.cancel()
        await ears.finish()
        late = [hearing async for hearing in hearings]
    assert [hearing.text for hearing in early + late if hearing.is_final] == ["what is your name please"]


@pytest.mark.speech
async def test_leaving_in_the_middle_of_a_word_leaves_a_usable_decoder() -> None:
    stt = SpeechSTT(PHRASES)
    audio = joined(await speak(SpeechTTS(), PHRASES[2]))
    async with stt.open() as ears:
        await ears.send(audio[: len(audio) // 2])
        assert not (await ears.__aiter__().__anext__()).is_final
    hearings = await listen(stt, audio)
    assert hearings[-1].text == "what is your name please"


@pytest.mark.speech
def test_decoders_are_reused_and_not_hoarded() -> None:
    pool = DecoderPool(["yes", "no"])
    decoders = [pool.take() for _ in range(IDLE_DECODERS + 1)]
    for decoder in decoders:
        pool.give_back(decoder)
    again = [pool.take() for _ in range(IDLE_DECODERS + 1)]
    assert sum(decoder in decoders for decoder in again) == IDLE_DECODERS


@pytest.mark.speech
async def test_nothing_is_left_in_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    audio = joined(await speak(SpeechTTS(), "yes"))
    await listen(SpeechSTT([f"yes {request.node.name}"]), audio)
    assert os.listdir(tmp_path) == []


@pytest.mark.speech
async def test_warming_up_builds_a_decoder_before_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    stt = SpeechSTT(["warm words", "only here"])
    await stt.warm_up()
    built: Callable[..., object] = pytest.fail
    monkeypatch.setattr(DecoderPool, "_build", built)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(stt.open())
