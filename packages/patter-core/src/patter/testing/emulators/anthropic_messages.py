"""Anthropic's messages on the wire: a request is read and checked, an answer becomes events or one object."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from patter.testing.emulators.chat import Asked, Refused, json_reply
from patter.testing.emulators.minds import Part, Writing, prompt_tokens
from patter.testing.emulators.sse import Event, Reply, as_event
from patter.voice.base import Message, ToolCall, ToolSpec

__all__ = ["MessageAnswer", "error", "read_request", "refuse"]

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tools": "tool_use",
    "content_filter": "refusal",
}

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

Turn = tuple[str, list[dict[str, Any]]]
"""A role and its content blocks."""

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def error(message: str, status: int = 400) -> dict[str, Any]:
    """Anthropic's body of an HTTP error, which is also its error event."""
    kind = KINDS.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_emulator"}


def refuse(message: str, status: int = 400) -> NoReturn:
    """Answer with an HTTP error."""
    raise Refused(status, error(message, status))


def read_request(body: Mapping[str, Any], *, system_role: bool, prefill: bool) -> Asked:
    """What a request asks for. Raises `Refused` if it is malformed, as Anthropic does.

    Args:
        system_role: whether system messages may follow a user's turn.
        prefill: whether the last message may be the beginning of the answer.
    """
    limit = body.get("max_tokens")
    if limit is None:
        refuse("max_tokens: Field required")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        refuse("max_tokens: Input should be greater than or equal to 1")
    told = _messages(body.get("messages"), system_role=system_role)
    if told[-1][0] == "assistant" and not prefill:
        refuse("This model does not support assistant message prefill. The conversation must end with a user message.")
    _check_tool_results(_combined(told))
    messages = [] if body.get("system") is None else [Message("system", _system(body["system"]))]
    for role, blocks in told:
        messages.extend(_view(role, blocks))
    offered = [_tool(tool, f"tools.{at}") for at, tool in enumerate(body.get("tools") or [])]
    if len({tool.name for tool in offered}) < len(offered):
        refuse("tools: Tool names must be unique.")
    choice = body.get("tool_choice") or {"type": "auto"}
    if "tool_choice" in body and not offered:
        refuse("tool_choice may only be specified while providing tools.")
    return Asked(
        model=str(body["model"]),
        messages=tuple(messages),
        tools=() if choice.get("type") == "none" else tuple(offered),
        stream=bool(body.get("stream")),
        limit=limit,
    )


def _system(given: Any) -> str:
    blocks = [{"type": "text", "text": given}] if isinstance(given, str) else _blocks(given, "system")
    return "\n".join(block.get("text", "") for block in blocks)


def _messages(listed: Any, *, system_role: bool) -> list[Turn]:
    if not isinstance(listed, list):
        refuse("messages: Field required" if listed is None else "messages: Input should be a valid list")
    if not listed:
        refuse("messages: at least one message is required")
    found: list[Turn] = []
    for at, message in enumerate(listed):
        role = message.get("role") if isinstance(message, dict) else None
        before = found[-1][0] if found else None
        if role not in ("user", "assistant", "system"):
            refuse(f"messages.{at}.role: Input should be 'user' or 'assistant'")
        if role == "system" and not system_role:
            refuse("role 'system' is not supported on this model")
        if before is None and role != "user":
            refuse('messages: first message must use the "user" role')
        if role == "system" and before != "user":
            refuse(f"messages.{at}: a system message must follow a user message")
        if before == "system" and role != "assistant":
            refuse(f"messages.{at}: an assistant message must follow a system message")
        found.append((role, _content(message.get("content"), f"messages.{at}")))
    return found


def _combined(messages: list[Turn]) -> list[Turn]:
    """The turns: neighbouring messages of one role are one."""
    turns: list[Turn] = []
    for role, blocks in messages:
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((role, [*blocks]))
    return turns


def _content(content: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        if not content:
            refuse(f"{where}: all messages must have non-empty content except for the optional final assistant message")
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        refuse(f"{where}.content: Input should be a valid list")
    if not content:
        refuse(f"{where}: all messages must have non-empty content except for the optional final assistant message")
    return _blocks(content, f"{where}.content")


def _blocks(listed: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(listed, list):
        refuse(f"{where}: Input should be a valid list")
    for at, block in enumerate(listed):
        match block:
            case {"type": "text", "text": str(text)}:
                if not text:
                    refuse("messages: text content blocks must be non-empty")
                if not text.strip():
                    refuse("messages: text content blocks must contain non-whitespace text")
            case {"type": "tool_use", "id": str(), "name": str(), "input": dict()}:
                pass
            case {"type": "tool_result", "tool_use_id": str()}:
                _result_text(block, f"{where}.{at}.tool_result.content")
            case {"type": "image" | "document" | "thinking" | "redacted_thinking"}:
                pass
            case {"type": ("text" | "tool_use" | "tool_result") as kind}:
                refuse(f"{where}.{at}.{kind}: Field required or of the wrong type")
            case _:
                refuse(f"{where}.{at}: Input tag does not match any of the expected tags")
    return list(listed)


def _result_text(block: Mapping[str, Any], where: str) -> str:
    content = block.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(inner.get("text", "") for inner in _blocks(content, where))


def _check_tool_results(turns: list[Turn]) -> None:
    wanted: list[str] = []
    ids: set[str] = set()
    for at, (role, blocks) in enumerate([*turns, ("user", [])]):
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        first = [block["type"] for block in blocks[: len(results)]]
        if missing := [id_ for id_ in wanted if id_ not in results or set(first) != {"tool_result"}]:
            refuse(
                f"messages.{at - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
        for id_ in results:
            if role != "user" or id_ not in wanted:
                refuse(
                    f"messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id_}. Each "
                    "`tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
        wanted = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if ids.intersection(wanted) or len(set(wanted)) < len(wanted):
            refuse("messages: `tool_use` ids must be unique")
        ids.update(wanted)


def _tool(tool: Any, where: str) -> ToolSpec:
    name = tool.get("name") if isinstance(tool, dict) else None
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        refuse(f"{where}.custom.name: String should match pattern '^{_TOOL_NAME.pattern}$'")
    schema = tool.get("input_schema")
    if not isinstance(schema, dict):
        refuse(f"{where}.custom.input_schema: Field required")
    if schema.get("type") != "object":
        refuse(f"{where}.custom.input_schema.type: Input should be 'object'")
    return ToolSpec(name, str(tool.get("description") or ""), schema)


def _view(role: str, blocks: list[dict[str, Any]]) -> Iterator[Message]:
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    if role == "assistant":
        calls = [block for block in blocks if block["type"] == "tool_use"]
        asked = tuple(ToolCall(call["id"], call["name"], json.dumps(call["input"])) for call in calls)
        yield Message("assistant", text, asked)
        return
    for block in blocks:
        if block["type"] == "tool_result":
            yield Message("tool", _result_text(block, "messages"), tool_call_id=block["tool_use_id"])
    if text:
        yield Message("system" if role == "system" else "user", text)


class MessageAnswer:
    """One answer as a message.

    Args:
        cached: how many of the prompt's tokens are said to come from the cache.
        next_id: the id of a tool call that has none.
    """

    def __init__(self, asked: Asked, writing: Writing, *, number: int, cached: int, next_id: Callable[[], str]) -> None:
        self._asked = asked
        self._writing = writing
        self._cached = cached
        self._next_id = next_id
        self._head = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": asked.model}

    def reply(self) -> Reply:
        """The answer to the request, as a stream if it wants one."""
        if not self._asked.stream:
            return self._whole()
        return Reply(
            events=self._events(),
            media_type="text/event-stream; charset=utf-8",
            generated=True,
            encode=as_event,
            error=error("Overloaded", 529),
            unknown={"type": "news", "news": {"kind": "unheard of"}},
            garbage=b'event: content_block_delta\ndata: {"type": "cont\n\n',
        )

    def _whole(self) -> Reply:
        blocks: list[dict[str, Any]] = []
        pause_s = 0.0
        for part in self._writing:
            pause_s += part.pause_s
            if part.opens or not blocks or (part.call is None and blocks[-1]["type"] != "text"):
                blocks.append(self._block(part))
            if part.call is None:
                blocks[-1]["text"] += part.text
            else:
                blocks[-1]["input"] += part.text
        if self._writing.finish == "failed":
            refuse("Internal server error", 500)
        for block in blocks:
            if block["type"] == "tool_use":
                block["input"] = _object(block["input"])
        body = {**self._head, "content": blocks, **self._stop(), "usage": self._usage(self._writing.tokens)}
        return json_reply(body, tokens=max(self._writing.tokens, 1), pause_s=pause_s + self._writing.pause_s)

    def _events(self) -> Iterator[Event]:
        begun: dict[str, Any] = {
            **self._head,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._usage(1),
        }
        yield _event("message_start", message=begun)
        index, kind = -1, ""
        for part in self._writing:
            if part.opens or index < 0 or (part.call is None and kind != "text"):
                if index >= 0:
                    yield _event("content_block_stop", index=index)
                block = self._block(part)
                index, kind = index + 1, block["type"]
                # The name of a tool is what the model has written first.
                opened = {**block, "input": {}} if kind == "tool_use" else block
                yield _event("content_block_start", part if part.opens else None, index=index, content_block=opened)
                if index == 0:
                    yield _event("ping")
            if part.call is None:
                yield _event("content_block_delta", part, index=index, delta={"type": "text_delta", "text": part.text})
            else:
                delta = {"type": "input_json_delta", "partial_json": part.text}
                if part.call.json != "{}":
                    yield _event("content_block_delta", None if part.opens else part, index=index, delta=delta)
                elif not part.opens:
                    # A call without arguments has no other delta than the empty one that comes first.
                    yield _event("content_block_delta", part, index=index, delta={**delta, "partial_json": ""})
        if index >= 0:
            yield _event("content_block_stop", index=index)
        if self._writing.finish == "failed":
            yield Event(as_event(error("Internal server error", 500)), ends=True)
            return
        ended: dict[str, Any] = {
            "type": "message_delta",
            "delta": self._stop(),
            "usage": {"output_tokens": self._writing.tokens},
        }
        yield Event(as_event(ended), pause_s=self._writing.pause_s, ends=True)
        yield Event(as_event({"type": "message_stop"}), ends=True)

    def _block(self, part: Part) -> dict[str, Any]:
        if part.call is None:
            return {"type": "text", "text": ""}
        return {"type": "tool_use", "id": part.call.id or self._next_id(), "name": part.call.name, "input": ""}

    def _stop(self) -> dict[str, Any]:
        return {"stop_reason": STOP_REASONS.get(self._writing.finish), "stop_sequence": None}

    def _usage(self, output_tokens: int) -> dict[str, Any]:
        prompt = prompt_tokens(self._asked.messages, self._asked.tools)
        cached = min(self._cached, prompt)
        return {
            # Unlike OpenAI's, this number does not contain the cached tokens.
            "input_tokens": prompt - cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": cached,
            "output_tokens": output_tokens,
            "service_tier": "standard",
        }


def _event(kind: str, part: Part | None = None, **fields: Any) -> Event:
    data = as_event({"type": kind, **fields})
    return Event(data) if part is None else Event(data, part.tokens, part.pause_s)


def _object(text: str) -> dict[str, Any]:
    """The arguments of a call, which are an object on this wire; those that are none are lost."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
