"""The custom_websocket tool: a program that is connected to the phone carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from patter.tools.refusals import ToolRefusal

if TYPE_CHECKING:
    from patter.tools.model import Handler, Tool, ToolContext
    from patter.tools.shelf import Shelf

__all__ = ["RemoteServices", "bind"]


class RemoteServices(Protocol):
    """What the executor needs of a call."""

    @property
    def shelf(self) -> Shelf | None:
        """Who reaches the programs; None reaches nobody."""


def bind(tool: Tool, services: RemoteServices) -> Handler:
    """The handler that asks whichever client offers the tool; its result is the client's output."""

    async def ask(arguments: dict[str, Any], context: ToolContext) -> Any:
        if services.shelf is None:
            raise ToolRefusal("shutdown")
        return await services.shelf.ask(tool, arguments, context)

    return ask
