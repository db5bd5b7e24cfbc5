"""The tools of others in one call: they come beside the agent's own, and never replace one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING

from anyio.abc import TaskGroup

from patter.tools.runner import ToolRunner

if TYPE_CHECKING:
    from patter.tools.model import Tool
    from patter.tools.shelf import Shelf

__all__ = ["Borrowed"]


class Borrowed:
    """Keeps what a shelf has in the runner of a call.

    Args:
        shelf: where they are.
        runner: where they are carried out.
        own: names that are taken, read at every update.
        expand: gives the tools of an MCP server.
    """

    def __init__(
        self,
        shelf: Shelf,
        runner: ToolRunner,
        *,
        own: Collection[str],
        expand: Callable[[Tool], Awaitable[Sequence[Tool]]],
    ) -> None:
        self._shelf = shelf
        self._runner = runner
        self._own = own
        self._expand = expand
        self._version: object = None
        self._tools: dict[str, Tool] = {}
        self._members: dict[str, list[str]] = {}
        """Under which names each of them stands in the runner; an MCP server has many."""

    def update(self, tasks: TaskGroup) -> None:
        """Take over what has changed. The tools of a new MCP server follow in the background."""
        if self._shelf.version == self._version:
            return
        self._version = self._shelf.version
        found = {tool.exported_name: tool for tool in self._shelf.tools() if tool.name not in self._own}
        before, self._tools = self._tools, found
        for name, tool in before.items():
            if found.get(name) is not tool:
                for member in self._members.pop(name, ()):
                    self._runner.unregister(member)
        for name, tool in found.items():
            if before.get(name) is tool:
                continue
            if tool.tool_type == "mcp":
                tasks.start_soon(self._take_server, name, tool)
            else:
                self._register(name, [tool])

    async def _take_server(self, name: str, server: Tool) -> None:
        tools = await self._expand(server)
        if self._tools.get(name) is server:
            self._register(name, tools)

    def _register(self, name: str, tools: Sequence[Tool]) -> None:
        for tool in tools:
            self._runner.register(tool)
        self._members[name] = [tool.exported_name for tool in tools]
