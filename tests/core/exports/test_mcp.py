"""The phone on MCP servers, of mcp 1.x and 2.x alike: through the real client, and by the protocol's own lines."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from patter import ConfigError
from patter.testing.contract.phone import ANSWERS, BUSY, HOLD, ContractPhone

mcp = pytest.importorskip("mcp")

from patter.exports.mcp import Sdk  # noqa: E402
from patter.exports.mcp_stdio import serve_stdio  # noqa: E402

HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


@asynccontextmanager
async def connected(server: Any) -> AsyncIterator[Any]:
    if hasattr(mcp, "Client"):
        async with mcp.Client(server) as client:
            yield client
    else:
        from mcp.shared.memory import create_connected_server_and_client_session

        async with create_connected_server_and_client_session(server) as session:
            yield session


class Lines:
    """A client that writes and reads the protocol's lines itself."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._file = end.makefile("r", encoding="utf-8")

    def send(self, method: str, params: dict[str, Any], id: int | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if id is None else {"id": id})
        self._end.sendall(json.dumps(message).encode() + b"\n")

    def answer(self, id: int) -> dict[str, Any]:
        """The next answer; notifications before it are passed over."""
        for line in self._file:
            if (message := json.loads(line)).get("id") == id:
                return message
        raise EOFError

    def close(self) -> None:
        self._end.shutdown(socket.SHUT_WR)


@contextmanager
def served(server: Any) -> Iterator[Lines]:
    """A client of the server over a socket; the server has ended when this is left."""
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    wire: Any = SimpleNamespace(reader=theirs.makefile("r", encoding="utf-8"), writer=theirs.makefile("w"))
    with start_blocking_portal() as portal, ours, theirs, wire.reader, wire.writer:
        running = portal.start_task_soon(serve_stdio, server, wire)
        client = Lines(ours)
        client.send("initialize", HELLO, id=1)
        client.answer(1)
        client.send("notifications/initialized", {})
        try:
            yield client
        finally:
            client.close()
            running.result(20)
            client._file.close()


def call(client: Lines, goal: str, id: int) -> None:
    client.send("tools/call", {"name": "make_phone_call", "arguments": {"to": ANSWERS, "goal": goal}}, id=id)


def test_the_client_is_told_the_schema_unchanged(phone: ContractPhone) -> None:
    tool = phone.tool()

    async def ask() -> dict[str, Any]:
        async with connected(tool.to_mcp()) as session:
            (told,) = (await session.list_tools()).tools
            return dict(told.model_dump(by_alias=True, exclude_none=True))

    told = asyncio.run(ask())
    assert (told["name"], told["description"]) == (tool.name, tool.description)
    assert told["inputSchema"] == tool.parameters
    assert list(told["outputSchema"]["properties"])[:2] == ["call_id", "status"]
    assert told["annotations"]["destructiveHint"] and not told["annotations"]["idempotentHint"]


def test_a_server_keeps_its_own_tools(phone: ContractPhone) -> None:
    server = Sdk.load().server("office")

    @server.tool()
    def opening_hours() -> str:
        """When we are open."""
        return "nine to five"

    assert phone.tool().to_mcp(server) is server

    async def use() -> tuple[list[str], Any, Any]:
        async with connected(server) as session:
            names = [tool.name for tool in (await session.list_tools()).tools]
            hours = await session.call_tool("opening_hours", {})
            busy = await session.call_tool("make_phone_call", {"to": BUSY, "goal": "Tea"})
            return names, hours, busy.model_dump(by_alias=True)

    names, hours, busy = asyncio.run(use())
    assert names == ["opening_hours", "make_phone_call"]
    assert hours.content[0].text == "nine to five"
    assert busy["structuredContent"]["status"] == "busy" and not busy["isError"]


def test_a_server_that_cannot_take_the_tool_is_told_apart(phone: ContractPhone) -> None:
    tool = phone.tool()
    with pytest.raises(ConfigError, match="not a dict"):
        tool.to_mcp({})
    server = tool.to_mcp()
    with pytest.raises(ConfigError, match="another name="):
        tool.to_mcp(server)
    phone.tool(name="call_the_office").to_mcp(server)


@pytest.mark.anyio
async def test_a_client_that_asks_for_progress_reads_what_happens(phone: ContractPhone) -> None:
    reports: list[tuple[float, str]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        reports.append((progress, str(message)))

    async with connected(phone.tool().to_mcp()) as session:
        arguments = {"to": ANSWERS, "goal": "Tea"}
        await session.call_tool("make_phone_call", arguments, progress_callback=on_progress)
    lines = [line for _, line in reports]
    assert lines[:3] == ["Dialling.", "Ringing.", "Answered."]
    assert "They said: Yes?" in lines and "The agent said: Tea." in lines
    assert lines[-1] == "The call is over: completed."
    assert [progress for progress, _ in reports] == sorted({progress for progress, _ in reports})


def test_the_clients_cancellation_hangs_up_and_the_session_goes_on(phone: ContractPhone) -> None:
    with served(phone.tool().to_mcp()) as client:
        call(client, HOLD, id=2)
        phone.wait_answered_sync(1)
        client.send("notifications/cancelled", {"requestId": 2, "reason": "the user pressed stop"})
        phone.wait_over(phone.calls)
        assert [one.status.final for one in phone.calls] == [True]
        call(client, "Tea", id=3)
        assert client.answer(3)["result"]["structuredContent"]["status"] == "completed"


def test_a_client_that_leaves_hangs_up(phone: ContractPhone) -> None:
    with served(phone.tool().to_mcp()) as client:
        call(client, HOLD, id=2)
        phone.wait_answered_sync(1)
    phone.wait_over(phone.calls)
    assert [one.status.final for one in phone.calls] == [True]


def test_calls_of_one_client_go_on_side_by_side(phone: ContractPhone) -> None:
    with served(phone.tool().to_mcp()) as client:
        call(client, HOLD, id=2)
        phone.wait_answered_sync(1)
        call(client, "Tea", id=3)
        assert client.answer(3)["result"]["structuredContent"]["status"] == "completed"


@pytest.mark.anyio
async def test_a_goal_that_looks_like_json_stays_a_text(phone: ContractPhone) -> None:
    async with connected(phone.tool().to_mcp()) as session:
        answer = await session.call_tool("make_phone_call", {"to": ANSWERS, "goal": '["Tea", "Cake"]'})
    lines = answer.model_dump(by_alias=True)["structuredContent"]["transcript"]
    assert '["Tea", "Cake"]' in lines[-1]["text"]
