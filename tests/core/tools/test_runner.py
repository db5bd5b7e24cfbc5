"""The tool runner always answers, once, with a result or a safe code."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from patter import ConfigError, Tool, ToolContext
from patter.tools.encoding import LONGEST_BYTES
from patter.tools.refusals import ToolRefusal
from patter.tools.runner import Hooks, ToolOutcome, ToolRunner
from patter.tools.variables import Variables

pytestmark = pytest.mark.anyio

SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["order"],
    "additionalProperties": False,
}


class Told:
    """Hooks that keep what they are told."""

    def __init__(self) -> None:
        self.facts: list[tuple[Any, ...]] = []
        self.hooks = Hooks(**{name: self._keep(name) for name in Hooks.__dataclass_fields__})

    def _keep(self, name: str) -> Any:
        return lambda *facts: self.facts.append((name, *facts))


def tool(handler: Any, **options: Any) -> Tool:
    return Tool(name="look_up", description="Looks up an order by its number.", handler=handler, **options)


def runner_of(handler: Any, told: Told | None = None, **options: Any) -> ToolRunner:
    hooks = None if told is None else told.hooks
    return ToolRunner([tool(handler, **options)], timeout_s=0.2, context=lambda: {"call_id": "CA1"}, hooks=hooks)


async def run(handler: Any, arguments: Any = "{}", *, name: str = "look_up", **options: Any) -> ToolOutcome:
    return await runner_of(handler, **options).run("t1", name, arguments)


async def echo(arguments: dict[str, Any], context: ToolContext) -> Any:
    return arguments


def blocking(arguments: dict[str, Any], context: ToolContext) -> str:
    return f"from a thread, for {context.call_id} {context['tool_name']} {context.raw_arguments}"


@dataclass
class Order:
    number: int


class Found(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("as it is", "as it is"),
        ({"a": 1}, '{"a": 1}'),
        (["é"], '["é"]'),
        (None, "null"),
        (True, "true"),
        (Order(3), '{"number": 3}'),
        (Found(name="Ann"), '{"name": "Ann"}'),
    ],
)
async def test_values_are_handed_to_the_mind(value: Any, output: str) -> None:
    async def handler(arguments: dict[str, Any], context: ToolContext) -> Any:
        return value

    outcome = await run(handler)
    assert (outcome.output, outcome.is_error) == (output, False)


@pytest.mark.parametrize("value", [object(), math.nan, {"x": math.inf}, b"\xff", "\ud83d"])
async def test_a_result_that_is_no_json_is_a_handler_error(value: Any) -> None:
    async def handler(arguments: dict[str, Any], context: ToolContext) -> Any:
        return value

    assert (await run(handler)).output == '{"error": "handler_error"}'


async def test_a_long_result_is_cut_and_its_length_told(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(arguments: dict[str, Any], context: ToolContext) -> str:
        return "secret " * LONGEST_BYTES

    runner = runner_of(handler)
    output = (await runner.run("t1", "look_up", None)).output
    assert output.startswith(f'{{"truncated": true, "size": {7 * LONGEST_BYTES}, "text": "secret ')
    assert len(output) < LONGEST_BYTES + 100
    await runner.run("t2", "look_up", None)
    assert caplog.text.count("look_up") == 1
    assert "secret" not in caplog.text


async def test_plain_functions_run_in_a_thread_with_their_context() -> None:
    assert (await run(blocking, '{"a": 1}')).output == 'from a thread, for CA1 look_up {"a": 1}'


@pytest.mark.parametrize("arguments", [None, "", "  ", "{}", {}])
async def test_no_arguments_are_an_empty_object(arguments: Any) -> None:
    assert (await run(echo, arguments)).output == "{}"


@pytest.mark.parametrize(
    ("arguments", "details"),
    [
        ("[1]", '["not an object"]'),
        ("{}", '["missing: order"]'),
        ('{"order": 5}', '["invalid: order"]'),
        ({"order": "a", "count": "secret"}, '["invalid: count"]'),
        ('{"order": "a", "extra": "secret"}', '["unknown: extra"]'),
    ],
)
async def test_wrong_arguments_name_the_property_and_run_nothing(arguments: Any, details: str) -> None:
    told = Told()
    outcome = await runner_of(echo, told, parameters=SCHEMA).run("t1", "look_up", arguments)
    assert outcome.output == f'{{"error": "invalid_arguments", "details": {details}}}'
    assert told.facts == [("failed", "t1", "look_up", "invalid_arguments"), ("completed", "t1", "look_up", True)]


@pytest.mark.parametrize(
    ("strict", "output"),
    [(True, '{"order": "a"}'), (False, '{"error": "invalid_arguments", "details": ["invalid: count"]}')],
)
async def test_a_strict_tool_takes_null_for_what_is_left_out(strict: bool, output: str) -> None:
    arguments = {"order": "a", "count": None}
    assert (await run(echo, arguments, parameters=SCHEMA, strict=strict)).output == output


@pytest.mark.parametrize("arguments", ["{", "[" * 100_000, '{"order": NaN}', '{"order": -Infinity}'])
async def test_arguments_that_are_no_json_are_a_safe_code(arguments: str) -> None:
    assert (await run(echo, arguments)).output == '{"error": "invalid_arguments"}'


async def test_the_mind_is_not_asked_for_what_the_call_knows() -> None:
    request = Tool(
        name="ask",
        description="Asks the shop about the order.",
        tool_type="http_request",
        config={"url": "https://example.com/{{account}}/{{order}}"},
    )

    def bind(tool: Tool) -> Any:
        async def ask(arguments: dict[str, Any], context: ToolContext) -> Any:
            return sorted(arguments)

        return ask

    runner = ToolRunner([request], bind=bind, known=lambda: ["account"])
    assert list(runner.specs()[0].parameters["properties"]) == ["order"]
    assert (await runner.run("t1", "ask", {"order": "7"})).output == '["order"]'
    assert (await runner.run("t2", "ask", {})).output == (
        '{"error": "invalid_arguments", "details": ["missing: order"]}'
    )


@pytest.mark.parametrize("options", [{"name": "other"}, {"is_enabled": False}])
async def test_an_unknown_or_disabled_tool_is_a_safe_code(options: dict[str, Any]) -> None:
    assert (await run(echo, **options)).output == '{"error": "unknown_tool"}'


async def test_static_arguments_are_added_and_cannot_be_replaced() -> None:
    outcome = await run(echo, '{"shop": "theirs", "a": 1}', static_arguments={"shop": "ours"})
    assert outcome.output == '{"shop": "ours", "a": 1}'


async def test_parts_of_a_result_become_variables() -> None:
    async def handler(arguments: dict[str, Any], context: ToolContext) -> Any:
        return {"customer": {"orders": [{"id": 7}]}}

    variables = Variables()
    assignments = [{"variable": "order", "path": "customer.orders.0.id"}, {"variable": "none", "path": "customer.x"}]
    runner = ToolRunner([tool(handler, assignments=assignments)], assign=variables.assign)
    await runner.run("t1", "look_up", None)
    assert variables.found == {"order": 7}


async def test_an_exception_stays_with_the_developer(caplog: pytest.LogCaptureFixture) -> None:
    error = ValueError("secret")

    async def handler(arguments: dict[str, Any], context: ToolContext) -> None:
        raise error

    told = Told()
    with caplog.at_level(logging.DEBUG):
        outcome = await runner_of(handler, told).run("t1", "look_up", '{"key": "secret"}')
    assert outcome.output == '{"error": "handler_error"}'
    assert "secret" not in caplog.text
    assert told.facts == [
        ("invoked", "t1", "look_up"),
        ("raised", "t1", "look_up", error),
        ("failed", "t1", "look_up", "handler_error"),
        ("completed", "t1", "look_up", True),
    ]


async def test_a_handler_may_refuse_in_safe_words() -> None:
    def handler(arguments: dict[str, Any], context: ToolContext) -> None:
        raise ToolRefusal("invalid_arguments", details=["invalid: order"])

    assert (await run(handler)).output == '{"error": "invalid_arguments", "details": ["invalid: order"]}'


async def test_progress_is_told() -> None:
    async def handler(arguments: dict[str, Any], context: ToolContext) -> AsyncIterator[dict[str, Any]]:
        yield {"progress": "looking"}
        yield {"result": 5}

    told = Told()
    assert (await runner_of(handler, told).run("t1", "look_up", None)).output == "5"
    assert ("progress", "t1", "look_up", "looking") in told.facts


async def test_hooks_that_raise_change_nothing() -> None:
    def broken(*_: Any) -> None:
        raise ValueError

    hooks = Hooks(**dict.fromkeys(Hooks.__dataclass_fields__, broken))
    assert (await ToolRunner([tool(echo)], hooks=hooks).run("t1", "look_up", None)).output == "{}"


async def test_slow_handlers_time_out_also_when_they_do_not_listen() -> None:
    over = anyio.Event()

    async def stubborn(arguments: dict[str, Any], context: ToolContext) -> None:
        while not over.is_set():
            try:
                await anyio.sleep(0.01)
            except BaseException:
                pass

    with anyio.fail_after(5):
        outcome = await run(stubborn)
    over.set()
    assert outcome.output == '{"error": "timeout"}'
    assert outcome.duration_ms >= 200


async def test_a_tools_own_timeout_counts() -> None:
    async def slow(arguments: dict[str, Any], context: ToolContext) -> None:
        await anyio.sleep(600)

    with anyio.fail_after(5):
        assert (await run(slow, timeout_ms=1)).reason == "timeout"


async def test_a_repeated_call_runs_once_also_while_it_runs() -> None:
    ran: list[str] = []
    go = anyio.Event()

    async def handler(arguments: dict[str, Any], context: ToolContext) -> int:
        ran.append(context.tool_call_id)
        await go.wait()
        return len(ran)

    runner = runner_of(handler)
    outcomes: list[ToolOutcome] = []

    async def use() -> None:
        outcomes.append(await runner.run("t1", "look_up", None))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        tasks.start_soon(use)
        await anyio.wait_all_tasks_blocked()
        assert not runner.is_new("t1")
        go.set()
    outcomes.append(await runner.run("t1", "look_up", None))
    assert [outcome.output for outcome in outcomes] == ["1", "1", "1"]
    assert ran == ["t1"]


async def test_a_call_that_is_cancelled_is_a_shutdown_and_told_as_an_error_only() -> None:
    told = Told()
    runner = runner_of(echo, told)

    async def slow(arguments: dict[str, Any], context: ToolContext) -> None:
        await anyio.sleep(600)

    runner.register("slow", slow)
    outcomes: list[ToolOutcome] = []

    async def use() -> None:
        outcomes.append(await runner.run("t1", "slow", None))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await anyio.wait_all_tasks_blocked()
        runner.cancel("t1")
    assert [outcome.output for outcome in outcomes] == ['{"error": "shutdown"}']
    assert told.facts == [("invoked", "t1", "slow"), ("failed", "t1", "slow", "shutdown")]


async def test_what_comes_after_a_reset_is_dropped_and_the_id_is_free_again() -> None:
    told = Told()
    go = anyio.Event()

    async def handler(arguments: dict[str, Any], context: ToolContext) -> str:
        await go.wait()
        return "late"

    runner = runner_of(handler, told)
    outcomes: list[ToolOutcome] = []

    async def use() -> None:
        outcomes.append(await runner.run("t1", "look_up", None))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await anyio.wait_all_tasks_blocked()
        runner.reset()
        assert runner.is_new("t1")
        go.set()
    assert outcomes[0].reason == "shutdown"
    assert told.facts[-1] == ("failed", "t1", "look_up", "shutdown")
    assert runner.is_new("t1")
    assert (await runner.run("t1", "look_up", None)).output == "late"


async def test_a_destroyed_runner_runs_nothing() -> None:
    runner = runner_of(echo)
    runner.destroy()
    assert runner.names == []
    runner.register("look_up", echo)
    assert (await runner.run("t1", "look_up", None)).reason == "shutdown"


async def test_tools_come_and_go_at_any_time() -> None:
    runner = runner_of(echo)
    runner.register_all({"other": blocking})
    assert (runner.has("other"), runner.names) == (True, ["look_up", "other"])
    assert (runner.unregister("other"), runner.unregister("other")) == (True, False)
    assert (await runner.run("t1", "other", None)).reason == "unknown_tool"


async def test_a_bare_handler_takes_any_json() -> None:
    runner = ToolRunner()
    runner.register("bare", echo)
    assert [(await runner.run(str(n), "bare", text)).output for n, text in enumerate(["", "[1]", '"a"'])] == [
        "null",
        "[1]",
        "a",
    ]


async def test_the_mind_is_offered_enabled_tools_by_priority_and_name() -> None:
    tools = [
        Tool(name=name, description="Does what its name says.", handler=echo, priority=priority, is_enabled=is_enabled)
        for name, priority, is_enabled in [("b", 1, True), ("c", 0, True), ("a", 1, True), ("d", 0, False)]
    ]
    assert [spec.name for spec in ToolRunner(tools).specs()] == ["c", "a", "b"]


async def test_an_executor_is_bound_once_and_refuses_in_safe_words() -> None:
    bound: list[str] = []

    def bind(tool: Tool) -> Any:
        bound.append(tool.name)

        async def ask(arguments: dict[str, Any], context: ToolContext) -> Any:
            raise ToolRefusal("handler_error", status=502)

        return ask

    hook = Tool(name="hook", description="Asks the shop's server.", webhook_url="https://example.com/x")
    runner = ToolRunner([hook], bind=bind)
    outcomes = [await runner.run(call_id, "hook", None) for call_id in ("t1", "t2")]
    assert {outcome.output for outcome in outcomes} == {'{"error": "handler_error", "status": 502}'}
    assert bound == ["hook"]


@pytest.mark.parametrize(
    "options",
    [
        {"name": "no spaces"},
        {"name": ""},
        {"parameters": {"type": "array"}},
        {"parameters": {"type": "object", "properties": {"a": {"type": "nothing"}}}},
        {"handler": "not a function"},
    ],
)
async def test_a_malformed_tool_is_a_configuration_error(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Tool(**{"name": "look_up", "description": "Looks up.", "handler": echo} | options)
