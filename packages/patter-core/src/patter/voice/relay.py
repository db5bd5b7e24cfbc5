"""Code of the host's that writes piece by piece: it runs where the host's code runs, and is read here."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import TypeVar

import anyio

from patter.tools.handlers import host_loop

__all__ = ["relay"]

T = TypeVar("T")

_STOP_S = 0.8
"""How long code that was cancelled is waited for."""


async def relay(write: Callable[[], AsyncGenerator[T, None]], take: Callable[[T], Awaitable[None]]) -> None:
    """Take what a generator of the host's yields, piece by piece, until its end.

    The generator runs on the loop on which coroutines of the host run, see `patter.tools.handlers`: the clients of
    vendors keep connections, and a connection belongs to one loop. Cancelling, or an error of ``take``, cancels it
    as asyncio does, once, and waits until it has stopped, for a while: the scopes of anyio would cancel it at every
    step, which interrupts the cleaning up of frameworks, and leaves what they have started running.

    Args:
        write: makes the generator. It is not waited for by what it yields.
        take: takes a piece, on this loop.

    Raises:
        Exception: whatever the generator or ``take`` raises; RuntimeError, if the generator is cancelled by others.
    """
    here, there = asyncio.get_running_loop(), host_loop()
    arriving, arrived = anyio.create_memory_object_stream[T](math.inf)
    tasks: list[asyncio.Task[BaseException | None]] = []

    def hand_over(piece: T) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # what comes too late
            arriving.send_nowait(piece)

    async def read() -> None:
        async with aclosing(write()) as pieces:
            async for piece in pieces:
                here.call_soon_threadsafe(hand_over, piece)

    def end(_: object) -> None:
        with suppress(RuntimeError):  # this loop may be closed by now
            here.call_soon_threadsafe(arriving.close)

    def begin() -> None:
        tasks.append(there.create_task(_outcome(read)))
        tasks[0].add_done_callback(end)

    with arriving, arrived:
        there.call_soon_threadsafe(begin)
        try:
            async for piece in arrived:
                await take(piece)
        except BaseException:
            with suppress(RuntimeError):  # the host's loop may be closed
                there.call_soon_threadsafe(lambda: tasks[0].cancel())
            with anyio.CancelScope(shield=True), anyio.move_on_after(_STOP_S):
                async for _ in arrived:
                    pass
            raise
    if tasks[0].cancelled():
        raise RuntimeError("it was cancelled by itself, or with the host's loop")
    if (error := tasks[0].result()) is not None:
        raise error


async def _outcome(work: Callable[[], Awaitable[None]]) -> BaseException | None:
    """As a result, an exception can neither be lost nor end the loop."""
    try:
        await work()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # the boundary to the host's code
        return error
    return None
