"""A tool's arguments as they come in, and its result as the mind reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from patter.tools.refusals import ToolRefusal

__all__ = ["LONGEST_BYTES", "decode", "encode"]

LONGEST_BYTES = 16_384
"""More than this is cut: a mind that reads it is slow, and the callee waits."""


def decode(arguments: str | Mapping[str, Any] | None) -> Any:
    """The arguments as a JSON value; None if there are none.

    Raises:
        ToolRefusal: they are no JSON.
    """
    if not isinstance(arguments, str):
        return None if arguments is None else dict(arguments)
    if not arguments.strip():
        return None
    try:
        return json.loads(arguments, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ToolRefusal("invalid_arguments") from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def encode(value: Any) -> str:
    """A result as text: strings stand as they are, all else is JSON. Pydantic models and dataclasses count as objects.

    Raises:
        ToolRefusal: it cannot be written as JSON.
    """
    text = value if isinstance(value, str) else _json(value)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # half a character
        raise ToolRefusal("handler_error") from None
    if size <= LONGEST_BYTES:
        return text
    return json.dumps({"truncated": True, "size": size, "text": text[:LONGEST_BYTES]}, ensure_ascii=False)


def _json(value: Any) -> str:
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return json.dumps(to_jsonable_python(value), ensure_ascii=False, allow_nan=False)
    except (PydanticSerializationError, TypeError, ValueError, RecursionError):
        raise ToolRefusal("handler_error") from None
