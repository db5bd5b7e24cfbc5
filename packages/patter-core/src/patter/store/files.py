"""The SQLite file of a store."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable

__all__ = ["create_private", "use_wal"]

_PAUSE_S = 0.01


def create_private(path: str) -> None:
    """Create a file, if there is none, that only its owner may read: it holds what tools send, such as keys.

    Raises:
        OSError: it cannot be created or opened.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def use_wal(connection: sqlite3.Connection, wait_s: float, *, pause: Callable[[float], None] = time.sleep) -> None:
    """Let readers and a writer use the file at the same time. Waits for others, also where SQLite does not.

    Raises:
        sqlite3.Error: somebody else has locked the file for longer, or it is no database.
    """
    until = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            pause(_PAUSE_S)
