"""OpenAI's chat completions on the wire: a request is read and checked, an answer becomes chunks or one object."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from patter.testing.emulators.chat import Asked, Refused, json_reply
from patter.testing.emulators.minds import Part, Writing, prompt_tokens
from patter.testing.emulators.openai_wire import error, items_of, number_of, refuse, text_of, tool_of
from patter.testing.emulators.sse import Event, Reply, as_data
from patter.voice.base import Message, ToolCall

__all__ = ["ChatCompletion", "read_request"]

FINISH_REASONS = {"tools": "tool_calls", "failed": "stop"}

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_PARTS = {
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
}


def read_request(body: Mapping[str, Any]) -> Asked:
    """What a request asks for. Raises `Refused` if it is malformed, as OpenAI does."""
    listed = items_of(body.get("messages"), "messages")
    messages = [_message(entry, f"messages[{at}]") for at, entry in enumerate(listed)]
    _check_tool_results(messages)
    stream = bool(body.get("stream"))
    if body.get("stream_options") is not None and not stream:
        refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    tools = [] if body.get("tools") is None else items_of(body["tools"], "tools")
    offered = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools)]
    if body.get("tool_choice") is not None and not tools:
        refuse(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.", "tool_choice"
        )
    longest = number_of(body, "max_completion_tokens", 1)
    return Asked(
        model=str(body["model"]),
        messages=tuple(messages),
        tools=() if body.get("tool_choice") == "none" else tuple(offered),
        stream=stream,
        limit=number_of(body, "max_tokens", 1) if longest is None else longest,
        usage=not stream or bool((body.get("stream_options") or {}).get("include_usage")),
    )


def _tool(tool: Any, param: str) -> Any:
    if not isinstance(tool, dict) or tool.get("type") != "function" or "function" not in tool:
        refuse(f"Missing required parameter: '{param}.function'.", f"{param}.function", "missing_required_parameter")
    return tool_of(tool["function"], f"{param}.function")


def _message(entry: Any, param: str) -> Message:
    role = _ROLES.get(str(entry.get("role"))) if isinstance(entry, dict) else None
    if role is None:
        wanted = ", ".join(map(repr, _ROLES))
        refuse(f"Invalid value for '{param}.role'. Supported values are: {wanted}.", f"{param}.role", "invalid_value")
    content, calls = entry.get("content"), _tool_calls(entry.get("tool_calls"), param)
    if content is None and (role != "assistant" or not calls):
        refuse("Invalid value for 'content': expected a string, got null.", f"{param}.content")
    text = "" if content is None else text_of(content, f"{param}.content", _PARTS.get(role, ("text",)))
    if role != "tool":
        return Message(role, text, calls)  # type: ignore[arg-type]
    if not isinstance(entry.get("tool_call_id"), str):
        refuse(f"Missing parameter 'tool_call_id': {param} has role 'tool'.", f"{param}.tool_call_id")
    return Message("tool", text, tool_call_id=entry["tool_call_id"])


def _tool_calls(listed: Any, param: str) -> tuple[ToolCall, ...]:
    if listed is None:
        return ()
    calls = []
    for at, call in enumerate(items_of(listed, f"{param}.tool_calls")):
        function = call.get("function") if isinstance(call, dict) else None
        where = f"{param}.tool_calls[{at}]"
        if not isinstance(function, dict) or not isinstance(call.get("id"), str) or call.get("type") != "function":
            refuse(
                f"Missing required parameter: '{where}': id, type and function.", where, "missing_required_parameter"
            )
        if not isinstance(function.get("name"), str) or not isinstance(function.get("arguments"), str):
            refuse(f"Invalid type for '{where}.function': name and arguments are strings.", where, "invalid_type")
        calls.append(ToolCall(call["id"], function["name"], function["arguments"]))
    return tuple(calls)


def _check_tool_results(messages: Sequence[Message]) -> None:
    waiting: list[str] = []
    for at, message in enumerate([*messages, Message("user", "")]):
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                wrong = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                refuse(f"Invalid parameter: {wrong}", f"messages.[{at}].role")
            waiting.remove(message.tool_call_id)
            continue
        if waiting:
            refuse(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
                f"messages.[{at}].role",
            )
        waiting = [call.id for call in message.tool_calls]


class ChatCompletion:
    """One answer as a chat completion.

    Args:
        cached: how many of the prompt's tokens are said to come from the cache.
        sloppy: tool calls come without index and id, as from some compatible servers.
        next_id: the id of a tool call that has none.
    """

    def __init__(
        self, asked: Asked, writing: Writing, *, number: int, cached: int, sloppy: bool, next_id: Callable[[], str]
    ) -> None:
        self._asked = asked
        self._writing = writing
        self._cached = cached
        self._sloppy = sloppy
        self._next_id = next_id
        self._head = {"id": f"chatcmpl-{number}", "created": int(time.time()), "model": asked.model}
        self._head |= {"service_tier": "default", "system_fingerprint": "fp_emulator"}

    def reply(self) -> Reply:
        """The answer to the request, as a stream if it wants one."""
        if not self._asked.stream:
            return self._whole()
        return Reply(
            events=self._events(),
            media_type="text/event-stream; charset=utf-8",
            generated=True,
            encode=as_data,
            error=error("The server had an error while processing your request.", kind="server_error"),
            unknown={"object": "chat.completion.news", "news": {"kind": "unheard of"}},
            garbage=b'data: {"id": "chatcm\n\n',
        )

    def _whole(self) -> Reply:
        texts: list[str] = []
        calls: list[dict[str, Any]] = []
        pause_s = 0.0
        for part in self._writing:
            pause_s += part.pause_s
            if part.call is None:
                texts.append(part.text)
            elif part.opens:
                calls.append(self._call(part))
            else:
                calls[-1]["function"]["arguments"] += part.text
        if self._writing.finish == "failed":
            raise Refused(500, error("The server had an error while processing your request.", kind="server_error"))
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(texts) or None,
            "refusal": None,
            "annotations": [],
        }
        if calls:
            message["tool_calls"] = [{key: value for key, value in call.items() if key != "index"} for call in calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish_reason}
        body = {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage()}
        return json_reply(body, tokens=max(self._writing.tokens, 1), pause_s=pause_s + self._writing.pause_s)

    def _events(self) -> Iterator[Event]:
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})
        for part in self._writing:
            delta = {"content": part.text} if part.call is None else {"tool_calls": [self._call(part)]}
            yield self._chunk(delta, part)
        if self._writing.finish == "failed":
            yield Event(as_data(error("The server had an error.", kind="server_error")), ends=True)
            return
        yield self._chunk({}, finish_reason=self._finish_reason)
        if self._asked.usage:
            yield Event(as_data({**self._chunk_head, "choices": [], "usage": self._usage()}), ends=True)
        yield Event(b"data: [DONE]\n\n", ends=True)

    @property
    def _chunk_head(self) -> dict[str, Any]:
        return {**self._head, "object": "chat.completion.chunk"}

    @property
    def _finish_reason(self) -> str:
        return FINISH_REASONS.get(self._writing.finish, self._writing.finish)

    def _chunk(self, delta: Mapping[str, Any], part: Part | None = None, *, finish_reason: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._chunk_head, "choices": [choice]}
        if self._asked.usage:
            chunk["usage"] = None
        if part is None:
            pause_s = self._writing.pause_s if finish_reason else 0.0
            return Event(as_data(chunk), pause_s=pause_s, ends=finish_reason is not None)
        return Event(as_data(chunk), part.tokens, part.pause_s)

    def _call(self, part: Part) -> dict[str, Any]:
        assert part.call is not None
        index = {} if self._sloppy else {"index": part.number}
        if not part.opens:
            return {**index, "function": {"arguments": part.text}}
        id_ = {} if self._sloppy else {"id": part.call.id or self._next_id()}
        return {**index, **id_, "type": "function", "function": {"name": part.call.name, "arguments": ""}}

    def _usage(self) -> dict[str, Any]:
        prompt = prompt_tokens(self._asked.messages, self._asked.tools)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self._writing.tokens,
            "total_tokens": prompt + self._writing.tokens,
            "prompt_tokens_details": {"cached_tokens": min(self._cached, prompt), "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }
