"""One suite over the three databases: memory, an SQLite file, Postgres."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest
import sqlalchemy

from patter.errors import ConfigError, NameTaken, StoreError
from patter.store.base import AgentRecord
from patter.store.sql import SqlStore
from patter.tools.model import Tool

pytestmark = pytest.mark.anyio

KINDS = ("memory", "file", "postgres")
LASTING = ("file", "postgres")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        found: str = request.getfixturevalue("postgres_url")
        return found
    return "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/patter.db"


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    store = SqlStore(url)
    yield store
    await store.close()


def agent(name: str = "desk", **fields: Any) -> AgentRecord:
    now = datetime.now(UTC)
    return AgentRecord(id=str(uuid4()), name=name, created_at=now, updated_at=now, **fields)


def tool(name: str = "look_up", agent: str | None = "a", **fields: Any) -> Tool:
    fields = {"tool_type": "http_request", "config": {"url": "https://crm.example.com/{{id}}"}} | fields
    return Tool(name=name, agent_id=agent, description="Looks a customer up by the number", **fields)


def renamed(name: str) -> Any:
    return lambda one: one.model_copy(update={"name": name})


# --- what is kept --------------------------------------------------------------------------------


async def test_an_empty_store_holds_nothing(store: SqlStore) -> None:
    held = await store.read()
    assert (held.agents, held.tools, held.version) == ((), (), await store.version())


async def test_agents_come_back_as_they_were(store: SqlStore) -> None:
    one = await store.create_agent(agent("one", system_prompt="Grüße „Öl“ 電話", first_message="Hi", tools=("b", "a")))
    two = await store.create_agent(agent("two"))
    assert (await store.read()).agents == (one, two)


async def test_tools_come_back_as_they_were(store: SqlStore) -> None:
    given = [
        tool("first", display_name="Kunden-Lookup ü", priority=-3, timeout_ms=900, max_retries=2, is_enabled=False),
        tool("second", config={"url": "https://a.example", "headers": [{"key": "X", "value": "{{API_KEY}}"}] * 2}),
        tool("third", None, tool_type="custom_websocket", config={}, parameters={"type": "object", "properties": {}}),
        tool("fourth", tool_type="end_call", config={"goodbye_message": "Auf Wiederhören!"}),
    ]
    kept = [await store.create_tool(one) for one in given]
    assert list((await store.read()).tools) == kept
    for before, after in zip(given, kept, strict=True):
        assert after.to_wire("talkpilot") == before.to_wire("talkpilot") | {
            "id": str(after.id),
            "created_at": after.model_dump(mode="json")["created_at"],
            "updated_at": after.model_dump(mode="json")["updated_at"],
        }


async def test_the_store_gives_ids_and_times(store: SqlStore) -> None:
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    kept = await store.create_tool(tool(id=UUID(int=0), created_at=long_ago, updated_at=long_ago))
    assert kept.id is not None and kept.id.version == 4
    assert kept.created_at is not None and kept.created_at == kept.updated_at
    assert abs(datetime.now(UTC) - kept.created_at) < timedelta(seconds=30)
    assert kept.created_at.utcoffset() == timedelta(0)


async def test_an_update_keeps_what_is_the_stores(store: SqlStore) -> None:
    one = await store.create_agent(agent())
    changed = await store.update_agent(one.id, lambda old: replace(agent("new"), id="x"))
    assert changed is not None and (changed.id, changed.name) == (one.id, "new")
    assert (changed.created_at, changed.updated_at > one.updated_at) == (one.created_at, True)
    kept = await store.create_tool(tool())
    altered = await store.update_tool("a", str(kept.id), lambda old: tool("other", "b"))
    assert altered is not None and (altered.id, altered.agent_id, altered.name) == (kept.id, "a", "other")
    assert altered.created_at == kept.created_at and altered.updated_at > kept.updated_at
    held = await store.read()
    assert (held.agents, held.tools) == ((changed,), (altered,))


async def test_what_is_not_there_is_not_found(store: SqlStore) -> None:
    kept = await store.create_tool(tool())
    version = await store.version()
    assert await store.update_agent("x", lambda old: old) is None
    assert await store.update_tool("b", str(kept.id), lambda old: old) is None
    assert await store.update_tool(None, str(kept.id), lambda old: old) is None
    assert not await store.delete_tool("b", str(kept.id))
    assert not await store.delete_agent("a")  # an agent of the program; its tool stays
    assert await store.version() == version
    assert await store.delete_tool("a", str(kept.id))
    assert not await store.delete_tool("a", str(kept.id))


async def test_with_an_agent_go_its_tools(store: SqlStore) -> None:
    one, two = await store.create_agent(agent("one")), await store.create_agent(agent("two"))
    await store.create_tool(tool(agent=one.id))
    others = (await store.create_tool(tool(agent=two.id)), await store.create_tool(tool(agent=None)))
    assert await store.delete_agent(one.id)
    held = await store.read()
    assert (held.agents, held.tools) == ((two,), others)


async def test_every_change_moves_the_version(store: SqlStore) -> None:
    seen = [await store.version()]
    one = await store.create_agent(agent())
    seen.append(await store.version())
    await store.update_agent(one.id, lambda old: replace(old, first_message="Hi"))
    seen.append(await store.version())
    kept = await store.create_tool(tool(agent=one.id))
    seen.append(await store.version())
    await store.update_tool(one.id, str(kept.id), renamed("other"))
    seen.append(await store.version())
    await store.delete_tool(one.id, str(kept.id))
    seen.append(await store.version())
    await store.delete_agent(one.id)
    seen.append(await store.version())
    assert len(set(seen)) == len(seen)
    assert (await store.read()).version == seen[-1]


# --- names ---------------------------------------------------------------------------------------


async def test_a_name_is_taken_once(store: SqlStore) -> None:
    await store.create_agent(agent("desk"))
    for where in ("a", None):
        await store.create_tool(tool("look_up", where))
        with pytest.raises(NameTaken, match="look_up"):
            await store.create_tool(tool("look_up", where))
        free = await store.create_tool(tool("free", where))
        with pytest.raises(NameTaken, match="look_up"):
            await store.update_tool(where, str(free.id), renamed("look_up"))
    await store.create_tool(tool("Look_Up"))
    await store.create_tool(tool("look_up", "b"))
    with pytest.raises(NameTaken, match="desk"):
        await store.create_agent(agent("desk"))
    other = await store.create_agent(agent("other"))
    with pytest.raises(NameTaken, match="desk"):
        await store.update_agent(other.id, lambda old: replace(old, name="desk"))
    held = await store.read()
    assert [one.name for one in held.agents] == ["desk", "other"]
    assert sorted(one.name for one in held.tools) == ["Look_Up", "free", "free", "look_up", "look_up", "look_up"]


async def test_of_twenty_that_want_a_name_one_has_it(url: str) -> None:
    stores = [SqlStore(url)] if url == "sqlite://" else [SqlStore(url), SqlStore(url)]
    outcomes: list[str] = []

    async def create(number: int) -> None:
        try:
            await stores[number % len(stores)].create_tool(tool())
            outcomes.append("created")
        except NameTaken:
            outcomes.append("taken")

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(create, number)
    assert sorted(outcomes) == ["created"] + ["taken"] * 19
    for store in stores:
        assert len((await store.read()).tools) == 1
        await store.close()


async def test_changes_at_the_same_time_do_not_lose_one_another(url: str) -> None:
    stores = [SqlStore(url)] if url == "sqlite://" else [SqlStore(url), SqlStore(url)]
    kept = await stores[0].create_tool(tool())

    def add(header: str) -> Any:
        def change(old: Tool) -> Tool:
            config = old.config.model_dump()
            config["headers"] = [*config["headers"], {"key": header, "value": "1"}]
            return tool(config=config)

        return change

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(stores[number % len(stores)].update_tool, "a", str(kept.id), add(f"X-{number}"))
    (found,) = (await stores[0].read()).tools
    assert sorted(one.key for one in found.config.headers) == sorted(f"X-{number}" for number in range(20))  # type: ignore[union-attr]
    for store in stores:
        await store.close()


async def test_what_a_change_raises_is_raised_and_nothing_is_changed(store: SqlStore) -> None:
    kept = await store.create_tool(tool())
    version = await store.version()

    def refuse(old: Tool) -> Tool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.update_tool("a", str(kept.id), refuse)
    assert (await store.version(), (await store.read()).tools) == (version, (kept,))


async def test_a_reading_is_of_one_moment(url: str) -> None:
    reader = SqlStore(url)
    writer = reader if url == "sqlite://" else SqlStore(url)
    first = await reader.version()
    seen: set[int] = set()

    async def read() -> None:
        while max(seen, default=0) < 60:
            held = await reader.read()
            assert held.version - first == len(held.tools) + len(held.agents)
            seen.add(len(held.tools) + len(held.agents))

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        for number in range(30):
            await writer.create_agent(agent(f"a{number}"))
            await writer.create_tool(tool(f"t{number}"))
    assert len(seen) > 2
    await reader.close()
    await writer.close()


# --- who keeps it --------------------------------------------------------------------------------


@pytest.mark.parametrize("url", LASTING, indirect=True)
async def test_a_restart_loses_nothing(url: str) -> None:
    before = SqlStore(url)
    one = await before.create_agent(agent())
    kept = await before.create_tool(tool(agent=one.id))
    version = await before.version()
    await before.close()
    after = SqlStore(url)
    held = await after.read()
    assert (held.version, held.agents, held.tools) == (version, (one,), (kept,))
    await after.close()


@pytest.mark.parametrize("url", LASTING, indirect=True)
async def test_many_open_an_empty_database_at_once(url: str) -> None:
    stores = [SqlStore(url) for _ in range(6)]
    async with anyio.create_task_group() as group:
        for store in stores:
            group.start_soon(store.version)
    for store in stores:
        await store.close()


@pytest.mark.parametrize("url", LASTING, indirect=True)
async def test_what_another_program_writes_is_seen(url: str) -> None:
    here, there = SqlStore(url), SqlStore(url)
    version = await here.version()
    kept = await there.create_tool(tool())
    assert await here.version() != version
    assert (await here.read()).tools == (kept,)
    changed = await there.update_tool("a", str(kept.id), renamed("other"))
    assert (await here.read()).tools == (changed,)
    await here.close()
    await there.close()


async def test_memory_is_for_one_store_alone() -> None:
    here, there = SqlStore(), SqlStore("sqlite:///:memory:")
    await here.create_agent(agent())
    assert (await there.read()).agents == ()
    await here.close()
    assert (await here.read()).agents == ()
    await here.close()
    await there.close()


async def test_it_is_used_from_several_loops(url: str) -> None:
    store = SqlStore(url)

    def elsewhere(number: int) -> None:
        anyio.run(store.create_tool, tool(f"t{number}"))

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(anyio.to_thread.run_sync, elsewhere, number)
    assert len((await store.read()).tools) == 4
    await store.close()


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    async def use() -> None:
        store = SqlStore(f"sqlite:///{tmp_path}/patter.db")
        await store.create_agent(agent())
        modes = {name: stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in os.listdir(tmp_path)}
        assert set(modes.values()) == {0o600}, modes
        await store.close()

    old = os.umask(0o022)
    try:
        anyio.run(use)
    finally:
        os.umask(old)


# --- what cannot be kept -------------------------------------------------------------------------


async def test_what_no_database_keeps_is_refused(store: SqlStore) -> None:
    with pytest.raises(ConfigError, match="handler lives in this process"):
        await store.create_tool(Tool(name="h", description="Says what is on the menu", handler=lambda a, c: "soup"))
    with pytest.raises(ConfigError, match="no database can keep"):
        await store.create_agent(agent(system_prompt="\ud800"))
    assert (await store.read()).tools == ()


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_postgres_keeps_no_nul(store: SqlStore) -> None:
    with pytest.raises(ConfigError, match="no database can keep"):
        await store.create_agent(agent(system_prompt="\0"))
    kept = await store.create_tool(tool(static_arguments={"a": "\0"}))
    assert (await store.read()).tools == (kept,)


async def test_a_tool_that_cannot_be_read_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/patter.db")
    good, bad = await store.create_tool(tool("good")), await store.create_tool(tool("bad"))
    with closing(sqlite3.connect(tmp_path / "patter.db")) as database, database:
        body = json.dumps({"name": "bad", "tool_type": "newer", "config": {"key": "sk-secret"}})
        database.execute("UPDATE patter_tools SET body = ? WHERE name = 'bad'", [body])
    with caplog.at_level(logging.WARNING):
        assert (await store.read()).tools == (good,)
        assert (await store.read()).tools == (good,)
    assert [str(bad.id) in line and "sk-secret" not in line for line in caplog.messages] == [True]
    assert await store.delete_tool("a", str(bad.id))
    await store.close()


@pytest.mark.parametrize("table", ["patter_agents", "patter_tools"])
@pytest.mark.parametrize(
    "change",
    [
        "{} = 'get_temperature'",
        "{} = '[1, 2]'",
        "{} = '5'",
        "name = x'ff'",
        "created_at = 'yesterday'",
        "updated_at = 7",
    ],
)
async def test_a_row_that_cannot_be_read_hides_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, table: str, change: str
) -> None:
    path = tmp_path / "patter.db"
    store = SqlStore(f"sqlite:///{path}")
    for name in ("bad", "good"):
        await store.create_agent(agent(name))
        await store.create_tool(tool(name))
    wrong = change.format("tools" if table == "patter_agents" else "body")
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE {table} SET {wrong} WHERE name = 'bad'")
        database.commit()
    held = await store.read()
    names = {"patter_agents": [one.name for one in held.agents], "patter_tools": [one.name for one in held.tools]}
    if not (table == "patter_tools" and change.startswith("name")):  # a tool's name is read from its body
        assert names.pop(table) == ["good"]
        assert "cannot be read and is left out" in caplog.text
    assert all(found == ["bad", "good"] for found in names.values())
    await store.close()


async def test_tables_of_another_version_are_not_touched(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/patter.db")
    await store.version()
    await store.close()
    with closing(sqlite3.connect(tmp_path / "patter.db")) as database, database:
        database.execute('UPDATE patter_state SET "schema" = 9')
    with pytest.raises(ConfigError, match="another version of Patter"):
        await store.version()
    await store.close()


# --- when it cannot be used ----------------------------------------------------------------------


async def test_a_locked_file(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/patter.db", wait_s=0.05)
    kept = await store.create_tool(tool())
    with closing(sqlite3.connect(tmp_path / "patter.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"patter\.db: it is locked by another program\. Try again") as caught:
            await store.create_tool(tool("second"))
        assert not isinstance(caught.value, NameTaken)
        assert (await store.read()).tools == (kept,)  # readers do not wait for a writer
        other.execute("ROLLBACK")
    await store.create_tool(tool("second"))
    assert len((await store.read()).tools) == 2
    await store.close()


async def test_a_full_disk(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/patter.db"
    store = SqlStore(url)
    kept = await store.create_tool(tool())
    version = await store.version()
    limits: list[int] = []

    @sqlalchemy.event.listens_for(sqlalchemy.Pool, "checkout")
    def fill(connection: Any, *_: Any) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {limits[0] if limits else pages}")

    try:
        with pytest.raises(StoreError, match=r"its disk is full\. Make room"):
            await store.create_agent(agent(system_prompt="x" * 50_000))
        assert (await store.version(), (await store.read()).tools) == (version, (kept,))
        limits.append(10_000)
        await store.create_agent(agent(system_prompt="x" * 50_000))
    finally:
        sqlalchemy.event.remove(sqlalchemy.Pool, "checkout", fill)
    assert await store.version() != version
    await store.close()


async def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/data/patter.db")
    with pytest.raises(StoreError, match="Create its folder"):
        await store.read()
    (tmp_path / "data").mkdir()
    assert (await store.read()).tools == ()
    await store.close()


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "patter.db").write_text("Dear diary, " * 100)
    store = SqlStore(f"sqlite:///{tmp_path}/patter.db")
    with pytest.raises(StoreError, match=r"it is no database\. Give another path"):
        await store.read()
    assert (tmp_path / "patter.db").read_text().startswith("Dear diary")
    await store.close()


async def test_a_killed_server(postgres: Any, postgres_url: str) -> None:
    store = SqlStore(postgres_url, wait_s=2)
    kept = await store.create_tool(tool())
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(StoreError, match=r"it does not answer\. Start it"):
                await store.create_tool(tool("second"))
            with pytest.raises(StoreError, match=r"it does not answer\. Start it"):
                await store.version()
    finally:
        postgres.start()
    assert (await store.read()).tools == (kept,)
    await store.create_tool(tool("second"))
    await store.close()


async def test_a_row_that_somebody_else_holds(postgres: Any, postgres_url: str) -> None:
    store = SqlStore(postgres_url, wait_s=0.1)
    kept = await store.create_tool(tool())
    other = sqlalchemy.create_engine(postgres_url.replace("postgresql", "postgresql+psycopg"))
    with other.begin() as connection:
        connection.exec_driver_sql("SELECT * FROM patter_state FOR UPDATE")
        with pytest.raises(StoreError, match="it is locked by another program"):
            await store.create_tool(tool("second"))
        assert (await store.read()).tools == (kept,)
    other.dispose()
    await store.create_tool(tool("second"))
    await store.close()


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must be the address of a database"),
        ("patter.db", "must be the address of a database"),
        (None, "must be the address of a database"),
        ("mysql://root:hunter2@host/db", "of a kind that is not known"),
        ("sqlite://patter.db", "three slashes"),
        ("sqlite:///patter.db?mode=ro", "no options"),
    ],
)
def test_addresses_that_are_none(url: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        SqlStore(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///patter.db", "sqlite:///patter.db"),
        ("postgresql://ann:hunter2@127.0.0.1:1/db", "postgresql://127.0.0.1:1/db"),
        ("postgres://ann:hunter2@127.0.0.1:1/db?sslmode=disable", "postgresql://127.0.0.1:1/db"),
        ("postgresql://ann:hun/ter2@127.0.0.1:1/db", "postgresql://..."),
        ("postgresql://ann:hun?ter2@127.0.0.1:1/db", "postgresql://..."),
        ("postgresql://ann:hun#ter2@127.0.0.1:1/db", "postgresql://..."),
        ("postgresql://ann:12?ter2@127.0.0.1:1/db", "postgresql://..."),
        ("postgresql://127.0.0.1:1/db?user=ann&password=hunter2", "postgresql://127.0.0.1:1/db"),
        ("postgresql://ann:hunter2@127.0.0.1:port/db", "postgresql://..."),
    ],
)
async def test_no_password_is_shown(url: str, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    store = SqlStore(url, wait_s=2)
    assert repr(store) == f"SqlStore({shown!r})"
    if "postgres" in url:
        with caplog.at_level(logging.DEBUG), pytest.raises((StoreError, ConfigError)) as caught:
            await store.version()
        told = str(caught.value) + caplog.text
        assert not any(part in told for part in ("hun", "ter2", "12?"))
    await store.close()


def test_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    missing: set[str] = set()
    monkeypatch.setattr("patter.store.address.find_spec", lambda name: None if name in missing else object())
    missing.add("psycopg")
    SqlStore()
    with pytest.raises(ConfigError, match=r"pip install 'patter-core\[postgres\]'"):
        SqlStore("postgresql://host/db")
    missing.add("sqlalchemy")
    with pytest.raises(ConfigError, match=r"pip install 'patter-core\[server\]'"):
        SqlStore()
