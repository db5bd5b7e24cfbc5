"""A helper for structured concurrency."""

from __future__ import annotations

__all__ = ["first_error"]


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real error of a task group: when one task fails, the others only follow."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
