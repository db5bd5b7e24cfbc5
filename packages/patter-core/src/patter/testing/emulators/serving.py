"""Serves an emulator's application on a free port of this machine."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from patter.server import listener
from patter.tasks import OwnTasks

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["Serving"]


class Serving:
    """A server in a task of its own, from entering to leaving. Entering gives its origin, ``http://127.0.0.1:PORT``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._owner = OwnTasks()

    async def __aenter__(self) -> str:
        sock = listener.bind("127.0.0.1", 0)
        tasks = await self._owner.__aenter__()
        await tasks.start(listener.serve, self._app, sock)
        return f"http://127.0.0.1:{sock.getsockname()[1]}"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._owner.__aexit__(kind, error, trace)
