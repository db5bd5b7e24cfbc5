"""Checks the arguments that a model wrote against a tool's JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from patter.tools.exporters import without_nulls
from patter.tools.refusals import ToolRefusal

__all__ = ["Validator"]


class Validator:
    """The check of one tool's arguments.

    Args:
        is_strict: a model was told the schema as `patter.tools.exporters.strict_schema` has it, and writes null for
            what it leaves out.
    """

    def __init__(self, schema: Mapping[str, Any], *, is_strict: bool = False) -> None:
        from referencing import Registry

        from patter.tools.checker import checker_class  # 60 ms, and not needed to import the package

        # The default registry asks the network for references that lead elsewhere.
        self._validator = checker_class()(schema, registry=Registry())
        self._schema = schema
        self._is_strict = is_strict

    def check(self, arguments: Any) -> dict[str, Any]:
        """The arguments, if they are an object that fits.

        Raises:
            ToolRefusal: they do not. Its ``details`` name properties, and no value: a value may be the callee's.
        """
        if not isinstance(arguments, dict):
            raise ToolRefusal("invalid_arguments", details=["not an object"])
        from patter.tools.checker import TooCostly, within_budget

        try:
            with within_budget():
                given: dict[str, Any] = without_nulls(self._schema, arguments) if self._is_strict else arguments
                details = {detail for error in self._validator.iter_errors(given) for detail in _details(error)}
        except (TooCostly, RecursionError):
            raise ToolRefusal("invalid_arguments", details=["too many or too deeply nested to be checked"]) from None
        if details:
            raise ToolRefusal("invalid_arguments", details=sorted(details))
        return given


def _details(error: Any) -> Iterator[str]:
    where = [str(part) for part in error.absolute_path]
    if error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield "missing: " + "/".join([*where, name])
    elif error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for name in error.instance:
            if name not in known:
                yield "unknown: " + "/".join([*where, str(name)])
    else:
        yield "invalid: " + ("/".join(where) or "arguments")
