"""``patter tools``: what an agent may use during a call, and one tool tried out without a call."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from patter.cli.elsewhere import is_address, try_at
from patter.cli.exit_codes import NOT_COMPLETED, OK
from patter.cli.loading import Found, Where, load
from patter.cli.options import reporting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from patter.tools.model import Tool
    from patter.tools.runner import ToolOutcome

__all__ = ["tools"]

tools = typer.Typer(no_args_is_help=True, help="Show the tools of an agent, and try one out without a call.")


class Vendor(StrEnum):
    """Whose shape a schema has."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    HERMES = "hermes"


@tools.command("list")
def show(where: Where) -> None:
    """List the tools in the order in which the mind is offered them.

    The columns are name, type, priority, 'off' if the tool is not enabled, and the description's first line.
    """
    with reporting():
        found = sorted(load(where).tools, key=lambda tool: (tool.priority, tool.name))
        width = max((len(tool.name) for tool in found), default=0)
        for tool in found:
            state = "" if tool.is_enabled else "off"
            about = tool.description.strip().splitlines()[0]
            typer.echo(f"{tool.name:{width}}  {tool.tool_type:18}  {tool.priority:>4}  {state:3}  {about}")


@tools.command()
def schema(
    where: Where,
    vendor: Annotated[Vendor, typer.Option("--for", help=f"{', '.join(Vendor)}.", metavar="NAME")] = Vendor.OPENAI,
) -> None:
    """Print the enabled tools as JSON, as a model is told of them."""
    with reporting():
        found = sorted(load(where).tools, key=lambda tool: (tool.priority, tool.name))
        told = [getattr(tool, f"to_{vendor.value}")() for tool in found if tool.is_enabled]
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))


@tools.command()
def run(
    where: Where,
    name: Annotated[str, typer.Argument(help="The tool.", metavar="NAME")],
    arguments: Annotated[str, typer.Argument(help="What the mind would pass, a JSON object.", metavar="JSON")] = "{}",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A host with its port that may be asked though it is not public.", metavar="HOST:PORT"),
    ] = None,
) -> None:
    """Carry one tool out as in a call, for real: a server is asked, a handler does what it does.

    With the address of an agent, the phone there does it, and needs a key with tools:write.

    Standard output has what the mind would be told. Standard error has 'ok' or one of the five codes, the
    milliseconds, and what a handler raised. Tools that act on a call need one.

    Exit codes: 0 a result, 1 one of the codes, 2 usage, 3 configuration.
    """
    with reporting(), _warnings_shown():
        outcome = _elsewhere(where, name, arguments) if is_address(where) else _here(where, name, arguments, allow_host)
    typer.echo(outcome.output)
    typer.echo(f"{name}: {outcome.reason or 'ok'}, {outcome.duration_ms:.1f} ms", err=True)
    raise typer.Exit(NOT_COMPLETED if outcome.is_error else OK)


def _here(where: str, name: str, arguments: str, allow_hosts: Sequence[str] | None) -> ToolOutcome:
    from patter.tools.trial import check_trial

    found = load(where)
    chosen = next((tool for tool in found.tools if tool.name == name), None)
    if chosen is None:
        raise typer.BadParameter(f"{where} has no tool {name}. It has {found.names}.")
    check_trial(chosen)
    return anyio.run(_run, found, chosen, arguments, allow_hosts or ())


def _elsewhere(where: str, name: str, arguments: str) -> ToolOutcome:
    from patter.tools.runner import ToolOutcome

    try:
        answer = try_at(where, name, json.loads(arguments))
    except json.JSONDecodeError:
        raise typer.BadParameter("JSON is no JSON object.") from None
    return ToolOutcome("try", name, answer["output"], answer["reason"], answer["duration_ms"])


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Why nothing was sent is told to the log alone; here somebody reads it."""
    log = logging.getLogger("patter")
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


async def _run(found: Found, tool: Tool, arguments: str, allow_hosts: Sequence[str]) -> ToolOutcome:
    from patter.settings import Timing
    from patter.tools.safe_http import SafeHttp
    from patter.tools.trial import Trial, try_out

    http = SafeHttp(allow_hosts=allow_hosts)
    trial = Trial(
        variables=found.get("variables") or {},
        secrets=found.get("secrets") or {},
        webhook_secret=found.get("webhook_secret"),
        knowledge=found.get("knowledge"),
        timeout_s=(found.get("timing") or Timing()).tool_timeout_s,
    )
    try:
        return await try_out(tool, arguments, trial, http=http, raised=_show)
    finally:
        await http.aclose()


def _show(call_id: str, name: str, error: BaseException) -> None:
    """To whom runs the tool by hand, and to nobody else."""
    sys.stderr.write("".join(traceback.format_exception(error)))
