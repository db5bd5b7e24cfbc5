"""The agents: those of the store, which can be changed, and those that the program defines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from patter.errors import StoreError, WriteUncertain
from patter.server.rest.bodies import AgentChange, AgentCreate, moment, read
from patter.server.rest.endpoint import Answer, Endpoint, Visit
from patter.server.rest.errors import ApiError, invalid
from patter.store.base import AgentRecord
from patter.workspace import KnownAgent

__all__ = ["ENDPOINTS"]


async def list_agents(visit: Visit) -> Answer:
    await visit.site.workspace.catalogue.look()
    agents = visit.site.workspace.agents()
    return Answer([_shown(one) for one in agents if visit.key.sees(one.id, one.name)])


async def get_agent(visit: Visit) -> Answer:
    await visit.site.workspace.catalogue.look()
    return Answer(_shown(visit.agent()))


async def create_agent(visit: Visit) -> Answer:
    visit.check_unlimited()
    body = read(AgentCreate, visit.given)
    site = visit.site
    await site.workspace.catalogue.refresh()
    _check_tools(visit, body.tools)
    await _check_free(visit, body.name)
    now = datetime.now(UTC)
    record = await site.workspace.store.create_agent(
        AgentRecord(id=str(uuid4()), created_at=now, updated_at=now, **body.changes)
    )
    await site.written()
    return Answer(_shown(KnownAgent(record.id, record.name, record, None)), f"/agents/{record.id}")


async def change_agent(visit: Visit) -> Answer:
    site = visit.site
    await site.workspace.catalogue.refresh()
    known = _changeable(visit)
    body = read(AgentChange, visit.given)
    if "tools" in body.changes:
        _check_tools(visit, body.tools)
    if body.changes.get("name", known.name) != known.name:
        await _check_free(visit, body.name)
    record = await site.workspace.store.update_agent(known.id, lambda old: replace(old, **body.changes))
    await site.written()
    if record is None:
        raise ApiError("NOT_FOUND", "There is no such agent.")
    site.workspace.hub.rename(known.name, record.name)
    return Answer(_shown(KnownAgent(record.id, record.name, record, None)))


async def delete_agent(visit: Visit) -> Answer:
    site = visit.site
    await site.workspace.catalogue.refresh()
    known = _changeable(visit)
    # First what would be left behind: if that fails, the request can be repeated.
    documents = await site.workspace.knowledge.documents(agent=known.id)
    try:
        for document in documents:
            await site.workspace.knowledge.remove(document.id, agent=known.id)
        is_gone = await site.workspace.store.delete_agent(known.id)
    except StoreError as error:
        raise (WriteUncertain(str(error)) if documents else error) from None
    await site.written()
    if not is_gone:
        raise ApiError("NOT_FOUND", "There is no such agent.")
    return Answer()


def _changeable(visit: Visit) -> KnownAgent:
    known = visit.agent()
    if known.record is None:
        raise ApiError("CONFLICT", "The phone's own program defines this agent. Change it there.")
    return known


def _check_tools(visit: Visit, names: Iterable[str]) -> None:
    for place, name in enumerate(names):
        if visit.site.workspace.catalogue.tool(None, name) is None:
            raise invalid(f"tools.{place}", "the workspace has no tool of this name; create it first")


async def _check_free(visit: Visit, name: str) -> None:
    known = visit.site.workspace.agent(name)
    if known is None or known.record is not None:
        return  # what the store holds is its own affair
    if not known.is_open:
        raise ApiError("CONFLICT", f"The phone's own program defines an agent named {known.name}.")
    workspace = visit.site.workspace
    if workspace.catalogue.tools(known.id) or await workspace.knowledge.documents(agent=known.id):
        problem = f"The program's agent {known.name} has tools or documents already. Delete them first."
        raise ApiError("CONFLICT", problem)


def _shown(known: KnownAgent) -> dict[str, Any]:
    record = known.record
    told = record or known.agent
    return {
        "id": known.id,
        "name": known.name,
        "system_prompt": None if told is None else told.system_prompt,
        "first_message": None if told is None else told.first_message,
        "tools": [] if record is None else list(record.tools),
        "is_read_only": record is None,
        "created_at": None if record is None else moment(record.created_at),
        "updated_at": None if record is None else moment(record.updated_at),
    }


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/agents",
        act=list_agents,
        summary="List the agents that the key may see",
        permission="agents:read",
        gives="[Agent]",
    ),
    Endpoint(
        method="POST",
        path="/agents",
        act=create_agent,
        summary="Create an agent",
        permission="agents:write",
        takes="AgentCreate",
        gives="Agent",
        status=201,
        refusals=("CONFLICT",),
    ),
    Endpoint(
        method="GET",
        path="/agents/{agent}",
        act=get_agent,
        summary="Show an agent",
        permission="agents:read",
        gives="Agent",
    ),
    Endpoint(
        method="PATCH",
        path="/agents/{agent}",
        act=change_agent,
        summary="Change an agent; null takes a text away",
        permission="agents:write",
        takes="AgentChange",
        gives="Agent",
        refusals=("CONFLICT",),
    ),
    Endpoint(
        method="DELETE",
        path="/agents/{agent}",
        act=delete_agent,
        summary="Delete an agent, its tools and its documents",
        permission="agents:write",
        status=204,
        refusals=("CONFLICT",),
    ),
)
