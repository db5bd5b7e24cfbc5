"""The tool by itself, and what CrewAI's own features make of it in a crew."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("crewai")

from crewai.events.event_bus import crewai_event_bus
from crewai.events.types.tool_usage_events import ToolUsageStartedEvent
from crewai.tools import ToolExecutionFailedError, ToolFailure, ToolFailurePolicy, ToolFailureReason
from tests.crewai.conftest import MakeTool, dials
from tests.crewai.scripted import DONE, ReActLLM, ScriptedLLM, crew_of, uses

from patter import CallResult, ConfigError, Patter, PatterTool
from patter_crewai import PatterCrewAITool, PhoneCallEvent

# CrewAI reads fields of its own that it has given up.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:crewai")

TO = "+15550100199"
TEA = {"to": TO, "goal": "Tea"}
BAD = {"to": "0555 1234", "goal": "Tea"}


def llm_of(tool: PatterCrewAITool, *turns: list[dict[str, Any]]) -> ScriptedLLM:
    return ScriptedLLM(model="scripted", turns=uses(tool, *turns))


def test_a_ready_tool_and_its_arguments_make_the_same_tool() -> None:
    phone = Patter.local("busy", voice="tones")
    ready = PatterTool(phone, name="ring_up", description="Rings somebody up.")
    for tool in (
        PatterCrewAITool(tool=ready),
        PatterCrewAITool(phone=phone, name="ring_up", description="Rings somebody up."),
    ):
        assert (tool.name, tool.description, tool.phone) == ("ring_up", "Rings somebody up.", phone)


def test_without_a_phone_it_says_what_to_pass() -> None:
    with pytest.raises(ConfigError, match=r"tool=PatterTool\(\.\.\.\)"):
        PatterCrewAITool()
    with pytest.raises(ConfigError, match="not beside tool="):
        PatterCrewAITool(tool=PatterTool(Patter.local("busy", voice="tones")), name="ring_up")


def test_it_is_described_without_its_phone() -> None:
    tool = PatterCrewAITool(phone=Patter.local("busy", voice="tones"))
    told = json.loads(tool.model_dump_json())
    assert set(told["args_schema"]["properties"]) == {"to", "goal", "first_message", "max_duration_sec"}
    assert told["tool_type"] == "patter_crewai.tool.PatterCrewAITool"
    assert told["cache_function"] == "patter_crewai.tool.never_cache"
    assert {variable["name"] for variable in told["env_vars"]} >= {"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"}
    assert not any(variable["required"] for variable in told["env_vars"])  # the local network needs none


def test_positional_arguments_are_checked_too(make_tool: MakeTool) -> None:
    tool = make_tool("busy")
    refused = tool.run("0555", "Tea")
    assert isinstance(refused, ToolFailure)
    assert refused.message.startswith("to: ")
    assert tool.run(TO, "Tea").status == "busy"


def test_a_crew_reads_the_envelope_and_no_failure_is_recorded(make_tool: MakeTool) -> None:
    tool = make_tool("busy")
    llm = llm_of(tool, [TEA])
    output = crew_of(tool, llm).kickoff()
    (read,) = llm.read()
    assert CallResult.model_validate(tool.run(**TEA)).status == json.loads(read)["status"] == "busy"
    assert output.raw == DONE
    assert output.tasks_output[0].tool_failures == []


def test_a_refused_call_is_recorded_and_the_crew_goes_on(make_tool: MakeTool) -> None:
    tool = make_tool("busy", allowed_numbers=["+1555010"])
    llm = llm_of(tool, [BAD], [{"to": "+15551234567", "goal": "Tea"}])
    output = crew_of(tool, llm).kickoff()
    failures = [record.failure for record in output.tasks_output[0].tool_failures]
    assert [failure.code for failure in failures] == ["invalid_arguments", "not_allowed"]
    assert failures[0].reason is ToolFailureReason.INVALID_INPUT
    assert not any(failure.retryable for failure in failures)
    assert all(text.startswith("to: ") for text in llm.read())
    assert "Traceback" not in "".join(llm.read())
    assert output.raw == DONE
    assert not dials(tool)


def test_a_policy_may_stop_the_crew_at_a_refused_call(make_tool: MakeTool) -> None:
    tool = make_tool("busy", tool_failure_policy=ToolFailurePolicy.RAISE)
    with pytest.raises(ToolExecutionFailedError, match="to: "):
        crew_of(tool, llm_of(tool, [BAD])).kickoff()
    assert not dials(tool)


def test_the_usage_limit_counts_calls_that_were_dialled(make_tool: MakeTool) -> None:
    tool = make_tool("busy", max_usage_count=1)
    llm = llm_of(tool, [BAD], [{"to": TO}], [TEA], [TEA])
    output = crew_of(tool, llm).kickoff()
    number, goal, busy, limit = llm.read()
    assert number.startswith("to: ")
    assert goal.startswith("goal: ")
    assert json.loads(busy)["status"] == "busy"
    assert "usage limit of 1" in limit
    last = output.tasks_output[0].tool_failures[-1].failure
    assert last.reason is ToolFailureReason.USAGE_LIMIT
    assert len(dials(tool)) == 1


def test_equal_calls_are_two_calls_in_a_crew_that_caches(make_tool: MakeTool) -> None:
    tool = make_tool("busy")
    llm = llm_of(tool, [TEA], [TEA])
    crew_of(tool, llm, cache=True).kickoff()
    assert [json.loads(text)["call_id"] for text in llm.read()] == [call.sid for call in dials(tool)]
    assert len(dials(tool)) == 2


def test_the_envelope_may_be_the_answer(make_tool: MakeTool) -> None:
    tool = make_tool("busy", result_as_answer=True)
    llm = llm_of(tool, [BAD], [TEA])
    output = crew_of(tool, llm).kickoff()
    assert json.loads(output.raw)["status"] == "busy"  # and not the refusal before it


def test_copies_of_a_crew_share_the_phone(make_tool: MakeTool) -> None:
    tool = make_tool("busy")
    crew = crew_of(tool, llm_of(tool, [TEA]))
    outputs = crew.kickoff_for_each([{"name": "one"}, {"name": "two"}])
    assert [output.raw for output in outputs] == [DONE, DONE]
    assert len(dials(tool)) == 2


def test_a_model_without_tool_calls_writes_its_use(make_tool: MakeTool) -> None:
    tool = make_tool("busy")
    llm = ReActLLM(model="scripted", turns=uses(tool, [BAD], [TEA]))
    output = crew_of(tool, llm).kickoff()
    observations = "\n".join(message["content"] for message in llm.asked[-1][0])
    assert "0555 1234" in observations
    assert "Expected" in observations
    assert '"status":"busy"' in observations
    assert output.raw == DONE
    assert len(dials(tool)) == 1


def test_progress_names_the_use_of_the_tool_it_belongs_to(make_tool: MakeTool) -> None:
    tool = make_tool()
    seen: list[tuple[object, PhoneCallEvent]] = []
    started: list[ToolUsageStartedEvent] = []
    with crewai_event_bus.scoped_handlers():
        crewai_event_bus.on(PhoneCallEvent)(lambda source, event: seen.append((source, event)))
        crewai_event_bus.on(ToolUsageStartedEvent)(lambda source, event: started.append(event))
        crew_of(tool, llm_of(tool, [TEA])).kickoff()
        crewai_event_bus.flush()
    events = [event for _, event in sorted(seen, key=lambda one: one[1].timestamp)]
    assert [events[0].event["type"], events[-1].event["type"]] == ["dialing", "ended"]
    assert {event.tool_name for event in events} == {"make_phone_call"}
    assert {event.parent_event_id for event in events} == {started[0].event_id}
    assert all(source is tool for source, _ in seen)
