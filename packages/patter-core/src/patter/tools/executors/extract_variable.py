"""The extract_variable tool: keeps what the caller has said, checked and, where that is set, confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from patter.tools.extraction import Value, normalise

if TYPE_CHECKING:
    from patter.tools.configs import ExtractVariableConfig
    from patter.tools.model import Handler, Tool, ToolContext
    from patter.tools.variables import Variables

__all__ = ["ExtractServices", "bind"]


class ExtractServices(Protocol):
    """What the executor needs of a call."""

    @property
    def variables(self) -> Variables:
        """Takes the value."""

    @property
    def caller_turns(self) -> int:
        """How many turns the other side of the call has had until now."""


def bind(tool: Tool, services: ExtractServices) -> Handler:
    """The handler that stores one variable of one call.

    With confirmation, a value is stored only if an earlier use of the tool, in an earlier turn of the caller, proposed
    the same value: in between the caller was asked and has answered. The mind alone cannot confirm.

    Returns:
        The handler. Its result has a ``status``: ``stored`` or ``needs_confirmation``, with the value in the form in
        which it is kept, or ``invalid``, with the type that is ``expected``.
    """
    config = cast("ExtractVariableConfig", tool.config)
    name, kind = config.variable_name, config.variable_type
    proposed_in: dict[Value, int] = {}
    """The caller's turn in which each value was proposed first."""

    async def extract(arguments: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        value = normalise(kind, _text(arguments.get("value")), home=_other_side(context))
        if value is None:
            return {"status": "invalid", "variable": name, "expected": kind}
        turn = services.caller_turns
        if config.confirmation_enabled:
            was_asked = proposed_in.setdefault(value, turn) < turn
            if not was_asked or arguments.get("confirmed") is not True:
                return {"status": "needs_confirmation", "variable": name, "value": value}
        services.variables.set(name, value)
        return {"status": "stored", "variable": name, "value": value}

    return extract


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _other_side(context: ToolContext) -> str | None:
    """The number of whoever the agent talks to."""
    number = context.get("caller" if context.get("direction") == "inbound" else "callee")
    return number if isinstance(number, str) else None
