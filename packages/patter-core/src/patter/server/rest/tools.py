"""The tools of an agent."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

import anyio.to_thread

from patter.errors import ConfigError
from patter.server.rest.bodies import TrialCreate, read
from patter.server.rest.endpoint import MANY, Answer, Endpoint, Visit
from patter.server.rest.errors import ApiError, invalid
from patter.server.rest.tool_bodies import changed_tool, new_tool, shown
from patter.tools.model import Tool
from patter.tools.trial import check_trial
from patter.workspace import KnownAgent

__all__ = ["ENDPOINTS", "id_of", "not_found", "told"]


async def list_tools(visit: Visit) -> Answer:
    await visit.site.workspace.catalogue.look()
    tools = visit.site.workspace.catalogue.tools(visit.agent().id)
    # The catalogue has them in the order in which they were created.
    return Answer(await told(sorted(tools, key=lambda tool: tool.priority), shown))


async def get_tool(visit: Visit) -> Answer:
    await visit.site.workspace.catalogue.look()
    known = visit.agent()
    tool = visit.site.workspace.catalogue.tool(known.id, visit.path["tool"])
    if tool is None:
        raise not_found()
    return Answer(shown(tool))


async def create_tool(visit: Visit) -> Answer:
    site = visit.site
    await site.workspace.catalogue.refresh()
    known = visit.agent()
    tool = await visit.make(partial(new_tool, visit.given, agent=known.id, allow_hosts=site.allow_hosts))
    _check_free(known, tool.name)
    kept = await site.workspace.store.create_tool(tool)
    await site.written()
    if known.record is not None and site.workspace.agent(known.id) is None:  # it was deleted meanwhile
        await site.workspace.store.delete_tool(known.id, str(kept.id))
        await site.written()
        raise ApiError("NOT_FOUND", "There is no such agent.")
    return Answer(shown(kept), f"/agents/{known.id}/tools/{kept.id}")


async def change_tool(visit: Visit) -> Answer:
    site = visit.site
    await site.workspace.catalogue.refresh()
    known = visit.agent()

    def change(old: Tool) -> Tool:  # in a thread
        new = changed_tool(old, visit.given, allow_hosts=site.allow_hosts)
        if new.name != old.name:
            _check_free(known, new.name)
        return new

    kept = await site.workspace.store.update_tool(known.id, id_of(visit, known.id), change)
    await site.written()
    if kept is None:
        raise not_found()
    return Answer(shown(kept))


async def delete_tool(visit: Visit) -> Answer:
    await visit.site.workspace.catalogue.refresh()
    known = visit.agent()
    is_gone = await visit.site.workspace.store.delete_tool(known.id, id_of(visit, known.id))
    await visit.site.written()
    if not is_gone:
        raise not_found()
    return Answer()


async def test_tool(visit: Visit) -> Answer:
    site = visit.site
    await site.workspace.catalogue.refresh()
    known = visit.agent()
    tool = _tool_of(visit, known)
    body = read(TrialCreate, visit.given)
    try:
        check_trial(tool)
    except ConfigError:
        raise invalid("tool", "it acts on a call, and here is none; try it in a call of Patter.local()") from None
    context = {name: value for name, value in body.context.changes.items() if value is not None}
    outcome = await site.try_tool(known, tool, body.arguments, context)
    told = {"output": outcome.output, "is_error": outcome.is_error, "reason": outcome.reason}
    return Answer(told | {"duration_ms": round(outcome.duration_ms, 1)})


async def told(tools: Any, shape: Any) -> list[dict[str, Any]]:
    """The shapes of tools."""
    if len(tools) <= MANY:
        return [shape(tool) for tool in tools]
    return await anyio.to_thread.run_sync(lambda: [shape(tool) for tool in tools])


def id_of(visit: Visit, agent: str | None) -> str:
    """The id of the tool of the path, by which the store knows it.

    Raises:
        ApiError: there is no such tool.
    """
    wanted = visit.path["tool"]
    tool = visit.site.workspace.catalogue.tool(agent, wanted)
    if tool is not None:
        return str(tool.id)
    try:
        return str(UUID(wanted))  # one that cannot be read can still be deleted
    except ValueError:
        raise not_found() from None


def not_found() -> ApiError:
    """There is no such tool."""
    return ApiError("NOT_FOUND", "There is no such tool.")


def _tool_of(visit: Visit, known: KnownAgent) -> Tool:
    """A tool of the store that the agent may use. What its program has given it is the program's to try."""
    wanted = visit.path["tool"]
    for tool in visit.site.workspace.offered(known):
        if wanted in (str(tool.id), tool.name):
            return tool
    raise not_found()


def _check_free(known: KnownAgent, name: str) -> None:
    if any(tool.name == name for tool in known.tools):
        raise ApiError("CONFLICT", f"The phone's own program gives this agent a tool named {name}.")


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/agents/{agent}/tools",
        act=list_tools,
        summary="List the tools of an agent, by priority and age",
        permission="tools:read",
        gives="[Tool]",
    ),
    Endpoint(
        method="POST",
        path="/agents/{agent}/tools",
        act=create_tool,
        summary="Create a tool of an agent",
        permission="tools:write",
        takes="ToolCreate",
        gives="Tool",
        status=201,
        refusals=("CONFLICT",),
    ),
    Endpoint(
        method="GET",
        path="/agents/{agent}/tools/{tool}",
        act=get_tool,
        summary="Show a tool of an agent",
        permission="tools:read",
        gives="Tool",
    ),
    Endpoint(
        method="PATCH",
        path="/agents/{agent}/tools/{tool}",
        act=change_tool,
        summary="Change a tool of an agent; config is merged key by key, and null resets a key",
        permission="tools:write",
        takes="ToolChange",
        gives="Tool",
        refusals=("CONFLICT",),
    ),
    Endpoint(
        method="DELETE",
        path="/agents/{agent}/tools/{tool}",
        act=delete_tool,
        summary="Delete a tool of an agent",
        permission="tools:write",
        status=204,
    ),
    Endpoint(
        method="POST",
        path="/agents/{agent}/tools/{tool}/test",
        act=test_tool,
        summary="Carry a tool out without a call, for real",
        permission="tools:write",
        takes="TrialCreate",
        gives="Trial",
    ),
)
