"""B-02, B-04: the decorator, and what it reads from type hints and docstrings."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from patter import ConfigError, Patter, Tool, ToolContext
from patter.tools.refusals import ToolRefusal

pytestmark = pytest.mark.anyio

CONTEXT = ToolContext(call_id="CA1", tool_name="t")


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Guest(BaseModel):
    name: str
    age: int | None = None


@dataclass
class Table:
    seats: int


@Patter.tool
async def reserve(
    day: date,
    context: ToolContext,
    people: Annotated[int, Field(ge=1, le=12)] = 2,
    where: Literal["inside", "terrace"] = "inside",
    schema: str | None = None,
    size: Size = Size.SMALL,
) -> dict[str, Any]:
    """Reserve a table for a day.

    Returns the number of
    the reservation.

    Args:
        day: the day,
            format: never in the past
        people (int): how many
        nobody: not there

    Returns:
        people: this is no argument
    """
    return {"day": day, "people": people, "where": where, "schema": schema, "size": size, "call": context.call_id}


def handled(tool: Tool) -> Any:
    assert tool.handler is not None
    return tool.handler


def test_name_description_and_schema_are_read() -> None:
    tool = Tool.from_any(reserve)
    assert (tool.name, tool.tool_type) == ("reserve", "handler")
    assert tool.description == "Reserve a table for a day.\n\nReturns the number of the reservation."
    assert tool.parameters is not None
    properties = tool.parameters["properties"]
    assert list(properties) == ["day", "people", "where", "schema", "size"]
    assert properties["day"] == {
        "type": "string",
        "format": "date",
        "description": "the day, format: never in the past",
    }
    assert properties["people"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 12,
        "default": 2,
        "description": "how many",
    }
    assert properties["where"] == {"type": "string", "enum": ["inside", "terrace"], "default": "inside"}
    assert tool.parameters["required"] == ["day"]
    assert tool.parameters["additionalProperties"] is False
    assert "title" not in str(tool.parameters)


async def test_arguments_are_of_the_hinted_types_and_the_context_is_given() -> None:
    run = handled(Tool.from_any(reserve))
    assert await run({"day": "2026-03-01", "size": "large"}, CONTEXT) == {
        "day": date(2026, 3, 1),
        "people": 2,
        "where": "inside",
        "schema": None,
        "size": Size.LARGE,
        "call": "CA1",
    }


async def test_arguments_that_the_hints_refuse_are_named_without_their_values() -> None:
    with pytest.raises(ToolRefusal) as refused:
        await handled(Tool.from_any(reserve))({"day": "secret", "people": 13}, CONTEXT)
    assert refused.value.answer() == {"error": "invalid_arguments", "details": ["invalid: day", "invalid: people"]}


async def test_the_decorated_function_stays_what_it_was() -> None:
    assert (await reserve(date(2026, 3, 1), CONTEXT))["people"] == 2


def test_models_and_dataclasses_are_schemas_and_arrive_as_such() -> None:
    def seat(guest: Guest, table: Table, more: list[Guest] | None = None) -> Any:
        """Seat a guest at a table."""
        return guest, table, more

    tool = Tool.from_any(seat)
    assert tool.parameters is not None
    assert set(tool.parameters["$defs"]) == {"Guest", "Table"}
    arguments = {"guest": {"name": "Ann"}, "table": {"seats": 4}, "more": [{"name": "Bob"}]}
    assert handled(tool)(arguments, CONTEXT) == (Guest(name="Ann"), Table(4), [Guest(name="Bob")])


def test_names_that_are_pydantics_own_are_arguments_like_others() -> None:
    def odd(json: str, model_config: int, copy: bool, _private: str, self_: str = "") -> Any:
        """Take odd names of parameters."""
        return json, model_config, copy, _private

    arguments = {"json": "a", "model_config": 1, "copy": True, "_private": "p"}
    assert handled(Tool.from_any(odd))(arguments, CONTEXT) == ("a", 1, True, "p")


async def test_the_kind_of_function_is_kept() -> None:
    async def steps(n: int) -> AsyncIterator[dict[str, Any]]:
        """Count up to a number."""
        for i in range(n):
            yield {"progress": str(i)}
        yield {"result": n}

    def plain(n: int) -> int:
        """Say a number again."""
        return n

    counting = handled(Tool.from_any(steps))
    assert inspect.isasyncgenfunction(counting)
    assert [step async for step in counting({"n": 1}, CONTEXT)] == [{"progress": "0"}, {"result": 1}]
    assert inspect.iscoroutinefunction(handled(Tool.from_any(reserve)))
    assert not inspect.iscoroutinefunction(handled(Tool.from_any(plain)))
    assert handled(Tool.from_any(plain))({"n": 3}, CONTEXT) == 3


def test_options_go_before_what_is_read() -> None:
    @Patter.tool(name="look_up", description="Look an order up by its id.", timeout_s=2, priority=3)
    def order(order_id: Annotated[str, "like ORD-123456"]) -> str:
        """Not this."""
        return order_id

    tool = Tool.from_any(order)
    assert (tool.name, tool.description) == ("look_up", "Look an order up by its id.")
    assert (tool.timeout_ms, tool.priority) == (2000, 3)
    assert tool.parameters is not None
    assert tool.parameters["properties"]["order_id"]["description"] == "like ORD-123456"


def test_a_decorator_with_parameters_takes_a_handler_of_arguments_and_context() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}

    @Patter.tool(parameters=schema)
    def count(arguments: dict[str, Any], context: ToolContext) -> int:
        """Count the things that are there."""
        return int(arguments["n"])

    tool = Tool.from_any(count)
    assert (tool.parameters, tool.handler) == (schema, count)


def test_a_method_is_a_tool_of_its_object() -> None:
    class Shop:
        stock = 7

        @Patter.tool()
        def in_stock(self, product: str) -> int:
            """Tell how many of a product are there."""
            return self.stock

    assert handled(Tool.from_any(Shop().in_stock))({"product": "x"}, CONTEXT) == 7


def test_a_context_may_be_called_anything_or_have_no_hint() -> None:
    def named(call: ToolContext | None = None) -> Any:
        """Take the context by its type."""
        return call

    def bare(n: int, context) -> Any:  # type: ignore[no-untyped-def]
        """Take the context by its name."""
        return context

    assert handled(Tool.from_any(named))({}, CONTEXT) is CONTEXT
    assert handled(Tool.from_any(bare))({"n": 1}, CONTEXT) is CONTEXT
    assert Tool.from_any(named).llm_parameters()["properties"] == {}


def undocumented(n: int) -> int:
    return n


def classic(arguments: dict[str, Any], context: ToolContext) -> str:
    """Take arguments and context."""
    return ""


def untyped(n) -> str:  # type: ignore[no-untyped-def]
    """Take anything."""
    return ""


def many(*numbers: int) -> str:
    """Take many numbers."""
    return ""


def unknown(n: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821
    """Take what is nowhere."""
    return ""


def opaque(n: Provider) -> str:
    """Take what JSON has not."""
    return ""


class Provider:
    """No type of JSON's."""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (undocumented, "undocumented: it has no description. Write a docstring"),
        (classic, r"says nothing of its arguments. Use Patter.tool\(name="),
        (untyped, "the parameter n has no type hint"),
        (many, "numbers cannot be passed by name"),
        (unknown, "the type hint Nowhere is not found"),
        (opaque, "a type hint has no JSON Schema"),
        (partial(undocumented, 1), "a partial has no name"),
        (lambda n: n, "Tool <lambda>: it has no description"),
    ],
)
def test_what_cannot_be_read_says_what_to_add(function: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Tool.from_any(function)


def test_only_functions_are_decorated() -> None:
    with pytest.raises(ConfigError, match="decorates a function"):
        Patter.tool(Guest)
    with pytest.raises(ConfigError, match="decorates a function"):
        Patter.tool()(5)  # type: ignore[type-var]
    with pytest.raises(ConfigError, match="decorates functions"):
        Patter.tool("text".upper)
