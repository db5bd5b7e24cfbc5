"""An emulator of OpenAI's chat models: chat completions, the Responses API and the list of models.

::

    async with OpenAIEmulator(scripted(["Hello."])) as openai:
        client = AsyncOpenAI(api_key="test-key", base_url=openai.base_url, max_retries=0)
"""

from __future__ import annotations

import hmac
import itertools
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from patter.testing.emulators import openai_chat, openai_responses
from patter.testing.emulators.chat import ChatRequest, ChatServer, Refused, json_reply, write
from patter.testing.emulators.faults import Faults, Refuse
from patter.testing.emulators.minds import Mind, brain
from patter.testing.emulators.openai_wire import error, refuse
from patter.testing.emulators.sse import Reply

__all__ = ["INSUFFICIENT_QUOTA", "OpenAIEmulator"]

MODELS = ("gpt-5.4-mini",)
CREATED = 1_767_225_600

_USUAL = {
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    403: ("You do not have access to this.", "invalid_request_error", "unsupported_country_region_territory"),
    404: ("Not found.", "invalid_request_error", None),
    429: ("Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    503: ("The engine is currently overloaded, please try again later.", "service_unavailable", None),
}

INSUFFICIENT_QUOTA = Refuse(
    429,
    body=error(
        "You exceeded your current quota, please check your plan and billing details.",
        kind="insufficient_quota",
        code="insufficient_quota",
    ),
)
"""The account has no credit left. The SDK takes it for a passing 429 and tries again."""


class OpenAIEmulator:
    """OpenAI's HTTP interface on a free port of this machine, from entering to leaving.

    The arguments are attributes too, and may be changed at any time.

    Args:
        answer: what the model says; by default the demo brain.
        api_key: the only key that is accepted.
        first_token_ms, token_ms: how fast the model writes: to the first token, and from token to token.
        models: the models that there are; None is whatever is asked for.
        cached_tokens: so many tokens of a prompt, at most, are said to come from the cache.
        unsupported: names of parameters that are refused with 400, such as ``stream_options``.
        sloppy_tools: pieces of tool calls come without index and id, as from some compatible servers.
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
        unsupported: Collection[str] = (),
        sloppy_tools: bool = False,
    ) -> None:
        self.answer = answer
        self.base_url = ""
        """With ``/v1``, once it is entered."""
        self.api_key = api_key
        self.models = models
        self.cached_tokens = cached_tokens
        self.unsupported = unsupported
        self.sloppy_tools = sloppy_tools
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
        self.base_url = await self._server.__aenter__() + "/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._server.__aexit__(kind, error, trace)

    async def nth_request(self, number: int = 1) -> ChatRequest:
        """Wait until this many requests have come, and return the last of them."""
        return await self._server.nth_request(number)

    def refusal(self, status: int) -> Mapping[str, Any]:
        """OpenAI's usual body of an HTTP error."""
        usual = ("The server had an error while processing your request.", "server_error", None)
        message, kind, code = _USUAL.get(
            status, usual if status >= 500 else ("Bad request.", "invalid_request_error", None)
        )
        return dict(error(message, kind=kind, code=code))

    async def reply(self, request: ChatRequest, key: str) -> Reply:
        """The answer to a request that came with this key."""
        if not key:
            refuse("You didn't provide an API key.", status=401)
        if not hmac.compare_digest(key.encode(), self.api_key.encode()):
            raise Refused(401, self.refusal(401))
        match request.method, request.path.split("/")[1:]:
            case "GET", ["v1", "models"]:
                return json_reply({"object": "list", "data": [_model(name) for name in self.models or MODELS]})
            case "GET", ["v1", "models", name]:
                return json_reply(_model(self._known(name)))
            case "POST", ["v1", "chat", "completions"]:
                return await self._chat(request)
            case "POST", ["v1", "responses"]:
                return await self._responses(request)
        refuse(f"Invalid URL ({request.method} {request.path})", status=404)

    async def _chat(self, request: ChatRequest) -> Reply:
        asked = openai_chat.read_request(self._body(request))
        writing = await write(self.answer, request, asked)
        return openai_chat.ChatCompletion(
            asked,
            writing,
            number=next(self._numbers),
            cached=self.cached_tokens,
            sloppy=self.sloppy_tools,
            next_id=self._next_id,
        ).reply()

    async def _responses(self, request: ChatRequest) -> Reply:
        body = self._body(request)
        asked = openai_responses.read_request(body)
        writing = await write(self.answer, request, asked)
        number = next(self._numbers)
        return openai_responses.ResponseAnswer(
            body, asked, writing, number=number, cached=self.cached_tokens, next_id=self._next_id
        ).reply()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        body = request.body
        if not isinstance(body, dict):
            refuse("We could not parse the JSON body of your request.")
        if not isinstance(body.get("model"), str) or not body["model"]:
            refuse("you must provide a model parameter")
        for name in body:
            if name in self.unsupported:
                refuse(
                    f"Unsupported parameter: '{name}' is not supported with this model.", name, "unsupported_parameter"
                )
        self._known(body["model"])
        return body

    def _known(self, model: str) -> str:
        if self.models is not None and model not in self.models:
            message = f"The model `{model}` does not exist or you do not have access to it."
            refuse(message, code="model_not_found", status=404)
        return model

    def _next_id(self) -> str:
        return f"call_{next(self._call_numbers)}"


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "emulator"}
