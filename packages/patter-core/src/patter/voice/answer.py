"""An answer of the mind that a task of its own writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from patter.errors import ProviderError
from patter.tasks import OwnTasks
from patter.voice.base import Delta

__all__ = ["Answer"]

_DELTAS_AHEAD = 256


class Answer:
    """What a chat model's ``stream`` returns: enter it, then iterate. Leaving it stops the writing.

    Args:
        write: writes the answer with `accept` and `send`, in one task from beginning to end. A
            `ProviderError` of it is raised by the iteration; before anything was accepted, by entering.
        model: who answers. The writer may change it.
    """

    _deltas: MemoryObjectReceiveStream[Delta]
    _written: MemoryObjectSendStream[Delta]

    def __init__(self, write: Callable[[Answer], Awaitable[None]], *, model: str) -> None:
        self.model = model
        self._write = write
        self._failure: ProviderError | None = None
        self._accepted = False
        self._begun = anyio.Event()
        self._owner = OwnTasks()

    def accept(self) -> None:
        """The request is being worked on, and will be billed."""
        self._accepted = True
        self._begun.set()

    async def send(self, delta: Delta) -> None:
        """Write the next piece."""
        self.accept()
        await self._written.send(delta)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        try:
            return await self._deltas.receive()
        except anyio.EndOfStream:
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        self._written, self._deltas = anyio.create_memory_object_stream[Delta](_DELTAS_AHEAD)
        tasks = await self._owner.__aenter__()
        tasks.start_soon(self._run)
        try:
            await self._begun.wait()
            if self._failure is not None and not self._accepted:
                raise self._failure
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._owner.__aexit__(kind, error, trace)
        finally:
            self._deltas.close()

    async def _run(self) -> None:
        with self._written:
            try:
                await self._write(self)
            except ProviderError as failure:
                self._failure = failure
            finally:
                self._begun.set()
