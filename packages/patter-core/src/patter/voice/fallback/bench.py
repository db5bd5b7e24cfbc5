"""What the three fallbacks share: a list of providers, and who of them is asked next."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TypeVar

import anyio

from patter.errors import ConfigError

__all__ = ["Bench", "at_least_two", "start_all"]

T = TypeVar("T")


class Bench:
    """Who of several providers is asked next. Pure; serves all calls of one fallback.

    Args:
        count: how many there are; they go by their index, the first choice being 0.
        rest_s: so long a provider that has failed is asked last.
    """

    def __init__(self, count: int, rest_s: float) -> None:
        self._rested_at = [-math.inf] * count
        self._rest_s = rest_s

    def rest(self, index: int, now: float) -> None:
        """A provider has failed."""
        self._rested_at[index] = now + self._rest_s

    def order(self, now: float, *, out: Collection[int] = ()) -> list[int]:
        """In which order to ask. Those who rest come last; without those that are ``out``, unless all are."""
        everybody = range(len(self._rested_at))
        here = [index for index in everybody if index not in out] or list(everybody)
        return sorted(here, key=lambda index: now < self._rested_at[index])


def at_least_two(name: str, first: T, others: Collection[T]) -> tuple[T, ...]:
    """The providers of a fallback.

    Raises:
        ConfigError: there is only one.
    """
    if not others:
        raise ConfigError(f"{name} needs at least two providers: the first choice, and who takes over.")
    return (first, *others)


async def start_all(providers: Collection[object]) -> None:
    """Let all of them import what they need, those that have something to import."""
    async with anyio.create_task_group() as tasks:
        for provider in providers:
            if callable(start := getattr(provider, "start", None)):
                tasks.start_soon(start)
