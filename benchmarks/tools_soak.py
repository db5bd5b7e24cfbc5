"""Twenty calls at once whose tools fail at random, and whose callees hang up at random: what is promised, and leaks.

Everything is on the local network in this process: the tools raise, time out, block, swallow their cancellation,
answer far too much or nothing that is JSON, and ask a web server that fails or never answers. The exit code is 1 if
a call has no envelope, a tool call has not exactly one safe outcome, a secret is seen, or something is left over.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio

from benchmarks.figures import rss_mib, spread
from benchmarks.phone import number_of
from benchmarks.talk import Plan, Talker
from patter import Agent, CallResult, Patter, Timing
from patter.engine import Engine
from patter.envelope import ToolCallRecord
from patter.local.dialogue import Ring
from patter.local.exchange import Timings
from patter.local.handset import DialedCall, Handset
from patter.voice.base import Delta, Message, ToolCall, ToolSpec

AT_ONCE = 20
TIMEOUT_MS = 400
LONGEST_S = 2.0
"""A handler that does not listen ends after this time at most, so that nothing is left that still works."""
SECRET = "s3cret-of-the-handler"
SLACK_MS = 2000
"""How much later than its time-out an outcome may be here, where everything shares one process."""
EXPECTED: dict[str, set[str | None]] = {
    "answer": {None},
    "later": {None},
    "progress": {None},
    "huge": {None},
    "raise_error": {"handler_error"},
    "raise_exit": {"handler_error"},
    "no_json": {"handler_error"},
    "sleep": {"timeout"},
    "block": {None},
    "block_loop": {None},
    "stubborn": {"timeout"},
    "web_good": {None, "handler_error"},
    "web_500": {"handler_error"},
    "web_silent": {"handler_error"},
    "nobody": {"unknown_tool"},
    "end_call": {None},
}
"""The outcomes of each tool. Any may be shut down, and time out where a blocking one holds its loop or the core."""
OPTIONS = {"later": {"execution_mode": "async"}, "sleep": {"interruption": "cancel"}}
WRONG = '{"n": "no number"}'
PARAMETERS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def main() -> int:
    seconds = 600 if "--full" in sys.argv else 30
    seed = time.time_ns() % 100_000
    print(f"  seed {seed}, {seconds} s")
    with _web() as address, _log() as logged:
        broken = anyio.run(soak, seconds, random.Random(seed), address, logged)
    for promise in broken:
        print(f"  BROKEN: {promise}")
    return 1 if broken else 0


async def soak(seconds: float, dice: random.Random, address: str, logged: list[str]) -> list[str]:
    """The promises that were broken."""
    book = Book()
    before = None
    for duration in (3.0, seconds):  # the first round only warms up
        book = Book()
        await _round(duration, dice, address, book)
        left = await _wait_for_handlers()
        after = Held.now()
        before = before or after
    assert before is not None
    _show(book, before, after)
    broken = book.broken() + after.more_than(before) + [f"a handler has not ended: {name}" for name in left]
    if seen := sum(SECRET in text for text in logged):
        broken.append(f"{seen} log records tell what a handler raised")
    if errors := sum(text.startswith("ERROR") for text in logged):
        broken.append(f"{errors} errors were logged")
    return broken


@dataclass(slots=True)
class Book:
    """What was begun, and what came of it."""

    placed: int = 0
    raised: list[str] = field(default_factory=list)
    results: list[CallResult] = field(default_factory=list)
    begun: Counter[str] = field(default_factory=Counter)  # how often each handler has begun
    seen: int = 0  # how often the mind was told a secret

    def records(self) -> list[ToolCallRecord]:
        return [record for result in self.results if result.details for record in result.details.tool_calls]

    def broken(self) -> list[str]:
        """What should not be."""
        records = self.records()
        per_name = Counter(record.name for record in records)
        wrong = Counter(
            f"{record.name}: {record.reason}"
            for record in records
            if record.reason not in EXPECTED[record.name] | {"shutdown", "invalid_arguments", "timeout"}
        )
        late = sum(record.duration_ms > TIMEOUT_MS + SLACK_MS for record in records)
        told = sum(SECRET in result.model_dump_json() for result in self.results)
        doubled = sum(
            len({record.tool_call_id for record in result.details.tool_calls}) < len(result.details.tool_calls)
            for result in self.results
            if result.details
        )
        problems = {
            f"{self.placed - len(self.results)} of {self.placed} calls have no envelope: {self.raised}": (
                self.placed != len(self.results)
            ),
            "two envelopes are of one call": len({result.call_id for result in self.results}) < len(self.results),
            f"{told} envelopes tell a secret, and {self.seen} times the mind was told one": told or self.seen,
            f"outcomes that no handler can have: {dict(wrong)}": wrong,
            f"{doubled} calls have two tool calls of one id": doubled,
            f"handlers began more often than they were asked: {dict(self.begun - per_name)}": self.begun - per_name,
            f"{late} outcomes came later than {TIMEOUT_MS + SLACK_MS} ms": late,
        }
        return [problem for problem, is_so in problems.items() if is_so]


async def _round(seconds: float, dice: random.Random, address: str, book: Book) -> None:
    phone = Patter.local(
        voice="tones",
        timings=Timings.quick(),
        callee=lambda dialed: Fickle(dialed, random.Random(dice.random())),
        allow_hosts=[address],
    )
    default = phone.default_agent
    assert default is not None
    agent = Agent(
        stt=default.stt,
        llm=Mind(random.Random(dice.random()), book),
        tts=default.tts,
        tools=tools_of(address, book),
        timing=Timing(end_of_turn_s=0.2, end_of_turn_marked_s=0.1, final_status_s=0.5),
    )
    ends_at = time.monotonic() + seconds

    async def place(number: int) -> None:
        await anyio.sleep(number * 0.1)
        while time.monotonic() < ends_at:
            book.placed += 1
            try:
                book.results.append(await phone.call(number_of(number), goal="Talk.", agent=agent, max_duration_s=30))
            except Exception as error:  # a call that is placed never raises: that is what is looked for
                book.raised.append(repr(error))

    async with phone, anyio.create_task_group() as tasks:
        for number in range(AT_ONCE):
            tasks.start_soon(place, number)


class Fickle:
    """A callee that talks, understands nothing, and hangs up at any moment."""

    ring = Ring()

    def __init__(self, dialed: DialedCall, dice: random.Random) -> None:
        plan = Plan(turns=dice.randint(1, 4), question="Go on", pause_ms=dice.choice((200, 1000)))
        self._talker = Talker(plan, dialed, lambda name, at: None)
        self._patience_s = dice.uniform(0.5, 12.0)

    async def run(self, handset: Handset) -> None:
        """Talk. Returning hangs up."""
        with anyio.move_on_after(self._patience_s):
            await self._talker.run(handset)


class Mind:
    """Uses one to three tools at random, all of them under the same id now and then, and ends some calls."""

    model = "bench/soak"

    def __init__(self, dice: random.Random, book: Book) -> None:
        self._dice = dice
        self._book = book

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        self._book.seen += sum(SECRET in message.content for message in messages)

        async def deltas() -> AsyncIterator[Delta]:
            if messages[-1].role == "tool" and self._dice.random() < 0.7:
                yield "That is all I have found."
                if self._dice.random() < 0.2:
                    yield ToolCall("t", "end_call", "{}")
                return
            if self._dice.random() < 0.3:
                yield "Let me see."
            for _ in range(self._dice.randint(1, 3)):
                name = self._dice.choice([name for name in EXPECTED if name != "end_call"])
                arguments = WRONG if self._dice.random() < 0.05 else json.dumps({"n": self._dice.randint(0, 9)})
                yield ToolCall(self._dice.choice(("t", "u", "v")), name, arguments)

        yield deltas()


def tools_of(address: str, book: Book) -> list[dict[str, Any]]:
    """Every kind of bad luck, and some good."""
    common = {"parameters": PARAMETERS, "timeout_ms": TIMEOUT_MS}
    tools: list[dict[str, Any]] = [
        {
            "name": name,
            "description": "Does what it is named after.",
            "handler": handler,
            **common,
            **OPTIONS.get(name, {}),
        }
        for name, handler in _handlers(book).items()
    ]
    for path in ("good", "500", "silent"):
        url = f"http://{address}/{path}"
        tools.append({"name": f"web_{path}", "description": "Asks a server on the web.", "webhook_url": url, **common})
    return tools


def _handlers(book: Book) -> dict[str, Callable[..., Any]]:
    async def answer(arguments: dict[str, Any], context: Any) -> dict[str, int]:
        book.begun["answer"] += 1
        return {"n": arguments["n"]}

    async def later(arguments: dict[str, Any], context: Any) -> str:
        book.begun["later"] += 1
        await anyio.sleep(0.3 * TIMEOUT_MS / 1000)
        return "done"

    async def progress(arguments: dict[str, Any], context: Any) -> AsyncIterator[dict[str, str]]:
        book.begun["progress"] += 1
        yield {"progress": "I am looking."}
        await anyio.sleep(0.05)
        yield {"result": "done"}

    def huge(arguments: dict[str, Any], context: Any) -> Any:
        book.begun["huge"] += 1
        return "x" * 1_000_000 if arguments["n"] % 2 else [{"number": number} for number in range(20_000)]

    def raise_error(arguments: dict[str, Any], context: Any) -> None:
        book.begun["raise_error"] += 1
        raise ValueError(SECRET)

    async def raise_exit(arguments: dict[str, Any], context: Any) -> None:
        book.begun["raise_exit"] += 1
        raise SystemExit(SECRET)

    def no_json(arguments: dict[str, Any], context: Any) -> object:
        book.begun["no_json"] += 1
        return {"a": object(), "b": SECRET}

    async def sleep(arguments: dict[str, Any], context: Any) -> None:
        book.begun["sleep"] += 1
        await anyio.sleep(30)

    def block(arguments: dict[str, Any], context: Any) -> None:
        book.begun["block"] += 1
        time.sleep(LONGEST_S * arguments["n"] / 10)

    async def block_loop(arguments: dict[str, Any], context: Any) -> None:
        book.begun["block_loop"] += 1
        time.sleep(0.02 * arguments["n"])  # noqa: ASYNC251 - it is what it is here for

    async def stubborn(arguments: dict[str, Any], context: Any) -> None:
        book.begun["stubborn"] += 1
        ends_at = time.monotonic() + LONGEST_S
        while time.monotonic() < ends_at:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(ends_at - time.monotonic())
        raise ValueError(SECRET)

    handlers = (answer, later, progress, huge, raise_error, raise_exit, no_json, sleep, block, block_loop, stubborn)
    return {handler.__name__: handler for handler in handlers}


class Shop(BaseHTTPRequestHandler):
    """A web server: it answers, fails, or says nothing until the other side has gone."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/silent":
            self.connection.settimeout(LONGEST_S)
            with suppress(OSError):
                self.connection.recv(1)
            return
        self.send_response(500 if self.path == "/500" else 200)
        body = SECRET if self.path == "/500" else '{"status": "shipped"}'
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@contextmanager
def _web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, name="web")
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds whose phone has stopped, but for a pool's idle workers. Memory has all calls' records."""

    mib: float
    files: int
    threads: tuple[str, ...]
    tasks: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        threads = tuple(thread.name for thread in threading.enumerate() if thread.name != "AnyIO worker thread")
        tasks = Engine.shared().invoke(lambda: len(asyncio.all_tasks())) + len(asyncio.all_tasks())
        return cls(rss_mib(), len(os.listdir("/proc/self/fd")), threads, tasks)

    def more_than(self, before: Held) -> list[str]:
        """What has been left over."""
        left = []
        if extra := Counter(self.threads) - Counter(before.threads):
            left.append(f"threads are left over: {dict(extra)}")
        if self.tasks > before.tasks:
            left.append(f"{self.tasks - before.tasks} tasks are left over")
        if self.files > before.files:
            left.append(f"{self.files - before.files} sockets or files are left over")
        return left

    def __str__(self) -> str:
        return f"{self.mib:.0f} MiB, {self.files} open files, {self.tasks} tasks, {len(self.threads)} threads"


async def _wait_for_handlers() -> list[str]:
    """Let the handlers end that nobody waits for any more, and name those that do not."""

    def busy() -> list[str]:
        coroutines = [task.get_name() for task in asyncio.all_tasks() if "_guard" in repr(task.get_coro())]
        names = [thread.name for thread in threading.enumerate()]
        return coroutines + [name for name in names if name == "patter-tool" or "process_request" in name]

    at_first = len(busy())
    with anyio.move_on_after(LONGEST_S + 3):
        while busy():  # noqa: ASYNC110 - threads set no event
            await anyio.sleep(0.05)
    print(f"  after the last call {at_first} handlers went on that nobody waited for; now {busy()}")
    return busy()


@contextmanager
def _log() -> Iterator[list[str]]:
    """Everything that is logged, with its traceback."""
    records: list[str] = []
    handler = logging.Handler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    handler.emit = lambda record: records.append(handler.format(record))  # type: ignore[method-assign]
    logging.getLogger("patter").setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield records


def _show(book: Book, before: Held, after: Held) -> None:
    records = book.records()
    endings = Counter(f"{result.status}, {result.details.end_reason}" for result in book.results if result.details)
    print(f"  {book.placed} calls, {len(book.results)} envelopes: {dict(endings)}")
    print(f"  {len(records)} tool calls: {dict(Counter(record.reason or 'ok' for record in records))}")
    print(f"  duration of those that timed out {spread([r.duration_ms for r in records if r.reason == 'timeout'])}")
    print(f"  before  {before}\n  after   {after}")


if __name__ == "__main__":
    sys.exit(main())
