"""`Patter.tool`: a tool from keywords, or from the function that it decorates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, overload

from patter.errors import ConfigError

if TYPE_CHECKING:
    from patter.tools.configs import SpeechPolicy, ToolType
    from patter.tools.context import Handler
    from patter.tools.model import Tool

__all__ = ["DECORATED", "ToolDecorator", "ToolOptions", "tool"]

F = TypeVar("F", bound=Callable[..., Any])

DECORATED = "__patter_tool__"
"""The attribute of a decorated function that holds its options."""


class ToolOptions(TypedDict, total=False):
    """Fields of `patter.Tool` that `Patter.tool` takes."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    config: Any
    headers: Mapping[str, str]
    secret: str
    timeout_s: float | None
    strict: bool
    execution_mode: Literal["sync", "async"]
    wait_for_response: bool
    interruption: Literal["continue", "cancel"]
    speech: SpeechPolicy | Mapping[str, Any]
    reassurance: str | Mapping[str, Any]
    is_enabled: bool
    priority: int
    max_retries: int
    assignments: Any
    static_arguments: Mapping[str, Any]


class ToolDecorator:
    """Remembers options on a function; the function stays what it was, and is a tool for `patter.Agent`."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)

    def __call__(self, function: F) -> F:
        if not callable(function) or isinstance(function, type):
            raise ConfigError(f"@Patter.tool decorates a function, and {type(function).__name__} is none.")
        try:
            setattr(function, DECORATED, self._options)
        except AttributeError:
            raise ConfigError("@Patter.tool decorates functions. Pass others as handler=, with a schema.") from None
        return function


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, handler: Handler, **options: Unpack[ToolOptions]) -> Tool: ...
@overload
def tool(*, webhook_url: str, **options: Unpack[ToolOptions]) -> Tool: ...
@overload
def tool(*, tool_type: ToolType, **options: Unpack[ToolOptions]) -> Tool: ...
@overload
def tool(**options: Unpack[ToolOptions]) -> ToolDecorator: ...
def tool(function: Any = None, /, **options: Any) -> Any:
    """A tool for an agent, as a call and as a decorator.

    ``Patter.tool(name=..., description=..., parameters=..., handler=...)`` makes one of a function of ``(arguments,
    context)``; with ``webhook_url`` in place of ``handler`` a server is asked, and ``tool_type`` with ``config`` make
    any other. ``@Patter.tool``, with options or without, takes name, description and schema from a function's name,
    docstring and type hints; a parameter of type `patter.ToolContext` is given the context.

    Raises:
        ConfigError: an option is wrong; the message names it.
    """
    if function is not None:
        return ToolDecorator(options)(function)
    if options.keys() & {"handler", "webhook_url", "tool_type"}:
        from patter.tools.model import Tool

        return Tool(**options)
    return ToolDecorator(options)
