"""Runs LangChain's code in the middle of a call: on the host's loop, and apart from the host's run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

import anyio
from langchain_core.runnables.config import var_child_runnable_config

__all__ = ["apart", "home"]

T = TypeVar("T")

_STOP_S = 0.8
"""How long code that was cancelled is waited for."""

home: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("patter_home", default=None)
"""The loop on which the host awaits the tool, in everything that the call does."""


async def apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do the work with no config of LangChain's around it. Cancelling cancels it, and waits until it has stopped.

    It runs on the loop on which the host awaits the call, or else on this one: LangChain's models share their
    vendors' connections, and a connection belongs to one loop. It is a task of asyncio's, because LangGraph has to be
    cancelled as asyncio does it, once: the scopes of anyio cancel at every step, which interrupts LangGraph's own
    cleaning up, and leaves its nodes running.
    """
    here = asyncio.get_running_loop()
    there = home.get()
    loop = here if there is None or not there.is_running() else there
    context = copy_context()
    context.run(var_child_runnable_config.set, None)
    over = asyncio.Event()
    tasks: list[asyncio.Task[T]] = []

    def begin() -> None:
        task = loop.create_task(work(), context=context)
        task.add_done_callback(lambda _: here.call_soon_threadsafe(over.set))
        tasks.append(task)

    loop.call_soon_threadsafe(begin)
    try:
        await over.wait()
    except asyncio.CancelledError:
        with suppress(RuntimeError):  # the host's loop may be closed
            loop.call_soon_threadsafe(lambda: tasks[0].cancel())
        with anyio.CancelScope(shield=True), anyio.move_on_after(_STOP_S):
            await over.wait()
        raise
    if tasks[0].cancelled():
        raise RuntimeError("the work was cancelled by itself, or with the host's loop")
    return tasks[0].result()
