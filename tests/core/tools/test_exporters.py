"""A-11 to A-14, B-09 to B-11, X-19: a tool as OpenAI, Anthropic and Hermes want it, and back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from patter import ConfigError, Tool
from patter.tools.exporters import exported_name, names_by_export, strict_schema, without_nulls

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "The city"},
        "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
        "tags": {"type": "array", "items": {"type": "object", "properties": {"t": {"type": "string"}}}},
        "where": {"$ref": "#/$defs/where"},
        "note": {"type": ["string", "null"]},
        "kind": {"oneOf": [{"const": 1}, {"type": "string"}]},
    },
    "required": ["city"],
    "$defs": {"where": {"type": "object", "properties": {"lat": {"type": "number"}}}},
}
DESCRIPTION = 'Get the "weather" of a city – exactly as it is written.'


def tool(**more: Any) -> Tool:
    fields = {
        "name": "weather",
        "description": DESCRIPTION,
        "webhook_url": "https://example.com/w",
        "parameters": SCHEMA,
    }
    return Tool(**{**fields, **more})


def test_the_four_forms() -> None:
    function = {"name": "weather", "description": DESCRIPTION, "parameters": SCHEMA}
    assert tool().to_openai() == {"type": "function", "function": function}
    assert tool().to_openai(api="responses") == {"type": "function", "strict": False, **function}
    assert tool().to_anthropic() == {"name": "weather", "description": DESCRIPTION, "input_schema": SCHEMA}
    assert tool().to_hermes() == function


def test_an_unknown_api_is_refused() -> None:
    with pytest.raises(ConfigError, match="api must be"):
        tool().to_openai(api="assistants")  # type: ignore[arg-type]


def test_strict_requires_every_property_and_takes_null_for_what_may_be_left_out() -> None:
    given = copy.deepcopy(SCHEMA)
    function = tool().to_openai(strict=True)["function"]
    assert function["strict"] is True
    assert function["parameters"] == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city"},
            "unit": {"type": ["string", "null"], "enum": ["C", "F", None]},
            "tags": {
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "properties": {"t": {"type": ["string", "null"]}},
                    "required": ["t"],
                    "additionalProperties": False,
                },
            },
            "where": {"anyOf": [{"$ref": "#/$defs/where"}, {"type": "null"}]},
            "note": {"type": ["string", "null"]},
            "kind": {"anyOf": [{"const": 1}, {"type": "string"}, {"type": "null"}]},
        },
        "required": ["city", "unit", "tags", "where", "note", "kind"],
        "additionalProperties": False,
        "$defs": {
            "where": {
                "type": "object",
                "properties": {"lat": {"type": ["number", "null"]}},
                "required": ["lat"],
                "additionalProperties": False,
            }
        },
    }
    assert SCHEMA == given


def test_a_tool_that_is_strict_is_exported_so() -> None:
    assert tool(strict=True).to_openai() == tool().to_openai(strict=True)
    assert tool(strict=True).to_openai(strict=False) == tool().to_openai()
    assert tool(strict=True).to_openai(api="responses")["strict"] is True


@pytest.mark.parametrize(
    ("one", "path"),
    [
        ({"type": "object", "additionalProperties": {"type": "string"}}, "parameters.one: additionalProperties"),
        ({"allOf": [{"type": "string"}]}, "parameters.one: allOf"),
        ({"type": "array", "items": {"not": {}}}, "parameters.one.items: not"),
        ({"anyOf": [{"patternProperties": {}}]}, "parameters.one.anyOf.0: patternProperties"),
        (True, "parameters.one: a schema without a type"),
    ],
)
def test_what_cannot_be_strict_is_named(one: Any, path: str) -> None:
    with pytest.raises(ConfigError, match=f"^Tool weather: {path}"):
        tool(parameters={"type": "object", "properties": {"one": one}}).to_openai(strict=True)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ({"city": "Rome", "unit": None, "tags": None, "where": None, "kind": None}, {"city": "Rome"}),
        ({"city": None, "note": None}, {"city": None, "note": None}),
        ({"city": "Rome", "tags": [{"t": None}, {"t": "x"}]}, {"city": "Rome", "tags": [{}, {"t": "x"}]}),
        ({"city": "Rome", "more": None}, {"city": "Rome", "more": None}),
    ],
)
def test_nulls_that_mean_left_out_are_taken_out(arguments: dict[str, Any], meant: dict[str, Any]) -> None:
    assert without_nulls(SCHEMA, arguments) == meant


PLAIN = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"enum": ["a", "b"]}, {"const": "a"}, {"type": ["boolean", "null"]}]
)


@st.composite
def schemas(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    inner = st.one_of(PLAIN, schemas(depth=depth - 1)) if depth else PLAIN
    properties = draw(st.dictionaries(st.sampled_from("abc"), inner, max_size=3))
    required = [name for name in properties if draw(st.booleans())]
    return {"type": "object", "properties": properties, "required": required}


@given(schemas())
def test_a_strict_schema_takes_all_nulls_and_these_mean_nothing(schema: dict[str, Any]) -> None:
    strict = strict_schema(schema)
    Draft202012Validator.check_schema(strict)
    nulls = {name: None for name in schema["properties"] if name not in schema["required"]}
    errors = [error for error in Draft202012Validator(strict).iter_errors(nulls) if error.validator != "required"]
    assert errors == []
    meant = without_nulls(schema, nulls)
    assert [e for e in Draft202012Validator(schema).iter_errors(meant) if e.validator != "required"] == []


# --- X-19: names -----------------------------------------------------------------------------------


def test_x19_a_long_name_is_shortened_everywhere_and_mapped_back() -> None:
    name = "n" * 65
    long = tool(name=name)
    short = long.exported_name
    assert short == f"{'n' * 55}_1e3fb6d5"
    told = [
        long.to_openai()["function"]["name"],
        long.to_openai(api="responses")["name"],
        long.to_anthropic()["name"],
        long.to_hermes()["name"],
        long.spec().name,
    ]
    assert told == [short] * 5
    assert names_by_export([name, "weather"]) == {short: name, "weather": "weather"}


def test_x19_sixty_four_characters_are_kept() -> None:
    assert exported_name("n" * 64) == "n" * 64


def test_x19_two_tools_of_one_exported_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="rename one"):
        names_by_export(["n" * 65, exported_name("n" * 65)])
    assert len(names_by_export(["weather", "weather"])) == 1
