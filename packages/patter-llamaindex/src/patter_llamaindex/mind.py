"""A LlamaIndex LLM as the mind of a call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from functools import partial
from typing import TypeVar, cast

import anyio
import anyio.to_thread
from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.llms import LLM
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM

from patter.errors import ConfigError
from patter.voice.answer import Answer
from patter.voice.base import Message, ToolCall, ToolSpec
from patter.voice.chat.failure import Vendor, read_failure
from patter.voice.chat.wire import LONGEST_CHARS, NotAnAnswer, check_end
from patter_llamaindex.messages import chat_messages, offered_tools, plain_messages, read_calls, read_usage

__all__ = ["LlamaIndexLLM"]

T = TypeVar("T")

_VENDORS = {"openai_llm": "openai", "openai_responses_llm": "openai", "Anthropic_LLM": "anthropic"}
"""The classes whose models have the prices of the vendor."""


class LlamaIndexLLM:
    """A LlamaIndex LLM as the mind of a phone call: ``PatterTool(phone, agent={"llm": LlamaIndexLLM(llm), ...})``.

    A model that calls functions may use the tools of the call, and hang up. Give the call an LLM object of its
    own: it is used on the phone's event loop, and the clients that many integrations keep serve one loop only.
    Tokens are estimated where the integration does not tell them; OpenAI's does with
    ``additional_kwargs={"stream_options": {"include_usage": True}}``.

    Args:
        llm: the LLM. One that has only blocking methods is run in threads.
        model: as the price table names it, such as ``openai/gpt-5.4-mini``; known for OpenAI and Anthropic, else
            ``llamaindex/`` and the name of the class. Models whose name begins with ``local/`` are free.
        timeout_s: the longest wait for the first piece of an answer, and between two pieces.

    Raises:
        ConfigError: it is no LLM, or its metadata cannot be read.
    """

    def __init__(self, llm: LLM, *, model: str | None = None, timeout_s: float = 8.0) -> None:
        if not isinstance(llm, LLM):
            raise ConfigError(f"llm must be a LlamaIndex LLM, and {type(llm).__name__} is none.")
        self._llm = llm
        self._timeout_s = timeout_s
        self._name = type(llm).__name__
        try:
            metadata = llm.metadata
        except Exception as error:
            reason = f"The metadata of {self._name} cannot be read ({type(error).__name__}); check its model."
            raise ConfigError(reason) from None
        can_call = isinstance(llm, FunctionCallingLLM) and metadata.is_function_calling_model
        self._caller = cast(FunctionCallingLLM, llm) if can_call else None
        vendor = _VENDORS.get(llm.class_name())
        self.model: str = model or (f"{vendor}/{metadata.model_name}" if vendor else f"llamaindex/{self._name}")
        """Vendor and model as the price table names them."""

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        """Ask for an answer. Leaving the context stops the generation."""
        return Answer(partial(self._write, messages, tools), model=self.model)

    async def _write(self, messages: Sequence[Message], tools: Sequence[ToolSpec], answer: Answer) -> None:
        size, calls = 0, list[ToolCall]()
        last: ChatResponse | None = None
        try:
            async with aclosing(await self._patiently(self._ask(messages, tools))) as responses:
                while (response := await self._patiently(anext(responses, None))) is not None:
                    last = response
                    answer.accept()
                    if response.delta:
                        size += len(response.delta)
                        await answer.send(response.delta)
                    if size > LONGEST_CHARS:
                        raise NotAnAnswer("more than anybody could say")
            if last is not None and self._caller is not None:
                selections = self._caller.get_tool_calls_from_response(last, error_on_no_tool_call=False)
                calls += read_calls(selections, messages)
        except Exception as error:  # the integrations have no exceptions in common
            vendor = Vendor(self._name, "the LLM's api_key")
            failure = read_failure(error, vendor, begun=size > 0, timeout_s=self._timeout_s, parameters=())
            raise failure.error from None
        for call in calls:
            await answer.send(call)
        if last is not None and (usage := read_usage(last)) is not None:
            await answer.send(usage)
        check_end(self._name, None if last is None else "done", spoken=size > 0 or bool(calls))

    async def _ask(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncGenerator[ChatResponse, None]:
        if isinstance(self._llm, CustomLLM):
            return _in_threads(self._llm, messages)
        if self._caller is None:
            return await self._llm.astream_chat(plain_messages(messages))
        history = chat_messages(messages)
        if not tools:
            return await self._caller.astream_chat(history)
        offered = offered_tools(tools)
        return await self._caller.astream_chat_with_tools(offered, chat_history=history, allow_parallel_tool_calls=True)

    async def _patiently(self, work: Awaitable[T]) -> T:
        with anyio.fail_after(self._timeout_s):
            return await work


async def _in_threads(llm: CustomLLM, messages: Sequence[Message]) -> AsyncGenerator[ChatResponse, None]:
    """The answer of an LLM that has only blocking methods, which would stop every call on the phone's loop."""
    responses = await anyio.to_thread.run_sync(llm.stream_chat, plain_messages(messages), abandon_on_cancel=True)
    while (response := await anyio.to_thread.run_sync(next, responses, None, abandon_on_cancel=True)) is not None:
        yield response
