"""What calls see of a store, and when."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import anyio
import pytest

from patter.errors import StoreError
from patter.store.base import AgentRecord, Holdings
from patter.store.catalogue import Catalogue
from patter.testing.clock import run_virtual
from patter.tools.model import Tool

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DESK = AgentRecord(id=str(uuid4()), name="desk", tools=("hours", "look_up"), created_at=NOW, updated_at=NOW)


class Shelf:
    """A store whose contents are set, and which breaks on demand."""

    def __init__(self, held: Holdings) -> None:
        self.held = held
        self.is_broken = False
        self.readings = 0
        self.raises: Exception | None = None
        self.hangs_s = 0.0

    async def version(self) -> int:
        await anyio.sleep(self.hangs_s)
        if self.raises is not None:
            raise self.raises
        if self.is_broken:
            raise StoreError("The disk is gone. Put it back.")
        return self.held.version

    async def read(self) -> Holdings:
        self.readings += 1
        held = self.held
        await anyio.sleep(0.01)
        return held


def tool(name: str, agent: str | None) -> Tool:
    return Tool(id=uuid4(), agent_id=agent, name=name, description="Ends the call", tool_type="end_call", config={})


def catalogue(shelf: Shelf) -> Catalogue:
    return Catalogue(shelf)  # type: ignore[arg-type]


OWN, HOURS, SHADOWED = tool("look_up", DESK.id), tool("hours", None), tool("look_up", None)
HELD = Holdings(7, (DESK,), (SHADOWED, OWN, HOURS))


def test_what_is_found_by_name_and_by_id() -> None:
    async def main() -> None:
        seen = catalogue(Shelf(HELD))
        await seen.refresh()
        assert seen.agents == (DESK,)
        assert (seen.tools(DESK.id), seen.tools(None), seen.tools("x")) == ((OWN,), (SHADOWED, HOURS), ())
        assert seen.tool(DESK.id, "look_up") is seen.tool(DESK.id, str(OWN.id)) is OWN
        assert seen.tool(DESK.id, str(HOURS.id)) is None

    run_virtual(main)


@pytest.mark.parametrize(
    ("names", "offered"),
    [
        ((), (OWN,)),
        (("hours",), (OWN, HOURS)),
        (("look_up", "hours", "hours", "gone"), (OWN, HOURS)),  # the agent's own hides the workspace's
    ],
)
def test_what_an_agent_may_use(names: tuple[str, ...], offered: tuple[Tool, ...]) -> None:
    async def main() -> None:
        seen = catalogue(Shelf(HELD))
        await seen.refresh()
        assert seen.offered(DESK.id, names) == offered

    run_virtual(main)


def test_a_store_that_has_not_changed_is_not_read_again() -> None:
    async def main() -> None:
        shelf = Shelf(HELD)
        seen = catalogue(shelf)
        assert seen.version != HELD.version
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(seen.refresh)
        assert (shelf.readings, seen.version) == (1, 7)
        shelf.held = replace(HELD, version=6, tools=())
        await seen.refresh()
        assert (shelf.readings, seen.version, seen.tools(DESK.id)) == (2, 6, ())

    run_virtual(main)


def test_what_others_write_is_followed_and_a_broken_store_survived(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> list[Any]:
        shelf = Shelf(HELD)
        seen = catalogue(shelf)
        found: list[Any] = []
        async with anyio.create_task_group() as group:
            group.start_soon(seen.follow)
            await anyio.sleep(0.5)
            found.append(seen.version)
            shelf.held = replace(HELD, version=8)
            await anyio.sleep(1.1)
            found.append(seen.version)
            shelf.is_broken, shelf.held = True, replace(HELD, version=9)
            await anyio.sleep(5)
            with pytest.raises(StoreError, match="Put it back"):
                await seen.refresh()
            found.append((seen.version, seen.tools(DESK.id)))
            shelf.is_broken = False
            await anyio.sleep(1.1)
            found.append(seen.version)
            group.cancel_scope.cancel()
        return found

    with caplog.at_level(logging.WARNING):
        assert run_virtual(main) == [7, 8, (8, (OWN,)), 9]
    assert len(caplog.messages) == 1 and "Put it back" in caplog.messages[0]


def test_whatever_a_store_raises_ends_no_call_and_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> int:
        shelf = Shelf(HELD)
        shelf.raises = ValueError("a value of a row")
        seen = catalogue(shelf)
        async with anyio.create_task_group() as group:
            group.start_soon(seen.follow)
            await anyio.sleep(1.5)
            shelf.raises = None
            await anyio.sleep(1)
            group.cancel_scope.cancel()
        return seen.version

    with caplog.at_level(logging.WARNING):
        assert run_virtual(main) == 7
    (told,) = caplog.messages
    assert told.endswith("ValueError.")


def test_a_store_that_hangs_holds_nobody_up_longer_than_the_first() -> None:
    async def main() -> list[float]:
        shelf = Shelf(HELD)
        shelf.is_broken, shelf.hangs_s = True, 20.0
        seen = catalogue(shelf)
        waited: list[float] = []

        async def ask() -> None:
            began = anyio.current_time()
            with pytest.raises(StoreError, match="Put it back"):
                await seen.refresh()
            waited.append(anyio.current_time() - began)

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(ask)
        return waited

    assert run_virtual(main) == [20.0] * 4


def test_what_was_written_during_a_reading_is_seen_by_who_asks_then() -> None:
    async def main() -> tuple[int, int]:
        shelf = Shelf(HELD)
        seen = catalogue(shelf)
        async with anyio.create_task_group() as group:
            group.start_soon(seen.refresh)
            await anyio.sleep(0.005)
            shelf.held = replace(HELD, version=8)
            for _ in range(3):
                group.start_soon(seen.refresh)
            await seen.refresh()
            seen_then = seen.version
        return seen_then, shelf.readings

    assert run_virtual(main) == (8, 2)


def test_who_waits_reads_instead_of_the_first_that_has_left() -> None:
    async def main() -> int:
        shelf = Shelf(HELD)
        seen = catalogue(shelf)
        async with anyio.create_task_group() as second, anyio.create_task_group() as first:
            first.start_soon(seen.refresh)
            await anyio.sleep(0.005)
            second.start_soon(seen.refresh)
            await anyio.sleep(0.001)
            first.cancel_scope.cancel()
        return seen.version

    assert run_virtual(main) == 7


def test_a_reader_does_not_ask_a_store_that_was_read_a_moment_ago() -> None:
    async def main() -> None:
        shelf = Shelf(Holdings(1))
        seen = catalogue(shelf)
        await seen.look()
        shelf.held = HELD
        await seen.look()
        assert seen.agents == (), "what another process has written this very moment may be late"
        await anyio.sleep(0.06)
        await seen.look()
        assert seen.agents == (DESK,)

    run_virtual(main)
