"""An agent of the customer's own that is a function in this process."""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread

from patter.errors import ProviderError
from patter.voice.base import CallContext
from patter.voice.messages.wire import Ask, Say, read_piece

__all__ = ["Handler", "function"]

Handler = Callable[[dict[str, Any]], Any]
_THREADS = 4
_CLOSE_S = 0.5
_END = object()


@asynccontextmanager
async def function(handler: Handler, call: CallContext) -> AsyncIterator[Ask]:
    """Asks the function. What runs in threads has threads of its own: a stuck function stops only its call."""
    yield _Asking(handler).ask


class _Asking:
    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._threads = anyio.CapacityLimiter(_THREADS)

    async def ask(self, message: dict[str, Any], say: Say) -> bool:
        """Say what the function answers; whether the call shall end after it."""
        try:
            if _is_async(self._handler):
                value = self._handler(message)
            else:
                value = await self._in_thread(self._handler, message)
            if inspect.isawaitable(value):
                value = await value
            return await self._say(value, say)
        except ProviderError:
            raise
        except Exception as error:  # the boundary to the host's code
            text = f"The on_message handler raised {type(error).__name__} {_place(error)}."
            raise ProviderError("llm", text, retryable=True) from None

    async def _say(self, value: Any, say: Say) -> bool:
        if isinstance(value, AsyncIterable):
            return await self._say_pieces(aiter(value), say)
        if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
            return await self._say_pieces(_Threaded(value, self._in_thread), say)
        text, end_call = read_piece(value)
        await say(text)
        return end_call

    async def _say_pieces(self, pieces: AsyncIterator[Any], say: Say) -> bool:
        end_call = False
        try:
            async for piece in pieces:
                text, ends = read_piece(piece)
                end_call = end_call or ends
                await say(text)
        finally:
            if callable(close := getattr(pieces, "aclose", None)):
                await close()
        return end_call

    async def _in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        return await anyio.to_thread.run_sync(work, *args, abandon_on_cancel=True, limiter=self._threads)


class _Threaded:
    """Iterates over something in threads, one at a time."""

    def __init__(self, pieces: Iterable[Any], in_thread: Callable[..., Awaitable[Any]]) -> None:
        self._pieces = pieces
        self._iterator: Iterator[Any] | None = None
        self._in_thread = in_thread
        self._lock = threading.Lock()

    def __aiter__(self) -> _Threaded:
        return self

    async def __anext__(self) -> Any:
        piece = await self._in_thread(self._next)
        if piece is _END:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Let a generator clean up. One that is stuck does so when it can."""
        with anyio.move_on_after(_CLOSE_S, shield=True):
            await self._in_thread(self._close)

    def _next(self) -> Any:
        with self._lock:
            if self._iterator is None:
                self._iterator = iter(self._pieces)
            return next(self._iterator, _END)

    def _close(self) -> None:
        with self._lock:
            if callable(close := getattr(self._iterator, "close", None)):
                close()


def _is_async(handler: Handler) -> bool:
    called = handler if inspect.isroutine(handler) else getattr(handler, "func", type(handler).__call__)
    return any(
        inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function) for function in (handler, called)
    )


def _place(error: Exception) -> str:
    """Where it was raised; no values, which may be what somebody has said."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}"
