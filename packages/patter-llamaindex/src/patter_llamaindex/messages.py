"""A call's history and tools in LlamaIndex's form, and its answers in Patter's. Pure."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ContentBlock, TextBlock, ToolCallBlock
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import BaseTool, FunctionTool, ToolMetadata

from patter.voice.base import Message, ToolCall, ToolSpec, Usage
from patter.voice.chat.wire import arguments_of, count_of

__all__ = ["chat_messages", "offered_tools", "plain_messages", "read_calls", "read_usage"]

_OURS = "~patter~"
"""Between an id that is not unique and what makes it so."""


def chat_messages(messages: Iterable[Message]) -> list[ChatMessage]:
    """The history for a model that calls functions."""
    return [_chat_message(message) for message in messages]


def plain_messages(messages: Iterable[Message]) -> list[ChatMessage]:
    """The history for a model that only writes text."""
    spoken = (message for message in messages if message.role != "tool" and (message.content or not message.tool_calls))
    return [ChatMessage(role=message.role, content=message.content) for message in spoken]


def offered_tools(tools: Iterable[ToolSpec]) -> list[BaseTool]:
    """The tools as a model is told of them. They are run by Patter, and nowhere else."""
    return [FunctionTool(fn=_not_here, metadata=_metadata(tool)) for tool in tools]


def read_calls(selections: Iterable[ToolSelection], messages: Sequence[Message]) -> Iterator[ToolCall]:
    """The tool calls of an answer, each with an id that the call has not seen yet.

    Args:
        selections: as LlamaIndex tells them. Models without ids have the tool's name, or nothing, in their place.
        messages: what was asked.
    """
    seen = {call.id for message in messages for call in message.tool_calls}
    for selection in selections:
        id_ = selection.tool_id
        if not id_ or id_ == selection.tool_name or id_ in seen:
            id_ = f"{id_}{_OURS}{uuid4().hex[:8]}"
        seen.add(id_)
        yield ToolCall(id_, selection.tool_name, json.dumps(selection.tool_kwargs, ensure_ascii=False))


def read_usage(response: ChatResponse) -> Usage | None:
    """The tokens, if the vendor has told, in the form of OpenAI, Anthropic or Google."""
    for told in (response.additional_kwargs, _part(response.raw, "usage"), _part(response.raw, "usage_metadata")):
        asked = _count(told, "prompt_tokens", "input_tokens", "prompt_token_count")
        written = _count(told, "completion_tokens", "output_tokens", "candidates_token_count")
        if asked or written:
            cached = _count(_part(told, "prompt_tokens_details"), "cached_tokens")
            # Anthropic counts what came from its cache, or went into it, beside the input.
            beside = _count(told, "cache_read_input_tokens")
            stored = _count(told, "cache_creation_input_tokens")
            return Usage(asked + beside + stored, written, cached + beside)
    return None


def _chat_message(message: Message) -> ChatMessage:
    if message.role == "tool":
        id_ = _theirs(message.tool_call_id or "")
        return ChatMessage(role="tool", content=message.content, additional_kwargs={"tool_call_id": id_})
    blocks: list[ContentBlock] = [TextBlock(text=message.content)] if message.content or not message.tool_calls else []
    blocks += [
        ToolCallBlock(tool_call_id=_theirs(call.id), tool_name=call.name, tool_kwargs=arguments_of(call.arguments))
        for call in message.tool_calls
    ]
    return ChatMessage(role=message.role, blocks=blocks)


def _theirs(id_: str) -> str:
    """The id as the model wrote it."""
    return id_.partition(_OURS)[0]


def _not_here(**_: Any) -> str:
    raise RuntimeError("Tools of a phone call are run by Patter.")


def _metadata(tool: ToolSpec) -> ToolMetadata:
    """What a model is told of a tool. LlamaIndex takes no JSON Schema, but asks a class for its own."""

    class Arguments(BaseModel):
        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return copy.deepcopy(dict(tool.parameters))

    return ToolMetadata(name=tool.name, description=tool.description, fn_schema=Arguments)


def _part(whole: object, name: str) -> object:
    return whole.get(name) if isinstance(whole, Mapping) else getattr(whole, name, None)


def _count(told: object, *names: str) -> int:
    return next((count for name in names if (count := count_of(_part(told, name)))), 0)
