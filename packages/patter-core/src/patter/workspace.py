"""What people and programs outside own of a phone's agents: the store's agents and tools, and the tools of clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from patter.agent import Agent
from patter.store.base import AgentRecord, ToolStore, agent_id
from patter.store.catalogue import Catalogue
from patter.tools.remote.hub import Hub

if TYPE_CHECKING:
    from patter.store.knowledge import KnowledgeBase
    from patter.tools.context import ToolContext
    from patter.tools.model import Tool
    from patter.tools.shelf import Shelf

    EventSink = Callable[[dict[str, Any]], None]

__all__ = ["KnownAgent", "Workspace", "open_workspace"]


@dataclass(frozen=True, slots=True)
class KnownAgent:
    """An agent by which tools can be found.

    Args:
        record: what the store holds of it, or None: then only the program can change it.
        agent: what the program has made of it, or None if it has not been seen yet.
    """

    id: str
    name: str
    record: AgentRecord | None
    agent: Agent | None

    @property
    def is_open(self) -> bool:
        """True if its program leaves to others what it is: it has given no prompt, no first message and no tools."""
        one = self.agent
        return one is None or not (one.system_prompt or one.first_message or one.tools)

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools that the program has given it."""
        return () if self.agent is None else self.agent.tools


def open_workspace(address: str) -> Workspace:
    """The workspace whose store is at this address, such as ``sqlite:///patter.db``.

    Raises:
        ConfigError: it is no such address, or what it needs is not installed.
    """
    from patter.store.opening import open_store

    return Workspace(*open_store(address))


class Workspace:
    """The agents and tools of one phone that can be changed while it runs. It lives on the phone's loop.

    Args:
        store: where they are kept.
        knowledge: the documents of the agents, by their ids.
    """

    def __init__(self, store: ToolStore, knowledge: KnowledgeBase) -> None:
        self.store = store
        self.knowledge = knowledge
        self.catalogue = Catalogue(store)
        self.hub = Hub()
        self._programmed: dict[str, Agent] = {}

    async def aclose(self) -> None:
        """Let go of the store, and of the documents."""
        await self.store.close()
        await anyio.to_thread.run_sync(self.knowledge.close)

    def introduce(self, agent: Agent) -> None:
        """Let an agent of the program be found by its name. An agent without a name cannot be changed from outside."""
        if agent.name is not None:
            self._programmed[agent.name] = agent

    def agents(self) -> list[KnownAgent]:
        """Every agent, those of the store first."""
        records = self.catalogue.agents
        stored = [KnownAgent(one.id, one.name, one, self._programmed.get(one.name)) for one in records]
        names = {one.name for one in stored}
        programmed = [
            KnownAgent(agent_id(name), name, None, agent)
            for name, agent in self._programmed.items()
            if name not in names
        ]
        return stored + programmed

    def agent(self, name_or_id: str) -> KnownAgent | None:
        """The agent of this id, or else of this name."""
        agents = self.agents()
        by_id = next((one for one in agents if one.id == name_or_id), None)
        return by_id or next((one for one in agents if one.name == name_or_id), None)

    def offered(self, known: KnownAgent, also: Iterable[str] = ()) -> Sequence[Tool]:
        """What an agent may use beside what its program has given it; ``also`` names tools of the workspace."""
        named = () if known.record is None else known.record.tools
        return self.catalogue.offered(known.id, (*named, *also))

    def dressed(self, agent: Agent) -> Agent:
        """The agent of a new call, with what was said of it from outside, where its program says nothing."""
        known = None if agent.name is None else self.agent(agent.name)
        if known is None:
            return agent
        prompt, first = agent.system_prompt, agent.first_message
        if known.record is not None:
            prompt, first = prompt or known.record.system_prompt, first or known.record.first_message
        return replace(
            agent,
            system_prompt=prompt,
            first_message=first,
            knowledge=self.knowledge.of(known.id) if agent.knowledge is None else agent.knowledge,
            variables={**self.hub.variables(known.name), **agent.variables},
        )

    def shelf(self, agent: Agent, call_id: Callable[[], str]) -> Shelf | None:
        """The tools from outside for one call of an agent; an agent without a name has none."""
        if agent.name is None or (known := self.agent(agent.name)) is None:
            return None
        return _CallShelf(self, known.id, known.name, call_id)

    def overheard(self, agent: Agent, sink: EventSink | None) -> EventSink | None:
        """The sink of a call's progress events, with the clients of its agent listening in."""
        known = None if agent.name is None else self.agent(agent.name)
        if known is None:
            return sink

        def tell(event: dict[str, Any]) -> None:
            self.hub.heard(known.name, event)
            if sink is not None:
                sink(event)

        return tell


@dataclass(frozen=True, slots=True)
class _CallShelf:
    workspace: Workspace
    id: str
    name: str
    call_id: Callable[[], str]

    @property
    def version(self) -> object:
        return self.workspace.catalogue.version, self.workspace.hub.version

    def tools(self) -> Sequence[Tool]:
        workspace, call_id = self.workspace, self.call_id()
        known = self._agent()
        name = self.name if known is None else known.name
        inline = workspace.hub.inline(name, call_id)
        return inline if known is None else (*workspace.offered(known, workspace.hub.named(name, call_id)), *inline)

    async def ask(self, tool: Tool, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        limit_ms = tool.limit_ms
        assert limit_ms is not None, "a custom_websocket has a time limit"
        known = self._agent()
        name = self.name if known is None else known.name
        return await self.workspace.hub.ask(name, tool, arguments, context, limit_s=limit_ms / 1000)

    def _agent(self) -> KnownAgent | None:
        """The agent, though it may have got another name, or another id when the store took it over."""
        return self.workspace.agent(self.id) or self.workspace.agent(self.name)
