"""What a JSON Schema may ask of whoever checks arguments by it: others write it, and a check holds up all calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from patter.tools.patterns import searcher

__all__ = ["check_parameters"]

_MOST_VALUES = 20_000
_MOST_PARTS = 5_000
_MOST_PATTERNS = 32
_DEEPEST = 32

_ONE_HERE = ("not", "if", "then", "else")
_LIST_HERE = ("allOf", "anyOf", "oneOf")
_ONE_BELOW = ("items", "contains", "additionalProperties", "propertyNames")
_UNKNOWN = ("$dynamicRef", "unevaluatedProperties", "unevaluatedItems")
_TOO_DEEP = f"it is nested more than {_DEEPEST} levels deep, its references followed. Make it flatter"
_LEADS_OUT = "a $ref must lead into the schema itself, such as #/$defs/order"

_Path = tuple[str, ...]


def check_parameters(schema: Mapping[str, Any]) -> None:
    """Refuse what is no JSON Schema of an object, or one that is too costly to check arguments against.

    Raises:
        ValueError: it is one; the message names the place, and no value.
    """
    if schema.get("type") != "object" or not isinstance(schema.get("properties", {}), dict):
        raise ValueError("it must be a JSON Schema of type object")
    _check_size(schema)
    try:
        _check_form(schema)
        _Survey(schema).visit(schema)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def _check_size(schema: Any) -> None:
    values = 0
    level = [schema]
    for _ in range(3 * _DEEPEST):
        values += len(level)
        if values > _MOST_VALUES:
            raise ValueError(f"it holds more than {_MOST_VALUES:,} values. Make it smaller")
        level = [one for outer in level for one in _inner(outer)]
    if level:
        raise ValueError(_TOO_DEEP)


def _inner(value: Any) -> Iterator[Any]:
    return iter(value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ())


def _check_form(schema: Any) -> None:
    from jsonschema import (
        Draft202012Validator,
        FormatChecker,
        SchemaError,
    )  # 60 ms, and not needed to import the package

    try:
        # Without the formats: that of a pattern is Rust's, and not Python's.
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        where = ".".join(map(str, error.absolute_path)) or "its top"
        raise ValueError(f"it is no JSON Schema, see {where}") from None


class _Survey:
    """Goes where a check would go, with every reference followed anew each time, as a check does it."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        from referencing import Registry
        from referencing.jsonschema import DRAFT202012

        self._resolver = Registry().resolver_with_root(DRAFT202012.create_resource(dict(schema)))
        self._parts = 0
        self._patterns: set[str] = set()
        self._formed: set[int] = set()

    def visit(
        self,
        part: Any,
        path: _Path = (),
        *,
        depth: int = 1,
        here: frozenset[int] = frozenset(),
        above: frozenset[int] = frozenset(),
    ) -> None:
        """Count a part of the schema and what is checked with it.

        Args:
            depth: how many parts this one is within.
            here: the parts that check the same value.
            above: the parts that check a value around it. To come back to them is no endless way: values end.
        """
        if not isinstance(part, dict) or id(part) in above:
            return
        if id(part) in here:
            raise ValueError("a $ref comes back to itself and checks the same value again. Put it below properties")
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise ValueError(
                f"it has more than {_MOST_PARTS:,} parts, its references followed. Use fewer of them in one another"
            )
        if depth > _DEEPEST:
            raise ValueError(_TOO_DEEP)
        self._check_words(part, path)
        here = here | {id(part)}
        for where, one in self._same_value(part):
            self.visit(one, path + where, depth=depth + 1, here=here, above=above)
        for where, one in _inner_values(part):
            self.visit(one, path + where, depth=depth + 1, above=above | here)

    def _check_words(self, part: dict[str, Any], path: _Path) -> None:
        if unknown := next((word for word in _UNKNOWN if word in part), None):
            raise ValueError(f"it uses {unknown}, which is not supported. Write it with other words")
        if path and "$id" in part:
            raise ValueError("only the whole schema may have an $id. Leave the others out")
        patterns = [(".".join((*path, "pattern")), part["pattern"])] if "pattern" in part else []
        patterns += [(".".join((*path, "patternProperties")), one) for one in part.get("patternProperties", ())]
        for where, pattern in patterns:
            self._patterns.add(pattern)
            if len(self._patterns) > _MOST_PATTERNS:
                raise ValueError(f"it has more than {_MOST_PATTERNS} patterns. Use fewer")
            try:
                searcher(pattern)
            except ValueError as error:
                raise ValueError(f"the pattern at {where:.200}: {error}") from None

    def _same_value(self, part: dict[str, Any]) -> Iterator[tuple[_Path, Any]]:
        if "$ref" in part:
            yield ("$ref",), self._followed(part["$ref"])
        for word in _ONE_HERE:
            yield (word,), part.get(word)
        for word in _LIST_HERE:
            yield from (((word, str(number)), one) for number, one in enumerate(part.get(word, ())))
        yield from ((("dependentSchemas", name), one) for name, one in part.get("dependentSchemas", {}).items())

    def _followed(self, reference: str) -> Any:
        from referencing.exceptions import Unresolvable

        if not reference.startswith("#"):
            raise ValueError(_LEADS_OUT)
        try:
            part = self._resolver.lookup(reference).contents
        except Unresolvable:
            raise ValueError(f"a $ref leads nowhere; {_LEADS_OUT}") from None
        if id(part) not in self._formed:  # it may stand where nothing has looked for a schema
            _check_form(part)
            self._formed.add(id(part))
        return part


def _inner_values(part: dict[str, Any]) -> Iterator[tuple[_Path, Any]]:
    for word in ("properties", "patternProperties"):
        yield from (((word, name), one) for name, one in part.get(word, {}).items())
    for word in _ONE_BELOW:
        yield (word,), part.get(word)
    yield from ((("prefixItems", str(number)), one) for number, one in enumerate(part.get("prefixItems", ())))
