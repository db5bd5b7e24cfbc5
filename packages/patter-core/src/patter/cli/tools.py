"""``patter tools``: what an agent may use during a call, and one tool tried out without a call."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from patter.cli.exit_codes import NOT_COMPLETED, OK
from patter.cli.options import reporting
from patter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from patter.agent import Agent
    from patter.tools.model import Tool
    from patter.tools.runner import ToolOutcome

__all__ = ["tools"]

tools = typer.Typer(no_args_is_help=True, help="Show the tools of an agent, and try one out without a call.")

Where = Annotated[
    str,
    typer.Argument(
        help="Where the agent is: a patter.Agent, a mapping with 'tools', or a list of tools.", metavar="MODULE:NAME"
    ),
]


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
        found = sorted(_load(where).tools, key=lambda tool: (tool.priority, tool.name))
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
        found = sorted(_load(where).tools, key=lambda tool: (tool.priority, tool.name))
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

    Standard output has what the mind would be told. Standard error has 'ok' or one of the five codes, the
    milliseconds, and what a handler raised. Tools that act on a call need one.

    Exit codes: 0 a result, 1 one of the codes, 2 usage, 3 configuration.
    """
    from patter.tools.trial import check_trial

    with reporting(), _warnings_shown():
        found = _load(where)
        chosen = next((tool for tool in found.tools if tool.name == name), None)
        if chosen is None:
            raise typer.BadParameter(f"{where} has no tool {name}. It has {_names(found)}.")
        check_trial(chosen)
        outcome = anyio.run(_run, found, chosen, arguments, allow_host or ())
    typer.echo(outcome.output)
    typer.echo(f"{name}: {outcome.reason or 'ok'}, {outcome.duration_ms:.1f} ms", err=True)
    raise typer.Exit(NOT_COMPLETED if outcome.is_error else OK)


@dataclass(frozen=True, slots=True)
class _Found:
    """An agent's tools, and the agent itself if there is one."""

    tools: tuple[Tool, ...]
    agent: Agent | None
    given: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """What the agent says of its tools."""
        return self.given.get(name, default) if self.agent is None else getattr(self.agent, name)


def _load(where: str) -> _Found:
    module, colon, path = where.partition(":")
    if not (module and colon and path):
        raise typer.BadParameter(f"{where} is not MODULE:NAME, such as shop.phone:agent.")
    if "" not in sys.path:
        sys.path.insert(0, "")
    with _importing(module):
        found: Any = import_module(module)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ConfigError(f"{module} has no {path}.") from None
    return _read(found, where)


def _read(found: Any, where: str) -> _Found:
    from patter.agent import Agent
    from patter.tools.model import Tool

    if isinstance(found, Agent):
        return _Found(tuple(found.tools), found, {})
    given = found if isinstance(found, Mapping) else {"tools": found}
    listed: Sequence[Any] | Any = given.get("tools", ())
    if not isinstance(listed, list | tuple):
        raise ConfigError(f"{where} must be a patter.Agent, a mapping with 'tools', or a list of tools.")
    return _Found(tuple(map(Tool.from_any, listed)), None, given)


@contextmanager
def _importing(module: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{module} cannot be imported: {error}.") from None
    except ConfigError:
        raise
    except Exception as error:  # the boundary to the host's code
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}, line {last.lineno}"
        raise ConfigError(f"{module} cannot be imported: {type(error).__name__} in {place}.") from None


def _names(found: _Found) -> str:
    return ", ".join(tool.name for tool in found.tools) or "none"


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


async def _run(found: _Found, tool: Tool, arguments: str, allow_hosts: Sequence[str]) -> ToolOutcome:
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
