"""An agent, or its tools, from a module that the command line names."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patter.errors import ConfigError

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.tools.model import Tool

__all__ = ["Found", "Where", "find", "load"]

Where = Annotated[
    str,
    typer.Argument(
        help="Where the agent is: a patter.Agent, a mapping with 'tools', or a list of tools; "
        "or the address of an agent of a running phone, https://HOST/v1/agents/NAME.",
        metavar="MODULE:NAME",
    ),
]


@dataclass(frozen=True, slots=True)
class Found:
    """An agent's tools, and the agent itself if there is one."""

    tools: tuple[Tool, ...]
    agent: Agent | None
    given: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """What the agent says of its tools."""
        return self.given.get(name, default) if self.agent is None else getattr(self.agent, name)

    @property
    def names(self) -> str:
        """The tools, for a message."""
        return ", ".join(tool.name for tool in self.tools) or "none"


def load(where: str) -> Found:
    """The tools of what `find` finds.

    Raises:
        ConfigError: it has none, or is none.
    """
    from patter.agent import Agent
    from patter.cli.elsewhere import is_address, tools_at
    from patter.tools.model import Tool

    if is_address(where):
        return Found(tools_at(where), None, {})
    found = find(where)
    if isinstance(found, Agent):
        return Found(tuple(found.tools), found, {})
    given = found if isinstance(found, Mapping) else {"tools": found}
    listed: Sequence[Any] | Any = given.get("tools", ())
    if not isinstance(listed, list | tuple):
        raise ConfigError(f"{where} must be a patter.Agent, a mapping with 'tools', or a list of tools.")
    return Found(tuple(map(Tool.from_any, listed)), None, given)


def find(where: str) -> Any:
    """The object of ``MODULE:NAME``; the module is looked for in the working folder too.

    Raises:
        ConfigError: it cannot be imported, or is not there.
    """
    module, colon, path = where.partition(":")
    if not (module and colon and path):
        raise typer.BadParameter(f"{where} is not MODULE:NAME, such as shop.phone:agent.")
    if "/" in module or module.endswith(".py"):
        dotted = module.removesuffix(".py").strip("./").replace("/", ".")
        raise typer.BadParameter(f"{where} is a path; write the module as in an import, such as {dotted}:{path}.")
    if "" not in sys.path:
        sys.path.insert(0, "")
    with _importing(module):
        found: Any = import_module(module)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ConfigError(f"{module} has no {path}.") from None
    return found


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
