import logging
import signal
import socket
import time

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from patter.errors import ConfigError, PortInUse
from patter.server.listener import MAX_MESSAGE_BYTES, bind, serve

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def sock():
    sock = bind("127.0.0.1", 0)
    yield sock
    sock.close()


def port(sock):
    return sock.getsockname()[1]


class App:
    """Answers GET, echoes sockets, and holds what is told to hang."""

    def __init__(self):
        self.entered = anyio.Event()
        self.left = anyio.Event()
        self.asgi = Starlette(
            routes=[
                Route("/", lambda request: PlainTextResponse("here")),
                Route("/hang", self.hang),
                WebSocketRoute("/echo", self.echo),
                WebSocketRoute("/flood", self.flood),
            ]
        )

    async def hang(self, request):
        self.entered.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.left.set()

    async def echo(self, websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    async def flood(self, websocket):
        await websocket.accept()
        with anyio.move_on_after(0.3):
            while True:
                await websocket.send_text("x" * 60_000)
        self.entered.set()
        await anyio.sleep_forever()


def test_bind_takes_a_free_port(sock):
    assert port(sock) > 0
    with socket.create_connection(sock.getsockname(), timeout=5):
        pass


def test_bind_names_the_remedy_when_the_port_is_in_use(sock):
    with pytest.raises(PortInUse, match=rf"Port {port(sock)} on 127.0.0.1 .*pass another port="):
        bind("127.0.0.1", port(sock))


def test_bind_takes_the_port_of_a_server_that_has_just_ended():
    first = bind("127.0.0.1", 0)
    number = port(first)
    with socket.create_connection(first.getsockname(), timeout=5) as client:
        accepted, _ = first.accept()
        accepted.close()
        client.recv(1)
    first.close()
    bind("127.0.0.1", number).close()


@pytest.mark.parametrize(("host", "number"), [("203.0.113.1", 0), ("127.0.0.1", 70_000), ("no such host", 0)])
def test_bind_refuses_what_is_no_address_of_this_machine(host, number):
    with pytest.raises(ConfigError) as caught:
        bind(host, number)
    assert not isinstance(caught.value, PortInUse)
    assert host in str(caught.value)


async def test_serve_answers_until_cancelled_and_closes_the_socket(sock):
    async with anyio.create_task_group() as group:
        with anyio.fail_after(10):
            await group.start(lambda task_status: serve(App().asgi, sock, task_status=task_status))
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{port(sock)}/")
        assert (answer.status_code, answer.text) == (200, "here")
        assert "server" not in answer.headers
        group.cancel_scope.cancel()
    assert sock.fileno() == -1


async def test_serve_that_is_cancelled_before_it_runs_closes_the_socket(sock):
    with anyio.CancelScope() as scope:
        scope.cancel()
        await serve(App().asgi, sock)
    assert sock.fileno() == -1


async def test_open_media_sockets_get_1012_and_the_end_is_quick(sock):
    async with anyio.create_task_group() as group:
        await group.start(lambda task_status: serve(App().asgi, sock, task_status=task_status))
        ws = await connect(f"ws://127.0.0.1:{port(sock)}/echo", proxy=None)
        await ws.send("hello")
        assert await ws.recv() == "hello"
        began = time.monotonic()
        group.cancel_scope.cancel()
    assert time.monotonic() - began < 1.5
    with anyio.fail_after(5), pytest.raises(ConnectionClosed) as caught:
        await ws.recv()
    assert caught.value.rcvd.code == 1012


async def test_a_request_that_hangs_is_cancelled_within_the_bound(sock):
    app = App()

    answers = []

    async def ask(address):
        async with httpx2.AsyncClient(trust_env=False) as client:
            answers.append((await client.get(address)).status_code)

    async with anyio.create_task_group() as clients, anyio.create_task_group() as group:
        await group.start(lambda task_status: serve(app.asgi, sock, task_status=task_status))
        clients.start_soon(ask, f"http://127.0.0.1:{port(sock)}/hang")
        with anyio.fail_after(5):
            await app.entered.wait()
        began = time.monotonic()
        group.cancel_scope.cancel()
    assert time.monotonic() - began < 2.5
    assert app.left.is_set()
    assert answers == [500]


async def test_a_peer_that_does_not_read_does_not_hold_the_end(sock):
    app = App()
    async with anyio.create_task_group() as group:
        await group.start(lambda task_status: serve(app.asgi, sock, task_status=task_status))
        ws = await connect(f"ws://127.0.0.1:{port(sock)}/flood", proxy=None, max_queue=1)
        with anyio.fail_after(10):
            await app.entered.wait()
        began = time.monotonic()
        group.cancel_scope.cancel()
    assert time.monotonic() - began < 2.5
    with anyio.fail_after(5), pytest.raises(ConnectionClosed) as caught:
        while True:
            await ws.recv()
    # Reset, and not left to be written some day.
    assert caught.value.rcvd is None


async def test_a_message_over_the_limit_closes_with_1009(sock):
    async with anyio.create_task_group() as group:
        await group.start(lambda task_status: serve(App().asgi, sock, task_status=task_status))
        async with connect(f"ws://127.0.0.1:{port(sock)}/echo", proxy=None) as ws:
            assert ws.protocol.extensions == []
            await ws.send("x" * MAX_MESSAGE_BYTES)
            assert len(await ws.recv()) == MAX_MESSAGE_BYTES
            await ws.send("x" * (MAX_MESSAGE_BYTES + 1))
            with anyio.fail_after(5), pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
        assert caught.value.rcvd.code == 1009
        group.cancel_scope.cancel()


async def test_signals_and_logging_stay_the_hosts(sock):
    def belongings():
        names = ("uvicorn", "uvicorn.error", "uvicorn.access")
        loggers = [logging.getLogger(name) for name in names]
        return (
            [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
            [(logger.level, list(logger.handlers), logger.propagate) for logger in loggers],
        )

    before = belongings()
    async with anyio.create_task_group() as group:
        await group.start(lambda task_status: serve(App().asgi, sock, task_status=task_status))
        assert belongings() == before
        group.cancel_scope.cancel()
    assert belongings() == before
