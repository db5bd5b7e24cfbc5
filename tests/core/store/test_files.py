"""The file of a store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from patter.store.files import use_wal


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
