"""Anthropic's messages on the wire: messages and tools become a request, events become deltas. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from patter.voice.base import Delta, Message, ToolCall, ToolSpec, Usage
from patter.voice.chat.history import in_order
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

__all__ = ["AnthropicReply", "messages_request"]

_CHARS_A_TOKEN = 4
_IN_EVERY_SDK = ("model", "max_tokens")
"""The SDK's versions know different parameters; what it does not know goes beside them."""

_FINISH: dict[str, Finish] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refused",
}

Block = dict[str, Any]


def messages_request(
    messages: Sequence[Message],
    tools: Sequence[ToolSpec],
    options: Mapping[str, Any],
    *,
    without: Collection[str] = (),
) -> dict[str, Any]:
    """The arguments of the SDK's ``create``.

    Args:
        options: ``model``, ``max_tokens`` and further parameters; those that are None are left out.
        without: parameters that the server does not take.
    """
    chosen = {name: value for name, value in options.items() if value is not None and name not in without}
    system, rest = in_order(messages)
    request: dict[str, Any] = {
        **{name: value for name, value in chosen.items() if name in _IN_EVERY_SDK},
        "messages": _turns(rest),
        "stream": True,
    }
    if further := {name: value for name, value in chosen.items() if name not in request}:
        request["extra_body"] = further
    if system:
        request["system"] = system
    if tools:
        request["tools"] = [_tool(tool) for tool in tools]
    elif used := {call.name: None for message in rest for call in message.tool_calls}:
        # A history with tool calls is refused without their tools, also if none may be called any more.
        request["tools"] = [_tool(ToolSpec(name, "", {"type": "object"})) for name in used]
        request["tool_choice"] = {"type": "none"}
    return request


def _tool(tool: ToolSpec) -> Block:
    told: Block = {"name": tool.name, "input_schema": {"type": "object", **tool.parameters}}
    return told | ({"description": tool.description} if tool.description else {})


def _turns(messages: Sequence[Message]) -> list[Block]:
    """User and assistant by turns."""
    turns: list[Block] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        if not turns or turns[-1]["role"] != role:
            turns.append({"role": role, "content": []})
        turns[-1]["content"] += _blocks(message)
    for turn in turns:
        # The results of tools come before everything else, or they are taken for missing.
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return turns


def _blocks(message: Message) -> list[Block]:
    content = message.content
    if message.role == "tool":
        result: Block = {"type": "tool_result", "tool_use_id": _id(message.tool_call_id or "")}
        return [result | ({"content": content} if content.strip() else {})]
    texts = [_text(content)] if content.strip() else []
    calls = [
        {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": arguments_of(call.arguments)}
        for call in message.tool_calls
    ]
    return texts + calls


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _id(id_: str) -> str:
    """An id with the characters that Anthropic takes."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", id_) or "call"


class AnthropicReply:
    """One answer, event by event. Tool calls are delivered whole, when the model has said why it stopped.

    The tokens of the prompt are told before the answer begins, so an estimate of the usage follows the
    first text, and again each time the text has doubled: a stream that is stopped early has one.

    Args:
        vendor: its name, for the error texts.
        model: what the usage is told of.
    """

    def __init__(self, vendor: str, model: str) -> None:
        self.finished = False
        self.complete = False
        self.size = 0
        self._vendor = vendor
        self._model = model
        self._calls: dict[str, _Call] = {}
        self._finish: Finish | None = None
        self._spoken = False
        self._tokens: dict[str, int] = {}
        self._told_at = 0

    @property
    def usage(self) -> Usage | None:
        """The tokens, as far as the vendor has told; what it has not told yet is estimated."""
        if not self._tokens:
            return None
        cached = self._tokens.get("cache_read_input_tokens", 0)
        fresh = self._tokens.get("input_tokens", 0) + self._tokens.get("cache_creation_input_tokens", 0)
        written = self._tokens.get("output_tokens", 0)
        if not self.finished:
            written = max(written, -(-self.size // _CHARS_A_TOKEN))
        return Usage(fresh + cached, written, cached, estimated=not self.finished, model=self._model)

    def feed(self, data: str) -> list[Delta]:
        """What an event adds to the answer.

        Raises:
            NotAnAnswer: it is no event.
            InStreamError: it is an error.
        """
        event = object_of(data)
        match event.get("type"):
            case "error":
                raise InStreamError(event)
            case "message_start":
                self._note_usage(_part(event, "message").get("usage"))
            case "content_block_start":
                return self._begun(str(event.get("index")), _part(event, "content_block"))
            case "content_block_delta":
                return self._written(str(event.get("index")), _part(event, "delta"))
            case "message_delta":
                self._note_usage(event.get("usage"))
                if isinstance(reason := _part(event, "delta").get("stop_reason"), str):
                    return self._end(reason)
            case "message_stop":
                self.complete = True
                return self._end("end_turn")
            case None:
                raise NotAnAnswer("an event without a type")
        return []

    def check(self) -> None:
        """After the last event: raise `ProviderError` if that was no answer."""
        check_end(self._vendor, self._finish, spoken=self._spoken)

    def _begun(self, index: str, block: Mapping[str, Any]) -> list[Delta]:
        if block.get("type") == "tool_use":
            given = block.get("input")
            call = _Call(str(block.get("id") or ""), str(block.get("name") or ""), json.dumps(given) if given else "")
            self._calls[index] = call
            self._grow(call.name + call.whole)
            return []
        return self._said(block.get("text"))

    def _written(self, index: str, delta: Mapping[str, Any]) -> list[Delta]:
        piece = delta.get("partial_json")
        if isinstance(piece, str):
            if (call := self._calls.get(index)) is not None:
                call.pieces.append(piece)
            self._grow(piece)
            return []
        return self._said(delta.get("text"))

    def _said(self, text: object) -> list[Delta]:
        if not isinstance(text, str) or not text:
            return []
        self._spoken = True
        self._grow(text)
        if (usage := self.usage) is None or self.size < 2 * self._told_at:
            return [text]
        self._told_at = self.size
        return [text, usage]

    def _grow(self, written: str) -> None:
        self.size += len(written)
        if self.size > LONGEST_CHARS:
            raise NotAnAnswer("more than anybody could say")

    def _end(self, reason: str) -> list[Delta]:
        self.finished = True
        self._finish = self._finish or _FINISH.get(reason, "done")
        calls, self._calls = list(self._calls.values()), {}
        if self._finish == "length" and calls and not calls[-1].arguments.strip():
            calls.pop()  # cut before its arguments, it would run without them
        self._spoken = self._spoken or bool(calls)
        return [
            ToolCall(call.id or f"call_{number}", call.name, call.arguments or "{}")
            for number, call in enumerate(calls, 1)
        ]

    def _note_usage(self, told: object) -> None:
        if isinstance(told, Mapping):
            self._tokens |= {name: count_of(value) for name, value in told.items() if isinstance(value, int)}


class _Call:
    def __init__(self, id_: str, name: str, whole: str) -> None:
        self.id = id_
        self.name = name
        self.whole = whole
        self.pieces: list[str] = []

    @property
    def arguments(self) -> str:
        return "".join(self.pieces) or self.whole


def _part(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = event.get(name)
    if not isinstance(part, Mapping):
        raise NotAnAnswer(f"{event['type']} without its {name}")
    return part
