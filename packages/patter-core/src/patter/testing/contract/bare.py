"""The contract over `PatterTool` without a framework: the simplest harness, and one to start from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio

from patter.call.request import Event
from patter.testing.contract.harness import Observed, Use
from patter.tool import PatterTool, ToolAnswer

__all__ = ["BareHarness", "ScriptedChat"]


class ScriptedChat:
    """A chat model in OpenAI's form that makes the uses of a script, a turn at a time, and then says a sentence."""

    def __init__(self, name: str, turns: Sequence[Sequence[Use]]) -> None:
        self._replies = iter([_reply(name, turn) for turn in turns])
        self.read: list[str] = []
        """What it read of its uses, in their order."""

    def complete(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The model's next message."""
        self.read = [message["content"] for message in messages if message["role"] == "tool"]
        return next(self._replies, {"role": "assistant", "content": "That was all.", "tool_calls": []})


class BareHarness:
    """`PatterTool` itself. Its agent is a dispatch loop over `PatterTool.openai_schema` and a scripted chat."""

    name = "bare"
    cancels_on_await = True
    has_events = True
    sees_use_id = True
    has_result = True

    def build(self, tool: PatterTool) -> PatterTool:
        """The tool is its own form."""
        return tool

    def schema(self, native: PatterTool) -> dict[str, Any]:
        """What a chat completion is told."""
        function: dict[str, Any] = native.openai_schema()["function"]
        return function

    def invoke(self, native: PatterTool, use: Use) -> Observed:
        """One use from plain code."""
        events: list[Event] = []
        answer = native.answer_sync(use.arguments, on_event=events.append, tool_call_id=use.id)
        return _observed(answer, events)

    async def ainvoke(self, native: PatterTool, use: Use) -> Observed:
        """One use from async code."""
        events: list[Event] = []
        answer = await native.answer(use.arguments, on_event=events.append, tool_call_id=use.id)
        return _observed(answer, events)

    def run_agent(self, native: PatterTool, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        """The dispatch loop, with a thread for each of the uses of one turn."""
        chat = ScriptedChat(native.name, turns)
        observed: list[Observed] = []
        messages: list[dict[str, Any]] = [{"role": "user", "content": "Call them."}]
        with ThreadPoolExecutor() as threads:
            while uses := _ask(chat, messages):
                done = list(threads.map(lambda use: self.invoke(native, use), uses))
                observed += done
                messages += _answers(uses, done)
        return _as_read(chat, observed)

    async def arun_agent(self, native: PatterTool, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        """The dispatch loop, with a task for each of the uses of one turn."""
        chat = ScriptedChat(native.name, turns)
        observed: list[Observed] = []
        messages: list[dict[str, Any]] = [{"role": "user", "content": "Call them."}]
        while uses := _ask(chat, messages):
            done: dict[int, Observed] = {}

            async def make(place: int, use: Use, done: dict[int, Observed] = done) -> None:
                done[place] = await self.ainvoke(native, use)

            async with anyio.create_task_group() as tasks:
                for place, use in enumerate(uses):
                    tasks.start_soon(make, place, use)
            in_order = [done[place] for place in range(len(uses))]
            observed += in_order
            messages += _answers(uses, in_order)
        return _as_read(chat, observed)


def _observed(answer: ToolAnswer, events: Sequence[Event]) -> Observed:
    return Observed(answer.text, answer.is_error, answer.result, events)


def _reply(name: str, turn: Sequence[Use]) -> dict[str, Any]:
    calls = [
        {"id": use.id, "type": "function", "function": {"name": name, "arguments": json.dumps(dict(use.arguments))}}
        for use in turn
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def _ask(chat: ScriptedChat, messages: list[dict[str, Any]]) -> list[Use]:
    """The uses that the model wants next; none when it has answered."""
    reply = chat.complete(messages)
    messages.append(reply)
    return [Use(json.loads(call["function"]["arguments"]), call["id"]) for call in reply["tool_calls"]]


def _answers(uses: Sequence[Use], done: Sequence[Observed]) -> Iterator[dict[str, Any]]:
    for use, observed in zip(uses, done, strict=True):
        yield {"role": "tool", "tool_call_id": use.id, "content": observed.text}


def _as_read(chat: ScriptedChat, observed: Sequence[Observed]) -> list[Observed]:
    """What the model read of each use."""
    return [Observed(text, one.is_error, one.result, one.events) for text, one in zip(chat.read, observed, strict=True)]
