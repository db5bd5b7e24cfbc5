"""What a store holds, as the calls see it: read from memory, so that no turn waits for a database."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from patter.errors import StoreError
from patter.store.base import AgentRecord, Holdings, ToolStore

if TYPE_CHECKING:
    from patter.tools.model import Tool

__all__ = ["Catalogue"]

_POLL_S = 1.0
"""What another process writes is seen after this time at the latest; what this one writes, at once."""

_MOMENT_S = 0.05
"""A reader may be shown what another process's writers had acknowledged so long ago."""

_log = logging.getLogger("patter")


class Catalogue:
    """The agents and tools of a store. Its owner runs `follow`; whoever writes to the store calls `refresh`."""

    def __init__(self, store: ToolStore) -> None:
        self._store = store
        self._held = Holdings(-1)
        self._tools: dict[str | None, _Tools] = {}
        self._reading: _Reading | None = None
        self._begun = 0
        self._done = 0
        self._read_at = -math.inf

    @property
    def version(self) -> int:
        """Another number after every change."""
        return self._held.version

    @property
    def agents(self) -> tuple[AgentRecord, ...]:
        """The agents, the oldest first."""
        return self._held.agents

    def tools(self, agent: str | None) -> tuple[Tool, ...]:
        """The tools of the agent of this id, or of the workspace; the oldest first."""
        known = self._tools.get(agent)
        return () if known is None else known.all

    def tool(self, agent: str | None, name_or_id: str) -> Tool | None:
        """One of them, by its id or its name."""
        known = self._tools.get(agent)
        return None if known is None else known.found.get(name_or_id)

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
        before = self._begun
        while self._done <= before:  # what began before this was asked may not hold what the caller has written
            if self._reading is None:
                await self._read()
                return
            reading = self._reading
            await reading.over.wait()
            if reading.trouble is not None:  # to ask anew would let everybody wait as long again, one after another
                raise StoreError(reading.trouble)

    async def look(self) -> None:
        """`refresh`, unless the store was read a moment ago: what this process has written since is here in any case.

        Raises:
            StoreError: it cannot be read; what was read before stays.
        """
        if anyio.current_time() - self._read_at > _MOMENT_S:
            await self.refresh()

    async def follow(self) -> None:
        """See what other processes write, until cancelled. A store that cannot be read is asked again."""
        was_read = True
        while True:
            try:
                await self.refresh()
                was_read = True
            except Exception as error:  # the boundary to a store: what it raises must end no call
                if was_read:
                    told = error if isinstance(error, StoreError) else f"{type(error).__name__}."
                    _log.warning("The store cannot be read; calls go on with the tools known so far. %s", told)
                was_read = False
            await anyio.sleep(_POLL_S)

    async def _read(self) -> None:
        self._begun += 1
        number, reading, began = self._begun, _Reading(), anyio.current_time()
        self._reading = reading
        try:
            if await self._store.version() != self._held.version:
                self._take(await self._store.read())
            self._done, self._read_at = number, began
        except StoreError as error:
            reading.trouble = str(error)
            raise
        finally:
            self._reading = None
            reading.over.set()

    def _take(self, held: Holdings) -> None:
        by_agent: dict[str | None, list[Tool]] = {}
        for tool in held.tools:
            by_agent.setdefault(tool.agent_id, []).append(tool)
        tools = {agent: _Tools.of(own) for agent, own in by_agent.items()}
        self._held, self._tools = held, tools


@dataclass(slots=True)
class _Reading:
    """One reading of the store, which any number of callers wait for, and why it failed."""

    over: anyio.Event = field(default_factory=anyio.Event)
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class _Tools:
    """The tools of one agent, and each by its id and its name."""

    all: tuple[Tool, ...]
    found: dict[str, Tool]

    @classmethod
    def of(cls, tools: list[Tool]) -> _Tools:
        found: dict[str, Tool] = {}
        for tool in tools:
            found.setdefault(str(tool.id), tool)
            found.setdefault(tool.name, tool)
        return cls(tuple(tools), found)
