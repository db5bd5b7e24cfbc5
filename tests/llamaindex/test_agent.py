"""The tool in LlamaIndex's agents: events, approval, cancellation, and the id of a use."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent, JsonSerializer
from tests.llamaindex.conftest import Line, MakeLine
from tests.llamaindex.scripted import ScriptedLLM, calls
from workflows.errors import WorkflowCancelledByUser, WorkflowTimeoutError

from patter import CallResult
from patter_llamaindex import PatterFunctionTool, PatterToolSpec, PhoneCallEvent

# LlamaIndex's workflows look at every attribute of an agent, the deprecated ones of pydantic among them.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    # In older releases an agent's memory is not stored with its context.
    pytest.mark.filterwarnings("ignore:Skipping serialization of known unserializable key"),
]

TO = "+15550100199"
TEA = {"to": TO, "goal": "Tea"}
NAME = "make_phone_call"


def agent(line: Line, *turns: Any, timeout: float | None = None, **options: Any) -> FunctionAgent:
    tool = PatterFunctionTool(phone=line.phone, **options)
    return FunctionAgent(tools=[tool], llm=ScriptedLLM(*turns), timeout=timeout)


async def outputs(handler: Any) -> dict[str, str]:
    """What each tool call was answered, once the run is over."""
    found = {}
    async for event in handler.stream_events():
        if isinstance(event, ToolCallResult):
            found[event.tool_id] = event.tool_output.content
    await handler
    return found


async def test_an_agent_calls_and_the_stream_shows_it(make_line: MakeLine) -> None:
    line = make_line()
    handler = agent(line, calls(NAME, ("call_1", TEA)), "They have tea.").run("Order tea.")
    events = [event async for event in handler.stream_events() if isinstance(event, PhoneCallEvent)]
    assert str(await handler) == "They have tea."
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1]) == ("dialing", "ended")
    assert {event.tool_id for event in events} == {"call_1"}
    assert [event.data["text"] for event in events if event.type == "agent"] == ["Tea."]
    assert events[-1].call_id == line.dials[0].sid


async def test_an_agent_workflow_calls(make_line: MakeLine) -> None:
    line = make_line("busy")
    tools = PatterToolSpec(phone=line.phone).to_tool_list()
    workflow = AgentWorkflow.from_tools_or_functions(tools, llm=ScriptedLLM(calls(NAME, ("call_1", TEA)), "Busy."))
    handler = workflow.run(user_msg="Order tea.")
    assert json.loads((await outputs(handler))["call_1"])["status"] == "busy"
    assert len(line.dials) == 1


@pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning")
async def test_a_react_agent_calls(make_line: MakeLine) -> None:
    line = make_line("busy")
    use = f"Thought: I call.\nAction: {NAME}\nAction Input: {json.dumps(TEA)}"
    llm = ScriptedLLM(use, "Thought: I can answer.\nAnswer: Busy.", functions=False)
    handler = ReActAgent(tools=[PatterFunctionTool(phone=line.phone)], llm=llm).run("Order tea.")
    assert str(await handler) == "Busy."
    assert '"status":"busy"' in str(llm.asked[-1])
    assert len(line.dials) == 1


async def test_return_direct_ends_with_the_envelope(make_line: MakeLine) -> None:
    line = make_line("busy")
    result = await agent(line, calls(NAME, ("call_1", TEA)), return_direct=True).run("Order tea.")
    assert json.loads(str(result))["status"] == "busy"


async def test_a_refused_use_does_not_end_with_return_direct(make_line: MakeLine) -> None:
    line = make_line()
    turns = (calls(NAME, ("call_1", {"to": "911"})), "I cannot.")
    assert str(await agent(line, *turns, return_direct=True).run("Help.")) == "I cannot."
    assert not line.dials


async def test_cancelling_the_run_hangs_up(make_line: MakeLine) -> None:
    line = make_line()
    handler = agent(line, calls(NAME, ("call_1", {"to": TO, "goal": "Hold"}))).run("Order tea.")
    await line.answered()
    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await handler
    await line.over()
    assert len(line.dials) == 1


async def test_an_agent_that_times_out_hangs_up(make_line: MakeLine) -> None:
    line = make_line()
    handler = agent(line, calls(NAME, ("call_1", {"to": TO, "goal": "Hold"})), timeout=1.0).run("Order tea.")
    with pytest.raises(WorkflowTimeoutError):
        await handler
    await line.over()
    assert len(line.dials) == 1


async def restore(stored: str, agent: FunctionAgent) -> Context[Any]:
    """A stored context for this agent; older releases ask for a memory by hand."""
    restored: Context[Any] = Context.from_dict(agent, json.loads(stored), serializer=JsonSerializer())
    if await restored.store.get("memory", default=None) is None:
        await restored.store.set("memory", ChatMemoryBuffer.from_defaults(llm=agent.llm))
    return restored


# --- approval ------------------------------------------------------------------------------------


async def decide(handler: Any, *responses: Any) -> tuple[list[InputRequiredEvent], dict[str, str]]:
    """Answer the questions one after another, when all have come; what was asked, and what the tool calls answered."""
    asked: list[InputRequiredEvent] = []
    found = {}
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            asked.append(event)
            if len(asked) == len(responses):
                for question, response in zip(asked, responses, strict=True):
                    handler.ctx.send_event(HumanResponseEvent(response=response, approval_id=question.approval_id))
        if isinstance(event, ToolCallResult):
            found[event.tool_id] = event.tool_output.content
    await handler
    return asked, found


async def test_yes_is_one_dial(make_line: MakeLine) -> None:
    line = make_line("busy")
    handler = agent(line, calls(NAME, ("call_1", TEA)), needs_approval=True).run("Order tea.")
    (asked,), found = await decide(handler, "Yes ")
    assert (asked.to, asked.goal) == (TO, "Tea")
    assert TO in asked.prefix
    assert json.loads(found["call_1"])["status"] == "busy"
    assert len(line.dials) == 1


@pytest.mark.parametrize("response", ["no", "", "yesterday", None, False])
async def test_anything_else_is_no_dial_and_an_answer(make_line: MakeLine, response: Any) -> None:
    line = make_line()
    handler = agent(line, calls(NAME, ("call_1", TEA)), needs_approval=True).run("Order tea.")
    _, found = await decide(handler, response)
    assert "not approved" in found["call_1"]
    assert not line.dials


async def test_each_of_two_calls_is_approved_for_itself(make_line: MakeLine) -> None:
    line = make_line("busy")
    cake = {"to": TO, "goal": "Cake"}
    turn = calls(NAME, ("call_1", TEA), ("call_2", cake))
    asked, found = await decide(agent(line, turn, needs_approval=True).run("Order."), "yes", "no")
    approved, refused = ("call_1", "call_2") if asked[0].goal == "Tea" else ("call_2", "call_1")
    assert json.loads(found[approved])["status"] == "busy"
    assert "not approved" in found[refused]
    assert len(line.dials) == 1


async def test_nobody_is_asked_about_a_call_that_cannot_be_placed(make_line: MakeLine) -> None:
    line = make_line()
    handler = agent(line, calls(NAME, ("call_1", {"to": "911", "goal": "Tea"})), needs_approval=True).run("Help.")
    asked, found = await decide(handler)
    assert not asked
    assert found["call_1"].startswith("to:")


async def test_a_person_who_takes_too_long_has_refused(make_line: MakeLine) -> None:
    line = make_line()
    turn = calls(NAME, ("call_1", TEA))
    handler = agent(line, turn, needs_approval=True, approval_timeout_s=0.1).run("Order tea.")
    assert "in time" in (await outputs(handler))["call_1"]
    assert not line.dials


async def test_a_workflow_that_is_stored_while_it_waits_dials_once(make_line: MakeLine) -> None:
    line = make_line("busy")
    first = agent(line, calls(NAME, ("call_1", TEA)), needs_approval=True)
    handler = first.run("Order tea.")
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            break
    stored = json.dumps(handler.ctx.to_dict(serializer=JsonSerializer()))
    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await handler
    second = agent(line, "Busy.", needs_approval=True)
    restored = await restore(stored, second)
    handler = second.run(ctx=restored)
    handler.ctx.send_event(HumanResponseEvent(response="yes", approval_id=event.approval_id))
    found = await outputs(handler)
    assert json.loads(found["call_1"])["status"] == "busy"
    assert len(line.dials) == 1


# --- the id of a use -----------------------------------------------------------------------------


async def test_a_use_that_is_repeated_under_its_id_is_one_call(make_line: MakeLine) -> None:
    line = make_line("busy")
    turns = (calls(NAME, ("call_1", TEA)), calls(NAME, ("call_1", TEA)), "Busy.")
    handler = agent(line, *turns).run("Order tea.")
    results = [event async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
    assert len(results) == 2
    assert results[0].tool_output.content == results[1].tool_output.content
    assert len(line.dials) == 1


async def test_an_id_of_another_run_is_another_use(make_line: MakeLine) -> None:
    line = make_line("busy")
    for _ in range(2):
        await agent(line, calls(NAME, ("call_1", TEA)), "Busy.").run("Order tea.")
    assert len(line.dials) == 2


async def test_the_name_of_the_tool_is_no_id(make_line: MakeLine) -> None:
    line = make_line("busy")
    turns = (calls(NAME, (NAME, TEA)), calls(NAME, (NAME, TEA)), calls(NAME, ("", TEA)), "Busy.")
    await agent(line, *turns).run("Order tea, and again.")
    assert len(line.dials) == 3


async def test_a_run_that_is_restored_from_the_middle_of_a_call_does_not_dial_again(make_line: MakeLine) -> None:
    line = make_line()
    tool = PatterFunctionTool(phone=line.phone)
    hold = {"to": TO, "goal": "Hold"}
    first = FunctionAgent(tools=[tool], llm=ScriptedLLM(calls(NAME, ("call_1", hold))))
    handler = first.run("Order tea.")
    await line.answered()
    stored = json.dumps(handler.ctx.to_dict(serializer=JsonSerializer()))
    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await handler
    second = FunctionAgent(tools=[tool], llm=ScriptedLLM("It was given up."))
    restored = await restore(stored, second)
    found = await outputs(second.run(ctx=restored))
    assert json.loads(found["call_1"])["call_id"] == line.dials[0].sid
    assert len(line.dials) == 1


async def test_a_finished_run_can_be_stored_and_goes_on(make_line: MakeLine) -> None:
    line = make_line("busy")
    first = agent(line, calls(NAME, ("call_1", TEA)), "Busy.")
    handler = first.run("Order tea.")
    result = await handler
    assert isinstance(result.tool_calls[0].tool_output.raw_output, CallResult)
    stored = json.dumps(handler.ctx.to_dict(serializer=JsonSerializer()))
    second = agent(line, "It was busy.")
    restored = await restore(stored, second)
    assert str(await second.run("What came of it?", ctx=restored)) == "It was busy."
    assert len(line.dials) == 1
