"""A LlamaIndex LLM as the mind of a call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import cast

import anyio.to_thread
from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.llms import LLM
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM

from patter.errors import ConfigError
from patter.voice.answer import Answer
from patter.voice.base import Delta, Message, ToolSpec
from patter.voice.foreign import foreign_answer, writer
from patter_llamaindex.messages import chat_messages, offered_tools, plain_messages, read_calls, read_usage

__all__ = ["LlamaIndexLLM"]

_VENDORS = {"openai_llm": "openai", "openai_responses_llm": "openai", "Anthropic_LLM": "anthropic"}
"""The classes whose models have the prices of the vendor."""


class LlamaIndexLLM:
    """A LlamaIndex LLM as the mind of a phone call: ``PatterTool(phone, agent={"llm": LlamaIndexLLM(llm), ...})``.

    A model that calls functions may use the tools of the call, and hang up. It is asked on the loop that awaits the
    call, or else on one of Patter's; how long it may take says ``Timing.mind_timeout_s``.
    Tokens are estimated where the integration does not tell them; OpenAI's does with
    ``additional_kwargs={"stream_options": {"include_usage": True}}``.

    Args:
        llm: the LLM. One that has only blocking methods is run in threads.
        model: as the price table names it, such as ``openai/gpt-5.4-mini``; known for OpenAI and Anthropic, else
            ``llamaindex/`` and the name of the class. Models whose name begins with ``local/`` are free.

    Raises:
        ConfigError: it is no LLM, or its metadata cannot be read.
    """

    def __init__(self, llm: LLM, *, model: str | None = None) -> None:
        if not isinstance(llm, LLM):
            raise ConfigError(f"llm must be a LlamaIndex LLM, and {type(llm).__name__} is none.")
        kind = type(llm).__name__
        try:
            metadata = llm.metadata
        except Exception as error:
            reason = f"The metadata of {kind} cannot be read ({type(error).__name__}); check its model."
            raise ConfigError(reason) from None
        vendor = _VENDORS.get(llm.class_name())
        self.model: str = model or (f"{vendor}/{metadata.model_name}" if vendor else f"llamaindex/{kind}")
        """Vendor and model as the price table names them."""
        self._llm = llm
        self._writer = writer(kind, vendor)
        can_call = isinstance(llm, FunctionCallingLLM) and metadata.is_function_calling_model
        self._caller = cast(FunctionCallingLLM, llm) if can_call else None

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        """Ask for an answer. Leaving the context stops the generation."""
        return foreign_answer(
            partial(self._responses, messages, tools), _Reading(self._caller), self._writer, model=self.model
        )

    async def _responses(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncGenerator[ChatResponse, None]:
        if isinstance(self._llm, CustomLLM):
            stream = _in_threads(self._llm, messages)
        elif self._caller is None:
            stream = await self._llm.astream_chat(plain_messages(messages))
        elif not tools:
            stream = await self._caller.astream_chat(chat_messages(messages))
        else:
            stream = await self._caller.astream_chat_with_tools(
                offered_tools(tools), chat_history=chat_messages(messages), allow_parallel_tool_calls=True
            )
        async with aclosing(stream) as responses:
            async for response in responses:
                yield response


class _Reading:
    """One answer as it comes in. The last response has what was written, and the calls."""

    def __init__(self, caller: FunctionCallingLLM | None) -> None:
        self._caller = caller
        self._last: ChatResponse | None = None

    def feed(self, piece: ChatResponse) -> Iterator[Delta]:
        self._last = piece
        if piece.delta:
            yield piece.delta

    def end(self) -> Iterator[Delta]:
        if self._last is None:
            return
        if self._caller is not None:
            yield from read_calls(self._caller.get_tool_calls_from_response(self._last, error_on_no_tool_call=False))
        if (usage := read_usage(self._last)) is not None:
            yield usage


async def _in_threads(llm: CustomLLM, messages: Sequence[Message]) -> AsyncGenerator[ChatResponse, None]:
    """The answer of an LLM that has only blocking methods, which would stop everything else on its loop."""
    responses = await anyio.to_thread.run_sync(llm.stream_chat, plain_messages(messages), abandon_on_cancel=True)
    while (response := await anyio.to_thread.run_sync(next, responses, None, abandon_on_cancel=True)) is not None:
        yield response
