"""A call's history and tools in LlamaIndex's form, and its answers in Patter's. Pure."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ContentBlock, TextBlock, ToolCallBlock
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import BaseTool, FunctionTool, ToolMetadata

from patter.voice.base import Message, ToolCall, ToolSpec, Usage
from patter.voice.chat.history import in_order
from patter.voice.chat.wire import arguments_of, count_of

__all__ = ["chat_messages", "offered_tools", "plain_messages", "read_calls", "read_usage"]


def chat_messages(messages: Iterable[Message]) -> list[ChatMessage]:
    """The history for a model that calls functions."""
    system, turns = in_order(messages)
    ids = {call.id: _told_id(call) for message in turns for call in message.tool_calls}
    told = [ChatMessage(role="system", content=system)] if system else []
    return told + [_chat_message(message, ids) for message in turns]


def plain_messages(messages: Iterable[Message]) -> list[ChatMessage]:
    """The history for a model that only writes text."""
    return chat_messages(replace(message, tool_calls=()) for message in messages if message.role != "tool")


def offered_tools(tools: Iterable[ToolSpec]) -> list[BaseTool]:
    """The tools as a model is told of them. They are run by Patter, and nowhere else."""
    return [FunctionTool(fn=_not_here, metadata=_metadata(tool)) for tool in tools]


def read_calls(selections: Iterable[ToolSelection]) -> Iterator[ToolCall]:
    """The tool calls of an answer. Models without ids have the tool's name, or nothing, in their place."""
    for one in selections:
        yield ToolCall(one.tool_id or one.tool_name, one.tool_name, json.dumps(one.tool_kwargs, ensure_ascii=False))


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


def _chat_message(message: Message, ids: Mapping[str, str]) -> ChatMessage:
    if message.role == "tool":
        id_ = message.tool_call_id or ""
        return ChatMessage(role="tool", content=message.content, additional_kwargs={"tool_call_id": ids.get(id_, id_)})
    blocks: list[ContentBlock] = [TextBlock(text=message.content)] if message.content else []
    blocks += [
        ToolCallBlock(tool_call_id=ids[call.id], tool_name=call.name, tool_kwargs=arguments_of(call.arguments))
        for call in message.tool_calls
    ]
    return ChatMessage(role=message.role, blocks=blocks)


def _told_id(call: ToolCall) -> str:
    """The id, or the tool's name where that was the model's id: the phone has made it unique, and the model has not."""
    return call.name if call.name in (call.id, call.id.rpartition("-")[0]) else call.id


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
