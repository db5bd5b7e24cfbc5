"""``patter doctor``: what is there for a real call, what is missing, and what to do next."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from patter.cli.options import reporting

if TYPE_CHECKING:
    from patter.cli.checks import Check, Surroundings
    from patter.cli.doctor_view import Report

__all__ = ["doctor"]

_HOST = "127.0.0.1"
"""Where the server of a call listens."""
_MAX_WIDTH = 100


def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Ask the vendors too, and call the public address; at most 5 s each.")
    ] = False,
    port: Annotated[
        int, typer.Option(help="Where the carrier's webhooks shall arrive on this machine.", min=0, max=65535)
    ] = 8000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, and nothing else.")] = False,
) -> None:
    """Check what a real call needs, and say what to do next. Keys are never shown.

    Without --online, nothing leaves this machine; nothing is ever written.

    Exit codes: 0 everything is there, 3 something is missing or wrong,
    4 all is right here, and a vendor or the network failed.
    """
    with reporting():
        from patter.cli.checks import local_checks
        from patter.cli.doctor_view import Report

        checks = local_checks(_surroundings(port))
        if online:
            checks += _ask(checks, port)
        report = Report(checks, online=online)
        _write(report, as_json=as_json)
        raise typer.Exit(report.exit_code)


def _surroundings(port: int) -> Surroundings:
    from patter.cli.checks import Surroundings
    from patter.local.voices import available

    return Surroundings(
        env=os.environ,
        now=datetime.now(UTC),
        python=platform.python_version(),
        version_of=_version_of,
        speech_problem=available().reason,
        host=_HOST,
        port=port,
        port_problem=_port_problem(port),
    )


def _version_of(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _port_problem(port: int) -> tuple[str, str] | None:
    from patter.errors import ConfigError, PortInUse
    from patter.server.listener import bind

    try:
        bind(_HOST, port).close()
    except PortInUse:
        return f"{port} on {_HOST} is in use", "stop that program, or pass --port"
    except ConfigError:
        return f"{port} on {_HOST} may not be listened on", "pass another --port"
    return None


def _ask(checks: list[Check], port: int) -> list[Check]:
    from patter.cli.checks_online import ask
    from patter.engine import Engine

    with _waiting():
        return Engine.shared().run_sync(lambda _: ask(os.environ, checks, host=_HOST, port=port))


@contextmanager
def _waiting() -> Iterator[None]:
    """Say on a terminal that something is going on."""
    from patter.cli.display import is_live

    if not is_live(plain=False):
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status("asking the vendors, at most 5 s"):
        yield


def _write(report: Report, *, as_json: bool) -> None:
    if as_json:
        text = json.dumps(report.data(), ensure_ascii=False, indent=2 if sys.stdout.isatty() else None)
        sys.stdout.write(text + "\n")
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.width = min(console.width, _MAX_WIDTH)
    with console.capture() as captured:
        for part in report.lines():
            console.print(part)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
