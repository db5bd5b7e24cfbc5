"""A LlamaIndex LLM that calls functions by a script, and runs of agents over it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any

import anyio
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection

Step = str | Exception | float | list[ToolCallBlock]
"""A text, an error, a pause in seconds, or tool calls."""


def calls(name: str, *uses: tuple[str, Mapping[str, Any]]) -> list[ToolCallBlock]:
    """Uses of one tool, side by side: an id and the arguments of each."""
    return [ToolCallBlock(tool_call_id=id_, tool_name=name, tool_kwargs=dict(kwargs)) for id_, kwargs in uses]


class ScriptedLLM(FunctionCallingLLM):
    """Answers each request with the next turn of its script; after the last, with a sentence.

    A turn is a text, the tool calls that `calls` makes, or a list of steps.
    """

    _turns: list[list[Step]] = PrivateAttr()
    _asked: list[list[ChatMessage]] = PrivateAttr(default_factory=list)
    _offered: list[list[dict[str, Any]]] = PrivateAttr(default_factory=list)
    _left: int = PrivateAttr(default=0)
    _told: dict[str, Any] = PrivateAttr(default_factory=dict)
    _functions: bool = PrivateAttr(default=True)

    def __init__(self, *turns: Any, told: dict[str, Any] | None = None, functions: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._turns = [_steps(turn) for turn in turns]
        self._told = told or {}
        self._functions = functions

    @property
    def asked(self) -> list[list[ChatMessage]]:
        """The messages of every request."""
        return self._asked

    @property
    def offered(self) -> list[list[dict[str, Any]]]:
        """The tools of every request, in OpenAI's form."""
        return self._offered

    @property
    def left(self) -> int:
        """How many answers were left before their end."""
        return self._left

    def read_by_id(self) -> dict[str, str]:
        """What the model has read of each of its tool calls."""
        results = [message for message in self._asked[-1] if message.role == "tool"]
        return {message.additional_kwargs["tool_call_id"]: message.content or "" for message in results}

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_function_calling_model=self._functions, is_chat_model=True, model_name="scripted")

    def _prepare_chat_with_tools(
        self, tools: Sequence[Any], user_msg: Any = None, chat_history: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        return {"messages": [*(chat_history or []), *([user_msg] if user_msg else [])], "tools": tools}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        return [
            ToolSelection(tool_id=block.tool_call_id or "", tool_name=block.tool_name, tool_kwargs=block.tool_kwargs)
            for block in response.message.blocks
            if isinstance(block, ToolCallBlock)
        ]

    def _next(self, messages: Sequence[ChatMessage], tools: Sequence[Any]) -> list[Step]:
        self._asked.append(list(messages))
        self._offered.append([tool.metadata.to_openai_tool()["function"] for tool in tools])
        return self._turns.pop(0) if self._turns else ["That was all."]

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        steps = self._next(messages, kwargs.get("tools") or [])

        async def responses() -> AsyncGenerator[ChatResponse, None]:
            written = ChatMessage(role="assistant", blocks=[])
            ended = False
            try:
                for step in steps:
                    if isinstance(step, float):
                        await anyio.sleep(step)
                        continue
                    yield _take(step, written, self._told)
                ended = True
            finally:
                self._left += not ended

        return responses()

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        written = ChatMessage(role="assistant", blocks=[])
        for step in self._next(messages, kwargs.get("tools") or []):
            _take(step, written, self._told)
        return ChatResponse(message=written)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        raise NotImplementedError

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
        raise NotImplementedError

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError


def _steps(turn: Any) -> list[Step]:
    if isinstance(turn, str) or (turn and all(isinstance(step, ToolCallBlock) for step in turn)):
        return [turn]
    return list(turn)


def _take(step: Step, written: ChatMessage, told: dict[str, Any]) -> ChatResponse:
    if isinstance(step, Exception):
        raise step
    if isinstance(step, str):
        written.blocks.append(TextBlock(text=step))
        return ChatResponse(message=written, delta=step, additional_kwargs=told)
    assert isinstance(step, list)
    written.blocks.extend(step)
    return ChatResponse(message=written, delta=None, additional_kwargs=told)
