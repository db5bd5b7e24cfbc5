"""The command line: ``patter demo``, ``patter call``, ``patter mcp``, ``patter tools`` and ``patter doctor``.

Standard output carries results and nothing else; everything for people goes to standard error.
Nothing is imported here that the extra ``cli`` brings, so that its absence can be told in one line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

__all__ = ["STARTED", "main", "run"]

STARTED = time.monotonic()
"""When the command began."""

_EXTRA = ("typer", "rich")


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(_load_app))


def run(load: Callable[[], Callable[[], object]]) -> int | str | None:
    """Load the app and run it; the exit code. No traceback reaches the terminal."""
    try:
        app = load()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        return _complain("the command line needs typer and rich: pip install 'patter-core[cli]'", code=3)
    try:
        app()
    except SystemExit as stop:
        return stop.code
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # the boundary to the terminal
        kind = type(error).__name__
        return _complain(f"an unexpected {kind} ended the command; PATTER_LOG_LEVEL=debug shows where.", code=1)
    return 0


def _load_app() -> Callable[[], object]:
    from patter.cli.app import app

    return app


def _complain(problem: str, *, code: int) -> int:
    sys.stderr.write(f"patter: {problem}\n")
    return code
