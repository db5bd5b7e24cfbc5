"""An MCP server written out by hand, for what the SDK's servers do not do. Its argument says what is odd about it."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

SCHEMA = {"type": "object", "properties": {}}


def tool(name: str, schema: Any = None) -> dict[str, Any]:
    return {"name": name, "inputSchema": schema or SCHEMA}


def answer(odd: str, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    if method == "initialize":
        info = {"name": "odd", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list" and odd == "pages":
        page = int(params.get("cursor", "0"))
        return {"tools": [tool(f"tool{page}")]} | ({"nextCursor": str(page + 1)} if page < 3 else {})
    if method == "tools/list":
        broken = tool("broken", {"type": "object", "properties": {"a": {"type": "nonsense"}}})
        return {"tools": [tool("a"), broken, tool("a/b"), tool("a b"), tool("x" * 120), tool("x" * 119)]}
    if method == "tools/call":
        time.sleep(params["arguments"].get("seconds", 0))
        return {"content": [{"type": "text", "text": str(os.getpid())}]}
    return None


def main(odd: str) -> None:
    if odd == "mute":
        time.sleep(60)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = answer(odd, message["method"], message.get("params") or {})
        body = {"result": result} if result is not None else {"error": {"code": -32601, "message": "no such method"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"]} | body), flush=True)  # noqa: T201 - the wire


if __name__ == "__main__":
    main(sys.argv[1])
