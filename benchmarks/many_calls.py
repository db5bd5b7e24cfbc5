"""Two hundred calls one after the other: memory, open files, threads and tasks after the twentieth and at the end."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from dataclasses import dataclass

import anyio

from benchmarks.figures import rss_mib
from benchmarks.phone import agent_of, call, phone_in
from benchmarks.talk import Plan
from benchmarks.world import World, world
from patter import Patter

PLAN = Plan(turns=1, question="Bye", answer="thank you.", pause_ms=60, end_silence_ms=60)


@dataclass(frozen=True, slots=True)
class State:
    """What a process holds."""

    mib: float
    files: int
    threads: int
    tasks: int

    @classmethod
    def now(cls, phone: Patter) -> State:
        """Of this process, whose phone has no live call."""
        tasks = phone.engine.invoke(lambda: len(asyncio.all_tasks()))
        gc.collect()
        return cls(rss_mib(), len(os.listdir("/proc/self/fd")), threading.active_count(), tasks)

    def __str__(self) -> str:
        return f"{self.mib:.1f} MiB, {self.files} open files, {self.threads} threads, {self.tasks} tasks"


async def measure(there: World, warm: int, total: int) -> None:
    phone, agent = phone_in(there.env), agent_of()
    there.plan(PLAN)
    async with phone:
        began = time.monotonic()
        for number in range(1, total + 1):
            result = await call(phone, agent, number)
            assert result.status == "completed", result
            if number in (warm, total // 2, total):
                print(f"  after call {number:<4} {State.now(phone)}")
        print(f"  {(time.monotonic() - began) / total:.2f} s for a call")


def main() -> None:
    warm, total = (20, 200) if "--full" in sys.argv else (5, 20)
    with world() as there:
        anyio.run(measure, there, warm, total)


if __name__ == "__main__":
    main()
