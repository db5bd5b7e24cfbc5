"""Anthropic's chat models as the mind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

from patter.settings import vendor_url
from patter.voice.answer import Answer
from patter.voice.base import CallContext, Message, ToolSpec
from patter.voice.chat.anthropic_wire import AnthropicReply, messages_request
from patter.voice.chat.failure import Vendor
from patter.voice.chat.http import Body, ChatHttp, ChatSession
from patter.voice.sdk import as_extras, check_sdk, http_client, load_sdk, ssl_context, vendor_key

__all__ = ["AnthropicLLM"]

_VENDOR = Vendor("Anthropic", "ANTHROPIC_API_KEY")


class AnthropicLLM:
    """A chat model of Anthropic.

    Args:
        api_key: of the account; by default ``ANTHROPIC_API_KEY``.
        model: as Anthropic names it.
        base_url: without a path; by default ``ANTHROPIC_BASE_URL``, or else Anthropic's own.
        max_tokens: the most tokens of an answer, thinking included.
        temperature: as the model takes it; newer ones take none.
        thinking: "disabled" makes the model speak at once, if it can; "adaptive" lets it think before it
            speaks, and wants more ``max_tokens``; None is the model's own default.
        timeout_s: the longest wait for the first piece of an answer, and between two pieces.

    Raises:
        ConfigError: the key or the SDK is missing, or the address is none.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        model: str = "claude-haiku-5-5",
        base_url: str | None = None,
        max_tokens: int = 512,
        temperature: float | None = None,
        thinking: Literal["disabled", "adaptive"] | None = "disabled",
        timeout_s: float = 8.0,
    ) -> None:
        check_sdk("anthropic")
        self._dialect = _Anthropic(
            key=vendor_key(api_key, variable=_VENDOR.variable),
            base_url=vendor_url(base_url, variable="ANTHROPIC_BASE_URL", default="https://api.anthropic.com"),
            timeout_s=timeout_s,
            options={
                "model": model,
                "max_tokens": max_tokens,
                "temperature": temperature,
                "thinking": {"type": thinking} if thinking else None,
            },
        )
        self._chat = ChatHttp(self._dialect)

    @property
    def model(self) -> str:
        """As the price table names it, such as ``anthropic/claude-haiku-5-5``."""
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
        return f"AnthropicLLM(model={self._dialect.options['model']!r}, base_url={self._dialect.base_url!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anthropic:
    key: str = field(repr=False)
    base_url: str
    timeout_s: float
    options: Mapping[str, Any]
    vendor: Vendor = _VENDOR
    # Some models cannot but think, and refuse to be told not to.
    dispensable: Collection[str] = ("thinking",)

    @property
    def model(self) -> str:
        return f"anthropic/{self.options['model']}"

    def load(self) -> Callable[[], Any]:
        sdk = load_sdk("anthropic", "resources.messages", "resources.models")
        ssl_context()

        def client() -> Any:
            return sdk.AsyncAnthropic(
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
        return messages_request(messages, tools, self.options, without=without)

    def reply(self) -> AnthropicReply:
        return AnthropicReply(self.vendor.name, self.model)

    def ask(self, client: Any, request: Mapping[str, Any]) -> AbstractAsyncContextManager[Body]:
        create = client.messages.with_streaming_response.create
        asked: AbstractAsyncContextManager[Body] = create(**as_extras(request))
        return asked

    async def greet(self, client: Any) -> None:
        await client.models.with_raw_response.list(limit=1)
