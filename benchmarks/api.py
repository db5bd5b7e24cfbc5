"""The REST API beside ten live calls on one core: how long reads take at 200 a second, and what they do to the audio.

The reader is a process of its own on the other core. It asks for the list of an agent's tools and for one of them
in turn, each request when it is due, whatever became of those before it; its time runs from then. How late the calls'
audio is, and what is said in them, is as in ``concurrent_calls``; the calls are the same with and without the reads.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread

from benchmarks.concurrent_calls import APART_S, plan
from benchmarks.figures import Kept, conditions, pin, spread
from benchmarks.phone import agent_of, call, calls, phone_in
from benchmarks.records import gaps_ms, lateness_ms
from benchmarks.world import World, world
from patter import Patter, Timing

CALLS, TOOLS = 10, 10
READS_A_SECOND, READERS = 200, 8
GOAL_MS, MOST_LATE_MS = 10.0, 20.0
IN_MEMORY, IN_A_FILE = "in memory", "in a file"
KEY = "benchmark-key"
AGENT = "desk"
TOOL = {
    "display_name": "Kunden-Lookup",
    "description": "Looks up customer info by phone number",
    "tool_type": "http_request",
    "config": {
        "url": "https://crm.example.com/api/customers",
        "method": "GET",
        "headers": [{"key": "Authorization", "value": "Bearer {{CRM_KEY}}"}],
        "query_params": [{"key": "phone", "value": "{{phone}}"}],
        "timeout": 30,
        "speak_during_execution": True,
    },
}


# --- the phone -----------------------------------------------------------------------------------


async def measure(there: World, reader: Reader, store: str, seconds: float) -> None:
    """The same calls without reads and with them."""
    port = int(there.env["PORT"])
    phone = phone_in(there.env, store=store, api_keys={KEY: {"permissions": ["tools:read", "tools:write"]}})
    agent = agent_of(name=AGENT)
    async with phone:
        there.plan(plan(4))
        await call(phone, agent, 0)  # warms up, and makes the agent known
        for number in range(TOOLS):
            body = TOOL | {"name": f"look_up_{number}"}
            await anyio.to_thread.run_sync(ask, port, "POST", f"/v1/agents/{AGENT}/tools", body)
        for is_read in (False, True):
            there.plan(plan(seconds + 6))
            kept, cpu, wall = Kept(), time.process_time(), time.monotonic()
            found: dict[str, Any] = {}
            async with anyio.create_task_group() as tasks:
                if is_read:
                    tasks.start_soon(read, phone, reader, port, seconds, found)
                results = await calls(phone, agent, range(1, CALLS + 1), apart_s=APART_S)
            assert all(one.status == "completed" for one in results), results
            share = (time.process_time() - cpu) / (time.monotonic() - wall)
            show(there.report(), found, f"{share:.0%} of the core used, {kept}")


async def read(phone: Patter, reader: Reader, port: int, seconds: float, found: dict[str, Any]) -> None:
    """Let the reader read once all calls are live; what it has measured."""
    while len(phone.live_calls) < CALLS:  # noqa: ASYNC110 - the phone lives on another loop
        await anyio.sleep(0.05)
    found |= await anyio.to_thread.run_sync(reader.read, port, seconds)
    found["live"] = len(phone.live_calls)


def show(report: dict[str, Any], found: dict[str, Any], load: str) -> None:
    """Print what the reader and the callees had to wait for."""
    if found:
        took = found["took_ms"]
        print(f"  reads                    {spread(took)}  (goal: p95 below {GOAL_MS:g})")
        print(f"    the list               {spread(took[::2])}")
        print(f"    one tool               {spread(took[1::2])}")
        print(f"    not 200: {found['refused']}; calls that were live to their end: {found['live']}")
        print(f"    (the reader sent them late by {spread(found['late_ms'])})")
    late = [ms for one in report["media"] for ms in lateness_ms(one, Timing().lead_ms)]
    gaps = sum(1 for one in report["media"] for _ in gaps_ms(one))
    much = sum(ms > MOST_LATE_MS for ms in late)
    print(f"  lateness of audio, {'with   ' if found else 'without'} {spread(late)}")
    print(f"    {much} slices above {MOST_LATE_MS:g} ms, {gaps} gaps; {load}")
    print(f"    (the world: its loop is late by {spread(report['lag_ms'])}; {report['cpu']:.0%} of its core)")


# --- the reader ----------------------------------------------------------------------------------


def ask(port: int, method: str, path: str, body: Any = None) -> Any:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    assert answer.status < 300, found
    connection.close()
    return found


class Reader:
    """The phone's side of the process that reads. Make it first: what a pinned phone starts would share its core."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.api", "--reader"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def read(self, port: int, seconds: float) -> dict[str, Any]:
        """Let it read for so long; what it has measured."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{port} {seconds}\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


def obey() -> None:
    """The reader's side of it."""
    pin(1)
    while line := sys.stdin.readline():
        port, seconds = line.split()
        print(json.dumps(read_all(int(port), float(seconds))), flush=True)


def read_all(port: int, seconds: float) -> dict[str, Any]:
    """Read for so long."""
    path = f"/v1/agents/{AGENT}/tools"
    paths = (path, f"{path}/{ask(port, 'GET', path)[0]['id']}")
    total = int(seconds * READS_A_SECOND)
    took: list[float] = [0.0] * total
    late: list[float] = [0.0] * total
    refused = [0] * READERS
    begins = time.monotonic() + 0.5

    def use(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.connect()
        for each in range(number, total, READERS):
            due = begins + each / READS_A_SECOND
            time.sleep(max(due - time.monotonic(), 0))
            late[each] = (time.monotonic() - due) * 1000
            connection.request("GET", paths[each % 2], headers={"X-API-Key": KEY})
            answer = connection.getresponse()
            answer.read()
            took[each] = (time.monotonic() - due) * 1000
            refused[number] += answer.status != 200

    with ThreadPoolExecutor(READERS) as threads:
        list(threads.map(use, range(READERS)))
    return {"took_ms": took, "late_ms": late, "refused": sum(refused)}


def of_store(name: str, seconds: float) -> None:
    """Measure the store of that name."""
    with tempfile.TemporaryDirectory() as folder, Reader() as reader, world() as there:
        print(f"{name}: {CALLS} calls, {READS_A_SECOND} reads a second for {seconds} s; {conditions()}", flush=True)
        address = "sqlite://" if name == IN_MEMORY else f"sqlite:///{folder}/patter.db"
        anyio.run(measure, there, reader, address, seconds)


def main() -> None:
    if "--reader" in sys.argv:
        obey()
        return
    wanted = [name for name in (IN_MEMORY, IN_A_FILE) if name in sys.argv]
    for name in wanted:
        of_store(name, 60 if "--full" in sys.argv else 10)
    if not wanted:  # each in a process of its own, or the second meets what the first has left in memory
        for name in (IN_MEMORY, IN_A_FILE):
            subprocess.run([sys.executable, "-m", "benchmarks.api", name, *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
