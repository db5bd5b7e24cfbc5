"""The JSON of a request: read strictly, so that what is kept can be kept, and told again, everywhere."""

from __future__ import annotations

import json
import math
from typing import Any

from patter.server.rest.errors import ApiError

__all__ = ["read_object"]

_DEEPEST = 64


class _Wrong(ValueError):
    """What is wrong with it."""


def read_object(data: bytes) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        ApiError: it is none, or holds what no database keeps.
    """
    try:
        text = data.decode("utf-8-sig")
        found = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
        )
        _check(found)
    except UnicodeDecodeError:
        raise ApiError("BAD_REQUEST", "The body is not UTF-8.") from None
    except _Wrong as wrong:
        raise ApiError("BAD_REQUEST", f"The body {wrong}.") from None
    except (ValueError, RecursionError):
        raise ApiError("BAD_REQUEST", "The body is no JSON.") from None
    if not isinstance(found, dict):
        raise ApiError("BAD_REQUEST", "The body is no JSON object.")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Wrong("has a key twice in one object")
    return found


def _constant(_: str) -> Any:
    raise _Wrong("has a number that is none: JSON has no NaN and no Infinity")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Wrong("has a number that is too large")
    return value


def _int(text: str) -> int:
    if len(text) > 100:
        raise _Wrong("has a number that is too long")
    return int(text)


def _check(found: Any) -> None:
    """No text that is none, and nothing deeper than what other programs can read."""
    level = [found]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, str):
                _check_text(one)
            elif isinstance(one, list):
                inner += one
            elif isinstance(one, dict):
                inner += one
                inner += one.values()
        if not inner:
            return
        level = inner
    raise _Wrong(f"is nested more than {_DEEPEST} levels deep")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise _Wrong("has the character U+0000 in a text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Wrong("has half of a character in a text, such as \\ud800") from None
