"""What is said of a change when the connection to Postgres breaks, or the server freezes, at its COMMIT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from patter.errors import StoreError, WriteUncertain
from patter.store.sql import SqlStore
from patter.tools.model import Tool

pytestmark = pytest.mark.anyio

_PIECE = 65536

ASKING = Tool(name="look_up", agent_id="a", description="Looks a customer up", tool_type="custom_websocket")


class Way:
    """The way to a server of Postgres. Once ``mishap`` is set, it befalls the next COMMIT: it is ``lost`` on the way,
    its answer is ``cut`` off with the connection, or the server is ``frozen`` before it answers.
    """

    def __init__(self, there: str) -> None:
        self._there = there
        self._is_silent = False
        self.mishap: str | None = None

    async def lead(self, asked: asyncio.StreamReader, here: asyncio.StreamWriter) -> None:
        answered, there = await asyncio.open_unix_connection(self._there)
        answers = asyncio.create_task(self._answer(answered, here))
        try:
            while data := await asked.read(_PIECE):
                if self.mishap is not None and b"COMMIT\0" in data:
                    if self.mishap == "lost":
                        break
                    self._is_silent = True
                there.write(data)
        finally:
            answers.cancel()
            there.close()
            here.close()

    async def _answer(self, answered: asyncio.StreamReader, here: asyncio.StreamWriter) -> None:
        while data := await answered.read(_PIECE):
            if not self._is_silent:
                here.write(data)
            elif self.mishap == "cut":
                break
        here.close()


@pytest.fixture
async def way(postgres_url: str, tmp_path: Path) -> AsyncIterator[Way]:
    (folder,) = parse_qs(urlsplit(postgres_url).query)["host"]
    way = Way(f"{folder}/.s.PGSQL.5432")
    async with await asyncio.start_unix_server(way.lead, tmp_path / ".s.PGSQL.5432"):
        yield way


@pytest.mark.parametrize(("mishap", "is_made"), [("lost", False), ("cut", True), ("frozen", True)])
async def test_a_commit_whose_answer_does_not_come(
    mishap: str, is_made: bool, way: Way, postgres_url: str, tmp_path: Path
) -> None:
    straight = SqlStore(postgres_url)
    await straight.version()
    store = SqlStore(f"{postgres_url.partition('?')[0]}?host={tmp_path}", wait_s=0.5 if mishap == "frozen" else 5)
    await store.version()
    way.mishap = mishap
    with pytest.raises(WriteUncertain, match="may have been made"):
        await store.create_tool(ASKING)
    await store.close()
    assert len((await straight.read()).tools) == is_made
    await straight.close()


async def test_a_change_that_failed_before_its_end_was_not_made(way: Way, postgres_url: str, tmp_path: Path) -> None:
    store = SqlStore(f"{postgres_url.partition('?')[0]}?host={tmp_path}")
    kept = await store.create_tool(ASKING)

    def change(old: Tool) -> Any:
        raise ZeroDivisionError

    way.mishap = "lost"
    with pytest.raises(ZeroDivisionError):
        await store.update_tool("a", str(kept.id), change)
    await store.close()
    nowhere = SqlStore(f"{postgres_url.partition('?')[0]}?host={tmp_path}/nothing")
    with pytest.raises(StoreError) as caught:
        await nowhere.create_tool(ASKING)
    assert not isinstance(caught.value, WriteUncertain)
    await nowhere.close()
