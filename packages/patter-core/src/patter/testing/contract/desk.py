"""What one test of the suite works with: a tool in the framework's form, fresh uses, and what the carrier saw."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, Literal

import anyio.to_thread

from patter.local.exchange import ExchangeCall
from patter.testing.contract.checks import broken
from patter.testing.contract.harness import AdapterHarness, Observed, Use
from patter.testing.contract.phone import ANSWERS, ContractPhone
from patter.tool import PatterTool

__all__ = ["BOTH_WAYS", "WAYS", "Desk", "Way"]

Way = Literal["sync", "async", "thread", "sync-on-loop"]
"""From where a use is made: plain code, async code, a worker thread of a running loop, plain code on a running loop."""

BOTH_WAYS: tuple[Way, ...] = ("sync", "async")
WAYS: tuple[Way, ...] = ("sync", "async", "thread", "sync-on-loop")

_numbers = itertools.count(1)


class Desk:
    """Makes uses of one adapter's tool on a shared phone, and counts what this test dialled."""

    def __init__(self, harness: AdapterHarness, phone: ContractPhone) -> None:
        self.harness = harness
        self.phone = phone
        self._dialled_before = len(phone.calls)
        self._tasks_before = phone.tasks()
        phone.most_at_once = 0
        self.equip()

    def equip(self, *, start_error: Exception | None = None, **options: Any) -> None:
        """Take another tool, with these options of `PatterTool`."""
        self.tool: PatterTool = self.phone.tool(start_error=start_error, **options)
        self.native: Any = self.harness.build(self.tool)

    @property
    def dials(self) -> list[ExchangeCall]:
        """The calls that this test has dialled, as the carrier knows them."""
        return self.phone.calls[self._dialled_before :]

    def use(self, to: str = ANSWERS, goal: str = "Tea", **more: Any) -> Use:
        """A use that no other test makes: its goal and its id have a number of their own."""
        number = next(_numbers)
        return Use({"to": to, "goal": f"{goal} {number}", **more}, id=f"use_{number}")

    def bad(self, arguments: dict[str, Any]) -> Use:
        """A use with exactly these arguments."""
        return Use(arguments, id=f"use_{next(_numbers)}")

    def make(self, use: Use, way: Way = "sync") -> Observed:
        """Make one use."""
        match way:
            case "sync":
                return self.harness.invoke(self.native, use)
            case "async":
                return asyncio.run(self.harness.ainvoke(self.native, use))
            case "thread":
                return asyncio.run(self._in_thread(use))
            case "sync-on-loop":
                return asyncio.run(self._on_loop(use))

    def run_agent(self, turns: Sequence[Sequence[Use]], way: Way = "sync") -> list[Observed]:
        """Let the framework's agent make the uses; what its model read of each."""
        if way == "sync":
            observed = self.harness.run_agent(self.native, turns)
        else:
            observed = asyncio.run(self.harness.arun_agent(self.native, turns))
        wanted = sum(len(turn) for turn in turns)
        assert len(observed) == wanted, broken(f"the model reads an answer of each of {wanted} uses", observed)
        return observed

    async def answered(self, count: int = 1) -> ExchangeCall:
        """Wait until that many calls of this test were answered."""
        return await self.phone.wait_answered(self._dialled_before + count)

    def answered_sync(self, count: int = 1) -> ExchangeCall:
        """`answered` for plain code."""
        return self.phone.wait_answered_sync(self._dialled_before + count)

    def check_hung_up(self) -> None:
        """The carrier has ended every call of this test, and the phone has no live one."""
        self.phone.wait_over(self.dials)
        statuses = [str(call.status) for call in self.dials if not call.status.final]
        assert not statuses, broken("no call goes on at the carrier", f"calls that are {', '.join(statuses)}")
        live = self.phone.phone.live_calls
        assert not live, broken("the phone has no live call", f"{len(live)} live")

    def close(self) -> None:
        """Check that the test has left nothing: no call, no task on the phone's loop."""
        try:
            self.check_hung_up()
        finally:
            self.phone.phone.hangup_all()
            left = self.phone.wait_tasks(self._tasks_before)
        assert not left, broken("a use leaves no task on the phone's loop", f"tasks {', '.join(left)}")

    async def _in_thread(self, use: Use) -> Observed:
        return await anyio.to_thread.run_sync(self.harness.invoke, self.native, use)

    async def _on_loop(self, use: Use) -> Observed:
        return self.harness.invoke(self.native, use)
