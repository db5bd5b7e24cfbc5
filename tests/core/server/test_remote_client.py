"""A program that carries out tools: against a real phone, and against a peer that does what a test says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from tests.core.server.tool_desk import ASK, BYE, desk
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_sockets

from patter import ConfigError, Tool, ToolContext
from patter.testing import reply
from patter.tools.remote.client import RemoteToolClient

pytestmark = pytest.mark.anyio


def get_temperature(city: str, context: ToolContext) -> dict[str, Any]:
    """Get the current temperature of a city.

    Args:
        city: its name
    """
    return {"city": city, "temperature": "24°"}


KNOWN = Tool(name="get_temperature", description="Get the temperature of a city.", tool_type="custom_websocket")


def broken(arguments: Any, context: Any) -> None:
    raise ValueError("secret")


@pytest.mark.parametrize(
    ("tools", "client", "told"),
    [
        ([], {"inline_tools": [get_temperature]}, {"city": "Bonn", "temperature": "24°"}),
        ([KNOWN], {"client_tools": {"get_temperature": lambda args, context: [args]}}, [{"city": "Bonn"}]),
        ([KNOWN], {"client_tools": {"get_temperature": broken}}, {"error": "handler_error"}),
        ([KNOWN], {"client_tools": {"another": broken}}, {"error": "handler_error"}),
        ([KNOWN], {"client_tools": {"get_temperature": broken}, "tools": []}, {"error": "shutdown"}),
    ],
)
async def test_a_program_elsewhere_carries_out_a_tool_of_a_call(
    tools: list[Any], client: dict[str, Any], told: Any
) -> None:
    events: list[tuple[str, Any]] = []
    async with desk(reply(ASK), reply("Thank you. Goodbye.", BYE), tools=tools) as where:
        program = RemoteToolClient(where.url, agent="desk", api_key="serving-key", **client)
        for event in ("client.tool.invoked", "client.tool.completed", "client.tool.error"):
            program.on(event, lambda facts, event=event: events.append((event.rpartition(".")[2], facts)))
        async with anyio.create_task_group() as tasks:
            with anyio.fail_after(10):
                await tasks.start(program.run)
            assert program.is_connected
            await where.call_in()
            result = await where.over()
            tasks.cancel_scope.cancel()
        assert not program.is_connected
    assert where.results_told() == [told]
    assert result.status == "completed"
    assert "secret" not in json.dumps([facts for _, facts in events])
    if told == {"city": "Bonn", "temperature": "24°"}:
        assert [event for event, _ in events] == ["invoked", "completed"]


# --- against a peer ---------------------------------------------------------------------------------------

Script = Callable[[ServerConnection, dict[str, Any]], Awaitable[None]]
READY = [{"type": "conversation_created", "conversation_id": "c"}, {"type": "ready_to_start_conversation"}]


@asynccontextmanager
async def peer(*scripts: Script) -> AsyncIterator[str]:
    """A phone that does with each connection what its script says; the last one stays."""
    left = list(scripts)

    async def take(socket: ServerConnection) -> None:
        script = left.pop(0) if len(left) > 1 else left[0]
        await script(socket, json.loads(await socket.recv()))

    async with serve_sockets(take, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def begin(socket: ServerConnection) -> None:
    for message in READY:
        await socket.send(json.dumps(message))


def call_of(call_id: str, **parameters: Any) -> str:
    return json.dumps(
        {"type": "tool_call", "tool_call_id": call_id, "tool_name": "wait", "parameters": parameters, "call_id": "CA1"}
    )


async def test_e19_e21_what_was_begun_on_a_lost_connection_is_not_sent_on_the_next() -> None:
    released = anyio.Event()
    outputs: list[Any] = []
    over = anyio.Event()

    async def wait(args: Any, context: Any) -> str:
        if args["turn"] == 1:
            await released.wait()
        return f"turn {args['turn']}"

    async def lose(socket: ServerConnection, config: dict[str, Any]) -> None:
        await begin(socket)
        await socket.send(call_of("t1", turn=1))
        await anyio.sleep(0.05)
        socket.transport.abort()

    async def stay(socket: ServerConnection, config: dict[str, Any]) -> None:
        await begin(socket)
        released.set()
        await socket.send(call_of("t1", turn=2))
        outputs.append(json.loads(await socket.recv()))
        await socket.send(call_of("t1", turn=3))
        await socket.send(call_of("t2", turn=4))
        outputs.append(json.loads(await socket.recv()))
        over.set()
        await socket.wait_closed()

    async with peer(lose, stay) as url, anyio.create_task_group() as tasks:
        tasks.start_soon(RemoteToolClient(url, agent="desk", api_key="k", client_tools={"wait": wait}).run)
        with anyio.fail_after(10):
            await over.wait()
        tasks.cancel_scope.cancel()
    assert [(one["tool_call_id"], one["output"]) for one in outputs] == [("t1", "turn 2"), ("t2", "turn 4")]


async def test_d_interrupted_a_tool_that_nobody_waits_for_is_stopped_and_not_answered() -> None:
    stopped, over = anyio.Event(), anyio.Event()
    outputs: list[Any] = []

    async def wait(args: Any, context: Any) -> str:
        if args["turn"] == 2:
            return "second"
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()

    async def interrupt(socket: ServerConnection, config: dict[str, Any]) -> None:
        await begin(socket)
        await socket.send(call_of("t1", turn=1))
        await anyio.sleep(0.05)
        await socket.send('{"type": "tool_call_interrupted", "tool_call_id": "t1", "tool_name": "wait"}')
        await stopped.wait()
        await socket.send(call_of("t2", turn=2))
        outputs.append(json.loads(await socket.recv()))
        over.set()
        await socket.wait_closed()

    async with peer(interrupt) as url, anyio.create_task_group() as tasks:
        tasks.start_soon(RemoteToolClient(url, agent="desk", api_key="k", client_tools={"wait": wait}).run)
        with anyio.fail_after(10):
            await over.wait()
        tasks.cancel_scope.cancel()
    assert [one["tool_call_id"] for one in outputs] == ["t2"]


async def test_the_config_names_tools_and_brings_them() -> None:
    configs: list[dict[str, Any]] = []
    over = anyio.Event()

    async def keep(socket: ServerConnection, config: dict[str, Any]) -> None:
        configs.append(config)
        await begin(socket)
        over.set()
        await socket.wait_closed()

    async with peer(keep) as url, anyio.create_task_group() as tasks:
        client = RemoteToolClient(
            url, agent="desk", api_key="k", tools=["known"], inline_tools=[get_temperature], call_id="CA1"
        )
        tasks.start_soon(client.run)
        with anyio.fail_after(10):
            await over.wait()
        tasks.cancel_scope.cancel()
    (config,) = configs
    known, brought = config["tools"]
    assert (config["agent"], config["call_id"], known) == ("desk", "CA1", "known")
    assert (brought["type"], brought["tool_schema"]["function"]["name"]) == ("custom_websocket", "get_temperature")


@pytest.mark.parametrize("code", [4400, 4401, 4403, 4404])
async def test_a_refusal_for_good_is_raised_with_its_reason(code: int) -> None:
    async def refuse(socket: ServerConnection, config: dict[str, Any]) -> None:
        error = {"message": "There is no such agent.", "code": "x"}
        await socket.send(json.dumps({"type": "error", "error": error, "param_errors": {"agent": "not there"}}))
        await socket.close(code)

    async with peer(refuse) as url:
        with pytest.raises(ConfigError, match=r"There is no such agent\. agent: not there"), anyio.fail_after(10):
            await RemoteToolClient(url, agent="desk", api_key="k").run()


async def test_a_phone_that_is_not_there_yet_is_waited_for() -> None:
    with anyio.move_on_after(0.7) as scope:
        await RemoteToolClient("http://127.0.0.1:9", agent="desk", api_key="k").run()
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("phone.example.com", "must be the phone's address"),
        ("ftp://phone.example.com", "must be the phone's address"),
        ("http://phone.example.com", "readable on the way"),
        ("ws://10.0.0.1/v1/tools/ws", "readable on the way"),
    ],
)
def test_an_address_that_would_tell_the_key_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RemoteToolClient(url, agent="desk", api_key="k")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match="PATTER_API_KEY"):
        RemoteToolClient("https://phone.example.com", agent="desk")


def test_e01_to_e03_the_names_of_the_registry() -> None:
    client = RemoteToolClient("https://phone.example.com", agent="desk", api_key="k", client_tools={"a": broken})
    client.register_client_tool("b", broken)
    client.register_client_tool("b", broken)
    assert list(client.get_client_tools()) == ["a", "b"]
    assert client.unregister_client_tool("a") is True
    assert client.unregister_client_tool("a") is False


def test_an_inline_tool_has_a_handler() -> None:
    with pytest.raises(ConfigError, match="has a handler"):
        RemoteToolClient("https://phone.example.com", agent="desk", api_key="k", inline_tools=[KNOWN])
