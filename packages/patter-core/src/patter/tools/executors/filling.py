"""Fills in the templates of one tool's request, and refuses the call if they cannot be."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from patter.tools import template
from patter.tools.refusals import ToolRefusal
from patter.tools.template import TemplateError
from patter.tools.variables import RequestScope

if TYPE_CHECKING:
    from patter.tools.model import Tool
    from patter.tools.services import CallServices

__all__ = ["declared_arguments", "fill_headers", "filling", "scope_of"]

logger = logging.getLogger(__name__)


def declared_arguments(tool: Tool, services: CallServices) -> frozenset[str]:
    """The arguments that a bare ``{{name}}`` may mean: those that the mind is asked for, and the tool's own."""
    asked = tool.llm_parameters(services.variables.names())["properties"]
    return frozenset(asked) | tool.static_arguments.keys()


def scope_of(services: CallServices, arguments: Mapping[str, Any], declared: frozenset[str]) -> RequestScope:
    """What the templates of one request may name."""
    return RequestScope(services.variables, arguments, declared=declared, secrets=services.secrets)


@contextmanager
def filling(tool_name: str) -> Iterator[None]:
    """Refuse the tool call if a template cannot be filled in. The log names what is missing, and no value."""
    try:
        yield
    except TemplateError as error:
        logger.warning("Tool %s: nothing was sent, %s.", tool_name, error)
        raise ToolRefusal("handler_error") from error


def fill_headers(pairs: Iterable[tuple[str, str]], scope: RequestScope) -> list[tuple[str, str]]:
    """Headers in the order given, duplicates kept."""
    return [(name, template.header(value, scope)) for name, value in pairs]
