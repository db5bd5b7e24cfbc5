"""What a phone serves beside the carrier's addresses, to people and programs that own its agents' tools."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from starlette.routing import BaseRoute, Mount, WebSocketRoute

from patter.server.rest.app import build_api
from patter.server.rest.gate import Gate
from patter.server.rest.keys import Keys
from patter.server.rest.site import TryTool
from patter.server.tool_admission import LiveCalls
from patter.server.tool_socket import MAX_MESSAGE_BYTES, tool_socket
from patter.workspace import Workspace

__all__ = ["MAX_MESSAGE_BYTES", "api_routes"]


def api_routes(
    calls: LiveCalls,
    workspace: Workspace,
    *,
    keys: Mapping[str, Any] | None,
    rate_limit: str | None,
    allow_hosts: Collection[str],
    try_tool: TryTool | None = None,
) -> list[BaseRoute]:
    """``/v1``: the REST API, and ``/v1/tools/ws`` (also ``/v1/sts/ws``), where programs offer tools.

    Raises:
        ConfigError: a key or the rate limit is malformed.
    """
    known = Keys(keys)
    socket = tool_socket(calls, workspace, Gate(known, None))
    api = build_api(workspace, known, rate_limit=rate_limit, allow_hosts=allow_hosts, try_tool=try_tool)
    mount = Mount("/v1", api)
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)  # what is asked for may hold a line break
    return [
        WebSocketRoute("/v1/tools/ws", socket),
        WebSocketRoute("/v1/sts/ws", socket),
        mount,
    ]
