"""The bridges into the engine's loop: from plain code, from running loops, from threads, from two loops."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import anyio
import pytest

from patter.call.request import EventSink
from patter.engine import Engine

Job = Callable[[EventSink | None], Awaitable[str]]


@pytest.fixture
def engine() -> Engine:
    return Engine.shared()


async def _where(_: EventSink | None) -> str:
    return threading.current_thread().name


def test_plain_code_reaches_the_engines_thread(engine: Engine) -> None:
    assert engine.run_sync(_where) == "patter"


def test_two_loops_after_each_other_share_one_engine(engine: Engine) -> None:
    async def main() -> str:
        return await engine.run(_where)

    assert [asyncio.run(main()), asyncio.run(main())] == ["patter", "patter"]


def test_a_blocking_call_on_a_running_loop_works(engine: Engine) -> None:
    async def main() -> str:
        return engine.run_sync(_where)

    assert asyncio.run(main()) == "patter"


def test_a_worker_thread_of_a_running_loop_works(engine: Engine) -> None:
    async def main() -> str:
        return await asyncio.to_thread(engine.run_sync, _where)

    assert asyncio.run(main()) == "patter"


def test_a_blocking_call_on_the_engines_own_thread_says_why_it_cannot(engine: Engine) -> None:
    async def job(_: EventSink | None) -> str:
        return engine.run_sync(_where)

    with pytest.raises(RuntimeError, match="async form"):
        engine.run_sync(job)


def test_work_on_the_engines_own_loop_runs_there_at_once(engine: Engine) -> None:
    async def job(_: EventSink | None) -> str:
        return await engine.run(_where)

    assert engine.run_sync(job) == "patter"


async def _tells(sink: EventSink | None) -> str:
    assert sink is not None
    for number in range(3):
        sink({"type": "step", "number": number})
    return "done"


def test_events_arrive_in_the_waiting_thread_in_order(engine: Engine) -> None:
    seen: list[tuple[int, str]] = []
    engine.run_sync(_tells, lambda event: seen.append((event["number"], threading.current_thread().name)))
    assert seen == [(number, threading.current_thread().name) for number in range(3)]


@pytest.mark.anyio
async def test_events_arrive_on_the_waiting_loop_before_the_result(engine: Engine) -> None:
    seen: list[asyncio.AbstractEventLoop] = []
    await engine.run(_tells, lambda event: seen.append(asyncio.get_running_loop()))
    assert seen == [asyncio.get_running_loop()] * 3


def test_a_callback_that_raises_does_not_end_the_work(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: object) -> None:
        raise ValueError("secret text")

    assert engine.run_sync(_tells, broken) == "done"
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.anyio
async def test_cancelling_waits_until_the_work_has_cleaned_up(engine: Engine) -> None:
    begun, cleaned = threading.Event(), threading.Event()

    async def job(_: EventSink | None) -> str:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
                cleaned.set()
        return ""

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.run, job)
        await anyio.to_thread.run_sync(begun.wait)
        tasks.cancel_scope.cancel()
    assert cleaned.is_set()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt; a shell may have started the tests with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_cancels_the_work_and_is_raised_again(engine: Engine, interruptible: None) -> None:
    cleaned = threading.Event()

    async def job(sink: EventSink | None) -> str:
        assert sink is not None
        sink({"type": "begun"})
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.set()
        return ""

    def interrupt(_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        engine.run_sync(job, interrupt)
    assert cleaned.is_set()


def test_an_exception_reaches_the_caller_as_it_is(engine: Engine) -> None:
    async def job(_: EventSink | None) -> str:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        engine.run_sync(job)


@pytest.mark.parametrize("is_here", [False, True], ids=["on the host's loop", "on the engine's"])
def test_a_job_is_waited_for_however_often_the_waiting_task_is_cancelled(is_here: bool) -> None:
    engine = Engine.shared()
    steps: list[str] = []

    async def job(_: object) -> None:
        try:
            await asyncio.sleep(600)
        finally:
            with anyio.CancelScope(shield=True):
                await asyncio.sleep(0.1)
            steps.append("settled")

    async def main() -> None:
        waiting = asyncio.ensure_future(engine.run(job))
        for _ in range(5):
            await asyncio.sleep(0.02)
            waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        steps.append("told")

    if is_here:
        engine.run_sync(lambda _: main())
    else:
        asyncio.run(main())
    assert steps == ["settled", "told"]
