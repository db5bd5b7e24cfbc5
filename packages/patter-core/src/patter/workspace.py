"""What people and programs outside own of a phone's agents: the store's agents and tools, and the tools of clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patter.agent import Agent
from patter.store.base import AgentRecord, ToolStore, agent_id
from patter.store.catalogue import Catalogue

if TYPE_CHECKING:
    from patter.store.knowledge import KnowledgeBase
    from patter.tools.model import Tool

__all__ = ["KnownAgent", "Workspace"]


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
    def tools(self) -> Sequence[Tool]:
        """The tools that the program has given it."""
        return () if self.agent is None else self.agent.tools


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
        self._programmed: dict[str, Agent] = {}

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
        """The agent of this name or this id."""
        return next((one for one in self.agents() if name_or_id in (one.id, one.name)), None)

    def offered(self, known: KnownAgent) -> Sequence[Tool]:
        """What an agent may use beside what its program has given it."""
        return self.catalogue.offered(known.id, () if known.record is None else known.record.tools)

    def dressed(self, agent: Agent) -> Agent:
        """The agent with what the store says of it, where the program says nothing."""
        known = None if agent.name is None else self.agent(agent.name)
        if known is None:
            return agent
        record = known.record
        knowledge = self.knowledge.of(known.id) if agent.knowledge is None else agent.knowledge
        if record is None:
            return replace(agent, knowledge=knowledge)
        return replace(
            agent,
            system_prompt=agent.system_prompt or record.system_prompt,
            first_message=agent.first_message or record.first_message,
            knowledge=knowledge,
        )
