"""CrewAI's tools in the hands of the agent on the phone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("crewai")

from crewai.tools import BaseTool, ToolFailure, tool
from pydantic import BaseModel

from patter import ConfigError, Patter, PatterTool
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.local.exchange import Timings
from patter.tools.model import ToolContext
from patter.voice.base import Delta, Message, ToolCall, ToolSpec
from patter_crewai import in_call_tools

CONTEXT = ToolContext(call_id="CA1")


class Slot(BaseModel):
    day: str
    free: bool


class Calendar(BaseTool):
    name: str = "Look Up Slot"
    description: str = "Says whether a day is free."
    result_schema: type[BaseModel] | None = Slot

    def _run(self, day: str, hour: int = 9) -> Slot:
        return Slot(day=day, free=hour > 8)


@tool("add up")
def add_up(numbers: list[int]) -> int:
    """Adds numbers."""
    return sum(numbers)


@tool("look outside")
async def look_outside() -> str:
    """Says what the weather is."""
    await asyncio.sleep(0)
    return "sunny"


@tool("order")
def order(dish: str) -> ToolFailure:
    """Orders a dish."""
    return ToolFailure(message=f"No {dish} left.", code="sold_out")


def test_names_schemas_and_results_are_those_of_crewai() -> None:
    slot, add, outside, dish = in_call_tools([Calendar(), add_up, look_outside, order], timeout_s=3)
    assert [one.name for one in (slot, add, outside, dish)] == ["look_up_slot", "add_up", "look_outside", "order"]
    assert slot.description == "Says whether a day is free."
    assert (slot.parameters["required"], set(slot.parameters["properties"])) == (["day"], {"day", "hour"})
    assert slot.timeout_s == 3
    assert slot.handler({"day": "Monday"}, CONTEXT) == '{"day":"Monday","free":true}'
    assert add.handler({"numbers": [1, 2]}, CONTEXT) == "3"
    assert outside.handler({}, CONTEXT) == "sunny"
    assert dish.handler({"dish": "soup"}, CONTEXT) == "No soup left. (code: sold_out)"


def test_what_is_no_tool_of_crewai_is_refused() -> None:
    tools: Any = [print]
    with pytest.raises(ConfigError, match="CrewAI tools"):
        in_call_tools(tools)


class Mind:
    """Looks up a slot, says what it has read, and hangs up."""

    model = "local/looks-up"

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        async def deltas() -> AsyncIterator[Delta]:
            if messages[-1].role != "tool":
                yield ToolCall("t1", "look_up_slot", json.dumps({"day": "Monday"}))
                return
            free = json.loads(messages[-1].content)["free"]
            yield "Monday is free." if free else "Monday is taken."
            yield ToolCall("c1", "end_call", "{}")

        yield deltas()


def test_the_mind_uses_one_during_a_call() -> None:
    callee = scripted(Say("When?"), Listen(), Wait(0.5))
    phone = Patter.local(callee, voice="tones", timings=Timings.quick(), llm=Mind())
    agent = {"tools": in_call_tools([Calendar()])}
    default = phone.default_agent
    assert default is not None
    with_tools = PatterTool(phone, agent | {"stt": default.stt, "llm": default.llm, "tts": default.tts})
    try:
        result = with_tools.execute_sync(to="+15550100199", goal="Find a day.")
    finally:
        phone.engine.run_sync(lambda _: phone.stop())
    assert result.status == "completed"
    assert result.transcript[-1].text == "Monday is free."
    assert result.details is not None
    assert [call.name for call in result.details.tool_calls] == ["look_up_slot", "end_call"]
