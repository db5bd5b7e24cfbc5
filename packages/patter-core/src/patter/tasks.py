"""Helpers for structured concurrency: a class that owns tasks, and the first error of a group."""

from __future__ import annotations

from types import TracebackType

import anyio
from anyio.abc import TaskGroup

__all__ = ["OwnTasks", "first_error"]


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real error of a task group: when one task fails, the others only follow."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


class OwnTasks:
    """A task group for a class that has tasks from its ``__aenter__`` to its ``__aexit__``.

    Leaving cancels the tasks, or gives them time to end by themselves, and waits. The error of whoever
    leaves passes as it is; the error of a task comes in a group.

    Args:
        grace_s: so long tasks may go on after leaving.
    """

    _tasks: TaskGroup

    def __init__(self, *, grace_s: float = 0.0) -> None:
        self._grace_s = grace_s

    async def __aenter__(self) -> TaskGroup:
        self._tasks = await anyio.create_task_group().__aenter__()
        return self._tasks

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        scope = self._tasks.cancel_scope
        if self._grace_s:
            scope.deadline = min(scope.deadline, anyio.current_time() + self._grace_s)
        else:
            scope.cancel()
        if isinstance(error, Exception):
            # The group would wrap it; the owner's own error passes as it is.
            await self._tasks.__aexit__(None, None, None)
            return None
        return await self._tasks.__aexit__(kind, error, trace)
