"""The tool runner always answers, once, with a result or a safe code."""

from __future__ import annotations

import json
import time
from typing import Any

import anyio
import pytest

from patter import ConfigError, Tool, ToolContext
from patter.tools.runner import ToolOutcome, ToolRunner
from patter.voice.base import ToolCall

pytestmark = pytest.mark.anyio

SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["order"],
    "additionalProperties": False,
}


def tool(handler: Any, **options: Any) -> Tool:
    return Tool(name="look_up", description="Looks up an order.", handler=handler, **options)


async def run(handler: Any, arguments: str = "{}", *, name: str = "look_up", **options: Any) -> ToolOutcome:
    runner = ToolRunner([tool(handler, **options)], timeout_s=0.2, context=lambda: {"call_id": "CA1"})
    return await runner.run(ToolCall("t1", name, arguments))


async def echo(arguments: dict[str, Any], context: ToolContext) -> Any:
    return arguments


def blocking(arguments: dict[str, Any], context: ToolContext) -> str:
    return f"from a thread, for {context.call_id} {context['tool_name']}"


@pytest.mark.parametrize(
    ("value", "output"),
    [("as it is", "as it is"), ({"a": 1}, '{"a": 1}'), (["é"], '["é"]'), (None, "null"), (True, "true")],
)
async def test_values_are_handed_to_the_mind(value: Any, output: str) -> None:
    async def handler(arguments: dict[str, Any], context: ToolContext) -> Any:
        return value

    outcome = await run(handler)
    assert (outcome.output, outcome.is_error) == (output, False)


async def test_plain_functions_run_in_a_thread_with_their_context() -> None:
    assert (await run(blocking)).output == "from a thread, for CA1 look_up"


@pytest.mark.parametrize(
    ("arguments", "details"),
    [
        ("{", "not valid JSON"),
        ("[1]", "not an object"),
        ("{}", "required: order"),
        ('{"order": 3}', "order"),
        ('{"order": "x", "count": "y"}', "count"),
        ('{"order": "x", "secret": "y"}', "additionalProperties: arguments"),
    ],
)
async def test_wrong_arguments_name_the_property_and_run_nothing(arguments: str, details: str) -> None:
    ran: list[object] = []
    outcome = await run(lambda arguments, context: ran.append(1), arguments, parameters=SCHEMA)
    assert outcome.reason == "invalid_arguments"
    assert json.loads(outcome.output) == {"error": "invalid_arguments", "details": [details]}
    assert not ran


async def test_an_unknown_tool_is_a_safe_code() -> None:
    assert json.loads((await run(echo, name="other")).output) == {"error": "unknown_tool"}


async def test_an_exception_stays_with_the_developer() -> None:
    seen: list[Exception] = []

    async def handler(arguments: dict[str, Any], context: ToolContext) -> Any:
        raise RuntimeError("the database password is hunter2")

    runner = ToolRunner([tool(handler)], timeout_s=1, context=dict, on_exception=lambda name, error: seen.append(error))
    outcome = await runner.run(ToolCall("t1", "look_up", ""))
    assert json.loads(outcome.output) == {"error": "handler_error"}
    assert "hunter2" in str(seen[0])


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
async def test_a_result_that_is_no_json_is_a_handler_error(value: Any) -> None:
    outcome = await run(lambda arguments, context: value)
    assert json.loads(outcome.output) == {"error": "handler_error"}


async def test_slow_handlers_time_out_also_when_they_block() -> None:
    async def slow(arguments: dict[str, Any], context: ToolContext) -> Any:
        await anyio.sleep_forever()

    def block(arguments: dict[str, Any], context: ToolContext) -> Any:
        time.sleep(0.4)

    for handler in (slow, block):
        with anyio.fail_after(0.35):
            outcome = await run(handler)
        assert outcome.reason == "timeout"


async def test_a_repeated_call_gets_the_first_outcome() -> None:
    runs: list[int] = []
    runner = ToolRunner([tool(lambda a, c: runs.append(1) or len(runs))], timeout_s=1, context=dict)
    first = await runner.run(ToolCall("t1", "look_up", ""))
    again = await runner.run(ToolCall("t1", "look_up", ""))
    other = await runner.run(ToolCall("t2", "look_up", ""))
    assert (first.output, again.output, other.output) == ("1", "1", "2")


@pytest.mark.parametrize(
    "options", [{"name": ""}, {"name": "a b"}, {"name": "x" * 101}, {"parameters": {"type": "array"}}]
)
async def test_a_malformed_tool_is_a_configuration_error(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Tool(**({"name": "ok", "description": "d", "handler": echo} | options))
