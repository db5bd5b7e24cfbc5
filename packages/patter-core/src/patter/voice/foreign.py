"""Minds that a framework of the host's thinks with: what all of them have in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from typing import Protocol, TypeVar

from patter.voice.answer import Answer
from patter.voice.base import Delta, Usage
from patter.voice.chat.failure import Vendor, read_foreign_failure
from patter.voice.chat.wire import LONGEST_CHARS, NotAnAnswer, check_end
from patter.voice.relay import relay

__all__ = ["Reading", "foreign_answer", "writer"]

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "azure": "AZURE_OPENAI_API_KEY", "openai": "OPENAI_API_KEY"}


class Reading(Protocol[T_contra]):
    """What the pieces of one answer mean. Both methods may raise `NotAnAnswer`."""

    def feed(self, piece: T_contra) -> Iterable[Delta]:
        """What a piece adds to the answer."""

    def end(self) -> Iterable[Delta]:
        """What is known when the last piece was read."""


def writer(kind: str, vendor: str | None) -> Vendor:
    """Who writes the answers, for the error texts.

    Args:
        kind: the class of the framework's model.
        vendor: its vendor, as prices name it, if it is known.
    """
    return Vendor(kind, _KEYS.get(vendor or "", f"the api_key of {kind}"))


def foreign_answer(
    write: Callable[[], AsyncGenerator[T, None]],
    reading: Reading[T],
    vendor: Vendor,
    *,
    model: str,
    may_be_silent: bool = False,
) -> Answer:
    """An answer that a framework writes. How long it may take is the call's affair.

    Args:
        write: asks the framework, and yields what comes, on the host's loop, see `patter.voice.relay.relay`.
        reading: what that means.
        vendor: who writes, for the error texts.
        model: as the price table names it.
        may_be_silent: an answer may be without words and tool calls.
    """
    return Answer(partial(_write, write, reading, vendor, may_be_silent), model=model)


async def _write(
    write: Callable[[], AsyncGenerator[T, None]],
    reading: Reading[T],
    vendor: Vendor,
    may_be_silent: bool,
    answer: Answer,
) -> None:
    has_begun = False
    size = 0

    async def send(deltas: Iterable[Delta]) -> None:
        nonlocal size
        for delta in deltas:
            size += len(delta) if isinstance(delta, str) else not isinstance(delta, Usage)
            if size > LONGEST_CHARS:
                raise NotAnAnswer("more than anybody could say")
            await answer.send(delta)

    async def take(piece: T) -> None:
        nonlocal has_begun
        has_begun = True
        answer.accept()
        await send(reading.feed(piece))

    try:
        await relay(write, take)
        await send(reading.end())
    except Exception as error:  # the boundary to the framework's code
        raise read_foreign_failure(error, vendor) from None
    if not may_be_silent:
        check_end(vendor.name, "done" if has_begun else None, spoken=size > 0)
