"""in_call_tools: LangChain tools in the hands of the mind, by themselves and in a call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from langchain.tools import InjectedState
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, InjectedToolCallId, StructuredTool, ToolException, tool
from tests.langchain.conftest import MakeTool
from tests.langchain.scripted import TO, ScriptedModel, uses

from patter import ConfigError, Tool
from patter.envelope import CallResult
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.tools.model import ToolContext
from patter.tools.runner import ToolOutcome, ToolRunner
from patter_langchain import LangChainLLM, PatterLangChainTool, in_call_tools

pytestmark = pytest.mark.anyio


async def run(made: list[Tool], name: str, arguments: str = "{}") -> ToolOutcome:
    runner = ToolRunner(made, timeout_s=5, context=lambda: {"call_id": "CA1", "caller": "+1555", "callee": TO})
    return await runner.run("t1", name, arguments)


@tool
def free_times(day: str, count: int = 2) -> dict[str, Any]:
    """Look up the free times of a day."""
    return {"day": day, "times": ["15:00", "16:00"][:count], "thread": threading.current_thread().name}


@tool
async def slow(day: str) -> str:
    """Answer as text."""
    return f"Frei am {day}: früh"


async def test_sync_and_async_tools_answer_with_text_or_json() -> None:
    made = in_call_tools([free_times, slow], timeout_s=3)
    assert [(one.name, one.description, one.timeout_s) for one in made] == [
        ("free_times", "Look up the free times of a day.", 3),
        ("slow", "Answer as text.", 3),
    ]
    assert made[0].parameters["required"] == ["day"]
    assert made[0].parameters["properties"]["count"]["type"] == "integer"
    told = (await run(made, "free_times", '{"day": "Monday"}')).output
    assert '"times": ["15:00", "16:00"]' in told
    assert threading.current_thread().name not in told
    assert (await run(made, "slow", '{"day": "Montag"}')).output == "Frei am Montag: früh"


async def test_wrong_arguments_do_not_reach_the_tool() -> None:
    outcome = await run(in_call_tools([free_times]), "free_times", '{"day": 7}')
    assert outcome.reason == "invalid_arguments"


async def test_an_exception_is_a_safe_code_unless_the_tool_handles_it() -> None:
    def fails(kind: str) -> str:
        """Fail."""
        raise ToolException("The calendar is closed.") if kind == "told" else RuntimeError("secret")

    plain = StructuredTool.from_function(fails)
    handled = StructuredTool.from_function(fails, name="handled", handle_tool_error=True)
    made = in_call_tools([plain, handled])
    for name, kind in (("fails", "told"), ("fails", "raw"), ("handled", "raw")):
        outcome = await run(made, name, f'{{"kind": "{kind}"}}')
        assert (outcome.reason, outcome.output) == ("handler_error", '{"error": "handler_error"}')
    assert (await run(made, "handled", '{"kind": "told"}')).output == "The calendar is closed."


async def test_json_schemas_functions_and_tools_without_arguments_are_taken() -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    by_schema = StructuredTool(name="by_schema", description="By schema.", args_schema=schema, func=lambda day: day)

    def bare() -> str:
        """Without arguments."""
        return "done"

    made = in_call_tools([by_schema, bare])
    assert made[0].parameters["required"] == ["day"]
    assert (await run(made, "by_schema", '{"day": "Monday"}')).output == "Monday"
    assert (await run(made, "bare")).output == "done"


async def test_what_langchain_injects_is_hidden_and_filled() -> None:
    @tool
    def who(
        day: str,
        use_id: Annotated[str, InjectedToolCallId],
        user: Annotated[str, InjectedToolArg] = "nobody",
        *,
        config: RunnableConfig,
    ) -> str:
        """Say who asks."""
        about = config["configurable"]["patter"]
        return f"{day} {use_id} {user} {about['call_id']} {about['callee']} {about['tool_name']}"

    made = in_call_tools([who])
    assert list(made[0].parameters["properties"]) == ["day"]
    assert (await run(made, "who", '{"day": "Monday"}')).output == f"Monday t1 nobody CA1 {TO} who"


def test_what_the_phone_cannot_give_is_refused() -> None:
    @tool
    def needs(day: str, state: Annotated[dict[str, Any], InjectedState]) -> str:
        """Need the graph."""
        return "x"

    with pytest.raises(ConfigError, match="needs state of a graph"):
        in_call_tools([needs])
    with pytest.raises(ConfigError, match="str is neither"):
        in_call_tools(["needs"])  # type: ignore[list-item]


async def test_a_tool_of_ones_own_class_is_taken() -> None:
    class Opens(BaseTool):
        name: str = "opens"
        description: str = "When they open."

        def _run(self, day: str) -> str:
            return f"nine on {day}"

    assert (await run(in_call_tools([Opens()]), "opens", '{"day": "Monday"}')).output == "nine on Monday"


async def test_the_mind_uses_them_while_it_talks_and_the_host_does_not_see_it(make_tool: MakeTool) -> None:
    goodbye = uses(("t2", {}), name="end_call", text="Three it is. Goodbye.")
    model = ScriptedModel(script=[uses(("t1", {"day": "Monday"}), name="free_times", text="One moment."), goodbye])
    patter = make_tool(scripted(Say("Hello?"), Listen(), Listen(), Wait(5)), llm=LangChainLLM(model))
    default = patter.phone.default_agent
    assert default is not None
    agent = {"stt": default.stt, "llm": default.llm, "tts": default.tts, "tools": in_call_tools([free_times])}
    started: list[str] = []

    class Watcher(BaseCallbackHandler):
        def on_tool_start(self, serialized: Any, *args: Any, **kwargs: Any) -> None:
            started.append(serialized["name"])

    native = PatterLangChainTool(phone=patter.phone, agent=agent)
    call = {"type": "tool_call", "id": "1", "name": native.name, "args": {"to": TO, "goal": "Tea"}}
    message = await native.ainvoke(call, {"callbacks": [Watcher()]})
    result = CallResult.model_validate(message.artifact)
    assert [line.text for line in result.transcript if line.role == "agent"] == ["One moment. Three it is. Goodbye."]
    assert result.details is not None
    assert [(record.name, record.is_error) for record in result.details.tool_calls] == [
        ("free_times", False),
        ("end_call", False),
    ]
    assert "15:00" in model.heard[0].text
    assert started == ["make_phone_call"]


async def test_async_tools_run_on_the_loop_that_awaits_the_call(make_tool: MakeTool) -> None:
    loops: list[Any] = []

    @tool
    async def where() -> str:
        """Say where it runs."""
        loops.append(asyncio.get_running_loop())
        return "here"

    class Where(ScriptedModel):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            loops.append(asyncio.get_running_loop())
            for chunk in self._stream(*args, **kwargs):
                yield chunk

    goodbye = uses(("t2", {}), name="end_call", text="Goodbye.")
    model = Where(script=[uses(("t1", {}), name="where"), goodbye, uses(("t1", {}), name="where"), goodbye])
    patter = make_tool(llm=LangChainLLM(model))
    default = patter.phone.default_agent
    assert default is not None
    agent = {"stt": default.stt, "llm": default.llm, "tts": default.tts, "tools": in_call_tools([where])}
    native = PatterLangChainTool(phone=patter.phone, agent=agent)
    await native.ainvoke({"to": TO, "goal": "Tea"})
    assert loops == [asyncio.get_running_loop()] * 3
    # Plain code on a running loop keeps it busy, so Patter's own loop has to do.
    loops.clear()
    native.invoke({"to": TO, "goal": "Tea"})
    assert len(loops) == 3
    assert asyncio.get_running_loop() not in loops


async def test_a_handler_needs_nothing_but_arguments_and_context() -> None:
    (made,) = in_call_tools([slow])
    assert await made.handler({"day": "x"}, ToolContext(tool_call_id="1", tool_name="slow")) == "Frei am x: früh"
