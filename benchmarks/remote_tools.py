"""Tools that other programs carry out: what the way there and back adds, and what 200 connected programs cost.

The programs are processes of their own; their handlers return at once, so a use of a tool is the way alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import PIPE

import anyio
from anyio.streams.text import TextReceiveStream
from starlette.applications import Starlette

from benchmarks.figures import rss_mib, spread
from patter import Agent, Tool, ToolContext
from patter.engine import Engine
from patter.server.api import api_routes
from patter.server.listener import bind, serve
from patter.testing import ScriptedEars, ScriptedLine, ScriptedMind, ScriptedVoice
from patter.workspace import Workspace, open_workspace

ADDED_GOAL_MS, CLIENTS, MEMORY_GOAL_MIB = 5.0, 200, 100
KEY = "benchmark-key"
TOOL = Tool(name="look_up", description="Asks a program elsewhere.", tool_type="custom_websocket")
ARGUMENTS = {"order_id": "ORD-123456"}

PROGRAM = """
import sys
import anyio
from patter import RemoteToolClient

async def look_up(args, context):
    return {"order": args["order_id"], "status": "shipped", "days": 3}

async def main(url, key, clients):
    async with anyio.create_task_group() as tasks:
        for _ in range(clients):
            client = RemoteToolClient(url, agent="desk", api_key=key, client_tools={"look_up": look_up})
            await tasks.start(client.run)
        print("ready", flush=True)

anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


class NoCalls:
    """No call goes on; tools are used without one."""

    def live(self, call_id: str) -> None:
        return None


async def measure(uses: int) -> None:
    workspace = open_workspace("sqlite://")
    ears = ScriptedEars(ScriptedLine())
    workspace.introduce(Agent(stt=ears, llm=ScriptedMind(()), tts=ScriptedVoice(), name="desk", tools=[TOOL]))
    keys = {KEY: {"permissions": ["tools:serve"]}}
    app = Starlette(routes=api_routes(NoCalls(), workspace, keys=keys, rate_limit=None, allow_hosts=()))
    sock = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    async with anyio.create_task_group() as tasks:
        await tasks.start(serve, app, sock)
        async with program(url, 1):
            await use(workspace, 50)
            print(f"  added to a use, one client:  {spread(await use(workspace, uses))}  (goal {ADDED_GOAL_MS:g})")
        before = rss_mib()
        async with program(url, CLIENTS):
            grown = rss_mib() - before
            each_kb = grown / CLIENTS * 1024
            print(f"  {CLIENTS} clients: {grown:.1f} MiB, {each_kb:.0f} KiB each (goal {MEMORY_GOAL_MIB} MiB)")
            print(
                f"  added to a use, {CLIENTS} clients: {spread(await use(workspace, uses))}  (goal {ADDED_GOAL_MS:g})"
            )
        tasks.cancel_scope.cancel()
    await workspace.store.close()


async def use(workspace: Workspace, times: int) -> list[float]:
    """How long uses of the tool take, milliseconds."""
    took: list[float] = []
    for number in range(times):
        context = ToolContext(call_id="CA1", tool_call_id=str(number))
        began = time.perf_counter()
        await workspace.hub.ask("desk", TOOL, ARGUMENTS, context, limit_s=5.0)
        took.append((time.perf_counter() - began) * 1000)
    return took


@asynccontextmanager
async def program(url: str, clients: int) -> AsyncIterator[None]:
    """A process with so many clients, connected."""
    command = [sys.executable, "-c", PROGRAM, url, KEY, str(clients)]
    async with await anyio.open_process(command, stdout=PIPE, stderr=None) as process:
        try:
            assert process.stdout is not None
            async for text in TextReceiveStream(process.stdout):
                if "ready" in text:
                    break
            yield
        finally:
            process.terminate()


def main() -> None:
    uses = 5000 if "--full" in sys.argv else 1000
    Engine.shared().run_sync(lambda _: measure(uses))


if __name__ == "__main__":
    main()
