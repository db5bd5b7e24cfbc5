"""What a store of agents and tools is, and the record of an agent. Whoever implements it decides where they live."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from patter.tools.model import Tool

__all__ = ["AgentRecord", "Holdings", "ToolStore", "agent_id"]

_AGENTS = uuid.UUID("6c0f4f52-6f0e-4a37-9d0e-4d1f0c6f2b11")


def agent_id(name: str) -> str:
    """The id of an agent that a program defines: the same in every process, because it follows from the name."""
    return str(uuid.uuid5(_AGENTS, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRecord:
    """An agent that the store holds.

    Args:
        id: a UUID.
        name: 1 to 100 characters of ``A-Z a-z 0-9 _ -``; no other agent has it.
        system_prompt: what it is and what it wants, at most 50,000 characters.
        first_message: the first thing it says, at most 2,000 characters.
        tools: names of tools of the workspace that it may use beside its own.
    """

    id: str
    name: str
    system_prompt: str | None = None
    first_message: str | None = None
    tools: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that a store holds, at one moment.

    Args:
        version: another number after every change.
        agents: the oldest first.
        tools: those of agents, and those of the workspace, whose ``agent_id`` is None; the oldest first.
    """

    version: int
    agents: tuple[AgentRecord, ...] = ()
    tools: tuple[Tool, ...] = ()


class ToolStore(Protocol):
    """Agents and tools that outlive a call. A change that was answered is written; one that raises changed nothing,
    unless it raises `patter.errors.WriteUncertain`.

    Every method may be called from any loop, and may raise `patter.errors.StoreError`. An ``agent`` is the id of an
    agent, of the store or of the program, or None for the workspace.
    """

    async def version(self) -> int:
        """Another number after every change, whoever made it."""

    async def read(self) -> Holdings:
        """Everything, at one moment."""

    async def create_agent(self, record: AgentRecord) -> AgentRecord:
        """Keep a new agent.

        Raises:
            NameTaken: there is an agent of that name.
        """

    async def update_agent(self, id_: str, change: Callable[[AgentRecord], AgentRecord]) -> AgentRecord | None:
        """Replace an agent by what ``change`` makes of it; None if there is no such agent. What it raises is raised.

        Raises:
            NameTaken: another agent has the new name.
        """

    async def delete_agent(self, id_: str) -> bool:
        """Forget an agent and its tools. False if there is no such agent."""

    async def create_tool(self, tool: Tool) -> Tool:
        """Keep a new tool of ``tool.agent_id``; it comes back with ``id``, ``created_at`` and ``updated_at``.

        Raises:
            NameTaken: the agent, or the workspace, has a tool of that name.
        """

    async def update_tool(self, agent: str | None, id_: str, change: Callable[[Tool], Tool]) -> Tool | None:
        """Replace a tool by what ``change`` makes of it; None if the agent has no such tool.

        Raises:
            NameTaken: another tool of the agent has the new name.
        """

    async def delete_tool(self, agent: str | None, id_: str) -> bool:
        """Forget a tool. False if the agent has no such tool."""

    async def close(self) -> None:
        """Let go of files and connections. What was in memory alone is gone."""
