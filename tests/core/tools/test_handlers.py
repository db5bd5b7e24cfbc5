"""Where handlers run, and what becomes of one that raises, hangs, or does not listen."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from patter.tools.handlers import HandlerFailed, call_handler, handler_loop, shared_loop

pytestmark = pytest.mark.anyio

WHO: ContextVar[str] = ContextVar("who", default="nobody")


def here() -> tuple[int, str]:
    return threading.get_ident(), WHO.get()


async def here_async() -> tuple[int, str]:
    return here()


@pytest.fixture
def elsewhere() -> Callable[[], None]:
    """Coroutines run on the loop that all handlers share."""
    token = handler_loop.set(shared_loop)
    yield None
    handler_loop.reset(token)


@pytest.mark.parametrize("handler", [here, lambda: here_async()], ids=["function", "function of a coroutine"])
async def test_a_function_begins_in_a_thread_with_the_callers_context(handler: Callable[[], Any]) -> None:
    WHO.set("somebody")
    _, who = await call_handler(handler)
    assert who == "somebody"


async def test_a_function_has_a_daemon_thread_of_its_own() -> None:
    thread = await call_handler(threading.current_thread)
    assert thread is not threading.current_thread()
    assert thread.daemon


async def test_a_coroutine_runs_on_the_loop_that_waits() -> None:
    assert (await call_handler(here_async))[0] == threading.get_ident()


async def test_a_coroutine_runs_on_the_loop_of_the_host(elsewhere: None) -> None:
    WHO.set("somebody")
    thread, who = await call_handler(here_async)
    assert thread != threading.get_ident()
    assert who == "somebody"


async def test_a_loop_that_is_closed_has_a_substitute() -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    token = handler_loop.set(lambda: closed)
    try:
        assert (await call_handler(here_async))[0] != threading.get_ident()
    finally:
        handler_loop.reset(token)


async def test_the_shared_loop_is_one() -> None:
    assert shared_loop() is shared_loop()


@pytest.mark.parametrize("error", [ValueError("secret"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
@pytest.mark.parametrize("is_async", [True, False])
async def test_whatever_a_handler_raises_is_a_failure(elsewhere: None, error: BaseException, is_async: bool) -> None:
    def function() -> None:
        raise error

    async def coroutine() -> None:
        raise error

    with pytest.raises(HandlerFailed) as failure:
        await call_handler(coroutine if is_async else function)
    assert failure.value.cause is error
    assert "secret" not in str(failure.value)
    assert await call_handler(here_async)  # the loop lives


async def test_a_handler_that_swallows_cancellation_is_left_behind(
    elsewhere: None, caplog: pytest.LogCaptureFixture
) -> None:
    go, over = threading.Event(), threading.Event()

    async def stubborn() -> None:
        while not go.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                pass
        over.set()
        raise ValueError("secret")

    with caplog.at_level(logging.DEBUG), pytest.raises(TimeoutError):
        with anyio.fail_after(0.05):
            await call_handler(stubborn)
    assert not over.is_set()
    go.set()
    await anyio.to_thread.run_sync(over.wait)
    assert await call_handler(here_async)
    assert "secret" not in caplog.text


async def test_a_coroutine_that_nobody_waits_for_is_cancelled(elsewhere: None) -> None:
    cancelled = threading.Event()

    async def patient() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            cancelled.set()

    with anyio.move_on_after(0.05):
        await call_handler(patient)
    assert await anyio.to_thread.run_sync(cancelled.wait, 5)


async def test_a_function_that_blocks_is_left_behind() -> None:
    go = threading.Event()
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.05):
            await call_handler(go.wait)
    go.set()


async def test_a_generator_tells_its_progress_and_then_its_result() -> None:
    async def steps(name: str) -> AsyncIterator[dict[str, Any]]:
        yield {"progress": f"looking for {name}"}
        yield {"progress": "still looking"}
        yield {"result": {"found": name}}

    told: list[str] = []
    assert await call_handler(steps, "Ann", on_progress=told.append) == {"found": "Ann"}
    assert told == ["looking for Ann", "still looking"]


async def test_a_generator_may_end_with_its_bare_result() -> None:
    async def steps() -> AsyncIterator[Any]:
        yield {"progress": "looking"}
        yield "nothing there"

    assert await call_handler(steps) == "nothing there"
