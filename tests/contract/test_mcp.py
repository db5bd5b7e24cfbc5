"""The contract over MCP: the real client, in memory, to the real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest

from patter import PatterTool
from patter.envelope import CallResult
from patter.testing.contract import AdapterContract, Observed, Use

mcp = pytest.importorskip("mcp")


@asynccontextmanager
async def connected(server: Any) -> AsyncIterator[Any]:
    """A client of the server, in memory: mcp 1.x has a function for it, mcp 2.x a class."""
    if hasattr(mcp, "Client"):
        async with mcp.Client(server) as client:
            yield client
    else:
        from mcp.shared.memory import create_connected_server_and_client_session

        async with create_connected_server_and_client_session(server) as session:
            yield session


class McpHarness:
    """Each use is made through a client session. MCP has no agent loop of its own: hosts have.

    The loop here is what they do: list the tools, call those that the model wants, all of one turn at once.
    The protocol tells a server no id of a model's use. Progress reports are lines for people, not events.
    A session of mcp 1.x does not tell the server that a caller has gone; leaving it does.
    """

    name = "mcp"
    cancels_on_await = True
    has_events = False
    sees_use_id = False
    has_result = True

    def build(self, tool: PatterTool) -> Any:
        return tool.to_mcp()

    def schema(self, native: Any) -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            async with connected(native) as session:
                return await _only_tool(session)

        told: dict[str, Any] = _elsewhere(ask())
        return told

    def invoke(self, native: Any, use: Use) -> Observed:
        observed: Observed = _elsewhere(self.ainvoke(native, use))
        return observed

    async def ainvoke(self, native: Any, use: Use) -> Observed:
        async with connected(native) as session:
            return await _use(session, (await _only_tool(session))["name"], use)

    def run_agent(self, native: Any, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        read: list[Observed] = _elsewhere(self.arun_agent(native, turns))
        return read

    async def arun_agent(self, native: Any, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        read: list[Observed] = []
        async with connected(native) as session:
            name = (await _only_tool(session))["name"]
            for turn in turns:
                read += await asyncio.gather(*[_use(session, name, use) for use in turn])
        return read


async def _only_tool(session: Any) -> dict[str, Any]:
    (told,) = (await session.list_tools()).tools
    tool = told.model_dump(by_alias=True)
    return {"name": tool["name"], "description": tool["description"], "parameters": tool["inputSchema"]}


async def _use(session: Any, name: str, use: Use) -> Observed:
    answer = (await session.call_tool(name, dict(use.arguments))).model_dump(by_alias=True)
    (content,) = answer["content"]
    envelope = answer["structuredContent"]
    result = None if envelope is None else CallResult.model_validate(envelope)
    return Observed(content["text"], answer["isError"], result)


def _elsewhere(job: Coroutine[Any, Any, Any]) -> Any:
    """Run it on a loop of its own, whether this thread has one or not."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, job).result()


class TestMcp(AdapterContract):
    harness = McpHarness()
