"""The MCP servers of one phone: each is connected when it is first needed, and again when it has died."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import anyio
from anyio.abc import TaskGroup

from patter.tools.mcp.connection import Connection, McpFailure, Offer, Place

__all__ = ["McpServers"]

_CLOSE_S = 5.0


class McpServers:
    """The servers that the agents of one phone use; two agents with the same server share its session.

    Used on the phone's event loop. Close it there.

    Args:
        tasks: where connections live. They do not raise.
        allow_hosts: hosts with their ports, such as ``localhost:9000``, that need not be public; for development.
        start_s: a server that has not told its tools after so many seconds counts as unreachable.
        most_open: of more connections than this, the one that was not used for longest is closed: a key in a
            header that changes every hour makes a new place of the same server.
    """

    def __init__(
        self, tasks: TaskGroup, *, allow_hosts: Collection[str] = (), start_s: float = 10.0, most_open: int = 32
    ) -> None:
        self._tasks = tasks
        self._allow_hosts = allow_hosts
        self._start_s = start_s
        self._most_open = most_open
        self._current: dict[Place, Connection] = {}
        """The connections, the one that was used last being the last."""
        self._running: set[Connection] = set()
        self._is_closed = False

    async def tools(self, place: Place) -> Sequence[Offer]:
        """What a server offers. It is started or connected if it is not yet.

        Raises:
            McpFailure: it cannot be reached.
        """
        return (await self._connection(place)).tools

    async def call(self, place: Place, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Use a tool of a server, once: a use that may have reached the server is never repeated.

        Returns:
            The result in the protocol's own form: ``content``, and perhaps ``structuredContent`` and ``isError``.

        Raises:
            McpFailure: it cannot be reached, has died, or has answered with an error.
        """
        return await (await self._connection(place)).call(name, arguments)

    async def aclose(self) -> None:
        """End all sessions and the programs that were started. Whoever waits for a call is told so."""
        self._is_closed = True
        with anyio.CancelScope(shield=True):
            for connection in self._running:
                connection.close()
            for connection in list(self._running):
                await connection.over(within_s=_CLOSE_S)

    async def _connection(self, place: Place) -> Connection:
        """An open connection. Who waits for one that is being opened may be cancelled; it is opened all the same."""
        connection = await self._opened(place)
        if not await connection.is_alive():
            connection.close()
            connection = await self._opened(place)
        return connection

    async def _opened(self, place: Place) -> Connection:
        if self._is_closed:
            raise McpFailure("the phone was stopped")
        connection = self._current.pop(place, None)
        if connection is None or connection.is_closing:
            connection = Connection(place, allow_hosts=self._allow_hosts, start_s=self._start_s)
            self._running.add(connection)
            self._tasks.start_soon(self._run, connection)
        self._current[place] = connection
        self._close_unused()
        await connection.opened()
        return connection

    def _close_unused(self) -> None:
        idle = [place for place, connection in self._current.items() if not connection.is_busy]
        for place in idle[: max(len(self._current) - self._most_open, 0)]:
            self._current.pop(place).close()

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self._running.discard(connection)
