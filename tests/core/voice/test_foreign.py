"""foreign_answer: an answer that a framework writes, from its pieces to the deltas of a mind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Any

import anyio
import pytest

from patter.errors import ProviderError
from patter.voice.answer import Answer
from patter.voice.base import Delta, ToolCall, Usage
from patter.voice.chat.wire import NotAnAnswer
from patter.voice.foreign import foreign_answer, writer

pytestmark = pytest.mark.anyio

WRITER = writer("ChatThing", None)
CALL = ToolCall("t1", "look_up", "{}")


class Words:
    """Reads texts as they are, and adds what is known at the end."""

    def __init__(self, *at_the_end: Delta) -> None:
        self._end = at_the_end

    def feed(self, piece: Any) -> Iterable[Delta]:
        if not isinstance(piece, str):
            raise NotAnAnswer(f"a {type(piece).__name__}")
        return [piece] if piece else []

    def end(self) -> Iterable[Delta]:
        return self._end


def answer(*pieces: Any, end: tuple[Delta, ...] = (), may_be_silent: bool = False) -> Answer:
    async def write() -> AsyncGenerator[Any, None]:
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    return foreign_answer(write, Words(*end), WRITER, model="x/thing", may_be_silent=may_be_silent)


async def deltas(given: Answer) -> list[Delta]:
    async with given as stream:
        return [delta async for delta in stream]


async def test_what_is_written_is_told_and_what_is_known_at_the_end_follows() -> None:
    end = (CALL, Usage(1, 2))
    assert await deltas(answer("Good ", "", "day.", end=end)) == ["Good ", "day.", *end]
    assert answer().model == "x/thing"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answer(), "without finishing"),
        (answer("", end=(Usage(1, 0),)), "empty answer"),
        (answer("x" * 4000, "x" * 4001), "more than anybody could say"),
        (answer(7), "answered a int; let it"),
        (answer("Good ", OSError("secret")), "ChatThing cannot be reached"),
    ],
)
async def test_what_is_no_answer_is_an_error(given: Answer, words: str) -> None:
    with pytest.raises(ProviderError, match=words) as raised:
        await deltas(given)
    assert "secret" not in str(raised.value)
    assert raised.value.stage == "llm"


async def test_calls_alone_are_an_answer_and_silence_if_it_may_be() -> None:
    assert await deltas(answer("", end=(CALL,))) == [CALL]
    assert await deltas(answer(may_be_silent=True)) == []
    assert await deltas(answer("", may_be_silent=True)) == []


async def test_an_error_before_the_first_piece_is_raised_by_entering() -> None:
    with pytest.raises(ProviderError, match="failed with LookupError"):
        async with answer(LookupError("secret")):
            raise AssertionError("it was entered")


async def test_leaving_stops_the_writing() -> None:
    stopped = anyio.Event()

    async def write() -> AsyncGenerator[str, None]:
        try:
            yield "Good "
            await anyio.sleep(600)
        finally:
            stopped.set()

    with anyio.fail_after(5):
        async with foreign_answer(write, Words(), WRITER, model="x/thing") as stream:
            assert await anext(stream) == "Good "
        assert stopped.is_set()


@pytest.mark.parametrize(
    ("vendor", "key"),
    [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY"), (None, "the api_key of ChatThing")],
)
def test_the_key_is_named_where_it_is_known(vendor: str | None, key: str) -> None:
    assert writer("ChatThing", vendor).variable == key
