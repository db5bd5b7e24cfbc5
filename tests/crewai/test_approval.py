"""Somebody is asked before the dial, by CrewAI's hooks."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("crewai")

from crewai.hooks import (
    ToolCallHookContext,
    clear_before_tool_call_hooks,
    get_before_tool_call_hooks,
    register_before_tool_call_hook,
)
from tests.crewai.conftest import MakeTool, dials
from tests.crewai.scripted import DONE, ReActLLM, ScriptedLLM, crew_of, uses

from patter_crewai import approve_calls

# CrewAI reads fields of its own that it has given up.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:crewai")

TEA = {"to": "+15550100199", "goal": "Tea"}


def raises(_: object) -> bool:
    raise ConnectionError("nobody at the desk")


@pytest.mark.parametrize("llm_type", [ScriptedLLM, ReActLLM])
def test_a_hook_of_crewais_own_blocks_the_dial(make_tool: MakeTool, llm_type: type[ScriptedLLM]) -> None:
    tool = make_tool("busy")
    llm = llm_type(model="scripted", turns=uses(tool, [TEA]))

    def nobody(context: ToolCallHookContext) -> bool | None:
        return False if context.tool_name == "make_phone_call" else None

    register_before_tool_call_hook(nobody)
    try:
        output = crew_of(tool, llm).kickoff()
    finally:
        clear_before_tool_call_hooks()
    assert "blocked by hook" in json.dumps(llm.asked[-1][0])
    assert output.raw == DONE
    assert not dials(tool)


def test_an_approved_call_is_placed(make_tool: MakeTool) -> None:
    tool = make_tool("busy")
    llm = ScriptedLLM(model="scripted", turns=uses(tool, [TEA]))
    asked: list[dict[str, Any]] = []
    with approve_calls(lambda arguments: asked.append(arguments) or True):
        crew_of(tool, llm).kickoff()
    assert asked == [TEA]
    assert json.loads(llm.read()[0])["status"] == "busy"


@pytest.mark.parametrize("ask", [lambda _: False, lambda _: None, lambda _: "no", raises])
def test_without_a_clear_yes_nothing_is_dialled(make_tool: MakeTool, ask: Any) -> None:
    tool = make_tool("busy")
    llm = ScriptedLLM(model="scripted", turns=uses(tool, [TEA]))
    with approve_calls(ask):
        output = crew_of(tool, llm).kickoff()
    assert "blocked by hook" in llm.read()[0]
    assert output.raw == DONE
    assert not dials(tool)


def test_other_tools_are_not_asked_for_and_leaving_removes_the_hook(make_tool: MakeTool) -> None:
    tool = make_tool("busy", name="ring_up")
    before = get_before_tool_call_hooks()
    with approve_calls(raises):
        llm = ScriptedLLM(model="scripted", turns=uses(tool, [TEA]))
        crew_of(tool, llm).kickoff()
    assert len(dials(tool)) == 1
    assert get_before_tool_call_hooks() == before
    with approve_calls(raises, name="ring_up"):
        crew_of(tool, ScriptedLLM(model="scripted", turns=uses(tool, [TEA]))).kickoff()
    assert len(dials(tool)) == 1
