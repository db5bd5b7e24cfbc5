"""What is written, held against what was heard, on a machine that may be late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from difflib import SequenceMatcher
from math import ceil

import anyio

from patter import CallResult
from patter.engine import Engine
from patter.local.exchange import ExchangeCall

__all__ = ["Lateness", "check_quotes", "lateness"]

IN_TIME_S = 0.04
"""A word that ends so soon after a cut is waited for, so an order that is as late as this changes nothing."""
SHORT_WORD_S = 0.2


class Lateness:
    """By how many seconds a loop was late at most: that of the phones, or the test's own, where a network may live."""

    s = 0.0

    async def watch(self) -> None:
        while True:
            began = anyio.current_time()
            await anyio.sleep(0.01)
            self.s = max(self.s, anyio.current_time() - began - 0.01)

    def words(self, call: ExchangeCall) -> int:
        """How many words can be said in that time, and in that by which the call's own line was late."""
        return ceil(max(self.s + call.record.late_s - IN_TIME_S, 0) / SHORT_WORD_S)


@asynccontextmanager
async def lateness() -> AsyncIterator[Lateness]:
    """Watch both loops meanwhile."""
    seen = Lateness()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.watch)
        tasks.start_soon(Engine.shared().run, lambda _: seen.watch())
        yield seen
        tasks.cancel_scope.cancel()


def check_quotes(result: CallResult, call: ExchangeCall, late_words: int) -> bool:
    """Assert that what was heard is what is written; whether it is so to the word.

    An order to stop is as late as the loop, and the carrier plays on until it arrives; and where its line was late
    itself, the clock is wrong. Then words may differ, at a cut or at the end, as many as are said in that time.
    """
    assert result.details is not None
    assert " ".join(line.text for line in result.transcript if line.role == "user") == " ".join(call.said)
    written = [line.text for line in result.transcript if line.role == "agent"]
    cuts = sum(turn.interrupted for turn in result.details.turns)
    changes = SequenceMatcher(None, " ".join(written).split(), " ".join(call.heard).split(), autojunk=False)
    more = [op for op in changes.get_opcodes() if op[0] != "equal"]
    assert all(max(b - a, d - c) <= late_words for _, a, b, c, d in more), (late_words, written, call.heard)
    assert len(more) <= cuts + (late_words > 0)
    return not more
