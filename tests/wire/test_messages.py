"""The customer's own agent as a mind, over real sockets: posts and a websocket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from patter.errors import ProviderError
from patter.testing.emulators.serving import Serving
from patter.voice.base import CallContext, Delta, Message, ToolCall
from patter.voice.messages.mind import MessageMind

pytestmark = pytest.mark.anyio

CALL = CallContext(call_id="CA1", caller="+15550100001", callee="+15550100199")
ASKED = [Message("system", "Be brief."), Message("user", "Hello?")]
END = ToolCall("end_call_1", "end_call", '{"reason":"other"}')


async def ask(mind: Any, messages: list[Message] = ASKED) -> list[Delta]:
    async with mind.stream(messages, []) as stream:
        return [delta async for delta in stream]


# --- posts -------------------------------------------------------------------------------------


class Poster:
    """An agent behind an address, which answers every post with the same thing."""

    def __init__(self, answer: Response | Callable[[], Response], *, delay_s: float = 0.0) -> None:
        self.answer = answer
        self.delay_s = delay_s
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    async def answer_to(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        await anyio.sleep(self.delay_s)
        return self.answer if isinstance(self.answer, Response) else self.answer()

    def serving(self) -> Serving:
        return Serving(Starlette(routes=[Route("/message", self.answer_to, methods=["POST"])]))


def body(content: str | bytes, kind: str = "application/json", status: int = 200) -> Response:
    return Response(content, status, media_type=kind)


def events(*texts: str) -> Response:
    return body("".join(f"data: {text}\n\n" for text in texts), "text/event-stream")


async def post(answer: Response | Poster, *, timeout_s: float = 5.0) -> list[Delta]:
    poster = answer if isinstance(answer, Poster) else Poster(answer)
    async with poster.serving() as origin:
        return await ask(MessageMind(f"{origin}/message", timeout_s=timeout_s))


@pytest.mark.parametrize(
    ("answer", "deltas"),
    [
        (body('{"text": "Good day."}'), ["Good day."]),
        (body('{"text": "Goodbye.", "end_call": true}'), ["Goodbye.", END]),
        (body('{"text": "Good day."}', "application/problem+json; charset=utf-8"), ["Good day."]),
        (body('{"text": ""}'), []),
        (body("", status=204), []),
        (body(""), []),
        (PlainTextResponse("Grüß Gott."), ["Grüß Gott."]),
        (events('{"delta": "Good "}', '{"delta": "day."}'), ["Good ", "day."]),
        (events('{"delta": "Goodbye."}', '{"end_call": true}', "[DONE]", '{"delta": "Never."}'), ["Goodbye.", END]),
        (events('{"delta": "Goodbye.", "end_call": true}', '{"more": 1}', "[DONE]"), ["Goodbye.", END]),
    ],
)
async def test_an_address_may_answer_in_many_ways(answer: Response, deltas: list[Delta]) -> None:
    assert await post(answer) == deltas


async def test_the_address_gets_the_message_and_the_connection_is_kept() -> None:
    poster = Poster(body('{"text": "Good day."}'))
    async with poster.serving() as origin, MessageMind(f"{origin}/message").open(CALL) as session:
        assert await ask(session) == ["Good day."]
        assert await ask(session, [*ASKED, Message("assistant", "Good day."), Message("user", "Yes?")]) == ["Good day."]
    first = {"text": "Hello?", **CALL, "history": [], "instructions": "Be brief."}
    history = [{"role": "user", "text": "Hello?"}, {"role": "agent", "text": "Good day."}]
    assert poster.asked == [first, {**first, "text": "Yes?", "history": history}]
    assert poster.headers[0]["content-type"] == "application/json"


async def test_events_come_as_they_are_written_and_leaving_closes_the_request() -> None:
    left = anyio.Event()

    async def write() -> AsyncIterator[bytes]:
        try:
            yield b'data: {"delta": "Well, "}\n\n'
            await anyio.sleep_forever()
        finally:
            left.set()

    poster = Poster(lambda: StreamingResponse(write(), media_type="text/event-stream"))
    async with poster.serving() as origin:
        async with MessageMind(f"{origin}/message").stream(ASKED, []) as stream:
            assert await anext(stream) == "Well, "
        with anyio.fail_after(5):
            await left.wait()


SECRET = "Maria Lopez"


@pytest.mark.parametrize(
    ("answer", "error", "retryable"),
    [
        (body(SECRET, status=500), "HTTP 500; it must answer 200", True),
        (body(SECRET, status=404), "HTTP 404", False),
        (RedirectResponse(f"http://127.0.0.1/{SECRET}"), "HTTP 307; pass the address it redirects to", False),
        (body(SECRET), "no JSON object", False),
        (body(json.dumps([SECRET])), "no JSON object", False),
        (body(json.dumps({"text": [SECRET]})), "wrong shape", False),
        (body(SECRET, "text/html"), "another content type", False),
        (body(json.dumps({"text": SECRET * 30_000})), "more than 256 KiB", False),
        (body(b"data: " + b"x" * 300_000, "text/event-stream"), "more than 256 KiB", False),
        (events(SECRET), "no JSON object", False),
        (events(json.dumps({"delta": [SECRET]})), "wrong shape", False),
    ],
)
async def test_what_an_address_does_wrong_is_told_without_its_words(
    answer: Response, error: str, retryable: bool
) -> None:
    with pytest.raises(ProviderError, match=error) as caught:
        await post(answer)
    assert (caught.value.stage, caught.value.retryable) == ("llm", retryable)
    assert SECRET not in str(caught.value)


async def test_an_address_that_is_slow_or_not_there_is_an_error() -> None:
    with pytest.raises(ProviderError, match=r"nothing for 0\.2 s|ReadTimeout") as caught:
        await post(Poster(body("{}"), delay_s=0.4), timeout_s=0.2)
    assert caught.value.retryable
    async with Poster(body("{}")).serving() as origin:
        pass
    with pytest.raises(ProviderError, match=r"failed \(ConnectError\)") as caught:
        await ask(MessageMind(f"{origin}/secret"))
    assert caught.value.retryable
    assert "secret" not in str(caught.value)


async def test_an_answer_that_breaks_off_is_an_error_after_what_came() -> None:
    async def write() -> AsyncIterator[bytes]:
        yield b'data: {"delta": "Well, "}\n\n'
        raise OSError

    poster = Poster(
        lambda: StreamingResponse(write(), media_type="text/event-stream", headers={"content-length": "100"})
    )
    async with poster.serving() as origin, MessageMind(f"{origin}/message").stream(ASKED, []) as stream:
        assert await anext(stream) == "Well, "
        with pytest.raises(ProviderError, match=r"failed \(RemoteProtocolError\)") as caught:
            await anext(stream)
    assert caught.value.retryable


# --- the websocket -----------------------------------------------------------------------------


Talk = Callable[["Socketed"], Awaitable[None]]


class Socketed:
    """One connection of an agent behind a websocket, as its script sees it."""

    def __init__(self, websocket: WebSocket, frames: list[dict[str, Any]]) -> None:
        self.websocket = websocket
        self.frames = frames

    async def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = await self.websocket.receive_json()
        self.frames.append(frame)
        return frame

    async def send(self, kind: str, number: Any, **data: Any) -> None:
        await self.websocket.send_json({"type": kind, "id": number, **data})


class Agent:
    """Runs one script for each connection, the last one for all that follow."""

    def __init__(self, *talks: Talk) -> None:
        self.talks = list(talks)
        self.connections: list[list[dict[str, Any]]] = []
        self.left = anyio.Event()

    async def serve(self, websocket: WebSocket) -> None:
        await websocket.accept()
        frames: list[dict[str, Any]] = []
        self.connections.append(frames)
        talk = self.talks.pop(0) if len(self.talks) > 1 else self.talks[0]
        try:
            await talk(Socketed(websocket, frames))
        except WebSocketDisconnect:
            self.left.set()
        else:
            await websocket.close()

    @asynccontextmanager
    async def mind(self, *, timeout_s: float = 5.0) -> AsyncIterator[MessageMind]:
        async with Serving(Starlette(routes=[WebSocketRoute("/talk", self.serve)])) as origin:
            yield MessageMind(f"ws{origin.removeprefix('http')}/talk", timeout_s=timeout_s)

    @asynccontextmanager
    async def session(self, *, timeout_s: float = 5.0) -> AsyncIterator[Any]:
        async with self.mind(timeout_s=timeout_s) as mind, mind.open(CALL) as session:
            yield session


async def echo(socket: Socketed) -> None:
    """Says what it is told, in two pieces; hangs up when it is told goodbye."""
    while True:
        frame = await socket.receive()
        if frame["type"] == "message":
            await socket.send("delta", frame["id"], text="You said ")
            await socket.send("delta", frame["id"], text=frame["text"])
            await socket.send("done", frame["id"], end_call=frame["text"] == "Goodbye.")


async def test_a_call_has_one_socket_and_each_turn_a_number() -> None:
    agent = Agent(echo)
    async with agent.session() as session:
        assert await ask(session) == ["You said ", "Hello?"]
        assert await ask(session, [Message("user", "Goodbye.")]) == ["You said ", "Goodbye.", END]
    assert agent.connections == [
        [
            {"type": "call", **CALL},
            {"type": "message", "id": 1, "text": "Hello?", **CALL, "history": [], "instructions": "Be brief."},
            {"type": "message", "id": 2, "text": "Goodbye.", **CALL, "history": [], "instructions": ""},
        ]
    ]
    with anyio.fail_after(5):
        await agent.left.wait()


async def test_a_mind_that_is_asked_outside_of_a_call_has_a_socket_for_each_answer() -> None:
    agent = Agent(echo)
    async with agent.mind() as mind:
        assert await ask(mind) == ["You said ", "Hello?"]
        assert await ask(mind) == ["You said ", "Hello?"]
    assert len(agent.connections) == 2


async def test_leaving_early_cancels_and_what_still_comes_is_ignored() -> None:
    cancelled = anyio.Event()

    async def slow(socket: Socketed) -> None:
        await socket.receive()
        first = await socket.receive()
        await socket.send("delta", first["id"], text="One ")
        assert await socket.receive() == {"type": "cancel", "id": first["id"]}
        cancelled.set()
        await socket.send("delta", first["id"], text="two.")
        await socket.send("done", first["id"], end_call=True)
        second = await socket.receive()
        await socket.send("delta", first["id"], text="Still two.")
        await socket.send("thinking", second["id"], text="Hm.")
        await socket.send("delta", "2", text="Not a number.")
        await socket.send("delta", second["id"], text="Three.")
        await socket.send("done", second["id"])
        await socket.receive()

    agent = Agent(slow)
    async with agent.session() as session:
        async with session.stream(ASKED, []) as stream:
            assert await anext(stream) == "One "
        with anyio.fail_after(5):
            await cancelled.wait()
        assert await ask(session) == ["Three."]
    assert [frame["type"] for frame in agent.connections[0]] == ["call", "message", "cancel", "message"]


async def hangs_up(socket: Socketed) -> None:
    await socket.receive()


async def hangs_up_when_asked(socket: Socketed) -> None:
    await socket.receive()
    await socket.receive()


async def hangs_up_while_it_answers(socket: Socketed) -> None:
    await socket.receive()
    frame = await socket.receive()
    await socket.send("delta", frame["id"], text="One ")


@pytest.mark.parametrize("talk", [hangs_up, hangs_up_when_asked])
async def test_a_socket_that_was_lost_is_opened_again(talk: Talk) -> None:
    agent = Agent(talk, echo)
    async with agent.session() as session:
        assert await ask(session) == ["You said ", "Hello?"]
    assert [frame["type"] for frame in agent.connections[1]] == ["call", "message"]


async def test_a_socket_that_is_always_lost_is_an_error() -> None:
    agent = Agent(hangs_up_when_asked)
    async with agent.session() as session:
        with pytest.raises(ProviderError, match="closed before the answer was complete") as caught:
            await ask(session)
    assert caught.value.retryable
    assert len(agent.connections) == 2


async def test_nothing_is_asked_again_once_the_answer_has_begun() -> None:
    agent = Agent(hangs_up_while_it_answers, echo)
    async with agent.session() as session:
        async with session.stream(ASKED, []) as stream:
            assert await anext(stream) == "One "
            with pytest.raises(ProviderError, match="closed before the answer was complete"):
                await anext(stream)
        assert len(agent.connections) == 1
        assert await ask(session) == ["You said ", "Hello?"]


def answers(*frames: str) -> Talk:
    async def talk(socket: Socketed) -> None:
        await socket.receive()
        await socket.receive()
        for frame in frames:
            await socket.websocket.send_text(frame)
        await socket.receive()

    return talk


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([json.dumps({"type": "error", "id": 1, "message": SECRET})], "the on_message agent reported an error"),
        ([SECRET], "no JSON object"),
        ([json.dumps([SECRET])], "no JSON object"),
        ([json.dumps({"type": "delta", "id": 1, "text": [SECRET]})], "wrong shape"),
        ([json.dumps({"type": "done", "id": 1, "end_call": SECRET})], "wrong shape"),
        ([json.dumps({"type": "delta", "id": 1, "text": SECRET * 30_000})], "more than 256 KiB"),
        ([json.dumps({"type": "thinking", "id": 1, "text": SECRET})], r"nothing for 0\.3 s"),
    ],
)
async def test_what_an_agent_does_wrong_is_told_without_its_words(frames: list[str], error: str) -> None:
    async with Agent(answers(*frames)).session(timeout_s=0.3) as session:
        with pytest.raises(ProviderError, match=f"(?i){error}") as caught:
            await ask(session)
    assert caught.value.stage == "llm"
    assert SECRET not in str(caught.value)


async def test_an_agent_that_is_not_there_is_an_error_when_the_call_opens() -> None:
    async with Agent(echo).mind() as mind:
        pass
    with pytest.raises(ProviderError, match="on_message socket cannot be reached") as caught:
        async with mind.open(CALL):
            pytest.fail("nobody is there")
    assert caught.value.retryable
    with pytest.raises(ProviderError, match="on_message socket cannot be reached"):
        async with mind.stream(ASKED, []):
            pytest.fail("nobody is there")


async def test_an_agent_that_does_not_close_holds_nobody() -> None:
    async def deaf(socket: Socketed) -> None:
        await socket.receive()
        await anyio.sleep(30)

    began = anyio.current_time()
    async with Agent(deaf).mind() as mind:
        async with mind.open(CALL):
            opened = anyio.current_time()
        assert anyio.current_time() - opened < 1.5
    assert anyio.current_time() - began < 5
