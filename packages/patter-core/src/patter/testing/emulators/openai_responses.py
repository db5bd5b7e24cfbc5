"""OpenAI's Responses API on the wire: a request is read and checked, an answer becomes events or one object."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from patter.testing.emulators.chat import Asked, json_reply
from patter.testing.emulators.minds import Part, Writing, prompt_tokens
from patter.testing.emulators.openai_wire import items_of, number_of, refuse, text_of, tool_of
from patter.testing.emulators.sse import Event, Reply, as_event
from patter.voice.base import Message, ToolCall, ToolSpec

__all__ = ["ResponseAnswer", "read_request"]

LEAST_TOKENS = 16
FAILURE = {"code": "server_error", "message": "The server had an error while processing your request."}

_INPUT = ("input_text", "input_image", "input_file", "input_audio")
_OUTPUT = ("output_text", "refusal")
_ROLES: dict[Any, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


def read_request(body: Mapping[str, Any]) -> Asked:
    """What a request asks for. Raises `Refused` if it is malformed, as OpenAI does."""
    for name in ("previous_response_id", "conversation", "prompt"):
        if body.get(name) is not None:
            refuse(f"{name} {body[name]!r} not found; the emulator keeps nothing.", name, f"{name}_not_found")
    given = body.get("input")
    if given is None:
        refuse("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    listed = [{"role": "user", "content": given}] if isinstance(given, str) else items_of(given, "input")
    messages = _messages(listed)
    if body.get("instructions") is not None:
        messages.insert(0, Message("system", str(body["instructions"])))
    offered = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(body.get("tools") or [])]
    return Asked(
        model=str(body["model"]),
        messages=tuple(messages),
        tools=() if body.get("tool_choice") == "none" else tuple(offered),
        stream=bool(body.get("stream")),
        limit=number_of(body, "max_output_tokens", LEAST_TOKENS),
    )


def _tool(tool: Any, param: str) -> ToolSpec:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        refuse(f"Invalid value for '{param}.type': the emulator has functions only.", f"{param}.type", "invalid_value")
    return tool_of(tool, param)


def _messages(items: list[Any]) -> list[Message]:
    messages: list[Message] = []
    waiting: dict[str, None] = {}
    known: set[str] = set()
    for at, item in enumerate(items):
        param = f"input[{at}]"
        kind = item.get("type", "message") if isinstance(item, dict) else None
        match kind:
            case "message":
                messages.append(_message(item, param))
            case "function_call":
                call = _call(item, param)
                last = messages.pop() if messages and messages[-1].role == "assistant" else Message("assistant", "")
                messages.append(Message("assistant", last.content, (*last.tool_calls, call)))
                waiting[call.id] = None
                known.add(call.id)
            case "function_call_output":
                result = _result(item, param)
                if result.tool_call_id not in known:
                    told = f"No tool call found for function call output with call_id {result.tool_call_id}."
                    refuse(told, "input")
                waiting.pop(result.tool_call_id, None)
                messages.append(result)
            case "reasoning":
                continue
            case _:
                refuse(f"Invalid value: {kind!r}.", f"{param}.type", "invalid_value")
    for call_id in waiting:
        refuse(f"No tool output found for function call {call_id}.", "input")
    return messages


def _message(item: Mapping[str, Any], param: str) -> Message:
    role = _ROLES.get(item.get("role"))
    if role is None:
        wanted = ", ".join(map(repr, _ROLES))
        refuse(
            f"Invalid value: {item.get('role')!r}. Supported values are: {wanted}.", f"{param}.role", "invalid_value"
        )
    kinds = _OUTPUT if role == "assistant" else _INPUT
    return Message(role, text_of(item.get("content"), f"{param}.content", kinds))


def _call(item: Mapping[str, Any], param: str) -> ToolCall:
    for name in ("call_id", "name", "arguments"):
        if not isinstance(item.get(name), str):
            refuse(f"Missing required parameter: '{param}.{name}'.", f"{param}.{name}", "missing_required_parameter")
    return ToolCall(item["call_id"], item["name"], item["arguments"])


def _result(item: Mapping[str, Any], param: str) -> Message:
    if not isinstance(item.get("call_id"), str):
        refuse(f"Missing required parameter: '{param}.call_id'.", f"{param}.call_id", "missing_required_parameter")
    return Message("tool", text_of(item.get("output"), f"{param}.output", _INPUT), tool_call_id=item["call_id"])


class ResponseAnswer:
    """One answer as a response object.

    Args:
        cached: how many of the prompt's tokens are said to come from the cache.
        next_id: the id of a tool call that has none.
    """

    def __init__(
        self,
        body: Mapping[str, Any],
        asked: Asked,
        writing: Writing,
        *,
        number: int,
        cached: int,
        next_id: Callable[[], str],
    ) -> None:
        self._asked = asked
        self._writing = writing
        self._cached = cached
        self._next_id = next_id
        self._number = number
        self._sequence = 0
        self._output: list[dict[str, Any]] = []
        self._head = {
            "id": f"resp_{number}",
            "object": "response",
            "created_at": int(time.time()),
            "model": asked.model,
            "instructions": body.get("instructions"),
            "max_output_tokens": asked.limit,
            "metadata": body.get("metadata") or {},
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
            "previous_response_id": None,
            "temperature": body.get("temperature", 1.0),
            "top_p": body.get("top_p", 1.0),
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools") or [],
            "text": {"format": {"type": "text"}},
            "truncation": "disabled",
        }

    def reply(self) -> Reply:
        """The answer to the request, as a stream if it wants one."""
        if not self._asked.stream:
            pause_s = sum(event.pause_s for event in self._events())
            return json_reply(self._response(), tokens=max(self._writing.tokens, 1), pause_s=pause_s)
        return Reply(
            events=self._events(),
            media_type="text/event-stream; charset=utf-8",
            generated=True,
            encode=as_event,
            error={"type": "error", **FAILURE, "param": None, "sequence_number": 0},
            unknown={"type": "response.news", "sequence_number": 0, "news": {"kind": "unheard of"}},
            garbage=b'event: response.output_text.delta\ndata: {"type": "resp\n\n',
        )

    def _response(self) -> dict[str, Any]:
        finish = self._writing.finish
        status = {"length": "incomplete", "content_filter": "incomplete", "failed": "failed"}.get(finish, "completed")
        reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish)
        return {
            **self._head,
            "status": status,
            "error": FAILURE if status == "failed" else None,
            "incomplete_details": {"reason": reason} if reason else None,
            "output": self._output,
            "usage": None if status == "failed" else self._usage(),
        }

    def _event(self, kind: str, part: Part | None = None, /, *, ends: bool = False, **fields: Any) -> Event:
        message = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        if part is None:
            early = kind in ("response.created", "response.in_progress")
            return Event(as_event(message), pause_s=self._writing.pause_s if ends else 0.0, early=early, ends=ends)
        return Event(as_event(message), part.tokens, part.pause_s)

    def _events(self) -> Iterator[Event]:
        begun = {**self._head, "status": "in_progress", "error": None, "incomplete_details": None}
        begun |= {"output": [], "usage": None}
        yield self._event("response.created", response=begun)
        yield self._event("response.in_progress", response=begun)
        item: dict[str, Any] | None = None
        for part in self._writing:
            if part.opens or item is None or (part.call is None and item["type"] != "message"):
                yield from self._close(item)
                item = self._item(part)
                yield from self._open(item, part)
            if part.call is None:
                item["content"][0]["text"] += part.text
                yield self._event(
                    "response.output_text.delta",
                    part,
                    **self._where(item),
                    content_index=0,
                    delta=part.text,
                    logprobs=[],
                )
            elif not part.opens:
                item["arguments"] += part.text
                yield self._event("response.function_call_arguments.delta", part, **self._where(item), delta=part.text)
        whole = self._writing.finish in ("stop", "tools")
        yield from self._close(item, "completed" if whole else "incomplete")
        response = self._response()
        yield self._event(f"response.{response['status']}", response=response, ends=True)

    def _item(self, part: Part) -> dict[str, Any]:
        number = f"{self._number}_{len(self._output)}"
        if part.call is None:
            text = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            item = {"id": f"msg_{number}", "type": "message", "role": "assistant", "content": [text]}
        else:
            item = {"id": f"fc_{number}", "type": "function_call", "name": part.call.name, "arguments": ""}
            item["call_id"] = part.call.id or self._next_id()
        self._output.append(item)
        return item

    def _where(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {"item_id": item["id"], "output_index": len(self._output) - 1}

    def _open(self, item: dict[str, Any], part: Part) -> Iterator[Event]:
        item["status"] = "in_progress"
        empty = {**item, "content": []} if part.call is None else item
        # The name of a tool is what the model has written first.
        written = part if part.opens else None
        at = len(self._output) - 1
        yield self._event("response.output_item.added", written, output_index=at, item=empty)
        if part.call is None:
            first = item["content"][0]
            yield self._event("response.content_part.added", **self._where(item), content_index=0, part=first)

    def _close(self, item: dict[str, Any] | None, status: str = "completed") -> Iterator[Event]:
        if item is None:
            return
        item["status"] = status
        where = self._where(item)
        if item["type"] == "message":
            part = item["content"][0]
            done = {"text": part["text"], "logprobs": []}
            yield self._event("response.output_text.done", **where, content_index=0, **done)
            yield self._event("response.content_part.done", **where, content_index=0, part=part)
        else:
            yield self._event("response.function_call_arguments.done", **where, arguments=item["arguments"])
        yield self._event("response.output_item.done", output_index=where["output_index"], item=item)

    def _usage(self) -> dict[str, Any]:
        prompt = prompt_tokens(self._asked.messages, self._asked.tools)
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": min(self._cached, prompt), "cache_write_tokens": 0},
            "output_tokens": self._writing.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + self._writing.tokens,
        }
