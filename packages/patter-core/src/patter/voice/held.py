"""Sessions that are held open beside the work of the one who uses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio
from anyio.abc import TaskGroup

from patter.errors import ProviderError
from patter.tasks import OwnTasks

__all__ = ["HeldSessions"]

T = TypeVar("T")

_CLOSE_S = 0.9
"""Sessions close within a second; what is left of it is for those that do not."""


class HeldSessions:
    """Holds sessions open, each in a task of its own, so that any task may open one and give it up.

    Leaving stops the work and closes all sessions, within a second.
    """

    _tasks: TaskGroup

    def __init__(self) -> None:
        self._owner = OwnTasks(grace_s=_CLOSE_S)
        self._held: list[_Held[Any]] = []
        self._work = anyio.CancelScope()

    def start(self, work: Callable[[], Awaitable[None]]) -> None:
        """Begin the one task that works with the sessions."""
        self._tasks.start_soon(self._run, work)

    async def open(self, context: AbstractAsyncContextManager[T], *, within_s: float, late: ProviderError) -> T:
        """Enter a session.

        Args:
            late: what to raise if that takes longer than ``within_s``. The attempt is then given up.

        Raises:
            ProviderError: entering has raised it, or it is ``late``.
        """
        held = _Held(context)
        self._held.append(held)
        self._tasks.start_soon(held.run)
        try:
            with anyio.move_on_after(within_s):
                await held.decided.wait()
        finally:
            if not held.is_open:
                held.scope.cancel()
                self._held.remove(held)
        if held.failure is not None:
            raise held.failure
        if not held.is_open:
            raise late
        return held.session

    def close(self, session: object) -> None:
        """Leave a session that is needed no more. Does not wait for it."""
        for held in [held for held in self._held if held.is_open and held.session is session]:
            self._held.remove(held)
            held.let_go.set()

    async def __aenter__(self) -> Self:
        self._tasks = await self._owner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._work.cancel()
        for held in self._held:
            held.let_go.set()
        return await self._owner.__aexit__(kind, error, trace)

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        with self._work:
            await work()


class _Held(Generic[T]):
    session: T

    def __init__(self, context: AbstractAsyncContextManager[T]) -> None:
        self.is_open = False
        self.failure: ProviderError | None = None
        self.decided = anyio.Event()
        self.let_go = anyio.Event()
        self.scope = anyio.CancelScope()
        self._context = context

    async def run(self) -> None:
        with self.scope:
            try:
                async with self._context as self.session:
                    self.is_open = True
                    self.decided.set()
                    await self.let_go.wait()
            except ProviderError as failure:
                # What a session says in closing is told to nobody: its user has heard of it, or is gone.
                self.failure = failure
            finally:
                self.decided.set()
