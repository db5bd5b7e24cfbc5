"""The tools of a call that belong to others than its program: they come, change and go while the call goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from patter.tools.context import ToolContext
    from patter.tools.model import Tool

__all__ = ["Shelf"]


class Shelf(Protocol):
    """What one call finds there. Reading it never waits."""

    @property
    def version(self) -> object:
        """Another value whenever `tools` may have changed."""

    def tools(self) -> Sequence[Tool]:
        """What is there now."""

    async def ask(self, tool: Tool, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        """Let a connected program carry a tool out; its output.

        Raises:
            ToolRefusal: no program does, or it could not.
        """
