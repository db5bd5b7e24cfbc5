"""The tool and the tool spec, called by hand."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.tools import FunctionTool
from llama_index.core.tools.calling import acall_tool, call_tool
from llama_index.core.tools.tool_spec.base import BaseToolSpec
from tests.llamaindex.conftest import MakeLine

from patter import CallResult, ConfigError, PatterTool
from patter.call.request import Event
from patter_llamaindex import PatterFunctionTool, PatterToolSpec

TO = "+15550100199"


def test_the_classes_are_of_llama_index() -> None:
    assert BaseToolSpec in PatterToolSpec.__mro__
    assert FunctionTool in PatterFunctionTool.__mro__


def test_a_call_by_hand_gives_text_and_envelope(make_line: MakeLine) -> None:
    line = make_line()
    events: list[Event] = []
    tool = PatterFunctionTool(phone=line.phone, on_event=events.append)
    output = tool.call(to=TO, goal="Tea")
    assert isinstance(output.raw_output, CallResult)
    assert output.content == output.raw_output.to_llm()
    assert json.loads(output.content)["call_id"] == line.dials[0].sid
    assert (output.tool_name, output.is_error) == ("make_phone_call", False)
    assert output.raw_input == {"to": TO, "goal": "Tea"}
    assert [event["type"] for event in events][-1] == "ended"


@pytest.mark.anyio
async def test_arguments_may_be_one_object_and_the_functions_are_the_tool(make_line: MakeLine) -> None:
    line = make_line("busy")
    tool = PatterFunctionTool(PatterTool(line.phone))
    one = await tool.acall({"to": TO, "goal": "Tea"})
    assert one.raw_input == {"to": TO, "goal": "Tea"}
    texts = [one.content, await tool.async_fn(to=TO, goal="Tea"), tool(to=TO, goal="Tea").content]
    assert [json.loads(text)["status"] for text in texts] == ["busy"] * 3
    assert tool.fn(to="911").startswith("to:")
    assert len(line.dials) == 3


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((TO,), {}, "arguments: "),
        (({"to": TO}, "Tea"), {}, "tuple is not an object"),
        (({"to": TO},), {"goal": "Tea"}, "tuple is not an object"),
        ((), {"to": TO, "goal": "Tea", "self": 1}, "self"),
    ],
)
async def test_a_use_that_makes_no_sense_dials_nobody(
    make_line: MakeLine, args: tuple[object, ...], kwargs: dict[str, object], named: str
) -> None:
    line = make_line()
    output = await PatterFunctionTool(phone=line.phone).acall(*args, **kwargs)
    assert output.is_error
    assert named in output.content
    assert output.raw_output == output.content
    assert not line.dials


@pytest.mark.anyio
async def test_llama_indexs_own_callers_dial_once(make_line: MakeLine) -> None:
    line = make_line("busy")
    tool = PatterFunctionTool(phone=line.phone)
    assert not call_tool(tool, {"to": TO, "goal": "Tea"}).is_error
    assert not (await acall_tool(tool, {"to": TO, "goal": "Tea"})).is_error
    assert (await acall_tool(tool, {"to": TO})).content.startswith("goal:")
    assert len(line.dials) == 2


def test_the_spec_has_one_tool_under_its_own_name(make_line: MakeLine) -> None:
    line = make_line("busy")
    spec = PatterToolSpec(phone=line.phone, name="ring_up", description="Rings somebody up.", return_direct=True)
    (tool,) = spec.to_tool_list()
    assert isinstance(tool, PatterFunctionTool)
    assert (tool.metadata.name, tool.metadata.description) == ("ring_up", "Rings somebody up.")
    assert tool.metadata.return_direct
    assert json.loads(tool(to=TO, goal="Tea").content)["status"] == "busy"


@pytest.mark.anyio
async def test_a_call_that_needs_approval_is_not_placed_where_nobody_can_be_asked(make_line: MakeLine) -> None:
    line = make_line()
    tool = PatterFunctionTool(phone=line.phone, needs_approval=True)
    for output in (tool.call(to=TO, goal="Tea"), await tool.acall(to=TO, goal="Tea")):
        assert output.is_error
        assert "approval" in output.content
    assert not line.dials


def test_a_wrong_constructor_says_what_is_wrong(make_line: MakeLine) -> None:
    phone = make_line().phone
    with pytest.raises(ConfigError, match="phone="):
        PatterFunctionTool()
    with pytest.raises(ConfigError, match="beside tool="):
        PatterFunctionTool(PatterTool(phone), name="other")
    with pytest.raises(ConfigError, match="on_event"):
        PatterFunctionTool(phone=phone, on_event="log")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="approval_timeout_s"):
        PatterFunctionTool(phone=phone, approval_timeout_s=0)
