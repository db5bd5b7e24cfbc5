"""An emulator of Anthropic's chat models: messages and the list of models.

::

    async with AnthropicEmulator(scripted(["Hello."])) as anthropic:
        client = AsyncAnthropic(api_key="test-key", base_url=anthropic.base_url, max_retries=0)
"""

from __future__ import annotations

import hmac
import itertools
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from patter.testing.emulators.anthropic_messages import MessageAnswer, error, read_request, refuse
from patter.testing.emulators.chat import ChatRequest, ChatServer, json_reply, write
from patter.testing.emulators.faults import Faults, Refuse
from patter.testing.emulators.minds import Mind, brain
from patter.testing.emulators.sse import Reply

__all__ = ["OVERLOADED", "AnthropicEmulator"]

MODELS = ("claude-haiku-4-5",)

_USUAL = {
    401: "invalid x-api-key",
    402: "Your credit balance is too low to access the API.",
    403: "Your API key does not have permission to use the specified resource.",
    404: "Not found",
    429: "This request would exceed your organization's rate limit.",
    500: "Internal server error",
    529: "Overloaded",
}

OVERLOADED = Refuse(529)
"""Anthropic has too much to do for everybody."""


class AnthropicEmulator:
    """Anthropic's HTTP interface on a free port of this machine, from entering to leaving.

    The arguments are attributes too, and may be changed at any time.

    Args:
        answer: what the model says; by default the demo brain.
        api_key: the only key that is accepted.
        first_token_ms, token_ms: how fast the model writes: to the first token, and from token to token.
        models: the models that there are; None is whatever is asked for.
        cached_tokens: so many tokens of a prompt, at most, are said to come from the cache.
        system_role: the model takes system messages after a user's turn; many do not.
        prefill: the model takes the beginning of its answer as the last message; newer ones do not.
    """

    def __init__(
        self,
        answer: Mind = brain,
        *,
        api_key: str = "test-key",
        first_token_ms: float = 0.0,
        token_ms: float = 0.0,
        models: Sequence[str] | None = None,
        cached_tokens: int = 0,
        system_role: bool = False,
        prefill: bool = False,
    ) -> None:
        self.answer = answer
        self.base_url = ""
        """Without a path, once it is entered."""
        self.api_key = api_key
        self.models = models
        self.cached_tokens = cached_tokens
        self.system_role = system_role
        self.prefill = prefill
        self.first_token_ms = first_token_ms
        self.token_ms = token_ms
        self._server = ChatServer(self)
        self._numbers = itertools.count(1)
        self._call_numbers = itertools.count(1)

    @property
    def faults(self) -> Faults:
        """The faults of the requests to come."""
        return self._server.faults

    @property
    def requests(self) -> list[ChatRequest]:
        """Every request, in the order they came."""
        return self._server.requests

    async def __aenter__(self) -> Self:
        self.base_url = await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._server.__aexit__(kind, error, trace)

    async def nth_request(self, number: int = 1) -> ChatRequest:
        """Wait until this many requests have come, and return the last of them."""
        return await self._server.nth_request(number)

    def refusal(self, status: int) -> Mapping[str, Any]:
        """Anthropic's usual body of an HTTP error."""
        return error(_USUAL.get(status, "Internal server error" if status >= 500 else "Invalid request"), status)

    async def reply(self, request: ChatRequest, key: str) -> Reply:
        """The answer to a request that came with this key."""
        if not hmac.compare_digest(key.encode(), self.api_key.encode()):
            refuse("invalid x-api-key" if key else "x-api-key header is required", 401)
        if "anthropic-version" not in request.headers:
            refuse("anthropic-version: header is required")
        match request.method, request.path.split("/")[1:]:
            case "GET", ["v1", "models"]:
                models = [_model(name) for name in self.models or MODELS]
                page = {"has_more": False, "first_id": models[0]["id"], "last_id": models[-1]["id"]}
                return json_reply({"data": models, **page})
            case "GET", ["v1", "models", name]:
                return json_reply(_model(self._known(name)))
            case "POST", ["v1", "messages"]:
                return await self._message(request)
        refuse("Not found", 404)

    async def _message(self, request: ChatRequest) -> Reply:
        body = request.body
        if not isinstance(body, dict):
            refuse("The request body is not valid JSON")
        if not isinstance(body.get("model"), str):
            refuse("model: Field required")
        self._known(body["model"])
        asked = read_request(body, system_role=self.system_role, prefill=self.prefill)
        writing = await write(self.answer, request, asked)
        return MessageAnswer(
            asked, writing, number=next(self._numbers), cached=self.cached_tokens, next_id=self._next_id
        ).reply()

    def _known(self, model: str) -> str:
        if self.models is not None and model not in self.models:
            refuse(f"model: {model}", 404)
        return model

    def _next_id(self) -> str:
        return f"toolu_{next(self._call_numbers)}"


def _model(name: str) -> dict[str, Any]:
    created = "2026-01-01T00:00:00Z"
    return {"type": "model", "id": name, "display_name": name, "created_at": created, "lifecycle": "active"}
