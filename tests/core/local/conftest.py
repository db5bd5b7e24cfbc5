"""A small phone side, written by hand, so that the exchange is tested without the phone of the project."""

from __future__ import annotations

import base64
import json
from collections import deque
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import parse_qsl

import anyio
import httpx2
import pytest
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskGroup, TaskStatus
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from twilio.request_validator import RequestValidator

from patter.audio import mulaw
from patter.local.dialogue import Act, Persona, Ring, scripted
from patter.local.exchange import Exchange, ExchangeCall, Faults, Timings
from patter.local.tones import ToneDecoder
from patter.local.voices import TonesSTT, TonesTTS
from patter.server.listener import bind, serve

SID, TOKEN = "AC" + "1" * 32, "secret"
ALL_EVENTS = ["initiated", "ringing", "answered", "completed"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """A queue without an end that has to be closed."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._news = anyio.Event()
        self._closed = False

    def put(self, item: Item) -> None:
        self._items.append(item)
        self._wake()

    def close(self) -> None:
        self._closed = True
        self._wake()

    async def get(self) -> Item:
        while not self._items:
            if self._closed:
                raise EOFError("nothing more comes")
            await self._news.wait()
        return self._items.popleft()

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()


class Session:
    """One media socket, as the phone sees it."""

    def __init__(self, websocket: WebSocket, *, signed: bool) -> None:
        self.signed = signed
        self.stream_sid = ""
        self.ended = anyio.Event()
        self.close_code: int | None = None
        self.received: list[dict[str, Any] | bytes | str] = []
        self._websocket = websocket
        self._messages = Inbox[dict[str, Any]]()

    async def run(self) -> None:
        await self._websocket.accept()
        try:
            while True:
                message = await self._websocket.receive()
                if message["type"] == "websocket.disconnect":
                    self.close_code = message["code"]
                    break
                self._take(message)
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self.ended.set()
            self._messages.close()

    def _take(self, message: Any) -> None:
        text = message.get("text")
        if text is None:
            self.received.append(message["bytes"])
            return
        try:
            body = json.loads(text)
        except ValueError:
            body = text
        self.received.append(body)
        if isinstance(body, dict):
            self._messages.put({**body, "at": anyio.current_time()})

    async def next(self, event: str) -> dict[str, Any]:
        """The next message of this event; the others before it are skipped."""
        while True:
            body = await self._messages.get()
            if body.get("event") == event:
                if event == "start":
                    self.stream_sid = body["streamSid"]
                return body

    def events(self) -> list[str]:
        return [body["event"] for body in self.received if isinstance(body, dict) and "event" in body]

    def words(self) -> str:
        """What the callee has said so far."""
        media = [body["media"] for body in self.received if isinstance(body, dict) and "media" in body]
        return " ".join(ToneDecoder().feed(b"".join(base64.b64decode(one["payload"]) for one in media)))

    async def send(self, **body: Any) -> None:
        await self._websocket.send_text(json.dumps({"streamSid": self.stream_sid, **body}))

    async def send_raw(self, data: str | bytes) -> None:
        if isinstance(data, bytes):
            await self._websocket.send_bytes(data)
        else:
            await self._websocket.send_text(data)

    async def play(self, audio: bytes) -> None:
        await self.send(event="media", media={"payload": base64.b64encode(audio).decode()})

    async def mark(self, name: str) -> None:
        await self.send(event="mark", mark={"name": name})

    async def clear(self) -> None:
        await self.send(event="clear")

    async def close(self, code: int = 1000) -> None:
        await self._websocket.close(code)


class Rig:
    """An exchange and a phone on loopback. Enter it, dial, and talk.

    Args:
        callee: a persona, or the acts of one.
        answerer: anything else that an exchange takes as its callee.
        exchange: further arguments of `Exchange`.
    """

    def __init__(
        self,
        *callee: Act | Persona,
        answerer: Any = None,
        ring: Ring | None = None,
        hears_keys: bool = False,
        faults: Faults | None = None,
        timings: Timings | None = None,
        **exchange: Any,
    ) -> None:
        acts = [act for act in callee if not isinstance(act, Persona)]
        persona = next(
            (one for one in callee if isinstance(one, Persona)), scripted(*acts, ring=ring, hears_keys=hears_keys)
        )
        self.exchange = Exchange(
            callee=answerer or persona,
            voice=(TonesSTT(), TonesTTS()),
            account_sid=SID,
            auth_token=TOKEN,
            timings=timings or Timings.quick(),
            faults=faults,
            **exchange,
        )
        self.callbacks: list[dict[str, str]] = []
        self.signatures: list[bool] = []
        self.refuse_media = False
        self.action_twiml = ""
        self._news = anyio.Event()
        self._sessions = Inbox[Session]()

    async def __aenter__(self) -> Self:
        self._tasks: TaskGroup = await anyio.create_task_group().__aenter__()
        try:
            origin = await self._tasks.start(self.exchange.serve)
            self.origin = await self._tasks.start(self._serve)
        except BaseException:
            self._tasks.cancel_scope.cancel()
            await self._tasks.__aexit__(None, None, None)
            raise
        self.http = httpx2.AsyncClient(
            base_url=f"{origin}/2010-04-01/Accounts/{SID}", auth=(SID, TOKEN), trust_env=False, timeout=5
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        with anyio.CancelScope(shield=True):
            await self.http.aclose()
        self.stop()
        return await self._tasks.__aexit__(kind, error, trace)

    def stop(self) -> None:
        self._tasks.cancel_scope.cancel()

    async def _serve(self, *, task_status: TaskStatus[str] = TASK_STATUS_IGNORED) -> None:
        sock = bind("127.0.0.1", 0)
        origin = f"http://127.0.0.1:{sock.getsockname()[1]}"
        self.origin = origin
        app = Starlette(
            routes=[
                Route("/status", self._callback, methods=["POST"]),
                Route("/machine", self._callback, methods=["POST"]),
                Route("/action", self._callback, methods=["POST"]),
                WebSocketRoute("/media", self._media),
            ]
        )
        async with anyio.create_task_group() as tasks:
            await tasks.start(serve, app, sock)
            task_status.started(origin)

    async def _callback(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        url = f"{self.origin}{request.url.path}"
        if request.url.query:
            url += f"?{request.url.query}"
        signature = request.headers.get("x-twilio-signature", "")
        self.signatures.append(RequestValidator(TOKEN).validate(url, form, signature))
        self.callbacks.append(form)
        self._news.set()
        self._news = anyio.Event()
        return Response(self.action_twiml)

    async def _media(self, websocket: WebSocket) -> None:
        if self.refuse_media:
            await websocket.close(1008)
            return
        signature = websocket.headers.get("x-twilio-signature", "")
        url = f"ws{self.origin.removeprefix('http')}/media"
        session = Session(websocket, signed=RequestValidator(TOKEN).validate(url, {}, signature))
        self._sessions.put(session)
        await session.run()

    @property
    def twiml(self) -> str:
        url = f"ws{self.origin.removeprefix('http')}/media"
        stream = f'<Stream url="{url}?lost=1"><Parameter name="token" value="t0ken"/></Stream>'
        return f"<Response><Connect>{stream}</Connect><Hangup/></Response>"

    async def create(self, **form: Any) -> httpx2.Response:
        """Ask for a call; the answer, whatever it is."""
        wanted: dict[str, Any] = {
            "To": "+15550100999",
            "From": "+15550100001",
            "Twiml": self.twiml,
            "StatusCallback": f"{self.origin}/status?ref=7",
            "StatusCallbackEvent": ALL_EVENTS,
        }
        return await self.http.post("/Calls.json", data={**wanted, **form})

    async def dial(self, **form: Any) -> ExchangeCall:
        answer = await self.create(**form)
        assert answer.status_code == 201, answer.text
        return self.exchange.calls[answer.json()["sid"]]

    async def update(self, call: ExchangeCall, **form: str) -> httpx2.Response:
        return await self.http.post(f"/Calls/{call.sid}.json", data=form)

    async def session(self) -> Session:
        """The next media socket, once its stream has started."""
        session = await self._sessions.get()
        await session.next("start")
        return session

    async def raw_session(self) -> Session:
        return await self._sessions.get()

    async def callback(self, status: str) -> dict[str, str]:
        """Wait for the callback of this ``CallStatus`` or ``AnsweredBy``."""
        while True:
            for form in self.callbacks:
                if status in (form.get("CallStatus"), form.get("AnsweredBy")):
                    return form
            await self._news.wait()


@pytest.fixture
def make_rig() -> type[Rig]:
    return Rig


@pytest.fixture
def silence_s() -> Any:
    return lambda seconds: mulaw.silence(round(seconds * 1000))
