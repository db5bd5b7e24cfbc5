"""relay: code of the host's, on the host's loop, cancelled once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from patter.tools.handlers import handler_loop, shared_loop
from patter.voice.relay import relay

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["here", "elsewhere"])
def loop_of_host(request: pytest.FixtureRequest) -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
    """The host's loop is this one, or one of another thread."""
    find = asyncio.get_running_loop if request.param == "here" else shared_loop
    token = handler_loop.set(find)
    yield find
    handler_loop.reset(token)


class Taken(list[Any]):
    async def take(self, piece: Any) -> None:
        self.append(piece)


async def test_the_pieces_come_in_order_from_the_hosts_loop(loop_of_host: Callable[[], Any]) -> None:
    taken = Taken()

    async def write() -> AsyncGenerator[Any, None]:
        yield asyncio.get_running_loop()
        for number in range(100):
            yield number
            await asyncio.sleep(0)

    with anyio.fail_after(5):
        await relay(write, taken.take)
    assert taken == [loop_of_host(), *range(100)]


async def test_a_loop_that_is_over_is_not_waited_for() -> None:
    over = asyncio.new_event_loop()
    taken = Taken()

    async def write() -> AsyncGenerator[Any, None]:
        yield asyncio.get_running_loop()

    token = handler_loop.set(lambda: over)
    try:
        with anyio.fail_after(5):
            await relay(write, taken.take)
    finally:
        handler_loop.reset(token)
        over.close()
    assert taken == [shared_loop()]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1)])
async def test_what_it_raises_is_raised_here_and_ends_no_loop(
    loop_of_host: Callable[[], Any], error: BaseException
) -> None:
    taken = Taken()

    async def write() -> AsyncGenerator[int, None]:
        yield 1
        raise error

    with pytest.raises(type(error)) as raised:
        await relay(write, taken.take)
    assert raised.value is error
    assert taken == [1]
    assert loop_of_host().is_running()


class Writer:
    """Writes for ever, and notes how often it was cancelled, and whether it could clean up."""

    def __init__(self, cleaning_s: float = 0.02) -> None:
        self.cancelled = 0
        self.clean = False
        self._cleaning_s = cleaning_s

    async def write(self) -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            try:
                await asyncio.sleep(self._cleaning_s)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            self.clean = True


async def test_cancelling_a_scope_cancels_it_once_and_waits(loop_of_host: Callable[[], Any]) -> None:
    writer, began = Writer(), anyio.Event()

    async def take(_: int) -> None:
        began.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(relay, writer.write, take)
            await began.wait()
            tasks.cancel_scope.cancel()
    assert (writer.cancelled, writer.clean) == (1, True)


async def test_an_error_of_the_taker_stops_it(loop_of_host: Callable[[], Any]) -> None:
    writer = Writer()

    async def take(_: int) -> None:
        raise LookupError

    with anyio.fail_after(5), pytest.raises(LookupError):
        await relay(writer.write, take)
    assert (writer.cancelled, writer.clean) == (1, True)


async def test_one_that_does_not_stop_is_left_after_a_while() -> None:
    writer, began = Writer(cleaning_s=2.0), anyio.Event()

    async def take(_: int) -> None:
        began.set()

    started = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(relay, writer.write, take)
        await began.wait()
        tasks.cancel_scope.cancel()
    assert not writer.clean
    assert anyio.current_time() - started < 1.9
    with anyio.fail_after(5):
        while not writer.clean:  # noqa: ASYNC110 - a flag of the test's double
            await anyio.sleep(0.01)


async def test_a_cancellation_that_nobody_here_has_asked_for_is_an_error(loop_of_host: Callable[[], Any]) -> None:
    async def write() -> AsyncGenerator[int, None]:
        yield 1
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(5)

    with anyio.fail_after(5), pytest.raises(RuntimeError, match="cancelled by itself"):
        await relay(write, Taken().take)


async def test_the_context_comes_along() -> None:
    token = handler_loop.set(shared_loop)
    taken = Taken()

    async def write() -> AsyncGenerator[Any, None]:
        yield handler_loop.get(), threading.current_thread().name

    await relay(write, taken.take)
    handler_loop.reset(token)
    assert taken == [(shared_loop, "patter-tools")]
