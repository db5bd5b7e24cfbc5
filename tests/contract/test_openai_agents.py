"""The contract over the OpenAI Agents SDK: its real runner, with a scripted model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from patter import PatterTool
from patter.testing.contract import AdapterContract, Observed, Use
from patter.tool import ToolAnswer

agents = pytest.importorskip("agents")

from agents.items import ToolCallOutputItem  # noqa: E402
from agents.tool_context import ToolContext  # noqa: E402
from openai.types.responses import (  # noqa: E402
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)


class ScriptedModel(agents.Model):  # type: ignore[misc]
    """Makes the uses of one turn after another, then says a sentence. Keeps what it was told and what it read."""

    def __init__(self, name: str, turns: Sequence[Sequence[Use]]) -> None:
        self._name = name
        self._turns = list(turns)
        self.told: list[Any] = []
        self.read: dict[str, str] = {}

    async def get_response(
        self, system_instructions: str | None, input: Any, model_settings: Any, tools: Any, *args: Any, **kwargs: Any
    ) -> Any:
        self.told = list(tools)
        for item in input if isinstance(input, list) else []:
            if item.get("type") == "function_call_output":
                self.read[item["call_id"]] = item["output"]
        output: list[Any] = [self._call(use) for use in self._turns.pop(0)] if self._turns else [_sentence()]
        return agents.ModelResponse(output=output, usage=agents.Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        raise NotImplementedError

    def _call(self, use: Use) -> Any:
        arguments = json.dumps(dict(use.arguments))
        return ResponseFunctionToolCall(
            call_id=use.id, id=f"fc_{use.id}", name=self._name, arguments=arguments, type="function_call"
        )


def _sentence() -> Any:
    text = ResponseOutputText(text="That was all.", type="output_text", annotations=[])
    return ResponseOutputMessage(id="msg_1", content=[text], role="assistant", status="completed", type="message")


@contextmanager
def loop_of_its_own() -> Iterator[None]:
    """run_sync() leaves the loop that it makes open; one that is there already it takes."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class OpenAIAgentsHarness:
    """The SDK marks no output as an error; the program sees a `ToolAnswer`, which knows."""

    name = "openai-agents"
    cancels_on_await = True
    has_events = False
    sees_use_id = True
    has_result = True

    def build(self, tool: PatterTool) -> Any:
        return tool.to_openai_agents()

    def schema(self, native: Any) -> dict[str, Any]:
        model = ScriptedModel(native.name, [])
        with loop_of_its_own():
            agents.Runner.run_sync(agents.Agent("caller", model=model, tools=[native]), "Hello.")
        (told,) = model.told
        return {"name": told.name, "description": told.description, "parameters": told.params_json_schema}

    def invoke(self, native: Any, use: Use) -> Observed:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self.ainvoke(native, use)).result()

    async def ainvoke(self, native: Any, use: Use) -> Observed:
        arguments = json.dumps(dict(use.arguments))
        context = ToolContext(None, tool_name=native.name, tool_call_id=use.id, tool_arguments=arguments)
        return _observed(await native.on_invoke_tool(context, arguments))

    def run_agent(self, native: Any, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        model = ScriptedModel(native.name, turns)
        with loop_of_its_own():
            run = agents.Runner.run_sync(agents.Agent("caller", model=model, tools=[native]), "Call them.")
        return _as_read(run, model)

    async def arun_agent(self, native: Any, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        model = ScriptedModel(native.name, turns)
        before = asyncio.all_tasks()
        try:
            run = await agents.Runner.run(agents.Agent("caller", model=model, tools=[native]), "Call them.")
        except asyncio.CancelledError:
            # The runner cancels its tools, and does not wait until they have cleaned up.
            if left := asyncio.all_tasks() - before:
                with anyio.CancelScope(shield=True):
                    await asyncio.wait(left, timeout=5)
            raise
        return _as_read(run, model)


def _observed(answer: Any) -> Observed:
    assert isinstance(answer, ToolAnswer)
    return Observed(str(answer), answer.is_error, answer.result)


def _as_read(run: Any, model: ScriptedModel) -> list[Observed]:
    seen = []
    for item in run.new_items:
        if isinstance(item, ToolCallOutputItem):
            answer = _observed(item.output)
            seen.append(Observed(model.read[item.raw_item["call_id"]], answer.is_error, answer.result))
    return seen


class TestOpenAIAgents(AdapterContract):
    harness = OpenAIAgentsHarness()
