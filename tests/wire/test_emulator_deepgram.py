"""The emulated Deepgram, driven by the vendor's own SDK."""

import json
import warnings
from contextlib import asynccontextmanager, suppress
from dataclasses import MISSING, fields

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from patter.audio import mulaw
from patter.local import tones
from patter.testing.emulators import (
    BlackHole,
    DeepgramEmulator,
    Drop,
    ErrorFrame,
    Garbage,
    Refuse,
    ScriptedUtterance,
    SilentEnd,
    SlowClose,
    Stall,
    UnknownEvents,
)

with warnings.catch_warnings():
    # The SDK still uses websockets.legacy.
    warnings.simplefilter("ignore", DeprecationWarning)
    import deepgram.listen.v1.client
    import deepgram.listen.v2.client
    from deepgram import AsyncDeepgramClient
    from deepgram.core.api_error import ApiError
    from deepgram.environment import DeepgramClientEnvironment
    from deepgram.listen.v1.types import ListenV1Configure
    from deepgram.listen.v2.types import ListenV2Configure, ListenV2ConfigureThresholds

pytestmark = pytest.mark.anyio

V1 = {
    "model": "nova-3",
    "encoding": "mulaw",
    "sample_rate": 8000,
    "interim_results": "true",
    "endpointing": 300,
    "utterance_end_ms": 1000,
    "vad_events": "true",
    "smart_format": "true",
}
V2 = {"model": "flux-general-en", "encoding": "mulaw", "sample_rate": 8000}
ADDRESS = "/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000&interim_results=true"


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def running(anyio_backend):
    """One server for all tests, because starting and ending it takes longer than most of them."""
    async with DeepgramEmulator() as emulator:
        yield emulator


@pytest.fixture
def deepgram(running):
    for knob in fields(running):
        if knob.init:
            setattr(running, knob.name, knob.default if knob.default is not MISSING else knob.default_factory())
    running.latency_ms = 0
    running.connections.clear()
    running.faults.clear()
    return running


def sdk(emulator, key="test-key"):
    ws = emulator.base_url.replace("http", "ws")
    environment = DeepgramClientEnvironment(
        base=emulator.base_url, production=ws, agent=ws, agent_rest=emulator.base_url
    )
    return AsyncDeepgramClient(api_key=key, environment=environment)


@asynccontextmanager
async def raw(emulator, address=ADDRESS, **more):
    url = emulator.base_url.replace("http", "ws") + address
    headers = {"Authorization": "Token test-key"}
    async with connect(url, additional_headers=headers, proxy=None, close_timeout=0.5, **more) as socket:
        yield socket


async def messages_of(socket):
    return [message async for message in socket]


def told(message):
    """What of a v1 message matters: kind, words, and which kind of result."""
    if message.type != "Results":
        return message.type
    marks = "f" * message.is_final + "s" * message.speech_final + "z" * message.from_finalize
    return message.channel.alternatives[0].transcript, marks


SPEECH = mulaw.silence(100) + tones.encode("Hello there, Luigi!")


async def test_a_turn_in_v1(deepgram):
    async with sdk(deepgram).listen.v1.connect(**V1) as socket:
        await socket.send_media(SPEECH + mulaw.silence(1200))
        await socket.send_close_stream()
        got = await messages_of(socket)
    assert [told(message) for message in got] == [
        "SpeechStarted",
        ("Hello", ""),
        ("Hello there,", ""),
        ("Hello there, Luigi!", ""),
        ("Hello there, Luigi!", "fs"),
        "UtteranceEnd",
        "Metadata",
    ]
    final, end, metadata = got[4:]
    words = final.channel.alternatives[0].words
    assert [(word.word, word.punctuated_word, word.start, word.end) for word in words] == [
        ("hello", "Hello", 0.1, 0.19),
        ("there", "there,", 0.19, 0.29),
        ("luigi", "Luigi!", 0.29, 0.39),
    ]
    assert got[0].timestamp == 0.1
    assert (final.start, final.duration) == (0.0, 0.7)
    assert end.last_word_end == 0.39
    assert metadata.duration == 1.59
    (connection,) = deepgram.connections
    assert (connection.close_code, connection.closed_by, connection.status) == (1000, "emulator", 101)
    assert connection.parameter("endpointing") == "300"
    assert connection.headers["user-agent"].startswith("deepgram-sdk/")
    assert "test-key" not in repr(connection)
    assert bytes(connection.audio) == SPEECH + mulaw.silence(1200)
    assert connection.received == [{"type": "CloseStream"}]
    assert connection.opened_s <= connection.log[0].at_s <= connection.closed_s


async def test_the_clock_is_the_audio_however_it_is_cut(deepgram):
    audio = SPEECH + mulaw.silence(1200)
    async with sdk(deepgram).listen.v1.connect(**V1) as socket:
        for at in range(0, len(audio), 333):
            await socket.send_media(audio[at : at + 333])
        await socket.send_media(b"")
        got = await messages_of(socket)
    finals = [message for message in got if message.type == "Results" and message.is_final]
    assert [(word.start, word.end) for word in finals[0].channel.alternatives[0].words] == [
        (0.1, 0.19),
        (0.19, 0.29),
        (0.29, 0.39),
    ]
    assert got[-1].type == "Metadata"
    assert deepgram.connections[0].close_code == 1000


@pytest.mark.parametrize(
    ("knobs", "query", "audio", "results"),
    [
        ({"final_every_words": 2}, {}, "a b c", [("a", ""), ("a b", "f"), ("c", ""), ("c", "fs"), "UtteranceEnd"]),
        ({"final_every_words": 2}, {}, "a b", [("a", ""), ("a b", "f"), ("", "fs"), "UtteranceEnd"]),
        ({"speech_final": False}, {}, "a", [("a", ""), ("a", "f"), "UtteranceEnd"]),
        ({}, {"endpointing": "false"}, "a", [("a", ""), ("a", "f"), "UtteranceEnd"]),
        ({}, {"interim_results": None, "utterance_end_ms": None}, "a b", [("a b", "fs")]),
        ({}, {"smart_format": None, "utterance_end_ms": None}, "Oh, hi!", [("oh", ""), ("oh hi", ""), ("oh hi", "fs")]),
        ({}, {"utterance_end_ms": None}, "", []),
        ({"empty_result_s": 0.5}, {"utterance_end_ms": None}, "", [("", "f"), ("", "f")]),
    ],
)
async def test_what_v1_sends_for_which_wish(deepgram, knobs, query, audio, results):
    for name, value in knobs.items():
        setattr(deepgram, name, value)
    asked = {name: value for name, value in (V1 | {"vad_events": None} | query).items() if value is not None}
    async with sdk(deepgram).listen.v1.connect(**asked) as socket:
        await socket.send_media(tones.encode(audio) + mulaw.silence(1200))
        await socket.send_close_stream()
        got = await messages_of(socket)
    assert [told(message) for message in got] == [*results, "Metadata"]


async def test_finalize_is_answered_even_with_nothing(deepgram):
    async with sdk(deepgram).listen.v1.connect(**V1) as socket:
        await socket.send_media(tones.encode("one"))
        await socket.send_finalize()
        await socket.send_finalize()
        await socket.send_media(tones.encode("two"))
        await socket.send_close_stream()
        got = [told(message) for message in await messages_of(socket)]
    finals = [("one", "fz"), ("", "fz"), ("two", "fs"), "Metadata"]
    assert [result for result in got if result in finals] == finals


async def test_control_messages_of_v1(deepgram):
    async with sdk(deepgram).listen.v1.connect(**V1) as socket:
        await socket.send_keep_alive()
        await socket.send_configure(ListenV1Configure(keyterms=["Luigi"]))
        assert (await socket.recv()).keyterms == ["Luigi"]
    async with sdk(deepgram).listen.v1.connect(**V1 | {"model": "nova-2"}) as socket:
        await socket.send_configure(ListenV1Configure(keyterms=["Luigi"]))
        assert (await socket.recv()).code == "CONFIGURE_KEYTERMS_NOT_SUPPORTED"
    async with raw(deepgram) as socket:
        for text in ("{", "[]", '{"type": "Dance"}'):
            await socket.send(text)
            error = json.loads(await socket.recv())
            assert (error["type"], error["variant"], error["message"]) == ("Error", "SchemaError", text)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_silent_client_is_closed(deepgram, version):
    deepgram.idle_s = 0.2
    connection = sdk(deepgram).listen.v1.connect(**V1) if version == 1 else sdk(deepgram).listen.v2.connect(**V2)
    async with connection as socket:
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await socket.recv()
    assert closed.value.rcvd.code == 1011
    assert closed.value.rcvd.reason.startswith("NET-0001")


async def test_keep_alive_is_enough(deepgram):
    deepgram.idle_s = 0.4
    async with sdk(deepgram).listen.v1.connect(**V1) as socket:
        for _ in range(6):
            await anyio.sleep(0.1)
            await socket.send_keep_alive()
        await socket.send_close_stream()
        assert [told(message) for message in await messages_of(socket)] == ["Metadata"]


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"encoding": "mp3"}, 400),
        ({"encoding": "opus"}, 400),
        ({"sample_rate": None}, 400),
        ({"sample_rate": 16000}, 400),
        ({"utterance_end_ms": 500}, 400),
        ({"interim_results": "false"}, 400),
        ({"interim_results": "yes"}, 400),
        ({"endpointing": "soon"}, 400),
        ({"model": "flux-general-en"}, 400),
    ],
)
async def test_bad_wishes_are_refused_in_v1(deepgram, wish, status):
    asked = {name: value for name, value in (V1 | wish).items() if value is not None}
    with pytest.raises(ApiError) as refused:
        async with sdk(deepgram).listen.v1.connect(**asked):
            pass
    assert refused.value.status_code == deepgram.connections[0].status == status


@pytest.mark.parametrize(
    "wish",
    [
        {"model": "nova-3"},
        {"encoding": "flac"},
        {"eot_threshold": 0.4},
        {"eager_eot_threshold": 0.8},
        {"eager_eot_threshold": 0.2},
        {"eot_timeout_ms": 100},
        {"request_options": {"additional_query_parameters": {"interim_results": "true"}}},
    ],
)
async def test_bad_wishes_are_refused_in_v2(deepgram, wish):
    with pytest.raises(ApiError) as refused:
        async with sdk(deepgram).listen.v2.connect(**V2 | wish):
            pass
    assert refused.value.status_code == 400


async def test_another_key_is_refused(deepgram):
    with pytest.raises(ApiError) as refused:
        async with sdk(deepgram, "other").listen.v1.connect(**V1):
            pass
    assert refused.value.status_code == deepgram.connections[0].status == 401
    async with sdk(deepgram).listen.v1.connect(**V1, authorization="Bearer test-key") as socket:
        await socket.send_close_stream()


async def test_audio_that_cannot_be_decoded_closes_the_socket(deepgram):
    async with raw(deepgram, "/v1/listen?model=nova-3") as socket:
        await socket.send(mulaw.silence(20))
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert (closed.value.rcvd.code, closed.value.rcvd.reason[:9]) == (1008, "DATA-0000")


async def test_linear_audio_is_heard_too(deepgram):
    async with sdk(deepgram).listen.v1.connect(**V1 | {"encoding": "linear16"}) as socket:
        await socket.send_media(mulaw.decode(tones.encode("hello")))
        await socket.send_close_stream()
        assert ("hello", "fs") in [told(message) for message in await messages_of(socket)]


def turn(message):
    return message.event, message.turn_index, message.transcript


async def turns_of(socket):
    connected, *rest = await messages_of(socket)
    assert [message.sequence_id for message in (connected, *rest)] == list(range(len(rest) + 1))
    return [message for message in rest if message.type != "TurnInfo" or message.event != "Update"]


async def test_turns_in_v2(deepgram):
    audio = [tones.encode("I want"), mulaw.silence(300), tones.encode("pizza."), mulaw.silence(700)]
    async with sdk(deepgram).listen.v2.connect(**V2, eager_eot_threshold=0.5) as socket:
        for piece in (*audio, tones.encode("Please."), mulaw.silence(600)):
            await socket.send_media(piece)
        await socket.send_close_stream()
        got = await turns_of(socket)
    assert [turn(message) for message in got] == [
        ("StartOfTurn", 0, "I"),
        ("EagerEndOfTurn", 0, "I want"),
        ("TurnResumed", 0, "I want pizza."),
        ("EagerEndOfTurn", 0, "I want pizza."),
        ("EndOfTurn", 0, "I want pizza."),
        ("StartOfTurn", 1, "Please."),
        ("EagerEndOfTurn", 1, "Please."),
        ("EndOfTurn", 1, "Please."),
    ]
    ends = [message for message in got if message.event == "EndOfTurn"]
    assert [(end.trigger, end.end_of_turn_confidence >= 0.7) for end in ends] == [("model", True)] * 2
    assert 0.5 <= got[1].end_of_turn_confidence < 0.7
    assert [(word.word, word.start, word.end) for word in ends[0].words] == [
        ("I", 0.0, 0.05),
        ("want", 0.05, 0.13),
        ("pizza.", 0.43, 0.53),
    ]
    assert (ends[0].audio_window_start, ends[1].audio_window_start) == (0.0, ends[0].audio_window_end)


async def test_eager_ends_come_only_on_request(deepgram):
    async with sdk(deepgram).listen.v2.connect(**V2) as socket:
        await socket.send_media(tones.encode("Hi.") + mulaw.silence(600))
        await socket.send_close_stream()
        assert [message.event for message in await turns_of(socket)] == ["StartOfTurn", "EndOfTurn"]


async def test_updates_come_with_the_audio_also_in_silence(deepgram):
    async with sdk(deepgram).listen.v2.connect(**V2) as socket:
        await socket.send_media(mulaw.silence(1000))
        await socket.send_close_stream()
        updates = (await messages_of(socket))[1:]
    assert [turn(message) for message in updates] == [("Update", 0, "")] * 4


async def test_a_turn_is_ended_by_force_by_time_or_not_at_all(deepgram):
    async with sdk(deepgram).listen.v2.connect(**V2, eot_threshold=1.0, eot_timeout_ms=800) as socket:
        await socket.send_force_end_turn()
        await socket.send_media(tones.encode("One"))
        await socket.send_force_end_turn()
        await socket.send_media(tones.encode("Two") + mulaw.silence(900))
        await socket.send_media(tones.encode("Three four"))
        await socket.send_close_stream()
        _, *got = await messages_of(socket)
        assert socket._websocket.close_code == 1005
    ends = [(message.transcript, message.trigger) for message in got if message.event == "EndOfTurn"]
    assert ends == [("One", "manual"), ("Two", "timeout")]
    assert turn(got[-1]) == ("Update", 2, "Three four")


async def test_configure_in_v2(deepgram):
    async with sdk(deepgram).listen.v2.connect(**V2) as socket:
        await socket.recv()
        thresholds = ListenV2ConfigureThresholds(eot_threshold=0.9, eager_eot_threshold=0.5)
        await socket.send_configure(ListenV2Configure(thresholds=thresholds, keyterms=["Luigi"]))
        done = await socket.recv()
        assert (done.type, done.thresholds.eot_threshold, done.keyterms) == ("ConfigureSuccess", 0.9, ["Luigi"])
        await socket.send_configure(ListenV2Configure(thresholds=ListenV2ConfigureThresholds(eot_threshold=0.1)))
        assert (await socket.recv()).type == "ConfigureFailure"
        await socket.send_media(tones.encode("Hi.") + mulaw.silence(220))
        assert [(await socket.recv()).event for _ in range(2)] == ["StartOfTurn", "EagerEndOfTurn"]


async def test_v2_knows_no_keep_alive(deepgram):
    async with raw(deepgram, "/v2/listen?model=flux-general-en&encoding=mulaw&sample_rate=8000") as socket:
        await socket.recv()
        await socket.send('{"type": "KeepAlive"}')
        error = json.loads(await socket.recv())
        assert (error["type"], error["code"]) == ("Error", "UNPARSABLE_CLIENT_MESSAGE")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd.code == 1008


async def test_a_script_is_heard_in_any_sound(deepgram):
    deepgram.script.append(ScriptedUtterance("Book a table.", after_ms=300))
    async with sdk(deepgram).listen.v1.connect(**V1) as socket:
        await socket.send_media(bytes([0x10, 0x90] * 1200) + mulaw.silence(400))
        await socket.send_close_stream()
        got = [told(message) for message in await messages_of(socket)]
    assert ("Book a table.", "fs") in got
    assert deepgram.script == []


# --- faults


@pytest.mark.parametrize(
    ("fault", "kinds", "code"),
    [
        (Drop(), [], None),
        (Drop(after_messages=1), ["Results"], None),
        (Drop(after_audio_ms=100, code=1011, reason="NET-0000"), [], 1011),
        (Drop(after_s=0), [], None),
        (SilentEnd(), [], 1000),
        (SilentEnd(after_messages=2), ["Results"] * 2, 1000),
        (Garbage(after_messages=1), ["Results", "garbage", "Results", "Results", "Metadata"], 1000),
        (UnknownEvents(), ["Novelty", "Results"] * 3 + ["Novelty", "Metadata"], 1000),
        (ErrorFrame(code=1011), ["Error"], 1011),
        (ErrorFrame({"type": "Oops"}, after_messages=1), ["Results", "Oops", "Results", "Metadata"], 1000),
    ],
)  # fmt: skip
async def test_faults_of_a_connection(deepgram, fault, kinds, code):
    deepgram.faults.append(fault)
    got = []
    async with raw(deepgram) as socket:
        try:
            await socket.send(tones.encode("one two"))
            await socket.send('{"type": "CloseStream"}')
            while True:
                text = await socket.recv()
                try:
                    got.append(json.loads(text)["type"])
                except ValueError:
                    got.append("garbage")
        except ConnectionClosed as closed:
            assert (closed.rcvd and closed.rcvd.code) == code
    if fault.__class__ is not Drop or fault.after_messages:
        assert got == kinds
    connection = await deepgram.connections.nth(1)
    assert (connection.fault, connection.close_code) == (fault, code or 1006)
    async with sdk(deepgram).listen.v1.connect(**V1) as socket:
        await socket.send_close_stream()
        assert [told(message) for message in await messages_of(socket)] == ["Metadata"]


async def test_a_refused_handshake_has_a_body_and_a_time(deepgram):
    deepgram.faults.append(Refuse(429, retry_after_s=2))
    deepgram.faults.append(Refuse(402, {"err_code": "OUT", "err_msg": "of credit"}))
    with pytest.raises(InvalidStatus) as refused:
        async with raw(deepgram):
            pass
    response = refused.value.response
    assert (response.status_code, response.headers["Retry-After"]) == (429, "2")
    assert json.loads(response.body)["err_code"] == "TOO_MANY_REQUESTS"
    with pytest.raises(ApiError) as again:
        async with sdk(deepgram).listen.v1.connect(**V1):
            pass
    assert again.value.status_code == 402


async def test_a_black_hole_answers_no_handshake(deepgram):
    deepgram.faults.append(BlackHole())
    with pytest.raises(TimeoutError):
        async with raw(deepgram, open_timeout=0.2):
            pass
    assert deepgram.connections[0].status is None


async def test_a_stall_reads_on_and_says_nothing(deepgram):
    deepgram.faults.append(Stall(after_messages=1))
    async with raw(deepgram) as socket:
        await socket.send(tones.encode("one two"))
        assert json.loads(await socket.recv())["channel"]["alternatives"][0]["transcript"] == "one"
        await socket.send('{"type": "CloseStream"}')
        with anyio.move_on_after(0.2) as silent:
            await socket.recv()
        assert silent.cancelled_caught
    assert deepgram.connections[0].received == [{"type": "CloseStream"}]


async def test_a_slow_close_is_not_answered(deepgram):
    deepgram.faults.append(SlowClose())
    async with raw(deepgram) as socket:
        began = anyio.current_time()
        with anyio.fail_after(2):
            await socket.close()
        assert anyio.current_time() - began >= 0.4


async def hold(url):
    with suppress(ConnectionClosed, InvalidStatus, InvalidMessage):
        async with connect(url, additional_headers={"Authorization": "Token test-key"}, proxy=None) as socket:
            await socket.send(mulaw.silence(20))
            await socket.wait_closed()


@pytest.mark.parametrize("fault", [None, BlackHole(), Stall(), SlowClose()])
async def test_leaving_with_an_open_connection_is_quick(fault):
    with anyio.fail_after(10):
        async with anyio.create_task_group() as clients:
            async with DeepgramEmulator() as emulator:
                emulator.faults.append(fault)
                clients.start_soon(hold, emulator.base_url.replace("http", "ws") + ADDRESS)
                await emulator.connections.nth(1)
                began = anyio.current_time()
            assert anyio.current_time() - began < 2
            clients.cancel_scope.cancel()
