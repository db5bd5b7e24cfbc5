"""What the API is about: one phone's workspace, and how its tools are tried out."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from patter.errors import StoreError
from patter.tools.model import Tool
from patter.tools.runner import ToolOutcome
from patter.workspace import KnownAgent, Workspace

if TYPE_CHECKING:
    import httpcore2

__all__ = ["Site", "TryTool", "try_tool_with"]

_log = logging.getLogger("patter")

TryTool = Callable[[KnownAgent, Tool, Mapping[str, Any], Mapping[str, Any]], Awaitable[ToolOutcome]]
"""Carries a tool of an agent out, with these arguments, and with what there is in place of a call: fields of
`patter.tools.trial.Trial`."""


@dataclass(frozen=True, slots=True)
class Site:
    """What endpoints work with.

    Args:
        workspace: what is read and changed.
        allow_hosts: hosts with their ports that tools may ask though they are not public.
        try_tool: carries a tool out.
    """

    workspace: Workspace
    allow_hosts: Collection[str]
    try_tool: TryTool

    async def written(self) -> None:
        """Let running calls see what was written, before it is acknowledged."""
        try:
            await self.workspace.catalogue.refresh()
        except StoreError as error:  # it is written; they see it when the store can be read again
            _log.warning("A change was written, and cannot be read yet. %s", error)


def try_tool_with(
    workspace: Workspace, allow_hosts: Collection[str], *, network: httpcore2.AsyncNetworkBackend | None = None
) -> TryTool:
    """Carries tools out as a call of the agent would, with connections of their own; None is the real network."""

    async def try_tool(
        known: KnownAgent, tool: Tool, arguments: Mapping[str, Any], context: Mapping[str, Any]
    ) -> ToolOutcome:
        from patter.tools.safe_http import SafeHttp
        from patter.tools.trial import Trial, try_out

        trial = Trial() if known.agent is None else Trial.of(known.agent)
        variables = {**trial.variables, **context.get("variables", {})}
        knowledge = workspace.knowledge.of(known.id) if trial.knowledge is None else trial.knowledge
        http = SafeHttp(allow_hosts=allow_hosts, network=network)
        try:
            trial = replace(trial, **{**context, "variables": variables}, knowledge=knowledge)
            return await try_out(tool, arguments, trial, http=http)
        finally:
            await http.aclose()

    return try_tool
