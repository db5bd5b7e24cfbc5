"""The one background thread with the one event loop, and the bridges into it.

Server, lines and calls live on the engine's loop. Hosts only submit to it, so a tool works with no
loop, from a worker thread, on a running loop, and from two loops after each other, and blocking code
of the host never delays a frame of audio.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import queue
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup
from anyio.from_thread import BlockingPortal

from patter.call.request import Event, EventSink
from patter.errors import PhoneStopped
from patter.tools.handlers import handler_loop, shared_loop

__all__ = ["Engine", "HostedEngine", "Job"]

T = TypeVar("T")
Job = Callable[[EventSink | None], Awaitable[T]]
"""Work for the engine's loop. It is handed where to put progress events."""

_SETTLE_S = 15.0
"""A cancelled job is waited for: it hangs up and settles within a few seconds."""

_lock = threading.Lock()
_shared: dict[int, Engine] = {}


class Engine:
    """An event loop that work can be handed to from anywhere.

    ``tasks`` is for services that outlive the call that started them; they must not raise.
    """

    def __init__(self, portal: BlockingPortal, tasks: TaskGroup) -> None:
        self.tasks = tasks
        self._portal = portal
        self._thread = threading.get_ident()

    @classmethod
    def shared(cls) -> Engine:
        """The process's engine; started when first asked for, and again in a forked child."""
        if (running := _shared.get(os.getpid())) is not None:  # no lock for a signal's handler to wait for
            return running
        with _lock:
            if os.getpid() not in _shared:
                _shared.clear()
                _shared[os.getpid()] = _start_thread()
            return _shared[os.getpid()]

    @property
    def is_here(self) -> bool:
        """True on the engine's own thread."""
        return threading.get_ident() == self._thread

    async def run(self, job: Job[T], on_event: EventSink | None = None) -> T:
        """Do the job on the engine's loop and wait for it on this one.

        Events are delivered on the waiting loop, before the result. Cancelling cancels the job, waits
        until it has cleaned up, and then re-raises.
        """
        if self.is_here:
            return await self._run_here(job, _quiet(on_event))
        loop = asyncio.get_running_loop()
        deliver = _quiet(on_event)
        sink: EventSink | None = None
        if deliver is not None:
            sink = _loop_sink(loop, deliver)
        work, over = self._submit(job, sink, lambda: loop)
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            work.cancel()
            await _settle(over)
            raise

    async def _run_here(self, job: Job[T], on_event: EventSink | None) -> T:
        """Do the job in a task of the engine's own: a native ``task.cancel()`` of the caller knows no shields."""
        scope = anyio.CancelScope()
        outcome: Future[T] = Future()
        over: Future[None] = Future()

        async def work() -> None:
            try:
                with scope:
                    outcome.set_result(await job(on_event))
            except Exception as error:
                outcome.set_exception(error)
            finally:
                over.set_result(None)

        self.tasks.start_soon(work)
        try:
            await asyncio.shield(asyncio.wrap_future(over))
        except BaseException:
            scope.cancel()
            await _settle(over)
            raise
        if not outcome.done():
            raise PhoneStopped("The event loop of this phone was shut down.")
        return outcome.result()

    def run_sync(self, job: Job[T], on_event: EventSink | None = None) -> T:
        """Do the job on the engine's loop and wait for it in this thread.

        Events are delivered in this thread. An interrupt cancels the job, waits until it has cleaned
        up, and is raised again.

        Raises:
            RuntimeError: this is the engine's own thread, which would wait for itself.
        """
        if self.is_here:
            raise RuntimeError("A blocking call on Patter's own event loop would wait for itself. Use the async form.")
        events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        work, over = self._submit(job, events.put, shared_loop)
        work.add_done_callback(lambda _: events.put(None))
        deliver = _quiet(on_event) or _ignore
        try:
            while (event := events.get()) is not None:
                deliver(event)
            return work.result()
        except BaseException:
            if not work.done():
                work.cancel()
                with suppress(TimeoutError):
                    over.result(_SETTLE_S)
            raise

    def invoke(self, fn: Callable[[], T]) -> T:
        """Call a plain function on the engine's loop, from any thread."""
        return fn() if self.is_here else self._portal.call(fn)

    def _submit(
        self, job: Job[T], sink: EventSink | None, handlers: Callable[[], asyncio.AbstractEventLoop]
    ) -> tuple[Future[T], Future[None]]:
        """Start the job; ``handlers`` finds the loop on which the host's coroutines run in the meantime."""
        over: Future[None] = Future()

        async def work() -> T:
            try:
                return await job(sink)
            finally:
                over.set_result(None)

        token = handler_loop.set(handlers)
        try:
            return self._portal.start_task_soon(work), over
        finally:
            handler_loop.reset(token)


class HostedEngine:
    """The engine on the host's own running loop, while the context is entered."""

    async def __aenter__(self) -> Engine:
        self._tasks = anyio.create_task_group()
        self._portal = BlockingPortal()
        await self._tasks.__aenter__()
        await self._portal.__aenter__()
        return Engine(self._portal, self._tasks)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tasks.cancel_scope.cancel()
        await self._portal.__aexit__(kind, error, trace)
        await self._tasks.__aexit__(kind, error, trace)


def _start_thread() -> Engine:
    started: Future[Engine] = Future()

    async def main() -> None:
        async with anyio.create_task_group() as tasks, BlockingPortal() as portal:
            started.set_result(Engine(portal, tasks))
            await portal.sleep_until_stopped()

    options = {"use_uvloop": importlib.util.find_spec("uvloop") is not None}
    threading.Thread(
        target=anyio.run, args=(main,), kwargs={"backend_options": options}, name="patter", daemon=True
    ).start()
    return started.result()


async def _settle(over: Future[None]) -> None:
    """Wait until a cancelled job has cleaned up, however often the waiting task is cancelled in the meantime."""
    loop = asyncio.get_running_loop()
    last = loop.time() + _SETTLE_S
    while not over.done() and loop.time() < last:
        with suppress(asyncio.CancelledError), anyio.CancelScope(deadline=last, shield=True):
            await asyncio.shield(asyncio.wrap_future(over))


def _loop_sink(loop: asyncio.AbstractEventLoop, deliver: EventSink) -> EventSink:
    def sink(event: Event) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, event)

    return sink


def _quiet(on_event: EventSink | None) -> EventSink | None:
    """The host's callback; what it raises is the host's affair and must not end a call."""
    if on_event is None:
        return None

    def deliver(event: Event) -> None:
        try:
            on_event(event)
        except Exception as error:  # the boundary to the host's code
            _log_callback_error(error)

    return deliver


def _log_callback_error(error: Exception) -> None:
    import logging

    logging.getLogger("patter").warning("on_event raised %s; the call goes on.", type(error).__name__)


def _ignore(event: Event) -> None:
    """Drop an event that nobody waits for."""
