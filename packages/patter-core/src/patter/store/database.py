"""A database of SQLAlchemy behind two verbs, read and write. It blocks: `patter.store.sql` calls it in threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, MetaData, StaticPool, create_engine, event, select, text, update
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection

from patter.errors import ConfigError, StoreError, WriteUncertain
from patter.store.address import StoreAddress
from patter.store.files import create_private, use_wal
from patter.store.tables import METADATA, SCHEMA, state
from patter.store.troubles import may_be_done, of_file, of_postgres, of_sqlite

__all__ = ["Database"]

T = TypeVar("T")

_CONNECTIONS = 4
_CREATION = 7_256_031
"""The lock of Postgres under which tables are made: "if not exists" of two programs at once may fail."""


class Database:
    """The tables of the store at one address. They are made when they are first used.

    Args:
        address: where it is.
        wait_s: how long a lock or a server is waited for.
    """

    def __init__(self, address: StoreAddress, *, wait_s: float) -> None:
        self._address = address
        self._wait_s = wait_s
        self._is_memory = address.kind == "memory"
        self._is_postgres = address.kind == "postgres"
        self._engine = self._make_engine()
        self._made: set[MetaData] = set()
        # SQLite's own waiting is neither fair nor cheap, so the threads of this process take turns.
        self._writing = threading.Lock()
        self._using = threading.BoundedSemaphore(1 if self._is_memory else _CONNECTIONS)

    def read(self, work: Callable[[Connection], T], *, tables: MetaData = METADATA) -> T:
        """What ``work`` finds, all of it at one moment.

        Raises:
            StoreError: the database cannot be read.
        """
        self._make(tables)
        with self._explained(), self._turn(self._using), self._engine.connect() as connection:
            if self._is_postgres:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                self._bound(connection)
                return work(connection)

    def write(self, work: Callable[[Connection], T], *, tables: MetaData = METADATA) -> T:
        """Do ``work`` whole or not at all, while nobody else writes. If it returns something, the version moves.

        Raises:
            StoreError: the database cannot be written.
            WriteUncertain: it may have been written.
        """
        self._make(tables)
        with self._transaction() as connection:
            connection.execute(select(state.c.version).with_for_update())
            if done := work(connection):
                connection.execute(update(state).values(version=state.c.version + 1))
            return done

    def close(self) -> None:
        """Close the connections. What was in memory alone is gone."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with (
            self._explained(),
            self._turn(self._writing),
            self._turn(self._using),
            self._engine.connect().execution_options(patter_writes=True) as connection,
            connection.begin() as transaction,
        ):
            self._bound(connection)
            yield connection
            with self._told_if_uncertain():
                transaction.commit()

    def _make(self, tables: MetaData) -> None:
        """Make the tables, if this is their first use."""
        if tables in self._made:
            return
        with self._transaction() as connection:
            if self._is_postgres:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_CREATION})"))
            METADATA.create_all(connection)
            tables.create_all(connection)
            written = connection.execute(select(state.c.schema)).scalar_one_or_none()
            if written is None:
                connection.execute(state.insert().values(only=1, schema=SCHEMA, version=0))
            elif written != SCHEMA:
                raise ConfigError(
                    f"The store {self._address.shown} was written by another version of Patter, "
                    f"with tables of version {written}; this one has {SCHEMA}. Use the version that has written it."
                )
        self._made.add(tables)

    def _bound(self, connection: Connection) -> None:
        if self._is_postgres:
            wait_ms = ceil(self._wait_s * 1000)
            connection.exec_driver_sql(
                f"SET LOCAL lock_timeout = {wait_ms}; SET LOCAL statement_timeout = {2 * wait_ms}"
            )

    @contextmanager
    def _turn(self, lock: threading.Lock | threading.BoundedSemaphore) -> Iterator[None]:
        if not lock.acquire(timeout=self._wait_s):
            raise StoreError(f"The store {self._address.shown} is busy. Try again.")
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (DataError, UnicodeError, OverflowError):
            raise ConfigError("A text or a number is of a kind that no database can keep.") from None
        except NoConnection:
            raise StoreError(f"The store {self._address.shown} is busy. Try again.") from None
        except DBAPIError as error:
            explain = of_postgres if self._is_postgres else of_sqlite
            raise explain(error.orig, self._address.shown) from None
        except OSError as error:
            raise of_file(error, self._address.shown) from None
        except SQLAlchemyError as error:
            # Its text may hold what was to be written.
            raise StoreError(f"The store {self._address.shown} failed: {type(error).__name__}.") from None

    @contextmanager
    def _told_if_uncertain(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if not may_be_done(error.orig):
                raise
            raise WriteUncertain(
                f"The store {self._address.shown} broke off at the end of a change, which may have been made. "
                "Look at its server."
            ) from None

    # --- engines -------------------------------------------------------------------------------

    def _make_engine(self) -> Engine:
        try:
            return self._postgres() if self._is_postgres else self._sqlite()
        except (ArgumentError, ValueError):
            raise ConfigError(
                "store cannot be read as an address. Write one such as postgresql://user:password@host:5432/database; "
                "special characters of a password are percent-encoded."
            ) from None

    def _postgres(self) -> Engine:
        wait_ms = ceil(self._wait_s * 1000)
        return create_engine(
            self._address.url,
            hide_parameters=True,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=self._wait_s,
            pool_pre_ping=True,  # after a restart of the server its old connections are dead
            connect_args={"connect_timeout": ceil(self._wait_s), "tcp_user_timeout": wait_ms},
        )

    def _sqlite(self) -> Engine:
        options: dict[str, Any] = {"poolclass": StaticPool} if self._is_memory else {"pool_size": _CONNECTIONS}
        engine = create_engine(
            URL.create("sqlite", database=self._address.path),
            hide_parameters=True,
            connect_args={"timeout": self._wait_s, "check_same_thread": False},
            **options,
        )

        @event.listens_for(engine, "do_connect")
        def create(*_: Any) -> None:
            if self._address.path is not None:
                create_private(self._address.path)

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # transactions begin below, and not when the driver thinks so
            if self._address.path is not None:
                use_wal(connection, self._wait_s)

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get("patter_writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine
