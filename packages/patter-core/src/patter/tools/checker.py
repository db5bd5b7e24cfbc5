"""The words of JSON Schema that are checked in another way than `jsonschema` does it: with an end that is near."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from patter.tools.patterns import searcher

__all__ = ["TooCostly", "checker_class", "within_budget"]

_MOST_STEPS = 20_000
_STEP_CHARS = 200
_left: ContextVar[list[int]] = ContextVar("patter_check_steps")

_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError]]


class TooCostly(Exception):
    """A check has taken more steps than any that is meant well."""


@contextmanager
def within_budget() -> Iterator[None]:
    """One check: it may take 20,000 steps, which is some 0.1 s.

    Where a schema leads back to itself, no count of its parts tells the work: each level of the value may double it.
    """
    token = _left.set([_MOST_STEPS])
    try:
        yield
    finally:
        _left.reset(token)


@cache
def checker_class() -> Any:
    """`jsonschema`'s validator of this draft, with our words. To be used `within_budget`."""
    ours: dict[str, _Keyword] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    words = {**Draft202012Validator.VALIDATORS, **ours}
    counted = {word: _counted(check) for word, check in words.items()}
    return extend(Draft202012Validator, counted)  # type: ignore[no-untyped-call]


def _counted(check: Any) -> _Keyword:
    def keyword(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _spend(1)
        for error in check(validator, wanted, instance, schema) or ():
            _spend(len(error.message) // _STEP_CHARS)  # it tells the whole value, which took as long to write
            yield error

    return keyword


def _spend(steps: int) -> None:
    left = _left.get()
    left[0] -= steps
    if left[0] < 0:
        raise TooCostly


def _pattern(validator: Any, wanted: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not searcher(wanted)(instance):
        yield ValidationError("it does not match")


def _pattern_properties(
    validator: Any, wanted: Mapping[str, Any], instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, part in wanted.items():
        is_found = searcher(pattern)
        for name, value in instance.items():
            if is_found(name):
                yield from validator.descend(value, part, path=name, schema_path=pattern)


def _additional_properties(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    patterns = [searcher(pattern) for pattern in schema.get("patternProperties", ())]
    known = schema.get("properties", {})
    extras = [name for name in instance if name not in known and not any(found(name) for found in patterns)]
    if isinstance(wanted, dict):
        for name in extras:
            yield from validator.descend(instance[name], wanted, path=name)
    elif not wanted and extras:
        yield ValidationError("it has more properties")


def _unique_items(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
    # jsonschema compares each with each if they cannot be sorted.
    if wanted and isinstance(instance, list):
        if len({json.dumps(_plain(one), sort_keys=True) for one in instance}) < len(instance):
            yield ValidationError("it has equal items")


def _plain(value: Any) -> Any:
    """With one form of each number: 1.0 is 1."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
