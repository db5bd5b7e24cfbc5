"""Agents and tools in a database: in memory, in an SQLite file, or in Postgres."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from patter.errors import StoreError, WriteUncertain
from patter.store.address import StoreAddress
from patter.store.base import AgentRecord, Holdings

if TYPE_CHECKING:
    from patter.store.database import Database
    from patter.store.tables import Shelf
    from patter.tools.model import Tool

__all__ = ["SqlStore"]

T = TypeVar("T")

_WAIT_S = 5.0
_THREADS = 8
_threads: RunVar[anyio.CapacityLimiter] = RunVar("patter_store_threads")


class SqlStore:
    """A `patter.store.base.ToolStore` in a database. It may be used from any event loop.

    What tools are set to, their headers too, is stored as it was given: write ``{{API_KEY}}`` for a secret. A new file
    may be read by its owner alone. A server that freezes or goes away in the middle of a write may have carried it out
    all the same: then `patter.errors.WriteUncertain` is raised.

    Args:
        url: ``sqlite://`` keeps everything in memory, ``sqlite:///patter.db`` in a file, and
            ``postgresql://user:password@host/database`` in Postgres. Its password is never shown.
        wait_s: how long a lock or a server is waited for.

    Raises:
        ConfigError: the address is none of these, or a package is missing that it needs.
    """

    def __init__(self, url: str = "sqlite://", *, wait_s: float = _WAIT_S) -> None:
        self._address = StoreAddress.of(url)
        self._wait_s = wait_s
        self._opening = threading.Lock()
        self._opened: tuple[Database, Shelf] | None = None

    def __repr__(self) -> str:
        return f"SqlStore({self._address.shown!r})"

    async def version(self) -> int:
        """Another number after every change, whoever made it."""
        return await self._read(lambda shelf: shelf.version)

    async def read(self) -> Holdings:
        """Everything, at one moment. A tool that cannot be read is left out, and the log says so."""
        return await self._read(lambda shelf: shelf.read)

    async def create_agent(self, record: AgentRecord) -> AgentRecord:
        """Keep a new agent.

        Raises:
            NameTaken: there is an agent of that name.
        """
        return await self._write(lambda shelf: partial(shelf.create_agent, record=record))

    async def update_agent(self, id_: str, change: Callable[[AgentRecord], AgentRecord]) -> AgentRecord | None:
        """Replace an agent by what ``change`` makes of it in a thread, while nobody else writes; None if there is none.

        Raises:
            NameTaken: another agent has the new name.
        """
        return await self._write(lambda shelf: partial(shelf.update_agent, id_=id_, change=change))

    async def delete_agent(self, id_: str) -> bool:
        """Forget an agent and its tools. False if there is no such agent."""
        return await self._write(lambda shelf: partial(shelf.delete_agent, id_=id_))

    async def create_tool(self, tool: Tool) -> Tool:
        """Keep a new tool; it comes back with ``id``, ``created_at`` and ``updated_at``.

        Raises:
            NameTaken: the agent, or the workspace, has a tool of that name.
            ConfigError: it is a handler, which lives in its process alone.
        """
        return await self._write(lambda shelf: partial(shelf.create_tool, tool=tool))

    async def update_tool(self, agent: str | None, id_: str, change: Callable[[Tool], Tool]) -> Tool | None:
        """Replace a tool by what ``change`` makes of it in a thread, while nobody else writes; None if there is none.

        Raises:
            NameTaken: another tool of the agent has the new name.
        """
        return await self._write(lambda shelf: partial(shelf.update_tool, agent=agent, id_=id_, change=change))

    async def delete_tool(self, agent: str | None, id_: str) -> bool:
        """Forget a tool. False if the agent has no such tool."""
        return await self._write(lambda shelf: partial(shelf.delete_tool, agent=agent, id_=id_))

    async def close(self) -> None:
        """Let go of files and connections. What was in memory alone is gone."""
        await anyio.to_thread.run_sync(self._close)

    async def in_thread(self, work: Callable[[Database], T], *, is_write: bool = False) -> T:
        """Do something with the database, which blocks, in a thread; for what else is kept there.

        Raises:
            StoreError: the database does not answer.
            WriteUncertain: the same in the middle of a write.
        """
        try:
            # The waits inside are bounded; this is for a server that freezes with a question in its hands.
            with anyio.fail_after(4 * self._wait_s, shield=is_write):
                return await anyio.to_thread.run_sync(
                    lambda: work(self._open()[0]), abandon_on_cancel=True, limiter=_limiter()
                )
        except TimeoutError:
            shown = self._address.shown
            if is_write:
                raise WriteUncertain(
                    f"The store {shown} does not answer; a change may have been made. Look at its server."
                ) from None
            raise StoreError(f"The store {shown} does not answer. Look at its server, and try again.") from None

    # --- threads -------------------------------------------------------------------------------

    async def _read(self, chosen: Callable[[Shelf], Callable[..., T]]) -> T:
        return await self.in_thread(lambda database: database.read(chosen(self._open()[1])))

    async def _write(self, chosen: Callable[[Shelf], Callable[..., T]]) -> T:
        return await self.in_thread(lambda database: database.write(chosen(self._open()[1])), is_write=True)

    def _open(self) -> tuple[Database, Shelf]:
        with self._opening:
            if self._opened is None:
                from patter.store.database import Database
                from patter.store.tables import Shelf

                self._opened = Database(self._address, wait_s=self._wait_s), Shelf()
            return self._opened

    def _close(self) -> None:
        with self._opening:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened[0].close()


def _limiter() -> anyio.CapacityLimiter:
    """Threads of the store's own: a database that hangs holds up no other work of the loop."""
    try:
        return _threads.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_THREADS)
        _threads.set(limiter)
        return limiter
