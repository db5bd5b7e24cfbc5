"""What a database's errors mean to whoever runs the phone: which of them it is, and what to do. Never a value."""

from __future__ import annotations

import sqlite3

from patter.errors import StoreError

__all__ = ["may_be_done", "of_file", "of_postgres", "of_sqlite"]

_SQLITE = {
    "SQLITE_BUSY": "it is locked by another program. Try again; if it stays so, end the program that writes to it",
    "SQLITE_LOCKED": "it is locked by another program. Try again; if it stays so, end the program that writes to it",
    "SQLITE_FULL": "its disk is full. Make room",
    "SQLITE_READONLY": "it may not be written. Give this program the right to write the file and its folder",
    "SQLITE_CANTOPEN": "it cannot be opened. Create its folder, and give this program the right to write there",
    "SQLITE_PERM": "it may not be opened. Give this program the right to read and write it",
    "SQLITE_NOTADB": "it is no database. Give another path",
    "SQLITE_CORRUPT": "it is damaged. Put a copy in its place",
    "SQLITE_IOERR": "its disk cannot be read or written. Look after the disk",
}
_POSTGRES = {
    "08": "it does not answer. Start it, or correct the address",
    "25006": "it may only be read. Give the address of the server that takes writes",
    "28": "it refuses the user or the password. Correct the address",
    "3D000": "there is no such database. Create it, or correct the address",
    "40": "another program was faster. Try again",
    "42501": "the user may not do this. Grant it the rights to create and write tables",
    "53100": "its disk is full. Make room",
    "53300": "it has too many connections. Allow more, or run fewer programs",
    "53": "it has run out of something. Look at its log",
    "55P03": "it is locked by another program. Try again; if it stays so, end the program that writes to it",
    "57014": "it took too long. Try again; if it stays so, look at what else it does",
    "57": "it is shutting down or starting. Try again",
}
_BROKE_OFF = ("08", "40003", "57P")


def of_sqlite(error: sqlite3.Error | BaseException | None, shown: str) -> StoreError:
    """The error of an SQLite file; ``shown`` is what may be shown of where it is."""
    name: str = getattr(error, "sqlite_errorname", "")
    return _of(_first(_SQLITE, name), name, shown)


def of_postgres(error: BaseException | None, shown: str) -> StoreError:
    """The error of a Postgres server; ``shown`` is what may be shown of where it is."""
    code: str | None = getattr(error, "sqlstate", None)
    # Without a code, the server was not reached, or the connection broke.
    return _of(_first(_POSTGRES, code or "08"), code or "", shown)


def of_file(error: OSError, shown: str) -> StoreError:
    """The error of the file system."""
    told = f"it cannot be opened ({error.strerror}). Create its folder, and give this program the right to write there"
    return _of(told, "", shown)


def may_be_done(error: BaseException | None) -> bool:
    """True if a transaction may have been carried out although its COMMIT failed with this error."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "").startswith("SQLITE_IOERR")
    code: str | None = getattr(error, "sqlstate", None)
    return code is None or code.startswith(_BROKE_OFF)


def _first(meanings: dict[str, str], code: str) -> str | None:
    return next((meaning for prefix, meaning in meanings.items() if code.startswith(prefix)), None)


def _of(meaning: str | None, code: str, shown: str) -> StoreError:
    told = meaning or f"it cannot be used now{f' ({code})' if code else ''}. Try again, and look at its log"
    return StoreError(f"The store {shown}: {told}.")
