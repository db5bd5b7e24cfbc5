"""ElevenLabs' voice against the emulated service, over both transports, with its faults."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from patter.errors import ConfigError, ProviderError
from patter.local.tones import ToneDecoder
from patter.testing.emulators.connection import Connection
from patter.testing.emulators.elevenlabs import ElevenLabsEmulator, EmulatedVoice
from patter.testing.emulators.faults import (
    BlackHole,
    Drop,
    ErrorFrame,
    Fault,
    Garbage,
    Refuse,
    SilentEnd,
    SlowClose,
    Stall,
    UnknownEvents,
)
from patter.voice.base import Speech, TextToSpeech, Utterance, Voice
from patter.voice.elevenlabs.http import HttpVoice
from patter.voice.elevenlabs.socket import Patience, SocketVoice
from patter.voice.elevenlabs.tts import ElevenLabsTTS
from patter.voice.elevenlabs.wire import Settings

pytestmark = pytest.mark.anyio

TRANSPORTS: tuple[Literal["websocket", "http"], ...] = ("websocket", "http")
RACHEL = "21m00Tcm4TlvDq8ikWAM"
CLAUSES = ("Hello there,", "this is your salon calling.", "Is it three o'clock, or 4 pm?")
TEXT = " ".join(CLAUSES)
HASTY = Patience(stall_s=0.2, quiet_aligned_s=0.1, quiet_s=0.2)


@pytest.fixture
async def elevenlabs() -> AsyncIterator[ElevenLabsEmulator]:
    async with ElevenLabsEmulator() as emulator:
        yield emulator


def tts(elevenlabs: ElevenLabsEmulator, **options: Any) -> ElevenLabsTTS:
    return ElevenLabsTTS("test-key", base_url=elevenlabs.base_url, **options)


def settings(elevenlabs: ElevenLabsEmulator) -> Settings:
    return Settings(
        key="test-key", base_url=elevenlabs.base_url, model="m", language=None, voice_settings={}, open_s=2.0
    )


async def rachel() -> str:
    return RACHEL


def hasty(elevenlabs: ElevenLabsEmulator) -> SocketVoice:
    return SocketVoice(settings(elevenlabs), rachel, HASTY)


async def say(utterance: Utterance, clauses: Sequence[str]) -> list[Speech]:
    for clause in clauses:
        await utterance.say(clause)
    await utterance.finish()
    return [speech async for speech in utterance]


async def speak(voice: Voice, *clauses: str) -> list[Speech]:
    async with voice.utter() as utterance:
        return await say(utterance, clauses)


def text_of(speeches: Sequence[Speech]) -> str:
    return " ".join(speech.text for speech in speeches if speech.text)


def heard_in(speeches: Sequence[Speech]) -> str:
    return " ".join(ToneDecoder().feed(b"".join(speech.audio for speech in speeches)))


async def closed(connection: Connection) -> None:
    with anyio.fail_after(2):
        while connection.closed_s is None:  # noqa: ASYNC110
            await anyio.sleep(0.01)


# --- speaking


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_is_said_is_heard_word_by_word(elevenlabs: ElevenLabsEmulator, transport: str) -> None:
    provider: TextToSpeech = tts(elevenlabs, transport=transport)
    async with provider.open() as voice:
        for _ in range(2):
            speeches = await speak(voice, *CLAUSES)
            assert [speech.text for speech in speeches if speech.text] == TEXT.split()
            assert heard_in(speeches) == TEXT
    assert provider.model == "elevenlabs/eleven_flash_v2_5"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("chunk_ms", [1, 37, 130, 5000])
async def test_the_size_of_the_chunks_does_not_matter(
    elevenlabs: ElevenLabsEmulator, transport: str, chunk_ms: int
) -> None:
    elevenlabs.chunk_ms, elevenlabs.realtime_factor = chunk_ms, 1000
    elevenlabs.timestamps_restart = chunk_ms == 37
    async with tts(elevenlabs, transport=transport).open() as voice:
        speeches = await speak(voice, *CLAUSES[:2])
    assert [speech.text for speech in speeches if speech.text] == " ".join(CLAUSES[:2]).split()
    decoder = ToneDecoder()
    for speech in speeches:
        # A word's own sound is in its pieces, and in those without text that follow.
        for word in decoder.feed(speech.audio):
            assert word in TEXT.split()
    assert heard_in(speeches) == " ".join(CLAUSES[:2])


async def test_the_socket_is_asked_for_what_was_configured(elevenlabs: ElevenLabsEmulator) -> None:
    provider = tts(
        elevenlabs, language="en", voice_settings={"stability": 0.4, "speed": 1.1}, model="eleven_turbo_v2_5"
    )
    async with provider.open() as voice:
        await speak(voice, "Hello.")
    [connection] = elevenlabs.connections
    assert connection.path == f"/v1/text-to-speech/{RACHEL}/multi-stream-input"
    asked = {name: connection.parameter(name) for name in ("model_id", "output_format", "language_code")}
    assert asked == {"model_id": "eleven_turbo_v2_5", "output_format": "ulaw_8000", "language_code": "en"}
    opening, clause, closing = connection.received
    context = opening["context_id"]
    assert opening == {"text": " ", "context_id": context, "voice_settings": {"stability": 0.4, "speed": 1.1}}
    assert clause == {"text": "Hello. ", "context_id": context, "flush": True}
    assert closing == {"context_id": context, "close_context": True}


async def test_http_is_asked_for_what_was_configured(elevenlabs: ElevenLabsEmulator) -> None:
    provider = tts(elevenlabs, transport="http", language="en", voice_settings={"stability": 0.4})
    async with provider.open() as voice:
        await speak(voice, "Hello there.", "How are you?")
        await speak(voice, "Fine.")
    bodies = [connection.received[0] for connection in elevenlabs.connections]
    common = {"model_id": "eleven_flash_v2_5", "language_code": "en", "voice_settings": {"stability": 0.4}}
    assert bodies == [
        {"text": "Hello there.", **common},
        {"text": "How are you?", "previous_text": "Hello there.", **common},
        {"text": "Fine.", **common},
    ]
    assert elevenlabs.connections[0].path == f"/v1/text-to-speech/{RACHEL}/stream/with-timestamps"
    assert elevenlabs.connections[0].parameter("output_format") == "ulaw_8000"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_speech_comes_while_text_is_still_being_written(elevenlabs: ElevenLabsEmulator, transport: str) -> None:
    async with tts(elevenlabs, transport=transport).open() as voice, voice.utter() as utterance:
        await utterance.say("Hello there.")
        assert (await anext(aiter(utterance))).text == "Hello"
        await utterance.say("Fine.")
        await utterance.finish()
        await utterance.finish()
        assert text_of([speech async for speech in utterance]) == "there. Fine."


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_has_no_sound_is_not_sent(elevenlabs: ElevenLabsEmulator, transport: str) -> None:
    async with tts(elevenlabs, transport=transport).open() as voice:
        assert await speak(voice) == []
        assert await speak(voice, "👍", " ", "…!") == []
    assert elevenlabs.characters == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_words_without_a_sound_stay_in_the_text(elevenlabs: ElevenLabsEmulator, transport: str) -> None:
    elevenlabs.speaks_symbols = False
    async with tts(elevenlabs, transport=transport).open() as voice:
        speeches = await speak(voice, "Great 👍 then 🎉", "see you — soon")
    assert text_of(speeches) == "Great 👍 then 🎉 see you — soon"
    assert heard_in(speeches) == "Great then see you soon"


async def test_two_utterances_at_once_do_not_mix(elevenlabs: ElevenLabsEmulator) -> None:
    said: dict[str, str] = {}

    async def run(voice: Voice, text: str) -> None:
        said[text] = heard_in(await speak(voice, text))

    async with tts(elevenlabs).open() as voice, anyio.create_task_group() as tasks:
        for text in ("one two three four", "un deux trois quatre", "eins zwei drei vier"):
            tasks.start_soon(run, voice, text)
    assert len(elevenlabs.connections) == 1
    assert said == {text: text for text in said} and len(said) == 3


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_after_an_interruption_nothing_of_it_is_heard(elevenlabs: ElevenLabsEmulator, transport: str) -> None:
    elevenlabs.realtime_factor = 4
    async with tts(elevenlabs, transport=transport).open() as voice:
        with anyio.CancelScope() as turn:
            async with voice.utter() as utterance:
                await utterance.say(TEXT)
                async for _ in utterance:
                    turn.cancel()
        assert heard_in(await speak(voice, "Yes, of course.")) == "Yes, of course."


async def test_interruptions_in_quick_succession_stay_within_the_vendors_limit(
    elevenlabs: ElevenLabsEmulator,
) -> None:
    elevenlabs.realtime_factor = 1  # so that what was abandoned is still being spoken
    async with tts(elevenlabs).open() as voice:
        for _ in range(11):
            async with voice.utter() as utterance:
                await utterance.say(TEXT)
                await anext(aiter(utterance))
        elevenlabs.realtime_factor = 50
        assert heard_in(await speak(voice, "Yes, of course.")) == "Yes, of course."
    assert len(elevenlabs.connections) <= 3
    assert all("error" not in message for connection in elevenlabs.connections for message in connection.sent)


async def test_twenty_sessions_at_once(elevenlabs: ElevenLabsEmulator) -> None:
    heard: list[str] = []
    provider = tts(elevenlabs)

    async def call(number: int) -> None:
        async with provider.open() as voice:
            heard.append(heard_in(await speak(voice, f"This is call {number}.", "Goodbye.")))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(call, number)
    assert sorted(heard) == sorted(f"This is call {number}. Goodbye." for number in range(20))


# --- refusals


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("refuses_at", ["handshake", "message"])
@pytest.mark.parametrize(
    ("key", "voice_id", "quota", "says"),
    [
        ("wrong", "rachel", None, "does not accept the key; check ELEVENLABS_API_KEY"),
        ("test-key", "aaaaabbbbbcccccddddd", None, "does not know the voice; check voice_id"),
        ("test-key", "rachel", 0, "no credit left.*quota_exceeded"),
    ],
)
async def test_permanent_refusals_say_what_to_do(
    elevenlabs: ElevenLabsEmulator,
    transport: str,
    refuses_at: Literal["handshake", "message"],
    key: str,
    voice_id: str,
    quota: int | None,
    says: str,
) -> None:
    elevenlabs.refuses_at, elevenlabs.quota_characters = refuses_at, quota
    provider = ElevenLabsTTS(key, base_url=elevenlabs.base_url, voice_id=voice_id, transport=transport)  # type: ignore[arg-type]
    with pytest.raises(ProviderError, match=says) as caught:
        async with provider.open() as voice:
            await speak(voice, *CLAUSES)
    assert (caught.value.stage, caught.value.retryable) == ("tts", False)
    assert len(elevenlabs.connections) == 1
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_quota_may_end_in_the_middle(elevenlabs: ElevenLabsEmulator, transport: str) -> None:
    elevenlabs.quota_characters = 20
    async with tts(elevenlabs, transport=transport).open() as voice, voice.utter() as utterance:
        await utterance.say("Hello there,")
        speeches = [await anext(aiter(utterance))]
        await utterance.say("this is your salon calling.")
        with pytest.raises(ProviderError, match="no credit left"):
            while True:
                speeches.append(await anext(aiter(utterance)))
        assert text_of(speeches) == "Hello there,"
        # It was reported; what is still written is taken, and goes nowhere.
        await utterance.say("Is it three o'clock?")
        await utterance.finish()


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_handshake_that_is_turned_away_is_tried_once_more(elevenlabs: ElevenLabsEmulator, status: int) -> None:
    elevenlabs.faults.append(Refuse(status))
    async with tts(elevenlabs).open() as voice:
        assert heard_in(await speak(voice, "Hello.")) == "Hello."
    elevenlabs.faults.every = Refuse(status)
    with pytest.raises(ProviderError, match=f"HTTP {status}") as caught:
        async with tts(elevenlabs).open():
            pass
    assert caught.value.retryable
    assert len(elevenlabs.connections) == 4


async def test_a_handshake_that_is_not_answered_is_given_up_in_time(elevenlabs: ElevenLabsEmulator) -> None:
    elevenlabs.faults.every = BlackHole()
    begin = anyio.current_time()
    with pytest.raises(ProviderError, match="did not answer") as caught:
        async with tts(elevenlabs, open_timeout_s=0.3).open():
            pass
    assert caught.value.retryable
    assert anyio.current_time() - begin < 1.5


async def test_nobody_there(elevenlabs: ElevenLabsEmulator, free_tcp_port: int) -> None:
    for transport in TRANSPORTS:
        provider = ElevenLabsTTS("k", base_url=f"http://127.0.0.1:{free_tcp_port}", transport=transport)
        with pytest.raises(ProviderError, match="check the network and base_url") as caught:
            async with provider.open() as voice:
                await speak(voice, "Hello.")
        assert caught.value.retryable


@pytest.mark.parametrize("status", [401, 404, 429, 503])
async def test_http_refusals(elevenlabs: ElevenLabsEmulator, status: int) -> None:
    elevenlabs.faults.append(Refuse(status))
    async with tts(elevenlabs, transport="http").open() as voice:
        with pytest.raises(ProviderError, match=f"HTTP {status}") as caught:
            await speak(voice, "Hello.")
        assert caught.value.retryable is (status in (429, 503))
        assert len(elevenlabs.connections) == 1
        assert heard_in(await speak(voice, "Hello.")) == "Hello."


# --- faults in the middle


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 6, 8, 11, 14])
@pytest.mark.parametrize("code", [None, 1000, 1011])
async def test_a_break_in_the_middle_costs_at_most_the_word_that_was_being_said(
    elevenlabs: ElevenLabsEmulator, after: int, code: int | None
) -> None:
    elevenlabs.faults.append(Drop(after_messages=after, code=code))
    async with tts(elevenlabs).open() as voice:
        speeches = await speak(voice, *CLAUSES)
    assert text_of(speeches) == TEXT
    heard = heard_in(speeches).split()
    missing = [word for word in TEXT.split() if word not in heard]
    assert len(missing) <= 1
    assert heard == [word for word in TEXT.split() if word not in missing]
    assert len(elevenlabs.connections) == (1 if after == 14 else 2)  # by then the last word has begun


@pytest.mark.parametrize(
    "fault",
    [
        ErrorFrame(after_messages=3),
        ErrorFrame(after_messages=3, code=1011),
        SilentEnd(after_messages=3),
        Stall(after_messages=3),
        SlowClose(after_messages=3),
    ],
)
async def test_what_else_may_break_the_speech(elevenlabs: ElevenLabsEmulator, fault: Fault) -> None:
    elevenlabs.faults.append(fault)
    async with hasty(elevenlabs) as voice:
        speeches = await speak(voice, *CLAUSES)
        assert text_of(speeches) == TEXT
        assert len(heard_in(speeches).split()) >= len(TEXT.split()) - 1


@pytest.mark.parametrize("fault", [UnknownEvents(), Garbage(), Garbage(after_messages=4)])
async def test_what_is_not_understood_is_skipped(elevenlabs: ElevenLabsEmulator, fault: Fault) -> None:
    elevenlabs.faults.append(fault)
    async with tts(elevenlabs).open() as voice:
        assert heard_in(await speak(voice, *CLAUSES)) == TEXT
    assert len(elevenlabs.connections) == 1


@pytest.mark.parametrize("fault", [Drop(after_messages=0), Stall(), ErrorFrame()])
async def test_a_service_that_never_speaks_is_given_up(elevenlabs: ElevenLabsEmulator, fault: Fault) -> None:
    elevenlabs.faults.every = fault
    async with hasty(elevenlabs) as voice, voice.utter() as utterance:
        await utterance.say("Hello.")
        with pytest.raises(ProviderError, match="ElevenLabs") as caught:
            await anext(aiter(utterance))
        assert caught.value.retryable
        await utterance.say("Are you there?")
        await utterance.finish()
    assert len(elevenlabs.connections) <= 4


async def test_breaks_are_endured_as_long_as_there_is_progress(elevenlabs: ElevenLabsEmulator) -> None:
    elevenlabs.faults.extend([Drop(after_messages=1)] * 5)
    async with tts(elevenlabs).open() as voice:
        assert text_of(await speak(voice, *CLAUSES)) == TEXT
    assert len(elevenlabs.connections) == 6


async def test_a_break_while_nobody_speaks_is_not_noticed(elevenlabs: ElevenLabsEmulator) -> None:
    elevenlabs.inactivity_s = 0.05
    async with tts(elevenlabs).open() as voice:
        for number in (1, 2, 3):
            assert heard_in(await speak(voice, "Hello.")) == "Hello."
            connection = await elevenlabs.connections.nth(number)
            await closed(connection)
            await wait_all_tasks_blocked()
    assert len(elevenlabs.connections) == 3


async def test_a_context_that_the_vendor_closes_is_opened_again(elevenlabs: ElevenLabsEmulator) -> None:
    elevenlabs.inactivity_s = 0.1
    async with tts(elevenlabs).open() as voice, voice.utter() as utterance:
        await utterance.say("One moment.")
        speeches = [await anext(aiter(utterance))]
        connection = await elevenlabs.connections.nth(1)
        await closed(connection)
        await utterance.say("Here it is.")
        await utterance.finish()
        speeches += [speech async for speech in utterance]
    assert heard_in(speeches) == text_of(speeches) == "One moment. Here it is."


async def test_the_end_is_found_without_a_final_message(elevenlabs: ElevenLabsEmulator) -> None:
    elevenlabs.sends_is_final = False
    async with hasty(elevenlabs) as voice:
        for _ in range(7):
            assert heard_in(await speak(voice, "Hello there.", "Fine.")) == "Hello there. Fine."


@pytest.mark.parametrize("cancelled", [False, True])
async def test_leaving_is_quick_whatever_the_peer_does(elevenlabs: ElevenLabsEmulator, cancelled: bool) -> None:
    elevenlabs.faults.append(SlowClose(after_messages=1))
    with anyio.CancelScope() as call:
        async with tts(elevenlabs).open() as voice, voice.utter() as utterance:
            await utterance.say(TEXT)
            await anext(aiter(utterance))
            begin = anyio.current_time()
            if cancelled:
                call.cancel()
    assert anyio.current_time() - begin < 1.3


async def test_opening_and_reconnecting_can_be_given_up_at_any_time(elevenlabs: ElevenLabsEmulator) -> None:
    elevenlabs.faults.extend([BlackHole(), Drop(after_messages=2), BlackHole(), None])
    with anyio.move_on_after(0.1) as opening:
        async with tts(elevenlabs).open():
            pass
    assert opening.cancelled_caught
    async with tts(elevenlabs).open() as voice:
        with anyio.CancelScope() as turn:
            async with voice.utter() as utterance:
                await utterance.say(TEXT)
                await elevenlabs.connections.nth(3)
                begin = anyio.current_time()
                turn.cancel()
        assert anyio.current_time() - begin < 0.5
        assert heard_in(await speak(voice, "Hello.")) == "Hello."


@pytest.mark.parametrize("fault", [Drop(after_messages=3), Stall(after_messages=3), Stall()])
async def test_http_that_breaks_is_an_error(elevenlabs: ElevenLabsEmulator, fault: Fault) -> None:
    elevenlabs.faults.append(fault)
    async with HttpVoice(settings(elevenlabs), rachel, stall_s=0.3) as voice:
        with pytest.raises(ProviderError, match="ElevenLabs") as caught:
            await speak(voice, TEXT)
        assert caught.value.retryable


async def test_leaving_http_early_ends_the_request(elevenlabs: ElevenLabsEmulator) -> None:
    elevenlabs.realtime_factor = 1
    async with tts(elevenlabs, transport="http").open() as voice:
        async with voice.utter() as utterance:
            await utterance.say(TEXT)
            await anext(aiter(utterance))
        await closed(elevenlabs.connections[0])
    assert elevenlabs.connections[0].closed_by == "client"


# --- voices and configuration


async def test_a_voice_may_be_given_by_its_name(elevenlabs: ElevenLabsEmulator) -> None:
    elevenlabs.voices.append(EmulatedVoice("zoezoezoezoezoezoe00", "Zoe - warm, calm"))
    provider = tts(elevenlabs, voice_id="zoe")
    for _ in range(2):
        async with provider.open() as voice:
            assert heard_in(await speak(voice, "Hello.")) == "Hello."
    assert {connection.path.split("/")[3] for connection in elevenlabs.connections} == {"zoezoezoezoezoezoe00"}
    async with tts(elevenlabs, voice_id="RACHEL").open() as voice:
        assert heard_in(await speak(voice, "Hello.")) == "Hello."


async def test_a_name_that_no_voice_has(elevenlabs: ElevenLabsEmulator) -> None:
    with pytest.raises(ProviderError, match=r"no voice named 'nobody'.*Rachel, Sarah, George, Brian\.") as caught:
        async with tts(elevenlabs, voice_id="nobody").open():
            pass
    assert not caught.value.retryable


async def test_a_wrong_key_shows_when_a_name_is_looked_up(elevenlabs: ElevenLabsEmulator) -> None:
    with pytest.raises(ProviderError, match="does not accept the key"):
        async with ElevenLabsTTS("wrong", base_url=elevenlabs.base_url, voice_id="zoe").open():
            pass


async def test_settings_come_from_the_environment(
    elevenlabs: ElevenLabsEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", "test-key")
    monkeypatch.setenv("ELEVENLABS_BASE_URL", elevenlabs.base_url + "/")
    provider = ElevenLabsTTS()
    await provider.start()
    async with provider.open() as voice:
        assert heard_in(await speak(voice, "Hello.")) == "Hello."
    assert "test-key" not in repr(provider) and "rachel" in repr(provider)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"api_key": None}, "api_key is missing.*ELEVENLABS_API_KEY"),
        ({"transport": "smoke"}, "transport must be"),
        ({"voice_id": " "}, "voice_id is empty"),
        ({"voice_settings": {"loud": 1.0}}, "no 'loud'"),
        ({"voice_settings": {"speed": "fast"}}, "must be a number"),
        ({"base_url": "api.elevenlabs.io"}, "base_url"),
    ],
)
def test_what_is_malformed_is_said_at_once(options: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=says):
        ElevenLabsTTS(**({"api_key": "k"} | options))


@pytest.mark.live
@pytest.mark.skipif(not os.environ.get("ELEVENLABS_API_KEY"), reason="ELEVENLABS_API_KEY is not set")
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_real_service_speaks(transport: Literal["websocket", "http"]) -> None:
    async with ElevenLabsTTS(transport=transport).open() as voice:
        speeches = await speak(voice, "Hello there.", "This is a test.")
    assert text_of(speeches) == "Hello there. This is a test."
    assert sum(len(speech.audio) for speech in speeches) > 8000
