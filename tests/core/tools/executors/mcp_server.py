"""An MCP server for the tests, made with the SDK: of mcp 1.x or 2.x, whichever is there. Run it for stdio."""

from __future__ import annotations

import os
from typing import Any

import anyio
from mcp.types import EmbeddedResource, ImageContent, ResourceLink, TextContent, TextResourceContents

try:
    from mcp.server.mcpserver import Context, MCPServer
except ImportError:
    from mcp.server.fastmcp import Context
    from mcp.server.fastmcp import FastMCP as MCPServer

_used = 0


def build() -> MCPServer:
    server = MCPServer("orders", log_level="ERROR")

    @server.tool(description="Adds two numbers.")
    def add(first: int, second: int = 1) -> dict[str, int]:
        return {"sum": first + second}

    @server.tool(name="greet.politely", structured_output=False)
    def greet(name: str) -> str:
        return f"Good day, {name}."

    @server.tool(structured_output=False)
    def say_nothing() -> None:
        return None

    @server.tool(structured_output=False)
    def mixed() -> list[Any]:
        note = TextResourceContents.model_validate({"uri": "note:1", "mimeType": "text/plain", "text": "a note"})
        return [
            TextContent(type="text", text="a text"),
            ImageContent.model_validate({"type": "image", "data": "aGk=", "mimeType": "image/png"}),
            EmbeddedResource(type="resource", resource=note),
            ResourceLink.model_validate({"type": "resource_link", "name": "more", "uri": "note:2"}),
        ]

    @server.tool(structured_output=False)
    def who() -> str:
        global _used
        _used += 1
        return f"{os.getpid()} {_used}"

    @server.tool(structured_output=False)
    def authorization(context: Context) -> str:  # type: ignore[type-arg]
        request = context.request_context.request
        return "none" if request is None else request.headers.get("authorization", "none")

    @server.tool()
    def fail() -> str:
        raise RuntimeError("the password is hunter2")

    @server.tool()
    def die() -> str:
        os._exit(3)

    @server.tool(structured_output=False)
    def much(size: int) -> str:
        return "x" * size

    @server.tool()
    async def wait(seconds: float) -> str:
        await anyio.sleep(seconds)
        return "done"

    return server


if __name__ == "__main__":
    build().run()
