"""OpenAI's chat models as the mind, and those of every server that speaks the same protocol."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from patter.settings import vendor_url
from patter.voice.answer import Answer
from patter.voice.base import CallContext, Message, ToolSpec
from patter.voice.chat.failure import Vendor
from patter.voice.chat.http import Body, ChatHttp, ChatSession
from patter.voice.chat.openai_wire import OpenAIReply, chat_request
from patter.voice.sdk import as_extras, check_sdk, http_client, load_sdk, ssl_context, vendor_key

__all__ = ["OpenAILLM"]

_VENDOR = Vendor("OpenAI", "OPENAI_API_KEY")


class OpenAILLM:
    """A chat model of OpenAI, or of a server with its protocol, such as vLLM, Ollama or llama.cpp.

    Args:
        api_key: of the account; by default ``OPENAI_API_KEY``. A local server takes any: ``"none"``.
        model: as the server names it.
        base_url: with ``/v1``; by default ``OPENAI_BASE_URL``, or else OpenAI's own.
        temperature: as the model takes it; some take none.
        max_tokens: the most tokens of an answer, thinking included (``max_completion_tokens``).
        reasoning_effort: how much the model may think before it speaks, such as "none" or "low".
        extra_body: further parameters of the request, as the server knows them.
        timeout_s: the longest wait for the first piece of an answer, and between two pieces.

    Raises:
        ConfigError: the key or the SDK is missing, or the address is none.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        model: str = "gpt-5.4-mini",
        base_url: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        reasoning_effort: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout_s: float = 8.0,
    ) -> None:
        check_sdk("openai")
        self._dialect = _OpenAI(
            key=vendor_key(api_key, variable=_VENDOR.variable),
            base_url=vendor_url(base_url, variable="OPENAI_BASE_URL", default="https://api.openai.com/v1"),
            timeout_s=timeout_s,
            options={
                "model": model,
                "temperature": temperature,
                "max_completion_tokens": max_tokens,
                "reasoning_effort": reasoning_effort,
                "extra_body": dict(extra_body) if extra_body else None,
            },
        )
        self._chat = ChatHttp(self._dialect)

    @property
    def model(self) -> str:
        """As the price table names it, such as ``openai/gpt-5.4-mini``."""
        return self._dialect.model

    async def start(self) -> None:
        """Import the SDK in a thread, unless that was done."""
        await self._chat.start()

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        """Ask for an answer on a connection of its own. Leaving the context stops the generation at the vendor."""
        return self._chat.stream(messages, tools)

    def open(self, call: CallContext) -> ChatSession:
        """Open the session of one call. Its first connection is made meanwhile, and not waited for."""
        return self._chat.open()

    def __repr__(self) -> str:
        return f"OpenAILLM(model={self._dialect.options['model']!r}, base_url={self._dialect.base_url!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpenAI:
    key: str = field(repr=False)
    base_url: str
    timeout_s: float
    options: Mapping[str, Any]
    vendor: Vendor = _VENDOR
    dispensable: Collection[str] = ("stream_options",)

    @property
    def model(self) -> str:
        return f"openai/{self.options['model']}"

    def load(self) -> Callable[[], Any]:
        sdk = load_sdk("openai", "resources.chat.completions", "resources.models")
        ssl_context()

        def client() -> Any:
            return sdk.AsyncOpenAI(
                api_key=self.key,
                base_url=self.base_url,
                timeout=self.timeout_s,
                max_retries=0,
                http_client=http_client(sdk, self.base_url),
            )

        return client

    def request(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], without: Collection[str]
    ) -> dict[str, Any]:
        return chat_request(messages, tools, self.options, without=without)

    def reply(self) -> OpenAIReply:
        return OpenAIReply(self.vendor.name, self.model)

    def ask(self, client: Any, request: Mapping[str, Any]) -> AbstractAsyncContextManager[Body]:
        create = client.chat.completions.with_streaming_response.create
        asked: AbstractAsyncContextManager[Body] = create(**as_extras(request))
        return asked

    async def greet(self, client: Any) -> None:
        # Raw, because to parse the list of all models takes longer than to fetch it.
        await client.models.with_raw_response.list()
