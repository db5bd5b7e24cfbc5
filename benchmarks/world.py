"""The carrier and the vendors in a process of their own, so that what is measured is the phone alone.

The process plays a `Rehearsal` on another core than the phone's and on asyncio's own loop, whose clock is
the machine's monotonic one; so its times can be compared with those of the phone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import anyio
import anyio.to_thread

from benchmarks.figures import pin
from benchmarks.records import media_of, turns_of
from benchmarks.talk import Plan, Talker, mind_of
from patter.local.exchange import Timings
from patter.testing.rehearsal import Rehearsal

__all__ = ["World", "world"]

_LAG_S = 0.02


class World:
    """The phone's side of it. ``env`` leads a program there."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.env: dict[str, str] = self._read()

    def plan(self, plan: Plan) -> None:
        """How the calls to come will be. There must be no live call."""
        self._ask({"plan": asdict(plan)})

    def report(self) -> dict[str, Any]:
        """What has happened since the last plan: ``turns``, ``media``, ``lag_ms``, and ``cpu``, a share of a core."""
        return self._ask({})

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the world has ended; its error stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def world() -> Iterator[World]:
    """Start it, and keep this process on another core meanwhile; end it."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.world"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        ready = World(process)
        pin(0)  # after the other process was started, which would inherit it
        yield ready
    finally:
        process.kill()
        process.communicate()
        if cores is not None:
            os.sched_setaffinity(0, cores)  # or the next world would share the one core


class _Stage:
    """The world's side of it."""

    def __init__(self) -> None:
        self.plan = Plan()
        self.spoken: dict[str, float] = {}
        self.lag_ms: list[float] = []
        self.rehearsal = Rehearsal(
            lambda dialed: Talker(self.plan, dialed, self.spoken.__setitem__), timings=Timings.quick()
        )
        self._begin()

    def _begin(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def set(self, plan: Plan) -> None:
        """Forget what was, and behave as this plan says."""
        self.plan = plan
        vendors = self.rehearsal.vendors
        self.spoken.clear()
        self.lag_ms.clear()
        self.rehearsal.exchange.calls.clear()
        vendors.deepgram.connections.clear()
        vendors.openai.requests.clear()
        vendors.elevenlabs.connections.clear()
        vendors.openai.answer = mind_of(plan)
        vendors.openai.first_token_ms, vendors.openai.token_ms = plan.first_token_ms, plan.token_ms
        vendors.deepgram.end_silence_ms = plan.end_silence_ms
        vendors.elevenlabs.first_byte_ms = plan.first_byte_ms
        vendors.elevenlabs.realtime_factor = plan.realtime_factor
        self._begin()

    def report(self) -> dict[str, Any]:
        share = (time.process_time() - self._cpu) / (time.monotonic() - self._wall)
        return {
            "turns": turns_of(self.rehearsal, self.spoken),
            "media": media_of(self.rehearsal),
            "lag_ms": list(self.lag_ms),
            "cpu": share,
        }

    async def watch(self) -> None:
        """Note how late this loop is, which the phone is not to blame for."""
        while True:
            due = time.monotonic() + _LAG_S
            await anyio.sleep(_LAG_S)
            self.lag_ms.append((time.monotonic() - due) * 1000)


async def _play() -> None:
    stage = _Stage()
    async with stage.rehearsal as rehearsal, anyio.create_task_group() as tasks:
        print(json.dumps(rehearsal.env), flush=True)
        tasks.start_soon(stage.watch)
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            question = json.loads(line)
            if "plan" in question:
                stage.set(Plan(**question["plan"]))
                print("{}", flush=True)
            else:
                print(json.dumps(stage.report()), flush=True)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    pin(1)
    anyio.run(_play)
