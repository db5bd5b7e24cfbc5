"""The SQLite file of a store."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["create_private", "use_wal"]

_PAUSE_S = 0.01
_creating = threading.Lock()


def create_private(path: str) -> None:
    """Create a file, if there is none, that only its owner may read: it holds what tools send, such as keys.

    A file that is there is not touched: in POSIX, to close a file drops all locks that this process has on it, SQLite's
    too, and whoever opens it next then deletes the log from under the connections of this process.

    Raises:
        OSError: it cannot be created.
    """
    # Under a lock, or another thread may open the new file, and lose its locks to this close.
    with _creating, suppress(FileExistsError):
        os.close(os.open(os.path.realpath(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


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
