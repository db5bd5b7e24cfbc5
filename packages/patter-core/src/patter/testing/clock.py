"""Virtual time: an event loop whose clock jumps to the next timer as soon as nothing else is left to do.

::

    anyio.run(main, backend="asyncio", backend_options={"loop_factory": VirtualLoop})

or, shorter, ``run_virtual(main)``. A call of three minutes then takes milliseconds, and every time in
it is exact: a ``sleep(180)`` ends at 180.0, never a little later.

Rules:

- Time begins at 0.0 and stands still while anything is ready to run.
- Timers that are due at the same time fire in the order in which they were set.
- Threads take no virtual time: while a worker thread of `anyio.to_thread` or an executor's job of
  this loop is busy, the clock stands still and the loop waits for the thread in real time. A thread
  that calls back into the loop must therefore not wait for virtual time to pass.
- Sockets are read before every jump, and nobody waits for what a peer may still send. Keep real
  networks out of virtual time.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextvars import Context, copy_context
from types import CoroutineType, FrameType
from typing import Any, TypeVar, TypeVarTuple

import anyio
from anyio._backends._asyncio import WorkerThread

__all__ = ["DeadlockError", "LivelockError", "VirtualLoop", "run_virtual"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_TURNS = 100_000
_REAL_WAIT_S = 30.0
_SHOWN = 10
_LEAST_S = 1e-9
_LOOK_S = 0.001

_Fire = tuple[Context, Callable[..., object], tuple[Any, ...]]


class DeadlockError(RuntimeError):
    """Nothing is ready, no timer is set, no thread is busy: the program would wait for ever."""


class LivelockError(RuntimeError):
    """The program keeps the loop busy without time moving on."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop with a virtual clock.

    Args:
        max_turns: so many turns of the loop without time moving are a livelock.
        real_wait_s: so long, in real seconds, a thread may keep the loop waiting.

    Raises:
        DeadlockError, LivelockError: out of the call that runs the loop. The message tells the virtual
            time, and where the tasks stand.
    """

    def __init__(self, *, max_turns: int = _TURNS, real_wait_s: float = _REAL_WAIT_S) -> None:
        self._now = 0.0
        self._turns = 0
        self._jobs = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle, _Fire]] = []
        self._timers_set = 0
        self._max_turns = max_turns
        self._real_wait_s = real_wait_s
        super().__init__(_Selector(self._idle))

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._now

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer. Timers of the same time fire in the order in which they were set."""
        handle = asyncio.TimerHandle(when, callback, args, self)
        fire = (context or copy_context(), callback, args)
        if when <= self._now:
            self._fire(handle, *fire)
        else:
            self._timers_set += 1
            heapq.heappush(self._timers, (when, self._timers_set, handle, fire))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer. Any delay at all moves the clock, however little is left of it by rounding."""
        delay = max(delay, _LEAST_S) if delay > 0 else delay
        return self.call_at(self._now + delay, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run a function in a thread; the clock stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        future.add_done_callback(self._job_done)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        """Wait for the executor's threads, in real time."""
        self._jobs += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._jobs -= 1

    def _job_done(self, _: asyncio.Future[Any]) -> None:
        self._jobs -= 1

    # --- what happens instead of waiting -------------------------------------------------------

    def _idle(self, sockets: _Selector, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Answer the loop's wait of at most ``timeout`` seconds, without waiting."""
        self._turns += 1
        if self._turns > self._max_turns:
            self._turns = 0
            raise LivelockError(
                f"{self._max_turns:,} turns of the loop at {self._now:.3f} s without time moving on.{_standing(self)}"
            )
        if timeout is not None:  # the loop has timers of no one but us, so it has something to run
            return sockets.poll(0) if sockets.shared else []
        if self._busy() and (ready := self._wait(sockets, self._busy)):
            return ready
        # A thread that is not busy any more has left its result before: it is seen here or was taken already.
        if (sockets.shared or threading.active_count() > 1) and (ready := sockets.poll(0)):
            return ready
        if self._jump():
            return []
        if sockets.shared and (ready := self._wait(sockets, lambda: True)):
            return ready
        raise DeadlockError(f"Nothing is ready and no timer is set at {self._now:.3f} s.{_standing(self)}")

    def _wait(self, sockets: _Selector, wanted: Callable[[], bool]) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in real time for as long as that is wanted; what is ready, or nothing."""
        give_up = time.monotonic() + self._real_wait_s
        while wanted():
            # A thread leaves its result first and says that it is free a little later, which wakes nobody.
            if ready := sockets.poll(_LOOK_S):
                return ready
            if time.monotonic() > give_up:
                raise DeadlockError(
                    f"A thread or a socket has kept the loop waiting for {self._real_wait_s:g} real seconds "
                    f"at {self._now:.3f} s; a thread must not wait for virtual time.{_standing(self)}"
                )
        return []

    def _busy(self) -> bool:
        if self._jobs:
            return True
        return threading.active_count() > 1 and any(
            isinstance(thread, WorkerThread) and thread.loop is self and thread.queue.unfinished_tasks
            for thread in threading.enumerate()
        )

    def _jump(self) -> bool:
        """Move to the next timer and fire all of that time; False if there is none."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            return False
        self._now, self._turns = timers[0][0], 0
        while timers and timers[0][0] == self._now:
            _, _, handle, fire = heapq.heappop(timers)
            if not handle.cancelled():
                self._fire(handle, *fire)
        return True

    def _fire(
        self, handle: asyncio.TimerHandle, context: Context, callback: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        def run() -> None:
            if not handle.cancelled():
                callback(*args)

        self.call_soon(run, context=context)


class _Selector(selectors.BaseSelector):
    """The real selector, asked only if there is something it can know."""

    def __init__(self, idle: Callable[[_Selector, float | None], list[tuple[selectors.SelectorKey, int]]]) -> None:
        self._idle = idle
        self._real = selectors.DefaultSelector()
        self.poll = self._real.select
        self.shared = False
        """True if there is more than the loop's own wake-up pipe."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return self._idle(self, timeout)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._real.register(fileobj, events, data)
        self._count()
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = self._real.unregister(fileobj)
        self._count()
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def _count(self) -> None:
        self.shared = len(self._real.get_map()) > 1


def run_virtual(function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Run an async function under virtual time and return its result."""
    return anyio.run(function, *args, backend="asyncio", backend_options={"loop_factory": VirtualLoop})


def _standing(loop: asyncio.AbstractEventLoop) -> str:
    """Where the tasks of the loop stand, as lines for an error's message."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    lines = [f"\n  {task.get_name()} at {_place(task)}" for task in tasks[:_SHOWN]]
    if len(tasks) > _SHOWN:
        lines.append(f"\n  and {len(tasks) - _SHOWN} more")
    return "".join(lines)


def _place(task: asyncio.Task[Any]) -> str:
    coroutine: Any = task.get_coro()
    frame: FrameType | None = None
    while isinstance(coroutine, CoroutineType) and coroutine.cr_frame is not None:
        name = coroutine.cr_frame.f_code.co_filename
        if frame is None or not ("/anyio/" in name or "/asyncio/" in name):
            frame = coroutine.cr_frame
        coroutine = coroutine.cr_await
    if frame is None:
        return "an unknown place"
    summary = traceback.StackSummary.extract([(frame, frame.f_lineno)])[0]
    return f"{summary.filename.rpartition('/')[2]}:{summary.lineno}: {summary.line}"
