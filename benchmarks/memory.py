"""Hundreds of short calls with tools on one phone (with --full, thousands): what each of them leaves in memory.

First the phone alone, with the carrier and the vendors in another process; then a phone on the local network, which
lives in the same process. Objects are those that the garbage collector tracks, and exact; resident memory also has
what the allocator keeps for itself, and levels off. The exit code is 1 if a call leaves more than is allowed below.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio

from benchmarks.figures import rss_mib
from benchmarks.phone import agent_of, phone_in
from benchmarks.talk import TOOL_ARGUMENTS, Plan, Talker, number_of
from benchmarks.world import World, world
from patter import Agent, Patter, Timing
from patter.local.exchange import Timings
from patter.local.handset import DialedCall
from patter.voice.base import Delta, Message, ToolCall, ToolSpec

AT_ONCE = 8
PARTS = 8
"""Memory is looked at so often; the first part is the warm-up."""
MOST_OBJECTS, MOST_KIB = 0.5, 1.0
"""A call may leave so much, on the average of the second half."""
SLACK_KIB = 1024
"""The allocator's own ups and downs."""
PARAMETERS = {"type": "object", "properties": {"n": {"type": "integer"}}}


@dataclass(frozen=True, slots=True)
class Held:
    """What the process holds while no call is live."""

    calls: int
    mib: float
    objects: int

    @classmethod
    def after(cls, calls: int) -> Held:
        gc.collect()
        return cls(calls, rss_mib(), len(gc.get_objects()))

    def __str__(self) -> str:
        return f"after {self.calls:>5} calls  {self.mib:7.1f} MiB  {self.objects} objects"


def main() -> int:
    full = "--full" in sys.argv
    broken: list[str] = []
    with _web() as address:
        print("  the phone alone")
        with world() as there:
            broken += _judge(anyio.run(with_vendors, there, address, 3200 if full else 480))
        print("  the local network in the same process")
        broken += _judge(anyio.run(on_local_network, address, 1600 if full else 400))
    for promise in broken:
        print(f"  BROKEN: {promise}")
    return 1 if broken else 0


async def with_vendors(there: World, address: str, total: int) -> list[Held]:
    """A program for the real vendors, all of which stand in another process."""
    phone = phone_in(there.env, allow_hosts=[address])
    plan = Plan(turns=1, question="Bye", pause_ms=60, end_silence_ms=60, uses=[*TOOL_ARGUMENTS])
    agent = replace(
        agent_of(), first_message=None, tools=tools_of(address), timing=Timing(early_starts=0, hello_wait_s=0.2)
    )
    async with phone:
        return await _place(phone, agent, total, before_each=lambda: there.plan(plan))


async def on_local_network(address: str, total: int) -> list[Held]:
    """The network is what grows here, if anything does: it keeps records of its calls."""
    plan = Plan(turns=1, question="Bye", pause_ms=60)
    phone = Patter.local(
        voice="tones",
        timings=Timings.quick(),
        callee=lambda dialed: Hasty(plan, dialed),
        llm=Mind(),
        tools=tools_of(address),
        allow_hosts=[address],
    )
    default = phone.default_agent
    assert default is not None
    timing = Timing(end_of_turn_s=0.2, end_of_turn_marked_s=0.1, final_status_s=0.5, hello_wait_s=0.2)
    async with phone:
        return await _place(phone, replace(default, timing=timing), total)


async def _place(
    phone: Patter, agent: Agent, total: int, *, before_each: Callable[[], None] = lambda: None
) -> list[Held]:
    held: list[Held] = []
    endings: Counter[str] = Counter()
    uses: Counter[str] = Counter()
    began = time.monotonic()
    for part in range(PARTS):
        before_each()
        numbers = iter(range(part * total // PARTS, (part + 1) * total // PARTS))

        async def work(numbers: Iterator[int] = numbers) -> None:
            for number in numbers:
                result = await phone.call(number_of(number % 10_000), goal="Talk.", agent=agent, max_duration_s=30)
                assert result.details is not None
                error = f", {result.details.error.message}" if result.details.error else ""
                endings[f"{result.status}, {result.details.end_reason}{error}"] += 1
                uses.update(use.reason or "ok" for use in result.details.tool_calls)

        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(work)
        await anyio.sleep(1)  # what is left of the last calls ends
        held.append(Held.after((part + 1) * total // PARTS))
        print(f"    {held[-1]}", flush=True)
    print(f"    {(time.monotonic() - began) / total:.2f} s for a call, {AT_ONCE} at once: {dict(endings)}")
    print(f"    tool calls: {dict(uses)}")
    return held


def _judge(held: Sequence[Held]) -> list[str]:
    """Say what a call leaves; what is too much."""
    _per_call("after the warm-up", held[0], held[-1])
    kib, objects, calls = _per_call("in the second half", held[PARTS // 2 - 1], held[-1])
    if objects <= MOST_OBJECTS and kib <= MOST_KIB + SLACK_KIB / calls:
        return []
    return [f"{kib:.2f} KiB and {objects:.2f} objects are left of each call"]


def _per_call(name: str, before: Held, after: Held) -> tuple[float, float, int]:
    calls = after.calls - before.calls
    kib, objects = (after.mib - before.mib) * 1024 / calls, (after.objects - before.objects) / calls
    print(f"    a call leaves {name:<18}  {kib:5.2f} KiB  {objects:5.2f} objects")
    return kib, objects, calls


# --- who calls, and what is used -------------------------------------------------------------------


class Hasty(Talker):
    """Every third callee hangs up while the tools are at work."""

    def __init__(self, plan: Plan, dialed: DialedCall) -> None:
        super().__init__(plan, dialed, lambda name, at: None)
        self._patience_s = 0.4 if int(dialed.to[-4:]) % 3 == 0 else 30.0

    async def run(self, handset: Any) -> None:
        """Talk. Returning hangs up."""
        with anyio.move_on_after(self._patience_s):
            await super().run(handset)


class Mind:
    """Uses all tools at once, and says goodbye."""

    model = "bench/memory"

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        async def deltas() -> AsyncIterator[Delta]:
            if messages[-1].role == "tool":
                yield "Goodbye."
                yield ToolCall("bye", "end_call", "{}")
                return
            for name, arguments in TOOL_ARGUMENTS.items():
                yield ToolCall(name, name, json.dumps(arguments))

        yield deltas()


def tools_of(address: str) -> list[dict[str, Any]]:
    """One of each kind, and some that fail."""

    async def coroutine(arguments: dict[str, Any], context: Any) -> dict[str, Any]:
        return arguments

    def function(arguments: dict[str, Any], context: Any) -> str:
        return "x" * 1000

    async def progress(arguments: dict[str, Any], context: Any) -> AsyncIterator[dict[str, str]]:
        yield {"progress": "I am looking."}
        yield {"result": "done"}

    async def later(arguments: dict[str, Any], context: Any) -> str:
        await anyio.sleep(0.05)
        return "done"

    async def broken(arguments: dict[str, Any], context: Any) -> None:
        raise ValueError("no")

    async def slow(arguments: dict[str, Any], context: Any) -> None:
        await anyio.sleep(30)

    handlers: list[dict[str, Any]] = [
        {"name": handler.__name__, "handler": handler, "parameters": PARAMETERS, "timeout_ms": 200}
        for handler in (coroutine, function, progress, later, broken, slow)
    ]
    handlers[3]["execution_mode"] = "async"
    config = {"variable_name": "mail", "variable_type": "email"}
    others: list[dict[str, Any]] = [
        {"name": "webhook", "webhook_url": f"http://{address}/", "parameters": PARAMETERS},
        {"name": "keep", "tool_type": "extract_variable", "config": config},
        {"name": "press", "tool_type": "play_tone", "config": {"dtmf_digit": "1", "duration": 40}},
    ]
    return [{"description": "Does what it is named after.", **tool} for tool in (*handlers, *others)]


class Shop(BaseHTTPRequestHandler):
    """A web server that has shipped everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"status": "shipped"}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@contextmanager
def _web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who asks may be gone
    thread = threading.Thread(target=server.serve_forever, name="web")
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


if __name__ == "__main__":
    sys.exit(main())
