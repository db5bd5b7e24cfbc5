"""A phone that serves an agent named desk, with a tool socket, for tests that speak to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect

from patter import CallResult, Patter, Timing, Tool
from patter.local.dialogue import Listen, Persona, Say, Wait, scripted
from patter.local.exchange import Timings
from patter.testing import MindStep, ScriptedMind
from patter.voice.base import ToolCall

KEYS = {
    "serving-key": {"permissions": ["tools:serve"]},
    "reading-key": {"permissions": ["tools:read"]},
    "foreign-key": {"permissions": ["tools:serve"], "allowed_agent_ids": ["00000000-0000-4000-8000-000000000000"]},
}
TIMING = Timing(end_of_turn_s=0.2, end_of_turn_marked_s=0.1, final_status_s=0.5, mind_filler_s=20)
BYE = ToolCall("bye", "end_call", "{}")
ASK = ToolCall("ask", "get_temperature", '{"city": "Bonn"}')
ASKING = scripted(Listen(), Say("How warm is it in Bonn?"), Listen(), Wait(0.3))


def inline(name: str = "get_temperature", **fields: Any) -> dict[str, Any]:
    function = {
        "name": name,
        "description": "Get the current temperature for a specific city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    }
    schema = {"type": "function", "function": function}
    return {"type": "custom_websocket", "tool_schema": schema, "execution_mode": "sync", **fields}


def handler(name: str) -> Tool:
    return Tool(name=name, description="Does something in this program.", handler=lambda arguments, context: "here")


class Desk:
    """A phone of the local network that serves an agent named desk."""

    def __init__(self, phone: Patter, mind: ScriptedMind, url: str) -> None:
        self.phone = phone
        self.mind = mind
        self.url = url.replace("http", "ws") + "/tools/ws"
        self.results: list[CallResult] = []
        self.ended = anyio.Event()
        self.begun = anyio.Event()
        self.call_id = ""

    async def call_in(self, caller: Persona = ASKING) -> None:
        """Somebody calls; returns when the call is answered."""
        await anyio.to_thread.run_sync(self.phone.engine.invoke, lambda: self.phone.network.call_in(caller))
        with anyio.fail_after(10):
            await self.begun.wait()

    async def over(self) -> CallResult:
        with anyio.fail_after(30):
            await self.ended.wait()
        return self.results[-1]

    def results_told(self) -> list[Any]:
        """What the mind was told of its tools."""
        messages = self.mind.requests[-1].messages
        return [json.loads(message.content) for message in messages if message.role == "tool"]

    @asynccontextmanager
    async def connected(self, *, key: str | None = "serving-key", **config: Any) -> AsyncIterator[ClientConnection]:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with connect(self.url, additional_headers=headers, proxy=None) as socket:
            await socket.send(json.dumps({"type": "config", "agent": "desk", **config}))
            yield socket


@asynccontextmanager
async def desk(
    *steps: str | MindStep, tools: Any = (), agent: Mapping[str, Any] | None = None, **options: Any
) -> AsyncIterator[Desk]:
    """Serve the agent; ``steps`` are what its mind writes, ``options`` are the phone's."""
    mind = ScriptedMind(steps)
    phone = Patter.local(voice="tones", llm=mind, timings=Timings.quick(), **{"api_keys": KEYS, **options})
    parts = {"name": "desk", "first_message": "Hello.", "system_prompt": "Be brief.", "timing": TIMING}
    served = phone.agent(**{**parts, "tools": tools, **(agent or {})})
    ready = anyio.Event()
    found: list[Desk] = []

    def on_event(event: dict[str, Any]) -> None:
        if event["type"] == "serving":
            found.append(Desk(phone, mind, event["api_url"]))
            ready.set()
        elif event["type"] == "answered":
            found[0].call_id = event["call_id"]
            found[0].begun.set()

    def on_result(result: CallResult) -> None:
        found[0].results.append(result)
        found[0].ended.set()

    async def serve() -> None:
        await phone.serve(served, on_event=on_event, on_result=on_result)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        with anyio.fail_after(20):
            await ready.wait()
        try:
            yield found[0]
        finally:
            await phone.stop()


async def heard(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of this type."""
    message: dict[str, Any] = {"type": ""}
    with anyio.fail_after(10):
        while message["type"] != kind:
            message = json.loads(await socket.recv())
    return message


async def answer(socket: ClientConnection, output: Any, **fields: Any) -> dict[str, Any]:
    call = await heard(socket, "tool_call")
    message = {"type": "tool_call_output", "tool_call_id": call["tool_call_id"], "output": output, **fields}
    await socket.send(json.dumps(message))
    return call
