"""The store of idempotency keys."""

from __future__ import annotations

import anyio
import pytest

from patter import InvalidArguments
from patter.envelope import CallResult, Metrics
from patter.store.calls import MemoryCallStore

pytestmark = pytest.mark.anyio

RESULT = CallResult(call_id="CA1", status="busy", duration_seconds=0, cost_usd=0, transcript=[], metrics=Metrics())


async def test_the_first_places_the_call_and_the_others_get_its_envelope() -> None:
    store = MemoryCallStore()
    entry, first = store.open("k", "tea")
    assert first
    results: list[CallResult | None] = []

    async def wait() -> None:
        other, is_first = store.open("k", "tea")
        assert not is_first
        results.append(await other.wait())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        entry.close(RESULT)
    assert results == [RESULT, RESULT]
    assert store.open("k", "tea")[0].result is RESULT
    assert store.open("other", "tea")[1]


async def test_a_call_that_was_never_dialled_may_be_placed_by_the_next() -> None:
    store = MemoryCallStore()
    store.open("k", "tea")[0].close(None)
    entry, first = store.open("k", "tea")
    assert first
    assert not entry.closed


async def test_the_oldest_keys_are_forgotten_and_live_calls_are_not() -> None:
    store = MemoryCallStore()
    live, _ = store.open("live", "tea")
    for number in range(10_001):
        store.open(str(number), "tea")[0].close(RESULT)
    assert store.open("live", "tea") == (live, False)


async def test_a_key_that_stands_for_another_call_is_refused() -> None:
    store = MemoryCallStore()
    store.open("k", "tea")
    with pytest.raises(InvalidArguments, match="idempotency_key"):
        store.open("k", "coffee")
