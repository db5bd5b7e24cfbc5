"""A server on this machine for the tools that send requests, and what such a tool works with in a call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from patter.testing.emulators.serving import Serving
from patter.tools.context import ToolContext
from patter.tools.safe_http import SafeHttp
from patter.tools.services import CallServices
from patter.tools.variables import Variables


@dataclass
class Visit:
    """A request as it arrived."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class Shop:
    """The server: it answers in the order of ``answers``, with the last one for ever."""

    origin: str = ""
    answers: list[Response] = field(default_factory=lambda: [JSONResponse({"ok": True})])
    visits: list[Visit] = field(default_factory=list)
    http: SafeHttp = field(default_factory=SafeHttp)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        body = await request.body()
        # Starlette's path is decoded already.
        path = scope["raw_path"].decode()
        visit = Visit(request.method, path, request.url.query, request.headers.items(), body)
        self.visits.append(visit)
        await self.answers[min(len(self.visits), len(self.answers)) - 1](scope, receive, send)

    @property
    def visit(self) -> Visit:
        """The only one there was."""
        (visit,) = self.visits
        return visit

    def services(
        self,
        *,
        given: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        webhook_secret: str | None = None,
    ) -> CallServices:
        variables = Variables(given, {"call_id": "call-1", "caller_phone": "+15550001234"})
        return CallServices(variables=variables, http=self.http, secrets=secrets or {}, webhook_secret=webhook_secret)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    async with Serving(shop) as shop.origin:
        shop.http = SafeHttp(allow_hosts=[shop.origin.removeprefix("http://")])
        http = shop.http
        yield shop
        await http.aclose()


@pytest.fixture
def context() -> ToolContext:
    return ToolContext(
        call_id="call-1",
        tool_call_id="use-1",
        tool_name="order_status",
        caller="+15550001234",
        callee="+15551234567",
    )
