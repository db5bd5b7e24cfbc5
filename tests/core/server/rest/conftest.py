"""The API over a store in memory, asked without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from patter.agent import Agent
from patter.server.api import api_routes
from patter.server.rest.keys import PERMISSIONS
from patter.store.knowledge import SqliteKnowledge
from patter.store.sql import SqlStore
from patter.workspace import Workspace

ALL = {"permissions": list(PERMISSIONS)}


class Silent:
    """Ears, mind and voice of an agent that nobody calls."""

    model = "nobody/nothing"

    def open(self) -> None: ...

    def stream(self) -> None: ...


class NoCalls:
    """No call goes on."""

    def live(self, call_id: str) -> None:
        return None


class Api:
    """A server's API and a client of it, which holds the key ``all``."""

    def __init__(self, keys: Mapping[str, Any], store: Any, **options: Any) -> None:
        self.knowledge = SqliteKnowledge()
        self.workspace = Workspace(store or SqlStore(), self.knowledge)
        options = {"keys": {"all": ALL, **keys}, "rate_limit": None, "allow_hosts": (), **options}
        self.app = Starlette(routes=api_routes(NoCalls(), self.workspace, **options))

    async def ask(self, method: str, path: str, body: Any = None, *, key: str | None = "all", **options: Any) -> Any:
        """The answer; a body is sent as JSON."""
        headers = ({} if key is None else {"X-API-Key": key}) | options.pop("headers", {})
        if body is not None:
            options["json"] = body
        address = options.pop("address", "203.0.113.9")
        transport = httpx2.ASGITransport(app=self.app, client=(address, 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://phone.example/v1") as client:
            return await client.request(method, path, headers=headers, **options)

    async def made(self, path: str, **body: Any) -> Any:
        """What a POST has created."""
        answer = await self.ask("POST", path, body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def programmed(self, name: str, **fields: Any) -> Any:
        """An agent that the phone's own program defines."""
        agent: Any = Agent(stt=Silent(), llm=Silent(), tts=Silent(), name=name, **fields)  # type: ignore[arg-type]
        self.workspace.introduce(agent)
        return agent


@pytest.fixture
async def make_api() -> AsyncIterator[Callable[..., Api]]:
    """Makes an API; ``store`` and ``keys`` may be given, and the options of `api_routes`."""
    made: list[Api] = []

    def make(*, keys: Mapping[str, Any] | None = None, store: Any = None, **options: Any) -> Api:
        made.append(Api(keys or {}, store, **options))
        return made[-1]

    yield make
    for api in made:
        api.knowledge.close()
        await api.workspace.store.close()


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """One without limits."""
    return make_api()
