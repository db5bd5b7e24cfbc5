"""Arguments against a schema: what is refused, and that no schema and no arguments hold the loop up."""

from __future__ import annotations

import time
from typing import Any

import pytest

from patter.tools.refusals import ToolRefusal
from patter.tools.validation import Validator


def refused(schema: dict[str, Any], arguments: Any) -> list[str]:
    with pytest.raises(ToolRefusal) as refusal:
        Validator({"type": "object", **schema}).check(arguments)
    details: list[str] = refusal.value.answer()["details"]
    return details


@pytest.mark.parametrize(
    ("schema", "fitting", "unfit", "detail"),
    [
        ({"properties": {"a": {"pattern": "^b+$"}}}, {"a": "bb"}, {"a": "abb"}, "invalid: a"),
        ({"properties": {"a": {"pattern": "^b+$"}}}, {"a": 5}, {"a": "b\n"}, "invalid: a"),
        ({"properties": {"a": {"pattern": "b"}}}, {"a": "abc"}, {"a": "\ud800b"}, "invalid: a"),
        ({"patternProperties": {"^n": {"type": "number"}}}, {"n1": 5, "x": "y"}, {"n1": "y"}, "invalid: n1"),
        (
            {"properties": {"a": {}}, "patternProperties": {"^n": {}}, "additionalProperties": False},
            {"a": 1, "n1": 5},
            {"m": 5},
            "unknown: m",
        ),
        (
            {"properties": {"a": {}}, "additionalProperties": {"type": "string"}},
            {"a": 1, "b": "c"},
            {"b": 5},
            "invalid: b",
        ),
        (
            {"properties": {"a": {"uniqueItems": True}}},
            {"a": [1, True, "1", {}]},
            {"a": [{"b": 1}, {"b": 1.0}]},
            "invalid: a",
        ),
    ],
)
def test_the_words_of_our_own(
    schema: dict[str, Any], fitting: dict[str, Any], unfit: dict[str, Any], detail: str
) -> None:
    assert Validator({"type": "object", **schema}).check(fitting) == fitting
    assert refused(schema, unfit) == [detail]


_TREE = {"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}


def _deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("schema", "arguments", "detail"),
    [
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 5_000 + "!"}, "invalid: a"),
        (
            {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False},
            {"a" * 5_000 + "!": 1},
            "unknown: " + "a" * 5_000 + "!",
        ),
        (
            {"properties": {"a": {"allOf": [{"type": "string"}] * 4_000}}},
            {"a": [0] * 30_000},
            "too many or too deeply nested to be checked",
        ),
        (_TREE, _deep(40), "too many or too deeply nested to be checked"),
        ({"properties": {"a": {"$ref": "#"}}}, _deep(900), "too many or too deeply nested to be checked"),
        (
            {"properties": {"a": {"uniqueItems": True}}},
            {"a": [*({"b": i} for i in range(20_000)), {"b": 1}]},
            "invalid: a",
        ),
    ],
)
def test_no_check_takes_long(schema: dict[str, Any], arguments: dict[str, Any], detail: str) -> None:
    began = time.process_time()
    assert refused(schema, arguments) == [detail]
    assert time.process_time() - began < 2.0
