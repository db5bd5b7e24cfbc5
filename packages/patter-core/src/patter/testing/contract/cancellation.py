"""How a call is given up: by the host's own cancellation, and by hanging up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread
import pytest

from patter.tasks import first_error
from patter.testing.contract.base import ContractBase
from patter.testing.contract.checks import broken, check_result
from patter.testing.contract.desk import BOTH_WAYS, Desk, Way
from patter.testing.contract.harness import AdapterHarness, Observed
from patter.testing.contract.phone import HOLD

__all__ = ["CancellationContract"]

_ENVELOPE_S = 10.0
_SETTLE_S = 8.0


class CancellationContract(ContractBase):
    """Nobody's line stays open after the host has lost interest."""

    def test_cancelling_a_use_hangs_up(self, desk: Desk) -> None:
        """Cancelling the task that awaits a use hangs up at the carrier, and the cancellation goes on.

        Where the framework does not pass it on, `PatterTool.hangup_all` ends the use with an envelope.
        """
        make = lambda: self.harness.ainvoke(desk.native, desk.use(goal=HOLD))  # noqa: E731
        if not self.harness.cancels_on_await:
            asyncio.run(self._hang_up(desk, make))
            return
        came_back = asyncio.run(self._cancel(desk, make))
        assert not came_back, broken("a cancelled use raises the cancellation again", "it returned")

    def test_cancelling_an_agent_hangs_up(self, desk: Desk) -> None:
        """Cancelling the framework's agent while it is on the phone hangs up at the carrier.

        Where the framework does not pass it on, `PatterTool.hangup_all` lets the agent go on with an envelope.
        """
        make = lambda: self.harness.arun_agent(desk.native, [[desk.use(goal=HOLD)]])  # noqa: E731
        if not _cancels_agent(self.harness):
            asyncio.run(self._hang_up(desk, make))
            return
        asyncio.run(self._cancel(desk, make))

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_hangup_all_ends_an_agents_call_with_an_envelope(self, desk: Desk, way: Way) -> None:
        """`PatterTool.hangup_all` from another thread ends the call of a running agent, which reads the envelope."""
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(desk.run_agent, [[desk.use(goal=HOLD)]], way)
            desk.answered_sync()
            assert desk.tool.hangup_all() == 1, broken("one call is live", "hangup_all found another number")
            (observed,) = running.result(_ENVELOPE_S)
        check_result(observed, self.harness)
        desk.check_hung_up()

    async def _cancel(self, desk: Desk, make: Callable[[], Awaitable[object]]) -> bool:
        """Cancel it once its call is answered, as asyncio's ``wait_for`` does. True if it returned all the same."""
        returned = False

        async def user() -> None:
            nonlocal returned
            await make()
            returned = True

        asked_at = await _while_it_runs(user(), desk, lambda task: task.cancel())
        took_s = anyio.current_time() - asked_at
        assert took_s < _SETTLE_S, broken(f"a cancelled use is over within {_SETTLE_S:.0f} s", f"{took_s:.1f} s")
        try:
            await anyio.to_thread.run_sync(desk.check_hung_up)
        finally:
            desk.tool.hangup_all()  # a thread that holds the call would hold the end of the loop
        return returned

    async def _hang_up(self, desk: Desk, make: Callable[[], Awaitable[Observed | list[Observed]]]) -> None:
        """Hang up once its call is answered: it returns envelopes."""
        results: list[Observed] = []

        async def user() -> None:
            made = await make()
            results.extend(made if isinstance(made, list) else [made])

        await _while_it_runs(user(), desk, lambda _: desk.tool.hangup_all())
        for observed in results:
            check_result(observed, self.harness)
        await anyio.to_thread.run_sync(desk.check_hung_up)


async def _while_it_runs(
    job: Coroutine[Any, Any, None], desk: Desk, act: Callable[[asyncio.Task[None]], object]
) -> float:
    """Run the job, act when its call is answered, and wait for its end; when it was acted."""
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(job)
            await desk.answered()
            acted_at = anyio.current_time()
            act(task)
    except ExceptionGroup as group:
        raise first_error(group) from None
    return acted_at


def _cancels_agent(harness: AdapterHarness) -> bool:
    """True if cancelling the agent reaches the tool; a harness may say so apart from ``cancels_on_await``."""
    return bool(getattr(harness, "cancels_agent", harness.cancels_on_await))
