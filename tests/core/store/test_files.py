"""The file of a store."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from patter.store.base import AgentRecord
from patter.store.files import create_private, use_wal
from patter.store.opening import open_store

_OTHER = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    print(*[name for (name,) in database.execute("SELECT name FROM patter_agents ORDER BY name")])
database.close()
"""


def test_whoever_reads_a_new_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "patter.db"
    with (
        closing(sqlite3.connect(path, timeout=0)) as here,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("CREATE TABLE t (a)")
        other.execute("BEGIN")
        other.execute("SELECT * FROM t").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use_wal(here, 0.0)
        use_wal(here, 5.0, pause=lambda _: other.execute("ROLLBACK") and None)
        assert here.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_new_file_is_of_its_owner_alone_also_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "patter.db")
    create_private(str(tmp_path / "link"))
    assert (tmp_path / "patter.db").stat().st_mode & 0o777 == 0o600
    create_private(str(tmp_path / "link"))


def test_what_was_acknowledged_is_seen_after_another_program_has_looked_in(tmp_path: Path) -> None:
    path = tmp_path / "patter.db"
    now = datetime.now(UTC)

    def seen_by_another_program() -> str:
        looks = [sys.executable, "-c", _OTHER, str(path)]
        return subprocess.run(looks, check=True, capture_output=True, text=True).stdout.strip()

    async def main() -> list[str]:
        store, knowledge = open_store(f"sqlite:///{path}")
        try:
            await store.create_agent(AgentRecord(id="1", name="first", created_at=now, updated_at=now))
            await knowledge.add("We open at nine.", source="hours", agent="1")  # another connection to the same file
            found = [await anyio.to_thread.run_sync(seen_by_another_program)]
            await store.create_agent(AgentRecord(id="2", name="second", created_at=now, updated_at=now))
            return [*found, await anyio.to_thread.run_sync(seen_by_another_program)]
        finally:
            knowledge.close()
            await store.close()

    assert anyio.run(main) == ["first", "first second"]
