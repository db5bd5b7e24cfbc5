"""The contract over pydantic-ai: its real agent, with a function as the model."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from patter import PatterTool
from patter.envelope import CallResult
from patter.testing.contract import AdapterContract, Observed, Use

pydantic_ai = pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent, ModelRetry, RunContext, RunUsage  # noqa: E402
from pydantic_ai.messages import (  # noqa: E402
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel  # noqa: E402

FAILED = (ModelRetry, getattr(pydantic_ai, "ToolFailed", ModelRetry))


def script(name: str, turns: Sequence[Sequence[Use]], told: list[Any] | None = None) -> FunctionModel:
    """A model that makes the uses of one turn after another, then says a sentence."""
    left = list(turns)

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if told is not None:
            told.extend(info.function_tools)
        if not left:
            return ModelResponse(parts=[TextPart("That was all.")])
        return ModelResponse(parts=[ToolCallPart(name, dict(use.arguments), use.id) for use in left.pop(0)])

    return FunctionModel(answer)


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


class PydanticAIHarness:
    """A use by hand calls the tool's function, as pydantic-ai does, with a context of one conversation."""

    name = "pydantic-ai"
    cancels_on_await = True
    has_events = False
    sees_use_id = True
    has_result = True

    def build(self, tool: PatterTool) -> Any:
        return tool.to_pydantic_ai()

    def schema(self, native: Any) -> dict[str, Any]:
        told: list[Any] = []
        with loop_of_its_own():
            Agent(script(native.name, [], told), tools=[native]).run_sync("Hello.")
        (tool,) = told
        return {"name": tool.name, "description": tool.description, "parameters": tool.parameters_json_schema}

    def invoke(self, native: Any, use: Use) -> Observed:
        return _elsewhere(self.ainvoke(native, use))

    async def ainvoke(self, native: Any, use: Use) -> Observed:
        context = RunContext(
            deps=None,
            model=script(native.name, []),
            usage=RunUsage(),
            tool_call_id=use.id,
            conversation_id="by hand",
        )
        try:
            answer = await native.function(context, **use.arguments)
        except FAILED as error:
            return Observed(str(error), is_error=True)
        return Observed(answer.return_value, is_error=False, result=CallResult.model_validate(answer.metadata))

    def run_agent(self, native: Any, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        with loop_of_its_own():
            run = Agent(script(native.name, turns), tools=[native]).run_sync("Call them.")
        return _as_read(run.all_messages())

    async def arun_agent(self, native: Any, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        run = await Agent(script(native.name, turns), tools=[native]).run("Call them.")
        return _as_read(run.all_messages())


def _elsewhere(use: Coroutine[Any, Any, Observed]) -> Observed:
    """Run it on a loop of its own, whether this thread has one or not."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, use).result()


def _as_read(messages: Sequence[ModelMessage]) -> list[Observed]:
    parts = [part for message in messages if isinstance(message, ModelRequest) for part in message.parts]
    seen = []
    for part in parts:
        if isinstance(part, RetryPromptPart):
            seen.append(Observed(part.model_response(), is_error=True))
        elif isinstance(part, ToolReturnPart):
            is_error = part.outcome != "success"
            result = None if part.metadata is None else CallResult.model_validate(part.metadata)
            seen.append(Observed(part.model_response_str(), is_error, result))
    return seen


class TestPydanticAI(AdapterContract):
    harness = PydanticAIHarness()
