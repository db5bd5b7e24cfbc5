"""Where a host's handlers run: never on the way of a call's audio, and never longer than anybody waits for them.

A plain function runs in a daemon thread of its own. A coroutine runs on the host's loop while there is one
that waits for the call, so that it may use what lives there, such as a pool of database connections; and
else on a loop that all handlers share, away from the calls.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, Future
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

__all__ = ["HandlerFailed", "Progress", "call_handler", "handler_loop", "host_loop", "shared_loop"]

T = TypeVar("T")
Progress = Callable[[str], None]
"""Takes what a handler says while it works, on the loop that waits for it."""

handler_loop: ContextVar[Callable[[], asyncio.AbstractEventLoop]] = ContextVar(
    "handler_loop", default=asyncio.get_running_loop
)
"""Finds the loop on which coroutines of the host run; by default the loop that waits for them."""


class HandlerFailed(Exception):
    """A handler raised. ``cause`` is for the host's developer, and for nobody else."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__("a handler raised")
        self.cause = cause


async def call_handler(
    handler: Callable[..., Any],
    *arguments: Any,
    on_progress: Progress | None = None,
    finish: Callable[[Any], Any] = lambda value: value,
) -> Any:
    """Call a handler and wait for its result. Who stops waiting leaves it behind, also if it does not listen.

    Args:
        handler: a function, a coroutine function, or an async generator function that yields
            ``{"progress": "..."}`` any number of times and ``{"result": ...}`` at its end.
        finish: makes the result of what the handler returns, where the handler runs: a large one takes its time.

    Raises:
        HandlerFailed: it raised, whatever it was.
    """
    here = asyncio.get_running_loop()
    if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
        value = handler(*arguments)
    else:
        context = copy_context()
        call = partial(context.run, _try, handler, arguments, finish)
        value, is_finished = await _taken(here.run_in_executor(_THREADS, call))
        if is_finished:
            return value
    if inspect.isasyncgen(value):
        value = _drain(value, lambda text: here.call_soon_threadsafe(on_progress or _ignore, text))
    work = _guard(value, finish)
    return await _taken(asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, host_loop())))


def host_loop() -> asyncio.AbstractEventLoop:
    """The loop on which the host's coroutines run now; the shared one if the host's has stopped."""
    loop = handler_loop.get()()
    return loop if loop.is_running() else shared_loop()


def shared_loop() -> asyncio.AbstractEventLoop:
    """The loop of handlers whose host has none that runs; started when first asked for."""
    with _lock:
        if not _loops or not _loops[0][1].is_alive():
            _loops[:] = [_start_loop()]
        return _loops[0][0]


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


async def _taken(work: Awaitable[Any]) -> Any:
    outcome = await work
    if isinstance(outcome, _Raised):
        raise HandlerFailed(outcome.error)
    return outcome


def _try(handler: Callable[..., Any], arguments: tuple[Any, ...], finish: Callable[[Any], Any]) -> Any:
    """The result, and True; or what is still to be awaited, and False."""
    try:
        value = handler(*arguments)
        if inspect.isawaitable(value) or inspect.isasyncgen(value):
            return value, False
        return finish(value), True
    except BaseException as error:  # the boundary to the host's code: it must not end a thread or a loop of ours
        return _Raised(error)


async def _guard(work: Awaitable[Any], finish: Callable[[Any], Any]) -> Any:
    """As a result, an exception is neither logged nor able to end the loop, also if nobody waits any more."""
    try:
        return finish(await work)
    except GeneratorExit:
        raise
    except BaseException as error:
        return _Raised(error)


async def _drain(steps: AsyncIterator[Any], tell: Callable[[str], object]) -> Any:
    result: Any = None
    async for step in steps:
        if isinstance(step, dict) and set(step) == {"progress"}:
            tell(str(step["progress"]))
        elif isinstance(step, dict) and set(step) == {"result"}:
            result = step["result"]
        else:
            result = step
    return result


def _ignore(_: str) -> None:
    """Progress that nobody wants to hear."""


class _Threads(Executor):
    """A new daemon thread for each function: one that hangs takes no other's place and does not keep the process."""

    def submit(self, fn: Callable[..., T], /, *arguments: Any, **keywords: Any) -> Future[T]:
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*arguments, **keywords))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, name="patter-tool", daemon=True).start()
        return future


_THREADS = _Threads()
_lock = threading.Lock()
_loops: list[tuple[asyncio.AbstractEventLoop, threading.Thread]] = []


def _start_loop() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="patter-tools", daemon=True)
    thread.start()
    return loop, thread
