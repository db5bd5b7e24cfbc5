"""What the commands have in common: options, and how their errors reach the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from patter.cli.exit_codes import INTERRUPTED, explain, of_error

__all__ = ["FirstMessage", "Json", "MaxDuration", "Plain", "Record", "reporting"]

FirstMessage = Annotated[
    str | None, typer.Option(help="The first thing the agent says; else it finds the words.", metavar="TEXT")
]
MaxDuration = Annotated[
    int | None,
    typer.Option(help="Hang up so many seconds after the dial: 1 to 1800.", metavar="SECONDS", show_default="180"),
]
Record = Annotated[
    Path | None, typer.Option(help="Write both sides as a stereo WAV, the callee left.", metavar="FILE.wav")
]
Json = Annotated[bool, typer.Option("--json", help="Print the envelope, and nothing else, on standard output.")]
Plain = Annotated[bool, typer.Option("--plain", help="Plain lines in place of the live view; also NO_COLOR=1.")]


@contextmanager
def reporting() -> Iterator[None]:
    """Turn what a command raises into one line and an exit code."""
    from patter.errors import PatterError

    try:
        yield
    except PatterError as error:
        sys.stderr.write(f"patter: {explain(error)}\n")
        raise typer.Exit(of_error(error)) from None
    except KeyboardInterrupt:
        sys.stderr.write("patter: interrupted\n")
        raise typer.Exit(INTERRUPTED) from None
