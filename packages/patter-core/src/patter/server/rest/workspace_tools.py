"""The tools of the workspace, which agents use by name: Phonic's predefined tools for clients on a websocket."""

from __future__ import annotations

from typing import Any

from patter.errors import ConfigError
from patter.server.rest.bodies import WorkspaceToolChange, WorkspaceToolCreate, moment, read, wrong
from patter.server.rest.endpoint import Answer, Endpoint, Visit
from patter.server.rest.errors import ApiError, invalid
from patter.server.rest.tool_bodies import shown
from patter.server.rest.tools import id_of, not_found, told
from patter.tools.model import Tool
from patter.tools.shapes import settings_of, to_wire

__all__ = ["ENDPOINTS"]

_WAIT = "tool_call_output_timeout_ms"


async def list_workspace_tools(visit: Visit) -> Answer:
    visit.check_unlimited()
    await visit.site.workspace.catalogue.look()
    return Answer(await told(visit.site.workspace.catalogue.tools(None), _shown))


async def get_workspace_tool(visit: Visit) -> Answer:
    visit.check_unlimited()
    await visit.site.workspace.catalogue.look()
    tool = visit.site.workspace.catalogue.tool(None, visit.path["tool"])
    if tool is None:
        raise not_found()
    return Answer(_shown(tool))


async def create_workspace_tool(visit: Visit) -> Answer:
    visit.check_unlimited()
    body = await visit.make(lambda: read(WorkspaceToolCreate, visit.given))
    kept = await visit.site.workspace.store.create_tool(await visit.make(lambda: _made(body.changes)))
    await visit.site.written()
    return Answer({"id": str(kept.id), "name": kept.name}, f"/tools/{kept.id}")


async def change_workspace_tool(visit: Visit) -> Answer:
    visit.check_unlimited()
    await visit.site.workspace.catalogue.refresh()
    body = await visit.make(lambda: read(WorkspaceToolChange, visit.given))
    kept = await visit.site.workspace.store.update_tool(
        None, id_of(visit, None), lambda old: _changed(old, body.changes)
    )
    await visit.site.written()
    if kept is None:
        raise not_found()
    return Answer(_shown(kept))


async def delete_workspace_tool(visit: Visit) -> Answer:
    visit.check_unlimited()
    await visit.site.workspace.catalogue.refresh()
    is_gone = await visit.site.workspace.store.delete_tool(None, id_of(visit, None))
    await visit.site.written()
    if not is_gone:
        raise not_found()
    return Answer()


def _made(fields: dict[str, Any]) -> Tool:
    try:
        tool = Tool(**fields)
    except ConfigError as error:
        raise wrong(error.problems) from None
    if tool.name == "end_call":
        raise invalid("name", "end_call is always there")
    return tool


def _changed(old: Tool, change: dict[str, Any]) -> Tool:  # in a thread
    try:
        before = to_wire(old, "phonic")
    except ConfigError:
        raise ApiError(
            "CONFLICT", "The phone's own program made this tool in another shape. Change it there."
        ) from None
    # What this shape cannot say, such as a priority, stays.
    return _made(settings_of(old) | settings_of(_made(before | change)))


def _shown(tool: Tool) -> dict[str, Any]:
    try:
        body = to_wire(tool, "phonic")
    except ConfigError:
        return shown(tool)
    assert tool.created_at is not None and tool.updated_at is not None
    times = {"created_at": moment(tool.created_at), "updated_at": moment(tool.updated_at)}
    return {"id": str(tool.id)} | body | {_WAIT: getattr(tool.config, _WAIT)} | times


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/tools",
        act=list_workspace_tools,
        summary="List the tools of the workspace",
        permission="tools:read",
        gives="[WorkspaceTool]",
    ),
    Endpoint(
        method="POST",
        path="/tools",
        act=create_workspace_tool,
        summary="Create a tool that agents use by its name",
        permission="tools:write",
        takes="WorkspaceToolCreate",
        gives="Created",
        status=201,
        refusals=("CONFLICT",),
    ),
    Endpoint(
        method="GET",
        path="/tools/{tool}",
        act=get_workspace_tool,
        summary="Show a tool of the workspace, by its name or id",
        permission="tools:read",
        gives="WorkspaceTool",
    ),
    Endpoint(
        method="PATCH",
        path="/tools/{tool}",
        act=change_workspace_tool,
        summary="Change a tool of the workspace",
        permission="tools:write",
        takes="WorkspaceToolChange",
        gives="WorkspaceTool",
        refusals=("CONFLICT",),
    ),
    Endpoint(
        method="DELETE",
        path="/tools/{tool}",
        act=delete_workspace_tool,
        summary="Delete a tool of the workspace",
        permission="tools:write",
        status=204,
    ),
)
