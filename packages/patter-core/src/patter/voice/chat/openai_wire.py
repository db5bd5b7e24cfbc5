"""OpenAI's chat completions on the wire: messages and tools become a request, events become deltas. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from patter.voice.base import Delta, Message, ToolCall, ToolSpec, Usage
from patter.voice.chat.wire import (
    LONGEST_CHARS,
    Finish,
    InStreamError,
    NotAnAnswer,
    arguments_of,
    check_end,
    count_of,
    object_of,
)

__all__ = ["OpenAIReply", "chat_request"]

_FINISH: dict[str, Finish] = {"length": "length", "content_filter": "refused"}


def chat_request(
    messages: Sequence[Message],
    tools: Sequence[ToolSpec],
    options: Mapping[str, Any],
    *,
    without: Collection[str] = (),
) -> dict[str, Any]:
    """The arguments of the SDK's ``create``.

    Args:
        options: ``model`` and further parameters; those that are None are left out.
        without: parameters that the server does not take.
    """
    request: dict[str, Any] = {
        **{name: value for name, value in options.items() if value is not None},
        "messages": [
            _message(message)
            for message in messages
            if message.content or message.role != "assistant" or message.tool_calls
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if tools:
        request["tools"] = [_tool(tool) for tool in tools]
    return {name: value for name, value in request.items() if name not in without}


def _message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        told["content"] = message.content or None
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        told["tool_call_id"] = message.tool_call_id
    return told


def _arguments(call: ToolCall) -> str:
    # Compatible servers parse the arguments of earlier calls, and fail if they are none.
    return call.arguments if arguments_of(call.arguments) else "{}"


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


class OpenAIReply:
    """One answer, chunk by chunk. Tool calls are delivered whole, when the model has said why it stopped.

    Args:
        vendor: its name, for the error texts.
        model: what the usage is told of.
    """

    def __init__(self, vendor: str, model: str) -> None:
        self.finished = False
        self.complete = False
        self.size = 0
        self.usage: Usage | None = None
        self._vendor = vendor
        self._model = model
        self._calls: list[_Call] = []
        self._numbered = 0
        self._finish: Finish | None = None
        self._spoken = False

    def feed(self, data: str) -> list[Delta]:
        """What a chunk adds to the answer.

        Raises:
            NotAnAnswer: it is no chunk.
            InStreamError: it is an error.
        """
        if data.strip() == "[DONE]":
            self.complete = True
            return self._end("stop")
        chunk = object_of(data)
        if chunk.get("error"):
            raise InStreamError(chunk)
        self._note_usage(chunk.get("usage"))
        deltas: list[Delta] = []
        for choice in _objects(chunk.get("choices")):
            delta = choice.get("delta")
            if isinstance(delta, Mapping):
                deltas += self._written(delta)
            if isinstance(reason := choice.get("finish_reason"), str) and reason:
                deltas += self._end(reason)
        return deltas

    def check(self) -> None:
        """After the last chunk: raise `ProviderError` if that was no answer."""
        check_end(self._vendor, self._finish, spoken=self._spoken)

    def _written(self, delta: Mapping[str, Any]) -> Iterable[Delta]:
        for piece in _objects(delta.get("tool_calls")):
            self._add(piece)
        text = _text(delta.get("content")) + _text(delta.get("refusal"))
        self._grow(text)
        if not text:
            return []
        self._spoken = True
        return [text]

    def _add(self, piece: Mapping[str, Any]) -> None:
        function = piece.get("function")
        if not isinstance(function, Mapping):
            raise NotAnAnswer("a tool call without a function")
        call = self._call_of(piece, bool(function.get("name")))
        call.id = call.id or str(piece.get("id") or "")
        call.name = call.name or str(function.get("name") or "")
        arguments = function.get("arguments")
        written = arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""
        call.arguments += written
        self._grow(call.name if not written else written)

    def _call_of(self, piece: Mapping[str, Any], is_named: bool) -> _Call:
        """The call that a piece belongs to. Servers leave out the index, the id, or both, or repeat them."""
        index, id_ = piece.get("index"), piece.get("id")
        for call in reversed(self._calls):
            is_another = bool(id_ and call.id and is_named)
            if (id_ and call.id == id_) or (index is not None and call.index == index and not is_another):
                return call
        if index is None and not is_named and self._calls:
            return self._calls[-1]
        self._calls.append(_Call(index))
        return self._calls[-1]

    def _grow(self, written: str) -> None:
        self.size += len(written)
        if self.size > LONGEST_CHARS:
            raise NotAnAnswer("more than anybody could say")

    def _end(self, reason: str) -> list[Delta]:
        self.finished = True
        self._finish = self._finish or _FINISH.get(reason, "done")
        calls, self._calls = self._calls, []
        if self._finish == "length" and calls and not calls[-1].arguments.strip():
            calls.pop()  # cut before its arguments, it would run without them
        self._spoken = self._spoken or bool(calls)
        return [self._tool_call(call) for call in calls]

    def _tool_call(self, call: _Call) -> ToolCall:
        self._numbered += 1
        return ToolCall(call.id or f"call_{self._numbered}", call.name, call.arguments or "{}")

    def _note_usage(self, told: object) -> None:
        if not isinstance(told, Mapping):
            return
        details = told.get("prompt_tokens_details")
        self.usage = Usage(
            count_of(told.get("prompt_tokens")),
            count_of(told.get("completion_tokens")),
            count_of(details.get("cached_tokens")) if isinstance(details, Mapping) else 0,
            model=self._model,
        )


@dataclass(slots=True)
class _Call:
    index: object
    id: str = ""
    name: str = ""
    arguments: str = ""


def _objects(listed: object) -> list[Mapping[str, Any]]:
    """The objects of a list that may be missing."""
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(isinstance(entry, Mapping) for entry in listed):
        raise NotAnAnswer("a list of something else")
    return listed


def _text(content: object) -> str:
    """Text as it is, or the texts of a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""
