"""ElevenLabs' live voice against scripted peers, for what the emulated service does not do."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import anyio
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from patter.errors import ProviderError
from patter.local import tones
from patter.voice.base import Speech, Voice
from patter.voice.elevenlabs.socket import Patience, SocketVoice
from patter.voice.elevenlabs.tts import ElevenLabsTTS
from patter.voice.elevenlabs.wire import Settings

pytestmark = pytest.mark.anyio

HASTY = Patience(stall_s=0.2, quiet_aligned_s=0.1, quiet_s=0.2, keep_alive_s=0.05)


class Peer:
    """One connection: what came of it, and what is sent on it."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.received: list[dict[str, Any]] = []

    async def next(self, *fields: str) -> dict[str, Any]:
        """The next message that has these fields, with something in them."""
        while True:
            message: dict[str, Any] = json.loads(await self.connection.recv())
            self.received.append(message)
            if all(message.get(field) for field in fields):
                return message

    async def text(self) -> tuple[str, str]:
        """The context and the words of the next text."""
        while True:
            message = await self.next("text")
            if words := message["text"].strip():
                return message["context_id"], words

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def speak(self, context: str, words: str, *, alignment: str | None = None) -> None:
        """The sound of words; without an alignment of its own it is null."""
        audio = tones.encode(words)
        each_ms = len(audio) / 8 / max(len(alignment or ""), 1)
        chars = list(alignment or "")
        times = [index * each_ms for index in range(len(chars))]
        timed = {"chars": chars, "charStartTimesMs": times} if alignment else None
        await self.send(audio=base64.b64encode(audio).decode(), contextId=context, alignment=timed, isFinal=None)

    async def final(self, context: str) -> None:
        await self.send(audio=None, isFinal=True, contextId=context)

    async def idle(self) -> None:
        """Read until the other side leaves."""
        while True:
            await self.next()


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[tuple[Settings, list[Peer]]]:
    """Connections follow the scripts, one each; the last one serves all that follow."""
    peers: list[Peer] = []

    async def handle(connection: ServerConnection) -> None:
        peers.append(Peer(connection))
        with suppress(ConnectionClosed):
            await scripts[min(len(peers), len(scripts)) - 1](peers[-1])

    async with serve(handle, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        origin = f"http://{host}:{port}"
        yield Settings(key="k", base_url=origin, model="m", language=None, voice_settings={}, open_s=2.0), peers


@asynccontextmanager
async def voice_of(*scripts: Script, patience: Patience = HASTY) -> AsyncIterator[tuple[SocketVoice, list[Peer]]]:
    async with serving(*scripts) as (settings, peers), SocketVoice(settings, voice_id, patience) as voice:
        yield voice, peers


async def voice_id() -> str:
    return "v"


async def speak(voice: Voice, *clauses: str) -> list[Speech]:
    async with voice.utter() as utterance:
        for clause in clauses:
            await utterance.say(clause)
        await utterance.finish()
        return [speech async for speech in utterance]


def text_of(speeches: Sequence[Speech]) -> str:
    return " ".join(speech.text for speech in speeches if speech.text)


def heard_in(speeches: Sequence[Speech]) -> str:
    return " ".join(tones.ToneDecoder().feed(b"".join(speech.audio for speech in speeches)))


async def obliging(peer: Peer) -> None:
    """Speaks every text, aligned, and ends every context that is closed."""
    while True:
        message = await peer.next("context_id")
        context = message["context_id"]
        if words := (message.get("text") or "").strip():
            await peer.speak(context, words, alignment=words)
        if message.get("close_context"):
            await peer.final(context)


async def test_without_any_alignment_a_clause_goes_with_its_first_audio() -> None:
    async def script(peer: Peer) -> None:
        context, words = await peer.text()
        for word in words.split():
            await peer.speak(context, word)
        await peer.next("close_context")
        await peer.final(context)

    async with voice_of(script) as (voice, _):
        speeches = await speak(voice, "one two three")
    assert [speech.text for speech in speeches] == ["one two three", "", ""]
    assert heard_in(speeches) == "one two three"


async def test_an_alignment_with_fewer_characters_than_the_text() -> None:
    async def script(peer: Peer) -> None:
        context, words = await peer.text()
        await peer.speak(context, words, alignment="one t")
        await peer.next("close_context")
        await peer.final(context)

    async with voice_of(script) as (voice, _):
        speeches = await speak(voice, "one two three four")
    assert text_of(speeches) == heard_in(speeches) == "one two three four"


async def test_the_error_of_one_context_leaves_the_others_alone() -> None:
    async def script(peer: Peer) -> None:
        contexts = {words: context for context, words in [await peer.text(), await peer.text()]}
        await peer.send(message="no", error="odd_context", contextId=contexts["bad"])
        await peer.speak(contexts["bad"], "stale", alignment="stale")
        await peer.speak(contexts["good day"], "good", alignment="good")
        again, words = await peer.text()
        assert (again in contexts.values(), words) == (False, "bad")
        await peer.speak(again, "bad", alignment="bad")
        await peer.speak(contexts["good day"], "day", alignment=" day")
        for context in (again, contexts["good day"]):
            await peer.final(context)
        await peer.idle()

    heard: dict[str, str] = {}

    async def say(voice: Voice, text: str) -> None:
        heard[text] = heard_in(await speak(voice, text))

    async with voice_of(script) as (voice, peers), anyio.create_task_group() as tasks:
        tasks.start_soon(say, voice, "bad")
        tasks.start_soon(say, voice, "good day")
    assert heard == {"bad": "bad", "good day": "good day"}
    assert len(peers) == 1


async def test_a_permanent_error_of_one_context_ends_its_utterance_only() -> None:
    async def script(peer: Peer) -> None:
        context, _ = await peer.text()
        await peer.send(message="no", error="quota_exceeded", contextId=context)
        await obliging(peer)

    async with voice_of(script) as (voice, peers):
        with pytest.raises(ProviderError, match="no credit left"):
            await speak(voice, "one")
        assert heard_in(await speak(voice, "two")) == "two"
        assert len(peers) == 1


@pytest.mark.parametrize("reason", ["voice_id_does_not_exist", "sorry: voice_id_does_not_exist."])
async def test_the_reason_may_stand_in_the_close_alone(reason: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.text()
        await peer.connection.close(1008, reason)

    async with voice_of(script) as (voice, peers):
        with pytest.raises(ProviderError, match="check voice_id"):
            await speak(voice, "one")
        assert len(peers) == 1


async def test_what_comes_after_the_close_is_ignored_for_ever() -> None:
    async def script(peer: Peer) -> None:
        old, _ = await peer.text()
        await peer.speak(old, "old", alignment="old ")
        await peer.next("close_context")
        new, words = await peer.text()
        assert new != old
        await peer.speak(old, "news")
        await peer.final(old)
        await peer.speak(old, "still here")
        await peer.send(message="late", error="quota_exceeded", contextId=old)
        await peer.speak(new, words, alignment=words)
        await peer.final(new)
        await peer.idle()

    async with voice_of(script) as (voice, peers):
        async with voice.utter() as utterance:
            await utterance.say("old news")
            assert (await anext(aiter(utterance))).text == "old"
        assert heard_in(await speak(voice, "new")) == "new"
        assert len(peers) == 1


async def test_a_context_that_is_over_too_early_is_taken_up_in_another() -> None:
    async def script(peer: Peer) -> None:
        context, _ = await peer.text()
        await peer.speak(context, "one", alignment="one ")
        await peer.final(context)
        await obliging(peer)

    async with voice_of(script) as (voice, peers), voice.utter() as utterance:
        await utterance.say("one two")
        speeches = [await anext(aiter(utterance)), await anext(aiter(utterance))]
        await utterance.finish()
        speeches += [speech async for speech in utterance]
        assert text_of(speeches) == heard_in(speeches) == "one two"
        assert len(peers) == 1


async def test_contexts_that_never_end_do_not_use_up_the_connection() -> None:
    async def forgetful(peer: Peer) -> None:
        while True:
            context, words = await peer.text()
            await peer.speak(context, words, alignment=words)

    async with voice_of(forgetful) as (voice, peers):
        for number in range(7):
            assert heard_in(await speak(voice, f"word{number}")) == f"word{number}"
        for peer in peers:
            assert sum(message.get("text") == " " for message in peer.received) <= 5
        assert len(peers) == 2


async def test_a_full_connection_goes_on_for_those_that_still_speak_on_it() -> None:
    texts = [f"word{number} end" for number in range(6)]
    go = anyio.Event()

    async def patient(peer: Peer) -> None:
        contexts = [await peer.text() for _ in range(5)]
        await go.wait()
        for context, words in contexts:
            await peer.speak(context, words, alignment=words)
            await peer.final(context)
        await peer.idle()

    async def late(peer: Peer) -> None:
        go.set()
        await obliging(peer)

    heard: list[str] = []

    async def say(voice: Voice, text: str) -> None:
        heard.append(heard_in(await speak(voice, text)))

    patience = Patience(stall_s=2.0)
    async with voice_of(patient, late, patience=patience) as (voice, peers):
        async with anyio.create_task_group() as tasks:
            for text in texts:
                tasks.start_soon(say, voice, text)
        assert sorted(heard) == texts
        assert len(peers) == 2
        with anyio.fail_after(1):
            await peers[0].connection.wait_closed()


async def test_a_context_is_kept_alive_while_it_waits_for_text_and_not_before_it_was_opened() -> None:
    kept = anyio.Event()

    async def script(peer: Peer) -> None:
        context, words = await peer.text()
        await peer.speak(context, words, alignment=words)
        while (message := await peer.next("context_id")).get("text") != "":
            pass
        assert message == {"text": "", "context_id": context}
        kept.set()
        await obliging(peer)

    async with voice_of(script) as (voice, peers), voice.utter() as utterance:
        await anyio.sleep(0.12)  # longer than two of its intervals: nothing may be kept alive yet
        await utterance.say("one")
        with anyio.fail_after(2):
            await kept.wait()
        await utterance.finish()
        assert text_of([speech async for speech in utterance]) == "one"
        assert peers[0].received[0]["text"] == " "


async def test_a_peer_that_does_not_read_is_given_up_and_left_quickly() -> None:
    left = anyio.Event()

    async def deaf(peer: Peer) -> None:
        peer.connection.transport.pause_reading()
        await left.wait()
        peer.connection.transport.abort()

    async with serving(deaf) as (settings, peers):
        async with SocketVoice(settings, voice_id, HASTY) as voice:
            with pytest.raises(ProviderError, match="stalled") as caught:
                await speak(voice, "one")
            begin = anyio.current_time()
        assert anyio.current_time() - begin < 1.3
        left.set()
    assert caught.value.retryable
    assert len(peers) == 3


async def test_a_text_that_has_no_sound_is_not_the_end_of_the_speech() -> None:
    async def script(peer: Peer) -> None:
        context, words = await peer.text()
        await peer.speak(context, words, alignment=words)
        await peer.text()
        await peer.next("close_context")
        await peer.final(context)
        await peer.idle()

    async with voice_of(script) as (voice, _):
        assert text_of(await speak(voice, "one.", "Mm.")) == "one."


async def test_an_utterance_without_any_sound_is_an_error() -> None:
    async def mute(peer: Peer) -> None:
        while True:
            context, _ = await peer.text()
            await peer.final(context)

    async with voice_of(mute) as (voice, _):
        with pytest.raises(ProviderError, match="no_audio"):
            await speak(voice, "one")


@pytest.mark.parametrize("aligned", [True, False])
async def test_a_context_is_closed_when_its_sound_is_there(aligned: bool) -> None:
    """A vendor that drops what is not spoken when a context is closed drops nothing."""
    order: list[str] = []

    async def strict(peer: Peer) -> None:
        context, words = await peer.text()
        with anyio.move_on_after(0.1):
            await peer.next("close_context")
            order.append("closed too early")
        order.append("spoken")
        await peer.speak(context, words, alignment=f"{words} " if aligned else None)
        await peer.next("close_context")
        order.append("closed")
        await peer.final(context)
        await peer.idle()

    async with voice_of(strict) as (voice, _):
        assert text_of(await speak(voice, "one two three")) == "one two three"
    assert order == ["spoken", "closed"]


@pytest.mark.parametrize(
    ("name", "status", "asks", "voice_id"),
    [
        ("Zoe", 404, ["/v2/voices"], "Zoe"),
        ("Zoe", 503, ["/v2/voices"], "Zoe"),
        ("RACHEL", 404, [], "21m00Tcm4TlvDq8ikWAM"),
        ("zoezoezoezoezoezoe00", 404, [], "zoezoezoezoezoezoe00"),
    ],
)
async def test_a_name_is_looked_up_if_it_must_be_and_used_as_it_is_if_it_cannot(
    name: str, status: int, asks: list[str], voice_id: str
) -> None:
    asked: list[str] = []

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        asked.append(request.path.partition("?")[0])
        return None if "/text-to-speech/" in request.path else connection.respond(HTTPStatus(status), "no")

    async def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await obliging(Peer(connection))

    async with serve(handle, "127.0.0.1", 0, process_request=answer) as server:
        host, port = server.sockets[0].getsockname()[:2]
        async with ElevenLabsTTS("k", base_url=f"http://{host}:{port}", voice_id=name).open() as voice:
            assert heard_in(await speak(voice, "Hello.")) == "Hello."
    assert asked == [*asks, f"/v1/text-to-speech/{voice_id}/multi-stream-input"]


async def test_an_utterance_that_was_left_gives_nothing_more() -> None:
    async with voice_of(obliging) as (voice, _):
        utterance = voice.utter()
        await utterance.__aenter__()
        await utterance.say("one")
        assert (await anext(aiter(utterance))).text == "one"
        await utterance.__aexit__(None, None, None)
        with pytest.raises(anyio.ClosedResourceError):
            await anext(aiter(utterance))
