"""What LangChain streams, read as the mind's answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from functools import reduce
from operator import add
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage

from patter.voice.base import Delta, ToolCall, Usage
from patter.voice.chat.wire import LONGEST_CHARS, NotAnAnswer, count_of

__all__ = ["END_CALL", "Reading"]

END_CALL = "end_call"


class Reading:
    """One answer as it comes in, of a chat model or of a graph in which several may write.

    Args:
        offered: the names of the tools that Patter runs.
        nodes: the nodes of a graph whose text is spoken; None speaks all.
    """

    def __init__(self, *, offered: Collection[str] = (), nodes: Collection[str] | None = None) -> None:
        self.size = 0
        """Characters of text, and pieces of tool calls."""
        self._offered = offered
        self._nodes = nodes
        self._speaking: str | None = None
        self._with_calls: dict[str, list[AIMessage]] = {}
        self._done: set[str | None] = set()
        self._usages: dict[str | None, Usage] = {}

    def feed(self, piece: object, metadata: Mapping[str, Any]) -> list[Delta]:
        """What a piece of the stream adds to the answer.

        Raises:
            NotAnAnswer: it is neither a message nor text, or there is too much of it.
        """
        if isinstance(piece, str):
            piece = AIMessageChunk(content=piece)
        if not isinstance(piece, BaseMessage):
            raise NotAnAnswer(f"a {type(piece).__name__}, and no message")
        if isinstance(piece, ToolMessage):
            self._done.add(piece.tool_call_id)
        if not isinstance(piece, AIMessage):
            return []
        deltas: list[Delta] = []
        id_ = piece.id or ""
        text = str(piece.text) if self._nodes is None or metadata.get("langgraph_node") in self._nodes else ""
        if text:
            if self._speaking not in (None, id_):
                deltas.append("\n")
            self._speaking = id_
            deltas.append(text)
        if _has_calls(piece):
            self._with_calls.setdefault(id_, []).append(piece)
            if self._speaking == id_:  # let the sentence be said while the tool is called
                deltas.append("\n")
                self._speaking = None
        self.size += len(text) + _has_calls(piece)
        if self.size > LONGEST_CHARS:
            raise NotAnAnswer("more than anybody could say")
        return deltas + self._used(piece, metadata)

    def calls(self, *, of_graph: bool) -> Iterator[ToolCall]:
        """The tool calls that Patter has to run.

        Args:
            of_graph: the writer runs tools of its own. Those that it has run, and those that Patter does not
                know, are left out; but the wish to hang up is always passed on.
        """
        numbered = 0
        for parts in self._with_calls.values():
            for name, arguments, id_ in _calls(parts):
                is_ours = name == END_CALL or (id_ not in self._done and name in self._offered)
                if is_ours or not of_graph:
                    numbered += 1
                    yield ToolCall(id_ or f"call_{numbered}", name, arguments)

    def _used(self, message: AIMessage, metadata: Mapping[str, Any]) -> list[Delta]:
        if (told := message.usage_metadata) is None:
            return []
        vendor, name = metadata.get("ls_provider"), metadata.get("ls_model_name")
        model = f"{vendor}/{name}" if vendor and name else None
        before = self._usages.get(model, Usage(0, 0))
        self._usages[model] = Usage(
            before.input_tokens + count_of(told.get("input_tokens")),
            before.output_tokens + count_of(told.get("output_tokens")),
            before.cached_tokens + count_of(told.get("input_token_details", {}).get("cache_read")),
            model=model,
        )
        return [self._usages[model]]


def _has_calls(message: AIMessage) -> bool:
    chunks = isinstance(message, AIMessageChunk) and message.tool_call_chunks
    return bool(message.tool_calls or message.invalid_tool_calls or chunks)


def _calls(parts: list[AIMessage]) -> Iterator[tuple[str, str, str | None]]:
    """Name, arguments as JSON text, and id of the calls of one message."""
    chunks = [part for part in parts if isinstance(part, AIMessageChunk)]
    whole: AIMessage = reduce(add, chunks) if len(chunks) == len(parts) else parts[-1]
    for call in whole.tool_calls:
        yield call["name"], json.dumps(call["args"], ensure_ascii=False), call["id"]
    for broken in whole.invalid_tool_calls:
        yield broken["name"] or "", broken["args"] or "{}", broken["id"]
