"""The API over agents, tools and documents: one table of endpoints, from which its description is made too."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import lru_cache
from secrets import token_hex

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from patter.server.rest import agents, knowledge, tools, workspace_tools
from patter.server.rest.endpoint import Answer, Endpoint, Visit, explained, request_id_of, serve
from patter.server.rest.errors import refuse
from patter.server.rest.gate import Gate
from patter.server.rest.keys import Keys
from patter.server.rest.openapi import describe
from patter.server.rest.rate import DEFAULT_LIMIT
from patter.server.rest.site import Site, TryTool, try_tool_with
from patter.workspace import Workspace

__all__ = ["ENDPOINTS", "build_api"]


async def health(visit: Visit) -> Answer:
    return Answer({"status": "ok"})


async def openapi(visit: Visit) -> Answer:
    return Answer(_described(visit.root))


@lru_cache(maxsize=8)
def _described(root: str) -> bytes:
    """Written once: it is long, and strangers may ask for it."""
    return json.dumps(describe(ENDPOINTS, root)).encode()


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET",
        path="/health",
        act=health,
        summary="Tell that the server answers",
        permission=None,
        gives="Health",
    ),
    Endpoint(
        method="GET",
        path="/openapi.json",
        act=openapi,
        summary="Describe this API",
        permission=None,
        gives="Description",
    ),
    *agents.ENDPOINTS,
    *tools.ENDPOINTS,
    *workspace_tools.ENDPOINTS,
    *knowledge.ENDPOINTS,
)


def build_api(
    workspace: Workspace,
    keys: Keys,
    *,
    rate_limit: str | None = DEFAULT_LIMIT,
    allow_hosts: Collection[str] = (),
    try_tool: TryTool | None = None,
) -> Starlette:
    """The application to mount at ``/v1``.

    Args:
        workspace: what it is about.
        keys: who is let in.
        rate_limit: how often with each key, such as ``60/minute; 1000/hour``; None does not count.
        allow_hosts: hosts with their ports that tools may ask though they are not public; for development.
        try_tool: carries a tool out without a call; None has connections of its own for it.

    Raises:
        ConfigError: rate_limit cannot be read.
    """
    site = Site(workspace, allow_hosts, try_tool or try_tool_with(workspace, allow_hosts))
    gate = Gate(keys, rate_limit)
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    app = Starlette(
        routes=[Route(path, _served(methods, site, gate), methods=[*methods]) for path, methods in by_path.items()],
        middleware=[Middleware(_Named)],
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    return app


def _served(methods: Mapping[str, Endpoint], site: Site, gate: Gate) -> Callable[[Request], Awaitable[Response]]:
    async def served(request: Request) -> Response:
        endpoint = methods["GET" if request.method == "HEAD" else request.method]
        return await serve(endpoint, request, site=site, gate=gate)

    return served


async def _refused(request: Request, error: Exception) -> Response:
    """What starlette itself refuses: an unknown path, or a method that a path has not."""
    return refuse(explained(error, request), request_id_of(request))


class _Named:
    """Gives every request an id, which its answer carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["patter.request_id"] = request_id = f"req_{token_hex(12)}"

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, receive, named)
