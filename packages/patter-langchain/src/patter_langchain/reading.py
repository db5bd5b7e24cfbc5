"""What LangChain streams, read as the mind's answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from functools import reduce
from operator import add
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata, add_usage

from patter.voice.base import Delta, ToolCall, Usage
from patter.voice.chat.wire import NotAnAnswer, count_of

__all__ = ["Piece", "Reading", "price_name"]

Piece = tuple[object, Mapping[str, Any]]
"""What was streamed, and what LangGraph tells of it."""

_SAME_PRICES = {"azure": "openai"}


def price_name(told: Mapping[str, Any]) -> str | None:
    """Vendor and model as the price table names them, of what LangChain tells of a model."""
    vendor, model = told.get("ls_provider"), told.get("ls_model_name")
    return f"{_SAME_PRICES.get(vendor, vendor)}/{model}" if vendor and model else None


class Reading:
    """One answer as it comes in, of a chat model, or of a graph in which several may write and tools are run.

    Args:
        offered: the names of the tools that Patter runs; None: all that are called.
        nodes: the nodes of a graph whose text is spoken; None speaks all.
    """

    def __init__(self, *, offered: Collection[str] | None, nodes: Collection[str] | None = None) -> None:
        self._offered = offered
        self._nodes = nodes
        self._speaking: str | None = None
        self._with_calls: dict[str, list[AIMessage]] = {}
        self._done: set[str | None] = set()
        self._usages: dict[str | None, UsageMetadata] = {}

    def feed(self, piece: Piece) -> Iterator[Delta]:
        """What a piece of the stream adds to the answer."""
        message, metadata = piece
        if isinstance(message, str):
            message = AIMessageChunk(content=message)
        if not isinstance(message, BaseMessage):
            raise NotAnAnswer(f"a {type(message).__name__}, and no message")
        if isinstance(message, ToolMessage):
            self._done.add(message.tool_call_id)
        if not isinstance(message, AIMessage):
            return
        id_ = message.id or ""
        if message.text and (self._nodes is None or metadata.get("langgraph_node") in self._nodes):
            if self._speaking not in (None, id_):
                yield "\n"
            self._speaking = id_
            yield str(message.text)
        if _has_calls(message):
            self._with_calls.setdefault(id_, []).append(message)
            if self._speaking == id_:  # let the sentence be said while the tool is called
                self._speaking = None
                yield "\n"
        if message.usage_metadata is not None:
            model = price_name(metadata)
            told = self._usages[model] = add_usage(self._usages.get(model), message.usage_metadata)
            cached = count_of(told.get("input_token_details", {}).get("cache_read"))
            yield Usage(count_of(told["input_tokens"]), count_of(told["output_tokens"]), cached, model=model)

    def end(self) -> Iterator[Delta]:
        """The tool calls that Patter has to run.

        Of a graph's calls, those that it has run itself and those that Patter does not know are left out; but the
        wish to hang up is always passed on.
        """
        for parts in self._with_calls.values():
            for call in _calls(parts):
                is_open = call.id not in self._done and call.name in (self._offered or ())
                if self._offered is None or is_open or call.name == "end_call":
                    yield call


def _has_calls(message: AIMessage) -> bool:
    chunks = isinstance(message, AIMessageChunk) and message.tool_call_chunks
    return bool(message.tool_calls or message.invalid_tool_calls or chunks)


def _calls(parts: list[AIMessage]) -> Iterator[ToolCall]:
    """The calls of one message. A call keeps its own id through the phone, or gets one there."""
    chunks = [part for part in parts if isinstance(part, AIMessageChunk)]
    whole: AIMessage = reduce(add, chunks) if len(chunks) == len(parts) else parts[-1]
    for call in whole.tool_calls:
        yield ToolCall(call["id"] or "call", call["name"], json.dumps(call["args"], ensure_ascii=False))
    for broken in whole.invalid_tool_calls:
        yield ToolCall(broken["id"] or "call", broken["name"] or "", broken["args"] or "{}")
