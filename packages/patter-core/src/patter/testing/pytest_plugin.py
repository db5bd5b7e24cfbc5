"""Fixtures for pytest. Load them in a ``conftest.py``, for a folder or for all tests::

    from patter.testing.pytest_plugin import anyio_backend, no_leaked_tasks

Tests marked with ``pytest.mark.anyio`` then run under virtual time, and fail if they leave a task.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from patter.testing.clock import VirtualLoop

__all__ = ["anyio_backend", "no_leaked_tasks"]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Runs each async test of anyio's plugin on a `VirtualLoop` of its own."""
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture
async def no_leaked_tasks(anyio_backend: tuple[str, dict[str, Any]]) -> AsyncIterator[None]:
    """Fails the test if a task that it started is still there at its end."""
    before = {task.id for task in anyio.get_running_tasks()}
    yield
    left = [task for task in anyio.get_running_tasks() if task.id not in before and not _drives(task)]
    names = ", ".join(sorted(task.name or "?" for task in left))
    assert not left, f"The test has left tasks: {names}."


def _drives(task: anyio.TaskInfo) -> bool:
    """True if it is anyio's own, which runs the test's fixtures."""
    return str(getattr(task.coro, "__qualname__", "")).startswith("TestRunner.")
