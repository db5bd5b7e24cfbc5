"""Regular expressions that others write, matched in a time that grows with the text alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

__all__ = ["LONGEST_PATTERN", "searcher"]

LONGEST_PATTERN = 500
_KEPT = 128


@lru_cache(maxsize=_KEPT)
def searcher(pattern: str) -> Callable[[str], bool]:
    """What says whether a pattern is found in a text.

    For some patterns, such as ``^(a+)+$``, Python's own engine needs a time that is exponential in the text, and holds
    up the whole process; Rust's is linear, and knows no look-around and no back-references.

    Raises:
        ValueError: it is too long or too big, or no pattern for Rust.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"it has more than {LONGEST_PATTERN} characters")
    try:
        checker = SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex", strict=True))
    except SchemaError:
        raise ValueError(
            "it cannot be used. Write a regular expression without look-around, back-references and high counts"
        ) from None

    def found(text: str) -> bool:
        try:
            checker.validate_python(text)
        except ValidationError:
            return False
        return True

    return found
