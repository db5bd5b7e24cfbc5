"""The contract of an adapter over LlamaIndex's form of the tool: by hand, and in the function agent."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import anyio
import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.tools import ToolOutput
from tests.llamaindex.scripted import ScriptedLLM, calls
from workflows.errors import WorkflowCancelledByUser

from patter.call.request import Event
from patter.envelope import CallResult
from patter.testing.contract import AdapterContract, Observed, Use
from patter.tool import PatterTool
from patter_llamaindex import PatterFunctionTool, PhoneCallEvent

# LlamaIndex's workflows look at every attribute of an agent, the deprecated ones of pydantic among them.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")


class LlamaIndexHarness:
    """`PatterFunctionTool`, called by hand and by a `FunctionAgent`.

    By hand there is no id of a use; `tests/llamaindex/test_agent.py` has what the agents do with theirs.
    """

    name = "llamaindex"
    cancels_on_await = True
    has_events = True
    sees_use_id = False
    has_result = True

    def build(self, tool: PatterTool) -> PatterFunctionTool:
        return PatterFunctionTool(tool)

    def schema(self, native: PatterFunctionTool) -> dict[str, Any]:
        function: dict[str, Any] = native.metadata.to_openai_tool()["function"]
        return function

    def invoke(self, native: PatterFunctionTool, use: Use) -> Observed:
        events: list[Event] = []
        return _observed(_listening(native, events).call(**use.arguments), events)

    async def ainvoke(self, native: PatterFunctionTool, use: Use) -> Observed:
        events: list[Event] = []
        return _observed(await _listening(native, events).acall(**use.arguments), events)

    def run_agent(self, native: PatterFunctionTool, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        return asyncio.run(self.arun_agent(native, turns))

    async def arun_agent(self, native: PatterFunctionTool, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        name = native.metadata.get_name()
        llm = ScriptedLLM(*(calls(name, *((use.id, use.arguments) for use in turn)) for turn in turns))
        handler = FunctionAgent(tools=[native], llm=llm).run("Call them.")
        outputs: dict[str, ToolOutput] = {}
        events: dict[str | None, list[Event]] = defaultdict(list)
        try:
            async for event in handler.stream_events():
                if isinstance(event, PhoneCallEvent):
                    known = {"type": event.type, "call_id": event.call_id, "at_s": event.at_s}
                    events[event.tool_id].append(known | event.data)
                elif isinstance(event, ToolCallResult):
                    outputs[event.tool_id] = event.tool_output
            await handler
        except asyncio.CancelledError:
            # A workflow runs in tasks of its own; who gives it up has to say so.
            with anyio.CancelScope(shield=True):
                await handler.cancel_run()
                with suppress(WorkflowCancelledByUser):
                    await handler
            raise
        read = llm.read_by_id()
        ids = [use.id for turn in turns for use in turn]
        return [_observed(outputs[id_], events[id_], read[id_]) for id_ in ids]


def _listening(native: PatterFunctionTool, events: list[Event]) -> PatterFunctionTool:
    """The same tool, with the events of one use."""
    return PatterFunctionTool(native.patter, on_event=events.append)


def _observed(output: ToolOutput, events: Sequence[Event], read: str | None = None) -> Observed:
    result = output.raw_output if isinstance(output.raw_output, CallResult) else None
    return Observed(output.content if read is None else read, output.is_error, result, events)


class TestLlamaIndex(AdapterContract):
    harness = LlamaIndexHarness()
