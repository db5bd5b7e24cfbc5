"""What a store holds, as the calls see it: read from memory, so that no turn waits for a database."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import anyio

from patter.errors import StoreError
from patter.store.base import AgentRecord, Holdings, ToolStore

if TYPE_CHECKING:
    from patter.tools.model import Tool

__all__ = ["Catalogue"]

_POLL_S = 1.0
"""What another process writes is seen after this time at the latest; what this one writes, at once."""

_log = logging.getLogger("patter")


class Catalogue:
    """The agents and tools of a store. Its owner runs `follow`; whoever writes to the store calls `refresh`."""

    def __init__(self, store: ToolStore) -> None:
        self._store = store
        self._held = Holdings(-1)
        self._by_agent: dict[str | None, tuple[Tool, ...]] = {}
        self._reading = anyio.Lock()

    @property
    def version(self) -> int:
        """Another number after every change."""
        return self._held.version

    @property
    def agents(self) -> tuple[AgentRecord, ...]:
        """The agents, the oldest first."""
        return self._held.agents

    def agent(self, name_or_id: str) -> AgentRecord | None:
        """The agent of this id or this name."""
        return next((one for one in self._held.agents if name_or_id in (one.id, one.name)), None)

    def tools(self, agent: str | None) -> tuple[Tool, ...]:
        """The tools of the agent of this id, or of the workspace; the oldest first."""
        return self._by_agent.get(agent, ())

    def tool(self, agent: str | None, name_or_id: str) -> Tool | None:
        """One of them, by its id or its name."""
        return next((one for one in self.tools(agent) if name_or_id in (str(one.id), one.name)), None)

    def offered(self, agent: str, names: Iterable[str] = ()) -> tuple[Tool, ...]:
        """What the agent of this id may use: its own tools, and those of the workspace that it names."""
        own = self.tools(agent)
        taken = {tool.name for tool in own}
        wanted = dict.fromkeys(name for name in names if name not in taken)
        return own + tuple(tool for name in wanted if (tool := self.tool(None, name)) is not None)

    async def refresh(self) -> None:
        """Read the store, if it has changed.

        Raises:
            StoreError: it cannot be read; what was read before stays.
        """
        async with self._reading:
            if await self._store.version() != self._held.version:
                self._held = await self._store.read()
                self._by_agent = {}
                for tool in self._held.tools:
                    self._by_agent[tool.agent_id] = (*self._by_agent.get(tool.agent_id, ()), tool)

    async def follow(self) -> None:
        """See what other processes write, until cancelled. A store that cannot be read is asked again."""
        was_read = True
        while True:
            try:
                await self.refresh()
                was_read = True
            except StoreError as error:
                if was_read:
                    _log.warning("The store cannot be read; calls go on with the tools known so far. %s", error)
                was_read = False
            await anyio.sleep(_POLL_S)
