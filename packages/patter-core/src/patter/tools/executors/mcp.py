"""The mcp tool: stands for all tools of an MCP server, each of which becomes a tool of the agent."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import anyio

from patter.tools.executors.filling import fill_headers, filling
from patter.tools.exporters import exported_name
from patter.tools.mcp.connection import McpFailure, Offer, Place
from patter.tools.model import Tool
from patter.tools.refusals import ToolRefusal
from patter.tools.schema_limits import check_parameters
from patter.tools.variables import RequestScope, Variables

if TYPE_CHECKING:
    from patter.tools.configs import McpConfig
    from patter.tools.mcp.servers import McpServers
    from patter.tools.model import Handler, ToolContext

__all__ = ["McpServices", "McpTool", "bind", "expand"]

logger = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
_NAME_CHARS = 100
_DESCRIPTION_CHARS = 2000


class McpServices(Protocol):
    """What the executor needs of a call."""

    @property
    def mcp(self) -> McpServers:
        """The servers of the phone."""

    @property
    def secrets(self) -> Mapping[str, str]:
        """What headers may name; nothing else has a value there, for the phone's calls share a session."""


class McpTool(Tool):
    """One tool of a server. Only `expand` makes it; ``remote_name`` is what the server calls it."""

    remote_name: str


async def expand(tool: Tool, services: McpServices, *, taken: Callable[[], Collection[str]] = tuple) -> list[McpTool]:
    """The tools of a server; time limits, priority and the like are those of the mcp tool that stands for them.

    Never raises for what the server does: one that cannot be reached has no tools, and the log says so.

    Args:
        tool: of type ``mcp``.
        services: those of the call.
        taken: gives the exported names of other tools, once the server has answered. A server's tool of such a name
            gets the mcp tool's name before its own.
    """
    config = cast("McpConfig", tool.config)
    try:
        offered = await services.mcp.tools(_reach(tool, services)[0])
    except ToolRefusal:
        return []
    except McpFailure as failure:
        logger.warning("Tool %s: the MCP server has no tools now, %s. Start it by hand to see why.", tool.name, failure)
        return []
    expanded: list[McpTool] = []
    names = set(taken())
    for one in offered:
        if config.allowed_tools is not None and one.name not in config.allowed_tools:
            continue
        if not _is_schema(one.schema):
            logger.warning(
                "Tool %s: %.60s is left out, its arguments have no JSON Schema that can be used.", tool.name, one.name
            )
            continue
        expanded.append(_own(tool, one, names))
        names.add(expanded[-1].exported_name)
    return expanded


def bind(tool: Tool, services: McpServices) -> Handler:
    """The handler that uses one tool of a server.

    Args:
        tool: one that `expand` gave.
        services: those of the call.

    Returns:
        The handler. Its result is the structured content, or else the text, or else ``{"status": "ok"}``.
    """
    name = cast("McpTool", tool).remote_name
    place, scope = _reach(tool, services)
    timeout_s = tool.timeout_ms / 1000 if tool.timeout_ms else _TIMEOUT_S

    async def use(arguments: dict[str, Any], context: ToolContext) -> Any:
        try:
            with anyio.fail_after(timeout_s):
                result = await services.mcp.call(place, name, arguments)
        except TimeoutError:
            raise ToolRefusal("timeout") from None
        except McpFailure as failure:
            logger.warning("Tool %s: %s.", tool.name, failure)
            raise ToolRefusal("handler_error") from failure
        if result.get("isError"):
            raise ToolRefusal("handler_error")
        return scope.conceal(_value(result))

    return use


def _reach(tool: Tool, services: McpServices) -> tuple[Place, RequestScope]:
    """Where the server is, and what takes the secrets that were sent to it out of its results."""
    config = cast("McpConfig", tool.config)
    scope = RequestScope(Variables(), {}, declared=(), secrets=services.secrets)
    with filling(tool.name):
        return Place(config.command, config.url, tuple(fill_headers(config.headers.items(), scope))), scope


def _own(tool: Tool, offer: Offer, taken: Collection[str]) -> McpTool:
    """The agent's tool that stands for one of the server's."""
    name = plain = re.sub(r"[^A-Za-z0-9_-]", "_", offer.name)[:_NAME_CHARS] or "tool"
    if exported_name(name) in taken:
        name = plain = f"{tool.name[:40]}_{plain}"[:_NAME_CHARS]
    number = 2
    while exported_name(name) in taken:
        name = f"{plain[: _NAME_CHARS - 4]}_{number}"
        number += 1
    own = {
        "id": None,
        "name": name,
        "description": offer.description.strip()[:_DESCRIPTION_CHARS] or tool.description,
        "parameters": {**offer.schema, "properties": offer.schema.get("properties", {})},
        "remote_name": offer.name,
    }
    # Not checked again: no mcp tool that a host writes may have parameters of its own.
    return McpTool.model_construct(**(dict(tool) | own))


def _value(result: Mapping[str, Any]) -> Any:
    if (structured := result.get("structuredContent")) is not None:
        return structured
    return "\n".join(filter(None, map(_text, result.get("content", ())))) or {"status": "ok"}


def _text(block: Mapping[str, Any]) -> str:
    """A block of content as text; of what cannot be read aloud, its kind."""
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text", ""))
    if kind == "resource" and "text" in (resource := block.get("resource", {})):
        return str(resource["text"])
    if kind == "resource_link":
        return f"{block.get('title') or block.get('name', '')}: {block.get('uri', '')}"
    return f"[{kind}]"


def _is_schema(schema: Mapping[str, Any]) -> bool:
    try:
        check_parameters(schema)
    except ValueError:
        return False
    return True
