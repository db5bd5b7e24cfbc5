"""The MCP server over HTTP: what ends a call there."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from patter import ConfigError
from patter.testing.contract.phone import ANSWERS, HOLD, ContractPhone

pytest.importorskip("mcp")

from patter.exports.mcp_http import listen, serve_http

USUAL = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


class Client:
    """A session whose calls are left open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._session: dict[str, str] = {}
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        with self.begin("POST", {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}) as reply:
            self._session = {"mcp-session-id": reply.headers["mcp-session-id"]}
            reply.read()

    @contextmanager
    def begin(self, method: str, message: dict[str, Any]) -> Iterator[http.client.HTTPResponse]:
        """The reply, whose body is still to be read."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)) as connection:
            connection.request(method, "/mcp", json.dumps(message), USUAL | self._session)
            with connection.getresponse() as reply:
                yield reply

    def call(self) -> AbstractContextManager[http.client.HTTPResponse]:
        params = {"name": "make_phone_call", "arguments": {"to": ANSWERS, "goal": HOLD}}
        return self.begin("POST", {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


def test_a_client_that_ends_its_session_hangs_up(phone: ContractPhone, portal: BlockingPortal) -> None:
    sock = listen("127.0.0.1", 0, [])
    running = portal.start_task_soon(serve_http, phone.tool().to_mcp(), sock, [])
    client = Client(sock.getsockname()[1])
    with client.call() as reply:
        phone.wait_answered_sync(1)
        with client.begin("DELETE", {}):
            reply.read()
        phone.wait_over(phone.calls)
    running.cancel()
    assert [call.status.final for call in phone.calls] == [True]


def test_the_end_of_the_server_hangs_up(phone: ContractPhone, portal: BlockingPortal) -> None:
    sock = listen("127.0.0.1", 0, [])
    running = portal.start_task_soon(serve_http, phone.tool().to_mcp(), sock, [])
    with Client(sock.getsockname()[1]).call():
        phone.wait_answered_sync(1)
        running.cancel()
        phone.wait_over(phone.calls)
    assert [call.status.final for call in phone.calls] == [True]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_an_address_that_others_reach_needs_a_name(host: str) -> None:
    with pytest.raises(ConfigError, match="--allow-host NAME"):
        listen(host, 0, [])
