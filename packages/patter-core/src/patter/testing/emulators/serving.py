"""Serves an emulator's application on a free port of this machine."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from patter.server import listener

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["Serving"]


class Serving:
    """A server in a task of its own, from entering to leaving. Entering gives its origin, ``http://127.0.0.1:PORT``."""

    _tasks: TaskGroup

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __aenter__(self) -> str:
        sock = listener.bind("127.0.0.1", 0)
        self._tasks = await anyio.create_task_group().__aenter__()
        await self._tasks.start(listener.serve, self._app, sock)
        return f"http://127.0.0.1:{sock.getsockname()[1]}"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        if isinstance(error, Exception):
            # The group would wrap it; the owner's own error passes as it is.
            await self._tasks.__aexit__(None, None, None)
            return None
        return await self._tasks.__aexit__(kind, error, trace)
