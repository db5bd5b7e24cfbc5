"""What a tool's handler is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = ["Handler", "ToolContext"]


class ToolContext(dict[str, Any]):
    """What a handler learns of its call, as keys and as attributes.

    Attributes:
        call_id: the telephone call.
        tool_call_id: this use of the tool; the same for all its attempts.
        tool_name: the tool.
        raw_arguments: the arguments as the mind wrote them, JSON text.
        caller, callee: the two numbers, E.164; the caller is who has dialled.
        direction: "outbound" or "inbound".
        agent_id: the agent's name, or None.
        variables: the call's variables by name.
        attempt: counted from 1.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        call_id: str
        tool_call_id: str
        tool_name: str
        raw_arguments: str
        caller: str
        callee: str
        direction: str
        agent_id: str | None
        variables: dict[str, Any]
        attempt: int

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


Handler = Callable[[dict[str, Any], ToolContext], Any]
"""Takes the arguments and the context; plain, or a coroutine function, or an async generator function."""
