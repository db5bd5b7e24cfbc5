"""The commands, and what holds for all of them."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer

from patter.cli.call import call
from patter.cli.demo import demo
from patter.cli.doctor import doctor
from patter.cli.mcp import mcp
from patter.cli.serve import serve
from patter.cli.tools import tools

__all__ = ["app"]

app = typer.Typer(
    name="patter",
    help="A telephone for AI agents: one call, a real conversation, one honest envelope.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(call)
app.command()(serve)
app.command()(doctor)
app.command()(mcp)
app.add_typer(tools, name="tools")


def _version(wanted: bool) -> None:
    if wanted:
        from patter import __version__

        typer.echo(f"patter {__version__}")
        raise typer.Exit


@app.callback()
def patter(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Place telephone calls from the terminal. Results go to standard output, all else to standard error."""
    level = os.environ.get("PATTER_LOG_LEVEL", "").upper()
    if level in logging.getLevelNamesMapping():
        logging.basicConfig(level=level)
    else:
        # Without a handler, Python would print warnings and tracebacks into the picture.
        logging.getLogger().addHandler(logging.NullHandler())
