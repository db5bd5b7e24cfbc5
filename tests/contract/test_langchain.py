"""The contract of an adapter over LangChain's form of the tool: by hand, and in the agent of `create_agent`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

pytest.importorskip("langchain")

from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from tests.langchain.scripted import ScriptedModel, uses

from patter.call.request import Event
from patter.envelope import CallResult
from patter.testing.contract import AdapterContract, Observed, Use
from patter.tool import PatterTool
from patter_langchain import PatterLangChainTool


class Listener(BaseCallbackHandler):
    """Keeps the custom events of one run."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        assert name == "patter.call"
        self.events.append(data)


class LangChainHarness:
    """`PatterLangChainTool`, invoked with a ToolCall and in an agent of `create_agent`."""

    name = "langchain"
    cancels_on_await = True
    has_events = True
    sees_use_id = True
    has_result = True

    def build(self, tool: PatterTool) -> PatterLangChainTool:
        return PatterLangChainTool(tool=tool)

    def schema(self, native: PatterLangChainTool) -> dict[str, Any]:
        function: dict[str, Any] = convert_to_openai_tool(native)["function"]
        return function

    def invoke(self, native: PatterLangChainTool, use: Use) -> Observed:
        listener = Listener()
        return observed(native.invoke(tool_call(native, use), {"callbacks": [listener]}), listener.events)

    async def ainvoke(self, native: PatterLangChainTool, use: Use) -> Observed:
        listener = Listener()
        return observed(await native.ainvoke(tool_call(native, use), {"callbacks": [listener]}), listener.events)

    def run_agent(self, native: PatterLangChainTool, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        model = script(native, turns)
        agent = create_agent(model, [native])
        return read(model, turns, agent.stream({"messages": ["Call them."]}, stream_mode="custom"))

    async def arun_agent(self, native: PatterLangChainTool, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        model = script(native, turns)
        agent = create_agent(model, [native])

        stream = agent.astream({"messages": ["Call them."]}, stream_mode="custom")
        return read(model, turns, [chunk async for chunk in stream])


def tool_call(native: PatterLangChainTool, use: Use) -> dict[str, Any]:
    return {"type": "tool_call", "id": use.id, "name": native.name, "args": dict(use.arguments)}


def script(native: PatterLangChainTool, turns: Sequence[Sequence[Use]]) -> ScriptedModel:
    steps = [uses(*((use.id, dict(use.arguments)) for use in turn), name=native.name) for turn in turns]
    return ScriptedModel(script=[*steps, "Done."])


def read(model: ScriptedModel, turns: Sequence[Sequence[Use]], chunks: Iterable[dict[str, Any]]) -> list[Observed]:
    """What the model read of each use, with the events that the graph's stream told of it."""
    events: dict[str, list[Event]] = {}
    for chunk in chunks:
        assert chunk["name"] == "patter.call"
        events.setdefault(chunk["tool_call_id"], []).append(chunk["data"])
    heard = {message.tool_call_id: message for message in model.heard}
    return [observed(heard[use.id], events.get(use.id, [])) for turn in turns for use in turn]


def observed(message: ToolMessage, events: Sequence[Event]) -> Observed:
    result = None if message.artifact is None else CallResult.model_validate(message.artifact)
    assert isinstance(message.content, str)
    return Observed(message.content, message.status == "error", result, events)


class TestLangChain(AdapterContract):
    harness = LangChainHarness()
