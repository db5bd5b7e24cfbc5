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
        own: exported names that are the agent's, read at every update.
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
        self._members: dict[str, list[Tool]] = {}
        """What of each of them stands in the runner; an MCP server has many tools there."""

    def update(self, tasks: TaskGroup) -> None:
        """Take over what has changed. The tools of a new MCP server follow in the background."""
        if self._shelf.version == self._version:
            return
        self._version = self._shelf.version
        before, self._tools = self._tools, self._found()
        for name, tool in before.items():
            if self._tools.get(name) is not tool:
                for member in self._members.pop(name, ()):
                    self._runner.unregister(member.exported_name, member)
        for name, tool in self._tools.items():
            if tool.tool_type != "mcp":
                if not self._members.get(name):
                    self._register(name, [tool])
            elif before.get(name) is not tool:
                tasks.start_soon(self._take_server, name, tool)

    def _found(self) -> dict[str, Tool]:
        """What the shelf has, by exported name; of two of one name, the one that has it already, or else the first."""
        found: dict[str, Tool] = {}
        for tool in self._shelf.tools():
            name = tool.exported_name
            if name not in self._own and (name not in found or _is_same(tool, self._tools.get(name))):
                found[name] = tool
        return found

    async def _take_server(self, name: str, server: Tool) -> None:
        tools = await self._expand(server)
        if self._tools.get(name) is server:
            self._register(name, tools)

    def _register(self, name: str, tools: Sequence[Tool]) -> None:
        """Offer those whose name nobody has: it may be the agent's own, or of another server."""
        self._members[name] = free = [tool for tool in tools if not self._runner.has(tool.exported_name)]
        for tool in free:
            self._runner.register(tool)


def _is_same(tool: Tool, before: Tool | None) -> bool:
    """True if it is the very tool that was there before, or what has become of it."""
    return before is not None and (tool is before or (tool.id is not None and tool.id == before.id))
