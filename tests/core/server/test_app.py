import base64
import hashlib
import hmac
import json
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from patter.carriers.addresses import websocket_url
from patter.carriers.base import CallUpdate, CarrierStatus, Mark, Media, Stopped
from patter.carriers.twilio import Twilio
from patter.errors import LineError
from patter.server import app as app_module
from patter.server.app import MAX_BODY_BYTES, build_app
from patter.server.listener import bind, serve

pytestmark = pytest.mark.anyio

TOKEN = "hush"
PUBLIC = "https://phone.example"
SID = "MZ1"
CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
STOP = json.dumps({"event": "stop", "streamSid": SID, "stop": {}})
MEDIA = json.dumps({"event": "media", "streamSid": SID, "media": {"timestamp": "0", "payload": "/w=="}})


def start(token="good"):
    body = {"callSid": "CA1", "customParameters": {"token": token, "ref": "r1"}}
    return json.dumps({"event": "start", "start": body, "streamSid": SID})


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Phone:
    """A phone that lets one socket in, and runs a given conversation on its line."""

    public_url = PUBLIC

    def __init__(self, conversation=None):
        self.reports = []
        self.incoming = []
        self.joins = []
        self.events = []
        self.joined = anyio.Event()
        self.done = anyio.Event()
        self.conversation = conversation or self.listen

    def report(self, ref, update):
        self.reports.append((ref, update))

    def answer(self, incoming):
        self.incoming.append(incoming)
        return "<Response><Reject reason='busy'/></Response>"

    async def join(self, start, line):
        self.joins.append(start)
        self.joined.set()
        if start.parameters.get("token") != "good":
            raise LineError("no call waits for this line")
        try:
            await self.conversation(line)
        finally:
            self.done.set()

    async def listen(self, line):
        while not self.events or not isinstance(self.events[-1], Stopped):
            self.events.append(await line.receive())


class Server:
    def __init__(self, number):
        self.http = f"http://127.0.0.1:{number}"
        self.ws = f"ws://127.0.0.1:{number}"

    async def post(self, path, form=None, *, signature=None, content=None, headers=None):
        headers = dict(headers or {})
        if signature:
            headers["x-twilio-signature"] = signature
        async with httpx2.AsyncClient(trust_env=False) as client:
            return await client.post(self.http + path, data=form, content=content, headers=headers)

    def media(self, path="/twilio/media", **headers):
        return connect(self.ws + path, proxy=None, additional_headers=headers)


@asynccontextmanager
async def serving(phone):
    sock = bind("127.0.0.1", 0)
    server = Server(sock.getsockname()[1])
    app = build_app(phone, Twilio("AC1", TOKEN))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            await group.start(lambda task_status: serve(app, sock, task_status=task_status))
            yield server
            group.cancel_scope.cancel()


def sign(url, form=None, token=TOKEN):
    text = url + "".join(name + form[name] for name in sorted(form or {}))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


FORM = {"CallSid": "CA1", "CallStatus": "ringing"}


@pytest.mark.parametrize(
    "path", ["/twilio/status/r1", "/twilio/machine/r1", "/twilio/leg/r1", "/twilio/status/r1?a=b%20c&d"]
)
async def test_a_signed_callback_is_reported(path):
    phone = Phone()
    async with serving(phone) as server:
        answer = await server.post(path, FORM, signature=sign(PUBLIC + path, FORM))
    assert answer.status_code == 204
    assert phone.reports == [("r1", CallUpdate("CA1", CarrierStatus.RINGING))]


async def test_the_address_is_signed_as_it_was_sent():
    phone = Phone()
    async with serving(phone) as server:
        path = "/twilio/status/r%201"
        answer = await server.post(path, FORM, signature=sign(PUBLIC + path, FORM))
    assert answer.status_code == 204
    assert phone.reports[0][0] == "r 1"


@pytest.mark.parametrize(
    ("path", "signature", "headers"),
    [
        ("/twilio/status/r1", None, {}),
        ("/twilio/status/r1", "x", {}),
        ("/twilio/status/r1", sign(f"{PUBLIC}/twilio/status/r1", FORM, "other"), {}),
        ("/twilio/status/r2", sign(f"{PUBLIC}/twilio/status/r1", FORM), {}),
        ("/twilio/machine/r1", sign(f"{PUBLIC}/twilio/status/r1", FORM), {}),
        ("/twilio/leg/r1-1", sign(f"{PUBLIC}/twilio/status/r1", FORM), {}),
        ("/twilio/leg/r1-1", None, {}),
        ("/twilio/status/r1?x=1", sign(f"{PUBLIC}/twilio/status/r1", FORM), {}),
        (
            "/twilio/status/r1",
            sign("https://evil.example/twilio/status/r1", FORM),
            {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "https"},
        ),
    ],
)
async def test_a_forged_callback_changes_nothing(path, signature, headers):
    phone = Phone()
    async with serving(phone) as server:
        answer = await server.post(path, FORM, signature=signature, headers=headers)
    assert answer.status_code == 403
    assert phone.reports == []


async def test_a_body_over_the_limit_is_refused():
    phone = Phone()

    async def endless():
        for _ in range(1000):
            yield b"x" * 1024

    async with serving(phone) as server:
        declared = await server.post("/twilio/status/r1", content=b"x" * (MAX_BODY_BYTES + 1))
        chunked = await server.post("/twilio/status/r1", content=endless())
        at_limit = await server.post("/twilio/status/r1", content=b"x" * MAX_BODY_BYTES)
    assert (declared.status_code, chunked.status_code, at_limit.status_code) == (413, 413, 403)
    assert phone.reports == []


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(app_module, "BODY_S", 0.05)
    phone = Phone()
    async with serving(phone) as server:
        async with await anyio.connect_tcp("127.0.0.1", int(server.http.rpartition(":")[2])) as stream:
            await stream.send(b"POST /twilio/status/r1 HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nCall")
            assert (await stream.receive()).startswith(b"HTTP/1.1 408")
    assert phone.reports == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/twilio/status/r1", 405),
        ("POST", "/twilio/status/r1/", 404),
        ("POST", "/twilio/status/", 404),
        ("POST", "/telnyx/status/r1", 404),
        ("GET", "/twilio/media", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
    ],
)
async def test_routes(method, path, status):
    async with serving(Phone()) as server, httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.request(method, server.http + path)).status_code == status


@pytest.mark.parametrize("path", ["/twilio/media", "/twilio/media/"])
@pytest.mark.parametrize("signed", [None, "wss://phone.example/twilio/media", "wss://phone.example/twilio/media/"])
async def test_a_media_socket_joins_its_call_once(path, signed):
    phone = Phone()
    headers = {"x-twilio-signature": sign(signed)} if signed else {}
    async with serving(phone) as server, server.media(path, **headers) as ws:
        for message in (CONNECTED, start(), MEDIA, "x", start(), STOP):
            await ws.send(message)
        with anyio.fail_after(5), pytest.raises(ConnectionClosed) as caught:
            await ws.recv()
    assert caught.value.rcvd.code == 1000
    assert [join.carrier_id for join in phone.joins] == ["CA1"]
    assert phone.events == [Media(b"\xff", 0), Stopped(True, "stop")]


@pytest.mark.parametrize("signature", ["x", sign("https://phone.example/twilio/media"), sign("wss://127.0.0.1/x")])
async def test_a_wrongly_signed_media_socket_is_refused_before_it_is_accepted(signature):
    phone = Phone()
    async with serving(phone) as server:
        with pytest.raises(InvalidStatus) as caught:
            await server.media(**{"x-twilio-signature": signature})
    assert caught.value.response.status_code == 403
    assert phone.joins == []


async def test_a_refused_token_closes_with_1008():
    phone = Phone()
    async with serving(phone) as server, server.media() as ws:
        await ws.send(start(token="bad"))
        with anyio.fail_after(5), pytest.raises(ConnectionClosed) as caught:
            await ws.recv()
    assert caught.value.rcvd.code == 1008


@pytest.mark.parametrize("messages", [[MEDIA], [STOP], ["x"] * 10, [b"\x00"] * 10, [CONNECTED] * 10])
async def test_what_is_no_media_stream_closes_with_1002_and_joins_nothing(messages):
    phone = Phone()
    async with serving(phone) as server, server.media() as ws:
        for message in messages:
            await ws.send(message)
        with anyio.fail_after(5), pytest.raises(ConnectionClosed) as caught:
            await ws.recv()
    assert caught.value.rcvd.code == 1002
    assert phone.joins == []


async def test_a_silent_media_socket_is_closed(monkeypatch):
    monkeypatch.setattr("patter.carriers.twilio.OPENING_S", 0.05)
    async with serving(Phone()) as server, server.media() as ws:
        with anyio.fail_after(5), pytest.raises(ConnectionClosed) as caught:
            await ws.recv()
    assert caught.value.rcvd.code == 1002


@pytest.mark.parametrize("opened", [False, True])
async def test_an_oversize_message_closes_with_1009(opened):
    phone = Phone()
    async with serving(phone) as server, server.media() as ws:
        if opened:
            await ws.send(start())
            await phone.joined.wait()
        await ws.send("x" * 70_000)
        with anyio.fail_after(5), pytest.raises(ConnectionClosed) as caught:
            await ws.recv()
        if opened:
            await phone.done.wait()
    assert caught.value.rcvd.code == 1009
    assert phone.events == ([Stopped(False, "the socket is gone")] if opened else [])


async def test_a_lost_media_socket_ends_the_line():
    async def talk(line):
        async with anyio.create_task_group() as group:
            group.start_soon(line.pump)
            await phone.listen(line)
            # Nothing of this may raise.
            line.play(b"\xff")
            await line.pump()

    phone = Phone(talk)
    async with serving(phone) as server:
        ws = await server.media()
        await ws.send(start())
        await phone.joined.wait()
        ws.transport.abort()
        await phone.done.wait()
    assert phone.events == [Stopped(False, "the socket is gone")]


async def test_every_word_of_starlette_for_a_lost_socket_is_understood():
    messages = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1005}]

    async def receive():
        return messages.pop(0)

    async def send(message):
        if message["type"] != "websocket.accept":
            raise OSError

    websocket = WebSocket({"type": "websocket"}, receive, send)
    socket = app_module._Socket(websocket)
    await websocket.accept()
    for _ in range(2):
        with pytest.raises(LineError):
            await socket.send("x")
    for _ in range(2):
        assert await socket.receive() is None
        await socket.close()


async def test_both_directions_of_a_line():
    async def talk(line):
        async with anyio.create_task_group() as group:
            group.start_soon(line.pump)
            line.play(b"\x00\xff")
            line.mark("m")
            phone.events.append(await line.receive())
            line.clear()
            phone.events.append(await line.receive())
            group.cancel_scope.cancel()

    phone = Phone(talk)
    mark = json.dumps({"event": "mark", "streamSid": SID, "mark": {"name": "m"}})
    async with serving(phone) as server, server.media() as ws:
        await ws.send(start())
        with anyio.fail_after(5):
            first = [json.loads(await ws.recv())["event"] for _ in range(2)]
            await ws.send(mark)
            third = json.loads(await ws.recv())["event"]
            await ws.send(MEDIA)
            await phone.done.wait()
    assert [*first, third] == ["media", "mark", "clear"]
    assert phone.events == [Mark("m"), Media(b"\xff", 0)]


async def test_only_so_many_sockets_may_wait_to_start(monkeypatch):
    monkeypatch.setattr(app_module, "MAX_UNSTARTED", 2)
    phone = Phone()
    async with serving(phone) as server, server.media() as first, server.media():
        with pytest.raises(InvalidStatus) as caught:
            await server.media()
        assert caught.value.response.status_code == 403
        await first.send(start())
        await phone.joined.wait()
        async with server.media() as fourth:
            await fourth.send(STOP)


@pytest.mark.parametrize(
    ("public", "media"),
    [("https://x.example", "wss://x.example"), ("http://127.0.0.1:80/http", "ws://127.0.0.1:80/http")],
)
def test_media_url(public, media):
    assert websocket_url(public) == media
