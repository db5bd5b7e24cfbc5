"""Deepgram's ears through the real SDK: against the emulator, and against peers that do what no emulator does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from websockets.asyncio.server import ServerConnection, serve

from patter.audio import mulaw
from patter.errors import ConfigError, ProviderError
from patter.local import tones
from patter.testing.emulators.deepgram import DeepgramEmulator, ScriptedUtterance
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
from patter.testing.pytest_plugin import no_leaked_tasks
from patter.voice.base import Ears, EndOfSpeech, Hearing
from patter.voice.deepgram.ears import DeepgramEars
from patter.voice.deepgram.link import Flux, Link, Nova, Service
from patter.voice.deepgram.stt import DeepgramSTT

__all__ = ["no_leaked_tasks"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaked_tasks")]

KEY = "test-key"
LIVE_KEY = os.environ.get("DEEPGRAM_API_KEY")
TEXT = "Hello there, this is Anna. How are you today?"
MODELS = ("nova-3", "flux-general-en")
NONE, PAUSE, EAGER, TURN = EndOfSpeech.NONE, EndOfSpeech.PAUSE, EndOfSpeech.EAGER, EndOfSpeech.TURN
ENDS = {"nova-3": PAUSE, "flux-general-en": TURN}

both = pytest.mark.parametrize("model", MODELS)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def deepgram() -> AsyncIterator[DeepgramEmulator]:
    async with DeepgramEmulator(latency_ms=0) as emulator:
        yield emulator


def ears_of(deepgram: DeepgramEmulator, model: str, **options: object) -> DeepgramSTT:
    return DeepgramSTT(KEY, base_url=deepgram.base_url, model=model, **options)


def sound(text: str = TEXT, quiet_ms: int = 700) -> bytes:
    return mulaw.silence(100) + tones.encode(text) + mulaw.silence(quiet_ms)


async def feed(ears: Ears, audio: bytes, pace: float = 0.0, piece: int = 160, finish: bool = True) -> None:
    for begin in range(0, len(audio), piece):
        await ears.send(audio[begin : begin + piece])
        await anyio.sleep(pace)
    if finish:
        await ears.finish()


async def listen(ears: Ears, audio: bytes, pace: float = 0.0, piece: int = 160) -> list[Hearing]:
    """Send it all, and hear to the end."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed, ears, audio, pace, piece)
        return [hearing async for hearing in ears]


async def hear_until(ears: Ears, text: str) -> Hearing:
    """The first hearing that ends with this text."""
    with anyio.fail_after(5):
        async for hearing in ears:
            if hearing.text.endswith(text):
                return hearing
    raise AssertionError(f"the ears ended before {text!r}")


def finals(hearings: list[Hearing]) -> str:
    return " ".join(hearing.text for hearing in hearings if hearing.is_final and hearing.text)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


# --- a good session ----------------------------------------------------------------------------


@both
async def test_a_sentence_is_heard_word_by_word_and_final_once(deepgram: DeepgramEmulator, model: str) -> None:
    async with ears_of(deepgram, model).open() as ears:
        hearings = await listen(ears, sound(), pace=0.001)
    assert [hearing for hearing in hearings if hearing.is_final] == [
        Hearing(TEXT, True, ENDS[model], pytest.approx(0.1 + len(tones.encode(TEXT)) / 8000, abs=0.02))
    ]
    interims = [hearing.text for hearing in hearings if not hearing.is_final]
    assert len(set(interims)) >= 4
    assert all(TEXT.startswith(text) for text in interims)


@both
@pytest.mark.parametrize("piece", [1, 7, 333, 20_000])
async def test_audio_in_any_pieces_is_the_same_audio(deepgram: DeepgramEmulator, model: str, piece: int) -> None:
    audio = sound("one two")
    async with ears_of(deepgram, model).open() as ears:
        await ears.send(b"")
        assert finals(await listen(ears, audio, piece=piece)) == "one two"
    (connection,) = deepgram.connections
    assert bytes(connection.audio) == audio
    sizes = [entry.message for entry in connection.log if isinstance(entry.message, int)]
    assert 0 not in sizes
    if model.startswith("flux"):
        assert set(sizes[:-1]) <= {640}


async def test_version_1_is_asked_for_telephone_audio(deepgram: DeepgramEmulator) -> None:
    stt = ears_of(deepgram, "nova-3", language="en", keyterms=["Mirela Okonkwo", "haircut"], endpointing_ms=250)
    async with stt.open() as ears:
        await listen(ears, sound("one"))
    (connection,) = deepgram.connections
    assert connection.path == "/v1/listen"
    assert connection.query == {
        "model": ["nova-3"],
        "encoding": ["mulaw"],
        "sample_rate": ["8000"],
        "channels": ["1"],
        "interim_results": ["true"],
        "endpointing": ["250"],
        "utterance_end_ms": ["1000"],
        "vad_events": ["true"],
        "smart_format": ["false"],
        "punctuate": ["true"],
        "language": ["en"],
        "keyterm": ["Mirela Okonkwo", "haircut"],
    }
    assert [message["type"] for message in connection.received] == ["Finalize", "CloseStream"]


async def test_flux_is_asked_for_its_thresholds(deepgram: DeepgramEmulator) -> None:
    stt = ears_of(deepgram, "flux-general-multi", language="es", keyterms=["Okonkwo"], eager_threshold=0.4)
    async with stt.open() as ears:
        await listen(ears, sound("one"))
    (connection,) = deepgram.connections
    assert connection.path == "/v2/listen"
    assert connection.query == {
        "model": ["flux-general-multi"],
        "encoding": ["mulaw"],
        "sample_rate": ["8000"],
        "eot_threshold": ["0.7"],
        "eager_eot_threshold": ["0.4"],
        "eot_timeout_ms": ["5000"],
        "language_hint": ["es"],
        "keyterm": ["Okonkwo"],
    }
    assert [message["type"] for message in connection.received] == ["ForceEndTurn", "CloseStream"]


async def test_two_turns_are_two_finals(deepgram: DeepgramEmulator) -> None:
    for model in MODELS:
        async with ears_of(deepgram, model).open() as ears:
            hearings = await listen(ears, sound("one two") + sound("three"), pace=0.001)
        told = [(hearing.text, hearing.end) for hearing in hearings if hearing.is_final]
        assert told == [("one two", ENDS[model]), ("three", ENDS[model])]


async def test_an_eager_end_comes_before_the_end(deepgram: DeepgramEmulator) -> None:
    async with ears_of(deepgram, "flux-general-en").open() as ears:
        hearings = await listen(ears, sound("one", 300) + sound("two"), pace=0.001)
    ends = [(hearing.text, hearing.end) for hearing in hearings if hearing.end is not NONE]
    assert ends == [("one", EAGER), ("one two", EAGER), ("one two", TURN)]
    resumed = hearings.index(next(hearing for hearing in hearings if hearing.end is EAGER)) + 1
    assert hearings[resumed].end is NONE


async def test_the_pause_is_marked_though_speech_final_is_missing(deepgram: DeepgramEmulator) -> None:
    deepgram.speech_final = False
    async with ears_of(deepgram, "nova-3").open() as ears:
        hearings = await listen(ears, sound("one two", 1500))
    marks = [(hearing.text, hearing.end) for hearing in hearings if hearing.is_final]
    assert marks == [("one two", NONE), ("", PAUSE)]


@both
async def test_the_finish_brings_the_last_words(deepgram: DeepgramEmulator, model: str) -> None:
    async with ears_of(deepgram, model).open() as ears:
        hearings = await listen(ears, sound("one two", 0))
        assert [hearing async for hearing in ears] == []
        await ears.finish()
        await ears.send(b"\xff")
    assert [(hearing.text, hearing.end) for hearing in hearings if hearing.is_final] == [("one two", ENDS[model])]


@both
async def test_silence_is_nothing_and_ends_at_once(deepgram: DeepgramEmulator, model: str) -> None:
    async with within(0.5), ears_of(deepgram, model).open() as ears:
        assert await listen(ears, mulaw.silence(7000), piece=8000) == []


@both
async def test_the_iteration_can_be_cancelled_and_taken_up_again(deepgram: DeepgramEmulator, model: str) -> None:
    hearings: list[Hearing] = []
    async with ears_of(deepgram, model).open() as ears, anyio.create_task_group() as tasks:
        tasks.start_soon(feed, ears, sound(), 0.001)
        over = False
        while not over:
            with anyio.move_on_after(0.002):
                hearings += [await anext(ears)]
                continue
            over = bool(finals(hearings))
    assert finals(hearings) == TEXT


# --- silence on the line -----------------------------------------------------------------------


async def test_version_1_is_kept_alive_without_audio(deepgram: DeepgramEmulator) -> None:
    class Hasty(Nova):
        KEEP_ALIVE_S = 0.05

    assert 3 <= Nova.KEEP_ALIVE_S <= 5
    deepgram.idle_s = 0.2
    async with session(deepgram, "v1/listen?encoding=mulaw&sample_rate=8000", Hasty) as ears:
        await anyio.sleep(0.4)
        assert finals(await listen(ears, sound("one"))) == "one"
    (connection,) = deepgram.connections
    assert connection.received[:3] == [{"type": "KeepAlive"}] * 3
    assert bytes(connection.audio) == sound("one")


async def test_flux_is_fed_silence_so_that_a_turn_ends(deepgram: DeepgramEmulator) -> None:
    first, second = sound("one two six", 0), tones.encode("three")
    assert len(first) % 640, "the last message must be a short one"
    async with ears_of(deepgram, "flux-general-en").open() as ears:
        await feed(ears, first, finish=False)
        with anyio.fail_after(3):
            async for hearing in ears:
                if hearing.end is TURN:
                    break
        assert hearing == Hearing("one two six", True, TURN, pytest.approx(len(first) / 8000))
        # The silence between is not the callee's, and does not count.
        *_, last = await listen(ears, second + mulaw.silence(300))
    assert last == Hearing("three", True, TURN, pytest.approx((len(first) + len(second)) / 8000))


async def test_flux_is_kept_alive_before_there_is_any_audio(deepgram: DeepgramEmulator) -> None:
    class Hasty(Flux):
        KEEP_ALIVE_S = 0.05

    deepgram.idle_s = 0.2
    options = "v2/listen?model=flux-general-en&encoding=mulaw&sample_rate=8000"
    async with session(deepgram, options, Hasty) as ears:
        await anyio.sleep(0.4)
        audio = tones.encode("one") + mulaw.silence(300)
        (hearing,) = [one for one in await listen(ears, audio) if one.is_final]
    assert len(deepgram.connections) == 1
    assert hearing == Hearing("one", True, TURN, pytest.approx(len(tones.encode("one")) / 8000))


def session(deepgram: DeepgramEmulator, path: str, version: type[Link]) -> DeepgramEars:
    service = Service(address=f"{deepgram.base_url}/{path}", key=KEY, version=version, open_timeout_s=2)
    return DeepgramEars(service, ears_of(deepgram, "nova-3" if version.most_bytes > 640 else "flux-x").start)


# --- opening -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "told"), [(400, "options"), (401, "DEEPGRAM_API_KEY"), (402, "credit"), (403, "plan"), (404, "model")]
)
async def test_a_refusal_is_told_and_not_repeated(deepgram: DeepgramEmulator, status: int, told: str) -> None:
    deepgram.faults.every = Refuse(status)
    with pytest.raises(ProviderError, match=told) as caught:
        async with ears_of(deepgram, "nova-3").open():
            pytest.fail("it was refused")
    assert (caught.value.stage, caught.value.retryable) == ("stt", False)
    assert len(deepgram.connections) == 1
    assert KEY not in str(caught.value)


async def test_a_wrong_key_is_refused(deepgram: DeepgramEmulator) -> None:
    with pytest.raises(ProviderError, match="check DEEPGRAM_API_KEY"):
        async with DeepgramSTT("wrong", base_url=deepgram.base_url).open():
            pytest.fail("it was refused")


@pytest.mark.parametrize("fault", [Refuse(429), Refuse(503), Drop()])
async def test_a_busy_service_is_asked_again(deepgram: DeepgramEmulator, fault: Fault) -> None:
    deepgram.faults.append(fault)
    async with ears_of(deepgram, "flux-general-en").open() as ears:
        assert finals(await listen(ears, sound("one"))) == "one"
    assert len(deepgram.connections) == 2


@pytest.mark.parametrize(("fault", "told"), [(Refuse(503), "503"), (Refuse(429), "429"), (BlackHole(), "handshake")])
async def test_opening_ends_in_time(deepgram: DeepgramEmulator, fault: Fault, told: str) -> None:
    deepgram.faults.every = fault
    with pytest.raises(ProviderError, match=told) as caught:
        async with within(1.0), ears_of(deepgram, "nova-3", open_timeout_s=0.4).open():
            pytest.fail("it cannot be opened")
    assert caught.value.retryable


async def test_flux_must_confirm_the_session(deepgram: DeepgramEmulator) -> None:
    deepgram.faults.every = Stall()
    with pytest.raises(ProviderError, match="did not open the session"):
        async with within(1.0), ears_of(deepgram, "flux-general-en", open_timeout_s=0.3).open():
            pytest.fail("it was not confirmed")


async def test_flux_may_answer_with_an_error(deepgram: DeepgramEmulator) -> None:
    message = {"type": "Error", "code": "INVALID_PARAMETER", "description": "No such threshold."}
    deepgram.faults.every = ErrorFrame(message)
    with pytest.raises(ProviderError, match="No such threshold"):
        async with ears_of(deepgram, "flux-general-en").open():
            pytest.fail("it was refused")
    assert len(deepgram.connections) == 1


@both
async def test_a_peer_that_says_nothing_about_loud_audio_is_left_for_another(
    deepgram: DeepgramEmulator, model: str
) -> None:
    words = [f"word{number}" for number in range(70)]
    deepgram.faults.extend([Stall(1), None])
    async with ears_of(deepgram, model).open() as ears, anyio.create_task_group() as tasks:
        tasks.start_soon(feed, ears, sound(" ".join(words)), 0.008, 160, False)
        heard = ""
        with anyio.fail_after(10):
            async for hearing in ears:
                heard = hearing.text
                if hearing.is_final:
                    break
        assert heard.split() == words
    assert len(deepgram.connections) == 2


async def test_an_opening_can_be_cancelled(deepgram: DeepgramEmulator) -> None:
    deepgram.faults.every = BlackHole()
    async with within(0.9):
        with anyio.move_on_after(0.1) as patience:
            async with ears_of(deepgram, "nova-3").open():
                pytest.fail("nobody answers")
    assert patience.cancelled_caught


async def test_nobody_there_is_told() -> None:
    with pytest.raises(ProviderError, match="cannot be reached"):
        async with DeepgramSTT(KEY, base_url="http://127.0.0.1:9", open_timeout_s=0.3).open():
            pytest.fail("nobody is there")


# --- connections that break --------------------------------------------------------------------

FAULTS = [
    Drop(after_audio_ms=500),
    Drop(after_audio_ms=840),
    Drop(after_audio_ms=1300),
    Drop(after_audio_ms=700, code=1011, reason="NET-0001"),
    Drop(after_audio_ms=700, code=1011, reason="NET-0000"),
    ErrorFrame(after_messages=2),
    ErrorFrame(after_messages=2, code=1011),
    SilentEnd(after_messages=3),
    Garbage(after_messages=2),
    UnknownEvents(),
]


@both
@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_no_word_is_lost_or_doubled(deepgram: DeepgramEmulator, model: str, fault: Fault) -> None:
    deepgram.faults.append(fault)
    async with ears_of(deepgram, model).open() as ears:
        hearings = await listen(ears, sound(), pace=0.004)
    told = [hearing for hearing in hearings if hearing.is_final and hearing.text]
    ended_at_s = pytest.approx(0.1 + len(tones.encode(TEXT)) / 8000, abs=0.02)
    assert told == [Hearing(TEXT, True, ENDS[model], ended_at_s)]


@pytest.mark.parametrize(("every", "after_ms"), [(1, 450), (2, 600), (3, 750)])
async def test_what_was_final_is_not_heard_again(deepgram: DeepgramEmulator, every: int, after_ms: int) -> None:
    deepgram.final_every_words = every
    deepgram.faults.extend([Drop(after_audio_ms=after_ms), Drop(after_audio_ms=250)])
    async with ears_of(deepgram, "nova-3").open() as ears:
        hearings = await listen(ears, sound(), pace=0.005)
        replayed_ms = ears.replayed_ms
    assert len(deepgram.connections) == 3
    assert finals(hearings) == TEXT
    ends = [hearing.ended_at_s for hearing in hearings if hearing.is_final and hearing.text]
    assert ends == sorted(ends)
    # What was on its way when a connection broke was sent, and did not arrive.
    arrived_twice_ms = (sum(len(connection.audio) for connection in deepgram.connections) - len(sound())) / 8
    assert arrived_twice_ms <= replayed_ms < 2 * len(sound()) / 8


@both
async def test_sending_goes_on_while_the_connection_is_repaired(deepgram: DeepgramEmulator, model: str) -> None:
    deepgram.faults.extend([Drop(after_audio_ms=300), Refuse(503)])
    async with ears_of(deepgram, model).open() as ears:
        async with within(0.2):
            await feed(ears, sound(), finish=False)
        await hear_until(ears, TEXT)
        assert ears.replayed_ms > 0
    assert len(deepgram.connections) == 3


async def test_a_long_turn_survives_the_end_of_the_ring(deepgram: DeepgramEmulator) -> None:
    words = [f"word{number}" for number in range(44)]
    audio = b"".join(tones.encode_word(word) + mulaw.silence(200) for word in words)
    assert len(audio) > 12 * 8000
    deepgram.end_silence_ms = 450
    deepgram.faults.append(Drop(after_audio_ms=11_500))
    async with ears_of(deepgram, "flux-general-en", eager_threshold=None).open() as ears:
        hearings = await listen(ears, audio + mulaw.silence(600), pace=0.02, piece=1600)
        assert ears.replayed_ms <= 10_000
    told = [hearing for hearing in hearings if hearing.is_final]
    assert len(told) == 2
    assert finals(hearings).split() == words


async def test_a_connection_that_always_dies_is_given_up(deepgram: DeepgramEmulator) -> None:
    deepgram.faults.every = Drop(after_audio_ms=20, code=1011, reason="NET-0000")
    async with within(3), ears_of(deepgram, "nova-3").open() as ears:
        await feed(ears, sound(), finish=False)
        with pytest.raises(ProviderError, match="1011 NET-0000") as caught:
            await anext(ears)
        assert (caught.value.stage, caught.value.retryable) == ("stt", True)
        assert [hearing async for hearing in ears] == []
        await ears.send(b"\xff" * 160)
        await ears.finish()
    assert len(deepgram.connections) == 4


@both
async def test_a_refusal_of_the_new_connection_is_final(deepgram: DeepgramEmulator, model: str) -> None:
    deepgram.faults.extend([Drop(after_audio_ms=300), Refuse(402)])
    async with ears_of(deepgram, model).open() as ears:
        await feed(ears, sound(), finish=False)
        with pytest.raises(ProviderError, match="credit"):
            await hear_until(ears, TEXT)
    assert len(deepgram.connections) == 2


async def test_audio_that_cannot_be_decoded_is_not_sent_again(deepgram: DeepgramEmulator) -> None:
    deepgram.faults.append(Drop(after_audio_ms=100, code=1008, reason="DATA-0000: undecodable"))
    async with ears_of(deepgram, "nova-3").open() as ears:
        await feed(ears, sound(), finish=False)
        with pytest.raises(ProviderError, match="DATA-0000"):
            await anext(ears)
    assert len(deepgram.connections) == 1


# --- the end -----------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("fault", [Stall(3), SlowClose(3)], ids=str)
async def test_a_peer_that_falls_silent_costs_less_than_a_second(
    deepgram: DeepgramEmulator, model: str, fault: Fault
) -> None:
    deepgram.faults.append(fault)
    async with ears_of(deepgram, model).open() as ears:
        await feed(ears, sound(), pace=0.001, finish=False)
        heard = await hear_until(ears, "there," if model == "nova-3" else "is")
        async with within(1.0):
            await ears.finish()
            rest = [hearing async for hearing in ears]
    # The last interim has become final.
    assert rest[-1] == Hearing(heard.text, True, TURN, heard.ended_at_s) or rest[-1].text.startswith(heard.text)
    assert rest[-1].is_final


async def test_a_missing_answer_to_finalize_loses_nothing(deepgram: DeepgramEmulator) -> None:
    deepgram.answers_finalize = False
    async with ears_of(deepgram, "nova-3").open() as ears:
        assert finals(await listen(ears, sound("one two", 0))) == "one two"


@both
@pytest.mark.parametrize("fault", [None, Stall(2), SlowClose(0), SlowClose(2)], ids=str)
async def test_leaving_takes_less_than_a_second(deepgram: DeepgramEmulator, model: str, fault: Fault | None) -> None:
    if not (model.startswith("flux") and fault == SlowClose(0)):
        deepgram.faults.append(fault)
    with anyio.CancelScope() as call:
        async with ears_of(deepgram, model).open() as ears:
            await feed(ears, sound("one"), finish=False)
            begun = time.monotonic()
            call.cancel()
            await anext(ears)
    assert time.monotonic() - begun < 1.0


async def test_leaving_during_a_repair_takes_less_than_a_second(deepgram: DeepgramEmulator) -> None:
    deepgram.faults.extend([Drop(after_audio_ms=20), BlackHole()])
    async with ears_of(deepgram, "nova-3").open() as ears:
        await feed(ears, sound("one"), finish=False)
        with anyio.fail_after(2):
            await deepgram.connections.nth(2)
        begun = time.monotonic()
    assert time.monotonic() - begun < 0.5


async def test_the_owners_error_passes_unwrapped(deepgram: DeepgramEmulator) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with ears_of(deepgram, "nova-3").open():
            raise KeyError("mine")


# --- peers that no emulator plays --------------------------------------------------------------


async def test_a_peer_that_never_reads_blocks_nobody() -> None:
    over = anyio.Event()

    async def never_read(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await over.wait()
        connection.transport.abort()

    async with serve(never_read, "127.0.0.1", 0, compression=None) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with DeepgramSTT(KEY, base_url=address).open() as ears:
            for _ in range(200):  # far more than the buffers of a loopback connection hold
                async with within(0.5):
                    await ears.send(bytes(80_000))
                await anyio.lowlevel.checkpoint()
            begun = time.monotonic()
        assert time.monotonic() - begun < 1.0
        over.set()


async def says(messages: list[object], connection: ServerConnection) -> None:
    await connection.recv()
    for message in messages:
        await connection.send(message if isinstance(message, str | bytes) else json.dumps(message))
    async for received in connection:
        if isinstance(received, str) and json.loads(received)["type"] == "CloseStream":
            return


async def test_messages_that_make_no_sense_are_skipped() -> None:
    word = {"word": "one", "start": 0.0, "end": 0.1}
    messages: list[object] = [
        *("", "null", "[]", "7", '"x"', "{", "[" * 100_000, b"\x00\xff"),
        {},
        {"type": None},
        {"type": ["Results"]},
        {"type": "Results"},
        {"type": "Results", "is_final": True, "channel": "x"},
        {"type": "Results", "is_final": True, "channel": {"alternatives": [None]}},
        {"type": "Results", "is_final": True, "channel": {"alternatives": [{"transcript": 3, "words": [4]}]}},
        {"type": "Error", "variant": "SchemaError", "description": "what?", "message": "?"},
        {"type": "ConfigureFailure", "code": "X"},
        {
            "type": "Results",
            "is_final": True,
            "speech_final": True,
            "start": 0.0,
            "duration": 0.2,
            "channel": {"alternatives": [{"transcript": "one", "words": [word]}]},
        },
    ]
    async with serve(partial(says, messages), "127.0.0.1", 0, compression=None) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with DeepgramSTT(KEY, base_url=address).open() as ears:
            assert await listen(ears, mulaw.silence(400)) == [Hearing("one", True, PAUSE, 0.1)]


async def fails_at_the_end(connection: ServerConnection) -> None:
    async for received in connection:
        if isinstance(received, str) and json.loads(received)["type"] == "CloseStream":
            await connection.send(json.dumps({"type": "Error", "variant": "INTERNAL_SERVER_ERROR"}))
            channel = {"alternatives": [{"transcript": "one", "words": []}]}
            await connection.send(json.dumps({"type": "Results", "is_final": True, "channel": channel}))
            return


async def test_an_error_at_the_end_does_not_take_the_last_words() -> None:
    async with serve(fails_at_the_end, "127.0.0.1", 0, compression=None) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with DeepgramSTT(KEY, base_url=address).open() as ears:
            assert await listen(ears, mulaw.silence(400)) == [Hearing("one", True)]


async def test_scripted_speech_is_heard_too(deepgram: DeepgramEmulator) -> None:
    deepgram.script.append(ScriptedUtterance("I would like a haircut.", after_ms=300))
    async with ears_of(deepgram, "nova-3").open() as ears:
        assert finals(await listen(ears, bytes(range(256)) * 12 + mulaw.silence(500))) == "I would like a haircut."


# --- the SDK ------------------------------------------------------------------------------------


async def test_a_missing_sdk_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepgram.listen.v1.socket_client", None)
    with pytest.raises(ConfigError, match=r"pip install 'patter-core\[deepgram\]'"):
        async with DeepgramSTT(KEY).open():
            pytest.fail("there is no SDK")


def test_the_sdk_is_loaded_when_it_is_first_used() -> None:
    code = "import sys, patter.voice.deepgram.stt; sys.exit(any(n in sys.modules for n in ('deepgram', 'websockets')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the description ---------------------------------------------------------------------------


async def test_starting_twice_is_starting_once() -> None:
    stt = DeepgramSTT(KEY)
    await stt.start()
    await stt.start()


def test_the_key_is_not_shown() -> None:
    stt = DeepgramSTT("very-secret", model="flux-general-en")
    assert stt.model == "deepgram/flux-general-en"
    assert "very-secret" not in repr(stt)
    assert "very-secret" not in repr(vars(stt))


def test_key_and_address_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPGRAM_API_KEY", "k")
    monkeypatch.setenv("DEEPGRAM_BASE_URL", "http://127.0.0.1:7/")
    assert "http://127.0.0.1:7/v1/listen?" in repr(DeepgramSTT())
    monkeypatch.delenv("DEEPGRAM_API_KEY")
    with pytest.raises(ConfigError, match=r"api_key=.* DEEPGRAM_API_KEY"):
        DeepgramSTT()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"model": "flux-general-en", "eager_threshold": 0.8, "end_of_turn_threshold": 0.7}, "must not be above"),
        ({"model": "flux-general-en", "eager_threshold": 0.2}, "eager_threshold"),
        ({"model": "flux-general-en", "end_of_turn_threshold": 0.95}, "end_of_turn_threshold"),
        ({"model": "flux-general-en", "end_of_turn_timeout_ms": 100}, "end_of_turn_timeout_ms"),
        ({"utterance_end_ms": 500}, "utterance_end_ms"),
        ({"base_url": "api.deepgram.com"}, "base_url"),
    ],
)
def test_options_out_of_range_are_refused_at_once(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        DeepgramSTT(KEY, **options)


@pytest.mark.live
@pytest.mark.skipif(LIVE_KEY is None, reason="DEEPGRAM_API_KEY is not set")
class TestLive:
    @pytest.fixture
    def loopback_only(self) -> None:
        """The real service is elsewhere."""

    @both
    async def test_silence_is_nothing_to_the_real_service(self, model: str) -> None:
        async with DeepgramSTT(LIVE_KEY, model=model).open() as ears:
            assert await listen(ears, mulaw.silence(1000), pace=0.02) == []
