"""The tools of MCP servers, with servers that run: the SDK's own over stdio and HTTP, and one with oddities."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("mcp")

from patter.exports.mcp_http import listen, serve_http
from patter.tools.executors.mcp import McpTool, bind, expand
from patter.tools.mcp.servers import McpServers
from patter.tools.model import Tool, ToolContext
from patter.tools.refusals import ToolRefusal

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
REAL = [sys.executable, str(HERE / "mcp_server.py")]
ODD = [sys.executable, str(HERE / "mcp_odd_server.py")]
EVERYTHING = [
    "add",
    "greet_politely",
    "say_nothing",
    "mixed",
    "who",
    "authorization",
    "fail",
    "die",
    "much",
    "wait",
]


@dataclass
class Services:
    mcp: McpServers
    secrets: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def phone(*, secrets: Mapping[str, str] | None = None, **options: Any) -> AsyncIterator[Services]:
    """What a phone has: the servers, and the end of them. Nothing is left of them then."""
    async with anyio.create_task_group() as tasks:
        servers = McpServers(tasks, **options)
        try:
            yield Services(servers, secrets or {})
        finally:
            with anyio.CancelScope(shield=True), anyio.fail_after(10):
                await servers.aclose()


def server(command: list[str] = REAL, *, timeout_ms: int | None = None, **config: Any) -> Tool:
    config = config if "url" in config else {"command": command, **config}
    return Tool(name="orders", description="Orders.", tool_type="mcp", config=config, priority=3, timeout_ms=timeout_ms)


async def tools_of(services: Services, tool: Tool, **options: Any) -> dict[str, McpTool]:
    return {one.name: one for one in await expand(tool, services, **options)}


async def use(services: Services, tool: Tool | None, **arguments: Any) -> Any:
    assert tool is not None
    return await bind(tool, services)(arguments, ToolContext())


async def reason(services: Services, tool: Tool, **arguments: Any) -> str:
    with pytest.raises(ToolRefusal) as refusal:
        await use(services, tool, **arguments)
    assert refusal.value.answer() == {"error": refusal.value.reason}
    return refusal.value.reason


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    with anyio.fail_after(5):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            await anyio.sleep(0.01)  # another process's end has no event


async def test_each_tool_of_the_server_is_one_of_the_agents() -> None:
    async with phone() as services:
        tools = await tools_of(services, server(timeout_ms=5000))
        assert list(tools) == EVERYTHING
        spec = tools["add"].spec()
        assert (spec.name, spec.description) == ("add", "Adds two numbers.")
        assert set(spec.parameters["properties"]) == {"first", "second"}
        assert spec.parameters["required"] == ["first"]
        assert tools["fail"].spec().description == "Orders."
        assert {(one.priority, one.timeout_ms, one.tool_type) for one in tools.values()} == {(3, 5000, "mcp")}

        assert await use(services, tools["add"], first=2, second=3) == {"sum": 5}
        assert await use(services, tools["greet_politely"], name="Zoë") == "Good day, Zoë."
        assert await use(services, tools["say_nothing"]) == {"status": "ok"}
        assert await use(services, tools["mixed"]) == "a text\n[image]\na note\nmore: note:2"


async def test_allowed_tools_and_names_that_are_taken() -> None:
    async with phone() as services:
        some = server(allowed_tools=["add", "greet.politely", "unknown"])
        assert list(await tools_of(services, some)) == ["add", "greet_politely"]
        tools = await tools_of(services, some, taken=lambda: {"add", "orders_add"})
        assert list(tools) == ["orders_add_2", "greet_politely"]
        assert await use(services, tools["orders_add_2"], first=1) == {"sum": 2}
        assert not await tools_of(services, server(allowed_tools=[]))


async def test_one_session_serves_the_phone(caplog: pytest.LogCaptureFixture) -> None:
    """Errors, bad arguments and time-outs do not end it, and tell nobody what was said."""
    caplog.set_level(logging.DEBUG)
    async with phone() as services:
        first, second = await tools_of(services, server()), await tools_of(services, server(timeout_ms=150))
        pid = (await use(services, first["who"])).split()[0]
        assert await reason(services, first["fail"]) == "handler_error"
        assert await reason(services, first["add"], first="hunter2") == "handler_error"
        assert await reason(services, first["add"].model_copy(update={"remote_name": "x"})) == "handler_error"
        assert await reason(services, second["wait"], seconds=60) == "timeout"
        assert await use(services, second["who"]) == f"{pid} 2"
        results: list[Any] = []

        async def add(number: int) -> None:
            results.append((await use(services, first["add"], first=number))["sum"])

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(add, number)
        assert sorted(results) == list(range(1, 11))
    assert "hunter2" not in caplog.text
    await gone(int(pid))


async def test_a_server_that_dies_is_started_again_at_the_next_call() -> None:
    async with phone() as services:
        tools = await tools_of(services, server())
        first = int((await use(services, tools["who"])).split()[0])
        assert await reason(services, tools["die"]) == "handler_error"
        await gone(first)
        second, used = map(int, (await use(services, tools["who"])).split())
        assert second != first
        assert used == 1  # the call that failed was not made again
        os.kill(second, signal.SIGKILL)
        await gone(second)
        assert (await use(services, tools["add"], first=1)) == {"sum": 2}


async def test_the_end_of_the_phone_ends_calls_and_servers() -> None:
    reasons: list[str] = []
    async with phone() as services:
        tools = await tools_of(services, server())
        pid = int((await use(services, tools["who"])).split()[0])

        async def wait() -> None:
            reasons.append(await reason(services, tools["wait"], seconds=60))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            assert await use(services, tools["add"], first=1) == {"sum": 2}
            await services.mcp.aclose()
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        assert await reason(services, tools["add"], first=1) == "handler_error"
    assert reasons == ["handler_error"]


async def test_cancelling_the_phones_tasks_ends_the_server() -> None:
    async with anyio.create_task_group() as tasks:
        services = Services(McpServers(tasks))
        tools = await tools_of(services, server())
        pid = int((await use(services, tools["who"])).split()[0])
        tasks.cancel_scope.cancel()
    await gone(pid)


@pytest.mark.parametrize("command", [[*ODD, "mute"], ["no-such-program-here"], [sys.executable, "-c", "print('hi')"]])
async def test_a_server_that_does_not_start_has_no_tools(command: list[str], caplog: pytest.LogCaptureFixture) -> None:
    async with phone(start_s=1.0) as services:
        with anyio.fail_after(8):
            assert await expand(server(command), services) == []
        assert "Tool orders: the MCP server has no tools now" in caplog.text
        assert command[-1] not in caplog.text.replace("hi", "")


async def test_who_is_cancelled_leaves_the_start_to_the_others() -> None:
    async with phone() as services:
        with anyio.move_on_after(0.05) as scope:
            await expand(server(), services)
        assert scope.cancelled_caught
        assert "add" in await tools_of(services, server())


async def test_all_pages_of_tools_are_read() -> None:
    async with phone() as services:
        tools = await tools_of(services, server([*ODD, "pages"]))
        assert list(tools) == ["tool0", "tool1", "tool2", "tool3"]


async def test_a_server_that_does_not_know_what_a_ping_is_is_not_started_again() -> None:
    async with phone() as services:
        tools = await tools_of(services, server([*ODD, "pages"]))
        assert await use(services, tools["tool3"]) == await use(services, tools["tool0"])


async def test_the_limit_of_the_start_does_not_end_a_server_that_has_started() -> None:
    async with phone(start_s=1.0) as services:
        tools = await tools_of(services, server([*ODD, "pages"]))
        pid = await use(services, tools["tool0"], seconds=1.1)
        assert await use(services, tools["tool0"]) == pid


async def test_of_too_many_servers_the_one_that_was_not_used_for_longest_is_closed() -> None:
    async with phone(most_open=2) as services, anyio.create_task_group() as tasks:
        first, second, third = [
            (await tools_of(services, server([*ODD, "pages", str(number)])))["tool0"] for number in range(3)
        ]
        # The first is closed by now, and the second was used last.
        pid_of_third, pid_of_second = [int(await use(services, tool)) for tool in (third, second)]
        pid_of_first = int(await use(services, first))
        await gone(pid_of_third)
        # What is being used is not closed, though the other was used after it began.
        tasks.start_soon(partial(use, services, second, seconds=0.8))
        await anyio.sleep(0.1)
        assert int(await use(services, first)) == pid_of_first
        assert int(await use(services, third)) != pid_of_third
        await gone(pid_of_first)
        assert int(await use(services, second)) == pid_of_second


async def test_names_become_those_of_tools_and_broken_ones_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async with phone() as services:
        tools = await tools_of(services, server([*ODD, "names"]))
        assert list(tools) == ["a", "a_b", "orders_a_b", "x" * 100, f"orders_{'x' * 93}"]
        assert [one.remote_name for one in tools.values()] == ["a", "a/b", "a b", "x" * 120, "x" * 119]
        assert "broken is left out" in caplog.text


# --- HTTP ------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[int]:
    from tests.core.tools.executors.mcp_server import build

    sock = listen("127.0.0.1", port, [])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_http, build(), sock, [])
        yield sock.getsockname()[1]
        tasks.cancel_scope.cancel()


def at(port: int, **config: Any) -> Tool:
    return server(url=f"http://127.0.0.1:{port}/mcp", **config)


async def test_a_server_over_http_gets_the_secret_and_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "sse_starlette")  # of the server
    secrets = {"API_KEY": "hunter2hunter2"}
    async with serving() as port, phone(allow_hosts=[f"127.0.0.1:{port}"], secrets=secrets) as services:
        tools = await tools_of(services, at(port, headers={"Authorization": "Bearer {{API_KEY}}"}))
        assert list(tools) == EVERYTHING
        assert await use(services, tools["add"], first=2, second=3) == {"sum": 5}
        assert await use(services, tools["authorization"]) == "Bearer ***"
        plain = await tools_of(services, at(port))
        assert await use(services, plain["authorization"]) == "none"
        assert "hunter2" not in repr(tools)
        assert await use(services, tools["greet_politely"], name="Miss Marple") == "Good day, Miss Marple."
    assert "hunter2" not in caplog.text
    assert "Marple" not in caplog.text


async def test_an_answer_over_http_has_the_size_of_any_tools_answer() -> None:
    async with serving() as port, phone(allow_hosts=[f"127.0.0.1:{port}"]) as services:
        tools = await tools_of(services, at(port))
        assert await use(services, tools["much"], size=500_000) == "x" * 500_000
        with anyio.fail_after(10):
            assert await reason(services, tools["much"], size=1_100_000) == "handler_error"
        assert await use(services, tools["add"], first=1) == {"sum": 2}


async def test_a_server_over_http_that_was_restarted_is_connected_again() -> None:
    async with anyio.create_task_group() as tasks:
        async with serving() as port:
            services = Services(McpServers(tasks, allow_hosts=[f"127.0.0.1:{port}"]))
            tools = await tools_of(services, at(port))
            assert await use(services, tools["add"], first=1) == {"sum": 2}
        assert await reason(services, tools["add"], first=1) == "handler_error"
        async with serving(port):
            assert await use(services, tools["add"], first=1) == {"sum": 2}
        async with serving(port):  # its sessions are new, and it was not missed
            assert await use(services, tools["add"], first=1) == {"sum": 2}
            await services.mcp.aclose()


async def test_a_server_of_this_machine_is_not_reached_unless_that_is_allowed(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as port, phone() as services:
        assert await expand(at(port), services) == []
    assert f"for development, pass allow_hosts=['127.0.0.1:{port}']" in caplog.text


@pytest.mark.parametrize("value", ["{{API_KEY}}", "{{caller_phone}}", "{{args.key}}"])
async def test_headers_name_secrets_alone(value: str, caplog: pytest.LogCaptureFixture) -> None:
    async with phone() as services:
        assert await expand(at(1, headers={"X-Key": value}), services) == []
    assert "nothing was sent" in caplog.text


async def test_without_the_sdk_the_log_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "mcp.client.stdio", None)
    async with phone() as services:
        assert await expand(server(), services) == []
    assert "pip install 'patter-core[mcp]'" in caplog.text
