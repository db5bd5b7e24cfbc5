"""A voice for providers that synthesise one clause after the other.

The provider brings one async generator function; say, finish, iteration, reading ahead and leaving
early are done here, once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from patter.errors import PatterError
from patter.tasks import OwnTasks
from patter.voice.base import Speech

__all__ = ["ClausewiseUtterance", "ClausewiseVoice", "Synthesise"]

Synthesise = Callable[[str], AsyncGenerator[Speech, None]]
"""Speaks one clause. It is closed early when the utterance is left, and must not yield inside a task
group. Failures raise `patter.errors.ProviderError`."""

CLAUSES_AHEAD = 64
"""Clauses that may wait for synthesis before `ClausewiseUtterance.say` waits."""
PIECES_AHEAD = 64
"""Pieces of speech that are synthesised ahead of the one who plays them."""


class ClausewiseVoice:
    """The voice's session of one call, where nothing but a function is shared by its utterances."""

    def __init__(self, synthesise: Synthesise) -> None:
        self._synthesise = synthesise

    def utter(self) -> ClausewiseUtterance:
        """Begin an utterance. Leaving it early abandons what is not yet synthesised."""
        return ClausewiseUtterance(self._synthesise)


class ClausewiseUtterance:
    """One thing the agent says. Enter it, then one task says and finishes, another iterates.

    A failure of the synthesis is raised by the iteration; `say` and `finish` then do nothing, so
    that it is reported once. Leaving cancels the synthesis and waits until it has stopped.
    """

    _clauses: MemoryObjectSendStream[str]
    _pieces: MemoryObjectReceiveStream[Speech]

    def __init__(self, synthesise: Synthesise) -> None:
        self._synthesise = synthesise
        self._failure: PatterError | None = None
        self._owner = OwnTasks()

    async def say(self, text: str) -> None:
        """Append the next clause. Text without anything to say is skipped."""
        if not text.strip():
            return
        try:
            await self._clauses.send(text)
        except anyio.BrokenResourceError:
            if self._failure is None:
                raise

    async def finish(self) -> None:
        """Say that no more text comes. The iteration ends after the last audio."""
        self._clauses.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Speech:
        try:
            return await self._pieces.receive()
        except anyio.EndOfStream:
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        self._clauses, clauses = anyio.create_memory_object_stream[str](CLAUSES_AHEAD)
        pieces, self._pieces = anyio.create_memory_object_stream[Speech](PIECES_AHEAD)
        (await self._owner.__aenter__()).start_soon(self._work, clauses, pieces)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._owner.__aexit__(kind, error, trace)
        finally:
            self._clauses.close()
            self._pieces.close()

    async def _work(self, clauses: MemoryObjectReceiveStream[str], pieces: MemoryObjectSendStream[Speech]) -> None:
        with clauses, pieces:
            try:
                async for clause in clauses:
                    async with aclosing(self._synthesise(clause)) as speeches:
                        async for speech in speeches:
                            await pieces.send(speech)
            except PatterError as failure:
                self._failure = failure
