"""The emulated ElevenLabs: HTTP with the vendor's own SDK, the websockets that it lacks with `websockets`."""

import base64
import json
import warnings
from contextlib import asynccontextmanager, suppress
from dataclasses import MISSING, fields

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from patter.local import tones
from patter.testing.emulators import (
    BlackHole,
    Drop,
    ElevenLabsEmulator,
    EmulatedVoice,
    ErrorFrame,
    Garbage,
    Refuse,
    SilentEnd,
    Stall,
    UnknownEvents,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from elevenlabs.client import AsyncElevenLabs
    from elevenlabs.core.api_error import ApiError

pytestmark = pytest.mark.anyio

RACHEL = "21m00Tcm4TlvDq8ikWAM"
KEY = {"xi-api-key": "test-key"}
TEXT = "Hello there, Luigi! "
WORDS = ["Hello", "there,", "Luigi!"]
ULAW = "output_format=ulaw_8000"
AUTO = f"{ULAW}&auto_mode=true&sync_alignment=true"
LONG = "one two three four five six seven eight nine ten eleven twelve "


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def running(anyio_backend):
    """One server for all tests, because starting and ending it takes longer than most of them."""
    async with ElevenLabsEmulator() as emulator:
        yield emulator


@pytest.fixture
def elevenlabs(running):
    for knob in fields(running):
        if knob.init:
            setattr(running, knob.name, knob.default if knob.default is not MISSING else knob.default_factory())
    running.first_byte_ms, running.realtime_factor = 0, 1000
    running.characters = 0
    running.connections.clear()
    running.faults.clear()
    return running


@pytest.fixture
async def sdk(anyio_backend):
    """Makes clients. The SDK leaves its connections to whoever brings them."""
    async with httpx.AsyncClient(trust_env=False) as http:
        yield lambda emulator, key="test-key": AsyncElevenLabs(
            base_url=emulator.base_url, api_key=key, timeout=5, httpx_client=http
        )


def heard(audio):
    decoder = tones.ToneDecoder()
    return [word for at in range(0, len(audio), 160) for word in decoder.feed(audio[at : at + 160])]


def address(emulator, query=AUTO, *, multi=True, voice=RACHEL):
    path = "multi-stream-input" if multi else "stream-input"
    return f"{emulator.base_url.replace('http', 'ws')}/v1/text-to-speech/{voice}/{path}?{query}"


@asynccontextmanager
async def text_in(emulator, query=AUTO, *, multi=True, voice=RACHEL, headers=KEY, **more):
    url = address(emulator, query, multi=multi, voice=voice)
    async with connect(url, additional_headers=headers, proxy=None, close_timeout=0.5, **more) as socket:
        yield socket


async def send(socket, *messages):
    for message in messages:
        await socket.send(json.dumps(message))


async def receive(socket):
    return json.loads(await socket.recv())


async def rest(socket):
    """All messages until the socket is closed, and the code."""
    got = []
    try:
        while True:
            text = await socket.recv()
            try:
                got.append(json.loads(text))
            except ValueError:
                got.append("garbage")
    except ConnectionClosed as closed:
        return got, closed.rcvd and closed.rcvd.code


def audio_of(messages, context=None):
    chunks = [message for message in messages if message.get("audio") and message.get("contextId") == context]
    return b"".join(base64.b64decode(message["audio"]) for message in chunks)


# --- HTTP


async def test_streams_with_the_sdk(sdk, elevenlabs):
    pieces = sdk(elevenlabs).text_to_speech.stream(
        RACHEL, text=TEXT, output_format="ulaw_8000", model_id="eleven_flash_v2_5", optimize_streaming_latency=3
    )
    audio = b"".join([piece async for piece in pieces])
    assert heard(audio) == WORDS
    (connection,) = elevenlabs.connections
    assert (connection.method, connection.status, connection.closed_by) == ("POST", 200, "emulator")
    assert connection.path.endswith(f"/{RACHEL}/stream")
    assert connection.parameter("optimize_streaming_latency") == "3"
    assert connection.received[0]["model_id"] == "eleven_flash_v2_5"
    assert bytes(connection.audio) == audio
    assert connection.characters == elevenlabs.characters == len(TEXT)
    assert "test-key" not in repr(connection)


@pytest.mark.parametrize("restart", [False, True])
async def test_streams_with_timestamps(sdk, elevenlabs, restart):
    elevenlabs.timestamps_restart = restart
    stream = sdk(elevenlabs).text_to_speech.stream_with_timestamps(RACHEL, text=TEXT, output_format="ulaw_8000")
    chunks = [chunk async for chunk in stream]
    assert len(chunks) > 2
    assert heard(b"".join(base64.b64decode(chunk.audio_base_64) for chunk in chunks)) == WORDS
    assert "".join("".join(chunk.alignment.characters) for chunk in chunks) == TEXT
    starts = [at for chunk in chunks for at in chunk.alignment.character_start_times_seconds]
    assert (starts == sorted(starts)) is not restart
    if not restart:
        assert starts[TEXT.index("L")] == pytest.approx(0.25)


async def test_converts_whole(sdk, elevenlabs):
    speech = sdk(elevenlabs).text_to_speech
    audio = b"".join([piece async for piece in speech.convert(RACHEL, text=TEXT, output_format="ulaw_8000")])
    assert heard(audio) == WORDS
    timed = await speech.convert_with_timestamps(RACHEL, text=TEXT, output_format="ulaw_8000")
    assert base64.b64decode(timed.audio_base_64) == audio
    assert "".join(timed.alignment.characters) == TEXT
    linear = b"".join([piece async for piece in speech.convert(RACHEL, text=TEXT, output_format="pcm_24000")])
    assert len(linear) == 6 * len(audio)


@pytest.mark.parametrize(
    ("wish", "key", "quota", "status", "error"),
    [
        ({}, "other", None, 401, "invalid_api_key"),
        ({"voice_id": "nobody"}, "test-key", None, 404, "voice_not_found"),
        ({"output_format": "mp3_44100_128"}, "test-key", None, 400, "invalid_output_format"),
        ({}, "test-key", 0, 401, "quota_exceeded"),
        ({}, "test-key", len(TEXT) - 1, 401, "quota_exceeded"),
    ],
)
async def test_refusals_over_http(sdk, elevenlabs, wish, key, quota, status, error):
    elevenlabs.quota_characters = quota
    asked = {"voice_id": RACHEL, "text": TEXT, "output_format": "ulaw_8000"} | wish
    with pytest.raises(ApiError) as refused:
        async for _ in sdk(elevenlabs, key).text_to_speech.stream(**asked):
            pass
    assert (refused.value.status_code, refused.value.body["detail"]["status"]) == (status, error)
    assert elevenlabs.connections[0].status == status
    assert elevenlabs.characters == 0


@pytest.mark.parametrize(
    ("fault", "words", "breaks"),
    [
        (Drop(), [], True),
        (Drop(after_messages=1), ["Hello"], True),
        (Drop(after_audio_ms=250), ["Hello", "there,"], True),
        (SilentEnd(after_messages=1), ["Hello"], False),
    ],
)
async def test_answers_that_break_off(sdk, elevenlabs, fault, words, breaks):
    elevenlabs.faults.append(fault)
    audio = b""
    try:
        async for piece in sdk(elevenlabs).text_to_speech.stream(RACHEL, text=TEXT, output_format="ulaw_8000"):
            audio += piece
    except Exception as error:
        # httpx is the SDK's own choice, and its errors come through.
        assert type(error).__name__ == "RemoteProtocolError"
        assert breaks
    else:
        assert not breaks
    # The SDK passes on 1024 bytes at a time, so the last of a broken answer is lost.
    assert heard(audio) in (words, words[:-1])
    assert heard(bytes(elevenlabs.connections[0].audio)) == words


@pytest.mark.parametrize("fault", [Garbage(after_messages=1), UnknownEvents()])
async def test_odd_lines_among_the_timestamps(sdk, elevenlabs, fault):
    elevenlabs.faults.append(fault)
    stream = sdk(elevenlabs).text_to_speech.stream_with_timestamps(RACHEL, text=TEXT, output_format="ulaw_8000")
    chunks = [chunk async for chunk in stream]
    known = [chunk for chunk in chunks if getattr(chunk, "audio_base_64", None)]
    assert heard(b"".join(base64.b64decode(chunk.audio_base_64) for chunk in known)) == WORDS
    assert (len(chunks) > len(known)) is isinstance(fault, UnknownEvents)


async def test_a_refused_request_has_a_body_and_a_time(sdk, elevenlabs):
    elevenlabs.faults.append(Refuse(429, retry_after_s=3))
    with pytest.raises(ApiError) as refused:
        async for _ in sdk(elevenlabs).text_to_speech.stream(RACHEL, text=TEXT, output_format="ulaw_8000"):
            pass
    assert refused.value.status_code == 429
    assert refused.value.body["detail"]["status"] == "too_many_concurrent_requests"
    assert refused.value.headers["retry-after"] == "3"


@pytest.mark.parametrize("fault", [BlackHole(), Stall(after_messages=1)])
async def test_leaving_ends_requests_that_hang(sdk, fault):
    with anyio.fail_after(10):
        async with anyio.create_task_group() as clients:
            async with ElevenLabsEmulator() as emulator:
                emulator.faults.append(fault)
                clients.start_soon(listen, sdk, emulator)
                await emulator.connections.nth(1)
                began = anyio.current_time()
            assert anyio.current_time() - began < 2


async def listen(sdk, emulator):
    stream = sdk(emulator).text_to_speech.stream(RACHEL, text=TEXT, output_format="ulaw_8000")
    with pytest.raises(Exception, match=r"disconnected|closed connection"):
        async for _ in stream:
            pass


async def test_voices(sdk, elevenlabs):
    elevenlabs.voices.append(EmulatedVoice("v0", "Rachela", "cloned"))
    voices = sdk(elevenlabs).voices
    assert (await voices.get_all()).voices[0].name == "Rachel"
    assert (await voices.get("v0")).category == "cloned"
    found = await voices.search(search="rachel")
    assert [(voice.voice_id, voice.name) for voice in found.voices] == [(RACHEL, "Rachel"), ("v0", "Rachela")]
    first = await voices.search(page_size=3)
    second = await voices.search(page_size=3, next_page_token=first.next_page_token)
    assert (first.has_more, second.has_more, first.total_count) == (True, False, 5)
    assert [voice.name for voice in second.voices] == ["Brian", "Rachela"]
    for wrong, ask in (("other", "get_all"), ("other", "search")):
        with pytest.raises(ApiError) as refused:
            await getattr(sdk(elevenlabs, wrong).voices, ask)()
        assert refused.value.status_code == 401
    with pytest.raises(ApiError) as unknown:
        await voices.get("nobody")
    assert unknown.value.status_code == 404
    assert len(elevenlabs.connections) == 0


# --- websockets


async def test_one_stream_of_text(elevenlabs):
    async with text_in(elevenlabs, multi=False) as socket:
        await send(socket, {"text": " "}, {"text": "Hello there, "}, {"text": "Luigi! "}, {"text": ""})
        got, code = await rest(socket)
    assert code == 1000
    assert got[-1] == {"isFinal": True, "audio": None}
    assert heard(audio_of(got)) == WORDS
    assert [sorted(message) for message in got[:-1]] == [["alignment", "audio", "isFinal", "normalizedAlignment"]] * (
        len(got) - 1
    )
    assert "".join("".join(message["alignment"]["chars"]) for message in got[:-1]) == TEXT
    (connection,) = elevenlabs.connections
    assert connection.characters == elevenlabs.characters == len(TEXT)
    assert (connection.close_code, connection.closed_by) == (1000, "emulator")
    assert connection.received[0] == {"text": " "}
    assert heard(bytes(connection.audio)) == WORDS


async def test_times_are_those_of_the_chunk(elevenlabs):
    async with text_in(elevenlabs, multi=False) as socket:
        await send(socket, {"text": TEXT}, {"text": ""})
        got, _ = await rest(socket)
    chunk_begins_ms, starts = 0, {}
    for message in got[:-1]:
        for char, start in zip(message["alignment"]["chars"], message["alignment"]["charStartTimesMs"], strict=True):
            starts.setdefault(char, chunk_begins_ms + start)
        chunk_begins_ms += len(base64.b64decode(message["audio"])) // 8
    assert len(got) > 3
    assert audio_of(got)[starts["L"] * 8 :].startswith(tones.encode_word("Luigi!"))


async def test_without_sync_alignment_the_times_come_once_for_each_generation(elevenlabs):
    async with text_in(elevenlabs, f"{ULAW}&auto_mode=true", multi=False) as socket:
        await send(socket, {"text": TEXT}, {"text": "And you? "}, {"text": ""})
        got, _ = await rest(socket)
    timed = [message["alignment"]["chars"] for message in got if message.get("alignment")]
    assert ["".join(chars) for chars in timed] == [TEXT, "And you? "]


async def test_contexts_are_streams_of_their_own(elevenlabs):
    async with text_in(elevenlabs) as socket:
        await send(
            socket,
            {"text": " ", "context_id": "a", "voice_settings": {"speed": 1.1}},
            {"text": " ", "context_id": "b"},
            {"text": "Good morning. ", "context_id": "a"},
            {"text": TEXT, "context_id": "b"},
            {"text": "", "context_id": "a"},
            {"text": "Bye. ", "context_id": "a"},
            {"close_socket": True},
        )
        got, code = await rest(socket)
    assert code == 1000
    assert heard(audio_of(got, "a")) == ["Good", "morning.", "Bye."]
    assert heard(audio_of(got, "b")) == WORDS
    finals = [message for message in got if message["isFinal"]]
    assert sorted(message["contextId"] for message in finals) == ["a", "b"]


@pytest.mark.parametrize("late", [True, False])
async def test_a_context_that_is_closed(elevenlabs, late):
    elevenlabs.late_audio_after_close, elevenlabs.realtime_factor = late, 5
    async with text_in(elevenlabs) as socket:
        await send(socket, {"text": " ", "context_id": "a"}, {"text": TEXT, "context_id": "a"})
        first = await receive(socket)
        await send(socket, {"context_id": "a", "close_context": True})
        got = [first]
        while not got[-1]["isFinal"]:
            got.append(await receive(socket))
        assert (heard(audio_of(got, "a")) == WORDS) is late
        # The name is free again, and settings may be others.
        await send(
            socket, {"text": "Yes. ", "context_id": "a", "voice_settings": {"speed": 0.9}}, {"close_socket": True}
        )
        got, code = await rest(socket)
    assert (heard(audio_of(got, "a")), code) == (["Yes."], 1000)


async def test_text_that_was_not_flushed_is_dropped_by_close_context(elevenlabs):
    async with text_in(elevenlabs, ULAW) as socket:
        await send(
            socket,
            {"text": "Hello. ", "context_id": "a", "flush": True},
            {"text": "Never. ", "context_id": "a"},
            {"context_id": "a", "close_context": True},
            {"close_socket": True},
        )
        got, _ = await rest(socket)
    assert heard(audio_of(got, "a")) == ["Hello."]


@pytest.mark.parametrize(
    ("config", "messages", "characters"),
    [
        ({}, [{"text": LONG}], 0),
        ({}, [{"text": LONG}, {"text": LONG}], 2 * len(LONG)),
        ({}, [{"text": LONG}, {"flush": True}], len(LONG)),
        ({"chunk_length_schedule": [50, 100]}, [{"text": LONG}, {"text": LONG}], len(LONG)),
        ({"chunk_length_schedule": [50]}, [{"text": LONG}, {"text": LONG}], 2 * len(LONG)),
        ({}, [{"text": "Hi. ", "try_trigger_generation": True}], 0),
        ({}, [{"text": LONG, "try_trigger_generation": True}], len(LONG)),
    ],
)
async def test_text_waits_for_its_schedule(elevenlabs, config, messages, characters):
    async with text_in(elevenlabs, ULAW) as socket:
        await send(socket, {"text": " ", "context_id": "a", "generation_config": config})
        await send(socket, *({"context_id": "a", **message} for message in messages))
        await send(socket, {"context_id": "a", "close_context": True})
        while not (await receive(socket)).get("isFinal"):
            pass
        assert elevenlabs.connections[0].characters == characters


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([{"text": " ", "context_id": name} for name in "abcdef"], "max_active_conversations"),
        ([{"flush": True, "context_id": name} for name in "abcdef"], "max_active_conversations"),
        (
            [{"text": "", "context_id": "a"}, {"text": " ", "context_id": "a", "voice_settings": {"speed": 1}}],
            "invalid_settings",
        ),
        (
            [{"text": " ", "context_id": "a", "generation_config": {"chunk_length_schedule": [10]}}],
            "invalid_generation_config",
        ),
        ([[]], "invalid_message"),
        ([{"text": 7}], "invalid_message"),
    ],
)
async def test_mistakes_close_the_socket(elevenlabs, messages, error):
    async with text_in(elevenlabs) as socket:
        with suppress(ConnectionClosed):
            await send(socket, *messages)
        got, code = await rest(socket)
    assert (got[-1]["error"], got[-1]["code"], code) == (error, 1008, 1008)


async def test_a_keep_alive_without_a_context_opens_none(elevenlabs):
    async with text_in(elevenlabs) as socket:
        await send(socket, {"text": ""}, {"context_id": "x", "close_context": True})
        await send(socket, {"text": "Yes. ", "context_id": "a", "voice_settings": {"speed": 1}}, {"close_socket": True})
        got, code = await rest(socket)
    assert (heard(audio_of(got, "a")), code) == (["Yes."], 1000)
    assert [message["contextId"] for message in got if message["isFinal"]] == ["a"]


@pytest.mark.parametrize("multi", [True, False])
async def test_a_silent_client_is_closed(elevenlabs, multi):
    elevenlabs.inactivity_s = 0.2
    async with text_in(elevenlabs, multi=multi) as socket:
        await send(socket, {"text": " "})
        got, code = await rest(socket)
    assert (got[-1]["error"], code) == ("input_timeout_exceeded", 1008)


async def test_a_forgotten_context_is_closed_while_another_is_kept(elevenlabs):
    elevenlabs.inactivity_s = 0.4
    async with text_in(elevenlabs) as socket:
        await send(socket, {"text": " ", "context_id": "a"}, {"text": " ", "context_id": "b"})
        for _ in range(6):
            await anyio.sleep(0.1)
            await send(socket, {"text": "", "context_id": "b"})
        assert await receive(socket) == {"isFinal": True, "audio": None, "contextId": "a"}


async def test_knobs_that_leave_things_out(elevenlabs):
    elevenlabs.sends_is_final = elevenlabs.speaks_symbols = False
    async with text_in(elevenlabs, multi=False) as socket:
        await send(socket, {"text": "👍 "}, {"text": "Hi. "}, {"text": ""})
        got, code = await rest(socket)
    assert (heard(audio_of(got)), code) == (["Hi."], 1000)
    assert not any(message["isFinal"] for message in got)


REFUSALS = [
    ({"headers": {"xi-api-key": "other"}}, None, 401, "invalid_api_key"),
    ({"voice": "nobody"}, None, 404, "voice_not_found"),
    ({"query": "auto_mode=true"}, None, 400, "invalid_output_format"),
    ({}, 0, 401, "quota_exceeded"),
]


@pytest.mark.parametrize(("wish", "quota", "status", "error"), REFUSALS)
@pytest.mark.parametrize("multi", [True, False])
async def test_refusals_after_the_first_message(elevenlabs, wish, quota, status, error, multi):
    elevenlabs.quota_characters = quota
    async with text_in(elevenlabs, multi=multi, **wish) as socket:
        await send(socket, {"text": " "})
        got, code = await rest(socket)
    assert ([message["error"] for message in got], code) == ([error], 1008)


@pytest.mark.parametrize(("wish", "quota", "status", "error"), REFUSALS)
async def test_refusals_of_the_handshake(elevenlabs, wish, quota, status, error):
    elevenlabs.quota_characters, elevenlabs.refuses_at = quota, "handshake"
    with pytest.raises(InvalidStatus) as refused:
        async with text_in(elevenlabs, **wish):
            pass
    assert refused.value.response.status_code == elevenlabs.connections[0].status == status
    assert json.loads(refused.value.response.body)["detail"]["status"] == error


async def test_the_quota_ends_in_the_middle(elevenlabs):
    elevenlabs.quota_characters = 6
    async with text_in(elevenlabs) as socket:
        await send(socket, {"text": "Hi. ", "context_id": "a"}, {"text": TEXT, "context_id": "a"})
        got, code = await rest(socket)
    assert (got[-1]["error"], code) == ("quota_exceeded", 1008)
    assert heard(audio_of(got[:-1], "a")) == ["Hi."]
    assert elevenlabs.characters == len("Hi. ")


@pytest.mark.parametrize(("key", "code"), [("test-key", 1000), ("other", 1008)])
async def test_the_key_may_come_with_the_first_message(elevenlabs, key, code):
    async with text_in(elevenlabs, multi=False, headers={}) as socket:
        await send(socket, {"text": " ", "xi_api_key": key}, {"text": ""})
        assert (await rest(socket))[1] == code


# --- faults of websockets


@pytest.mark.parametrize(
    ("fault", "marks", "code"),
    [
        (Drop(), "", None),
        (Drop(after_messages=2), "aa", None),
        (Drop(after_audio_ms=200, code=1011), "aa", 1011),
        (SilentEnd(after_messages=1), "a", 1000),
        (Garbage(after_messages=1), "a?aaF", 1000),
        (UnknownEvents(), "nanananF", 1000),
        (ErrorFrame(code=1011, after_messages=1), "ae", 1011),
        (ErrorFrame({"error": "odd", "message": "odd"}), "eaaF", 1000),
    ],
)
async def test_faults_of_a_connection(elevenlabs, fault, marks, code):
    def mark(message):
        if message == "garbage":
            return "?"
        if "isFinal" not in message:
            return "e" if "error" in message else "n"
        return "F" if message["isFinal"] else "a"

    elevenlabs.faults.append(fault)
    async with text_in(elevenlabs, multi=False) as socket:
        with suppress(ConnectionClosed):
            await send(socket, {"text": " "}, {"text": TEXT})
            if code == 1000 and not isinstance(fault, SilentEnd):
                await send(socket, {"text": ""})
        got, closed = await rest(socket)
    assert ("".join(map(mark, got)), closed) == (marks, code)
    assert elevenlabs.connections[0].close_code == (code or 1006)


async def hold(emulator):
    with suppress(ConnectionClosed, InvalidStatus, InvalidMessage):
        async with text_in(emulator) as socket:
            await send(socket, {"text": TEXT, "context_id": "a"})
            await socket.wait_closed()


@pytest.mark.parametrize("fault", [None, BlackHole(), Stall()])
async def test_leaving_with_an_open_connection_is_quick(fault):
    with anyio.fail_after(10):
        async with anyio.create_task_group() as clients:
            async with ElevenLabsEmulator(realtime_factor=0.01) as emulator:
                emulator.faults.append(fault)
                clients.start_soon(hold, emulator)
                await emulator.connections.nth(1)
                began = anyio.current_time()
            assert anyio.current_time() - began < 2
            clients.cancel_scope.cancel()


async def test_audio_is_paced(elevenlabs):
    elevenlabs.realtime_factor, elevenlabs.first_byte_ms = 1, 100
    began = anyio.current_time()
    async with text_in(elevenlabs, multi=False) as socket:
        await send(socket, {"text": TEXT}, {"text": ""})
        await socket.recv()
        assert anyio.current_time() - began >= 0.1
        await rest(socket)
    # Three chunks; the last begins 260 ms after the first.
    assert anyio.current_time() - began >= 0.36
