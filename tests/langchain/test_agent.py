"""PatterLangChainTool in LangGraph graphs: approval, retries, resumed graphs, time limits and streams."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anyio
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, ToolCallLimitMiddleware, ToolRetryMiddleware
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from tests.langchain.conftest import MakeTool
from tests.langchain.scripted import TO, ScriptedModel, endless, exchange, use, uses

from patter_langchain import PatterLangChainTool

ASK: Any = {"messages": [HumanMessage("Call them.")]}
THREAD: Any = {"configurable": {"thread_id": "1"}}


def once(goal: str = "Tea") -> ScriptedModel:
    return ScriptedModel(script=[use(to=TO, goal=goal), "They have tea."])


def test_an_agent_calls_and_reports_back(make_tool: MakeTool) -> None:
    model = once()
    agent = create_agent(model, [PatterLangChainTool(tool=make_tool())])
    messages = agent.invoke(ASK)["messages"]
    assert messages[-1].text == "They have tea."
    (heard,) = model.heard
    assert json.loads(str(heard.content))["status"] == "completed"
    assert heard.artifact["status"] == "completed"


@pytest.mark.parametrize(("decision", "dials"), [("approve", 1), ("reject", 0)])
def test_nothing_is_dialled_before_a_human_has_approved(make_tool: MakeTool, decision: str, dials: int) -> None:
    tool = make_tool()
    model = once()
    agent = create_agent(
        model,
        [PatterLangChainTool(tool=tool)],
        middleware=[HumanInTheLoopMiddleware(interrupt_on={"make_phone_call": True})],
        checkpointer=InMemorySaver(),
    )
    (interrupt,) = agent.invoke(ASK, THREAD)["__interrupt__"]
    assert interrupt.value["action_requests"][0]["args"] == {"to": TO, "goal": "Tea"}
    assert not tool.phone.is_running
    agent.invoke(Command(resume={"decisions": [{"type": decision}]}), THREAD)
    assert (exchange(tool).creates if tool.phone.is_running else 0) == dials
    assert model.heard[-1].status == ("success" if decision == "approve" else "error")


@pytest.mark.parametrize("args", [{"to": "+15550100199", "goal": "Tea"}, {"to": "555", "goal": "Tea"}])
def test_a_retrying_middleware_has_nothing_to_retry(make_tool: MakeTool, args: dict[str, Any]) -> None:
    tool = make_tool("failed")
    model = ScriptedModel(script=[use(**args), "No luck."])
    agent = create_agent(
        model,
        [PatterLangChainTool(tool=tool)],
        middleware=[ToolRetryMiddleware(max_retries=2, initial_delay=0.0)],
    )
    agent.invoke(ASK)
    (heard,) = model.heard
    if args["to"] == TO:
        assert json.loads(str(heard.content))["status"] == "failed"
        assert exchange(tool).creates == 1
    else:
        assert heard.status == "error"
        assert not tool.phone.is_running


def test_a_graph_that_does_the_step_again_dials_once(make_tool: MakeTool) -> None:
    tool = make_tool()
    model = ScriptedModel(script=[use(to=TO, goal="Tea"), "Done.", "Done again."])
    agent = create_agent(model, [PatterLangChainTool(tool=tool)], checkpointer=InMemorySaver())
    first = agent.invoke(ASK, THREAD)["messages"]
    (before,) = [state for state in agent.get_state_history(THREAD) if state.next == ("tools",)]
    again = agent.invoke(None, before.config)["messages"]
    assert again[-1].text == "Done again."
    envelopes = [message.artifact for message in (*first, *again) if isinstance(message, ToolMessage)]
    assert envelopes[0] == envelopes[1]
    assert exchange(tool).creates == 1


@pytest.mark.parametrize("threads", [["1", "2"], [None, None]])
def test_models_that_count_their_calls_anew_dial_in_each_run(make_tool: MakeTool, threads: list[str | None]) -> None:
    tool = make_tool()
    model = ScriptedModel(script=[use(to=TO, goal="Tea"), "Done."] * 2)
    saver = InMemorySaver() if threads[0] else None
    agent = create_agent(model, [PatterLangChainTool(tool=tool)], checkpointer=saver)
    for thread in threads:
        agent.invoke(ASK, {"configurable": {"thread_id": thread}} if thread else None)
    assert exchange(tool).creates == 2


def test_a_limit_of_calls_is_kept(make_tool: MakeTool) -> None:
    tool = make_tool()
    calls = [use(f"call_{number}", to=TO, goal="Tea") for number in range(2)]
    agent = create_agent(
        ScriptedModel(script=[*calls, "Done."]),
        [PatterLangChainTool(tool=tool)],
        middleware=[ToolCallLimitMiddleware(tool_name="make_phone_call", run_limit=1)],
    )
    agent.invoke(ASK)
    assert exchange(tool).creates == 1


def test_a_graphs_time_limit_hangs_up(make_tool: MakeTool) -> None:
    tool = make_tool(endless())
    agent = create_agent(once("Hold"), [PatterLangChainTool(tool=tool)])
    agent.step_timeout = 0.7

    async def run() -> None:
        await tool.start()
        with pytest.raises(TimeoutError):
            await agent.ainvoke(ASK)

    asyncio.run(run())
    assert tool.phone.live_calls == []
    assert [one.status.final for one in exchange(tool).calls.values()] == [True]


@pytest.mark.anyio
async def test_a_scope_of_anyio_that_is_cancelled_hangs_up(make_tool: MakeTool) -> None:
    tool = make_tool(endless())
    agent = create_agent(once("Hold"), [PatterLangChainTool(tool=tool)])

    async def answered(_: object) -> None:
        call = await exchange(tool).nth_call(1)
        await call.answered.wait()

    await tool.start()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.ainvoke, ASK)
            await tool.phone.engine.run(answered)
            tasks.cancel_scope.cancel()
    assert tool.phone.live_calls == []
    assert [one.status.final for one in exchange(tool).calls.values()] == [True]


def test_the_stream_tells_whose_progress_it_is(make_tool: MakeTool) -> None:
    calls = [(f"call_{number}", {"to": TO, "goal": f"Tea {number}"}) for number in range(2)]
    agent = create_agent(ScriptedModel(script=[uses(*calls), "Done."]), [PatterLangChainTool(tool=make_tool())])
    chunks: list[Any] = list(agent.stream(ASK, stream_mode="custom"))
    assert {chunk["name"] for chunk in chunks} == {"patter.call"}
    for number in range(2):
        events = [chunk["data"] for chunk in chunks if chunk["tool_call_id"] == f"call_{number}"]
        said = [event["text"] for event in events if event["type"] == "agent"]
        assert said == [f"Tea {number}. Goodbye."]


def test_return_direct_ends_with_the_envelope(make_tool: MakeTool) -> None:
    model = ScriptedModel(script=[use(to=TO, goal="Tea")])
    agent = create_agent(model, [PatterLangChainTool(tool=make_tool(), return_direct=True)])
    last = agent.invoke(ASK)["messages"][-1]
    assert isinstance(last, ToolMessage)
    assert last.artifact["status"] == "completed"
