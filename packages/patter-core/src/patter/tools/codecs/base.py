"""What a codec is: how a function call comes in from another system, and how its output goes back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["FunctionCall", "ToolCodec"]


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """What the assistant asks for; ``arguments`` is JSON text, and may be empty."""

    call_id: str
    name: str
    arguments: str = field(repr=False)


class ToolCodec(Protocol):
    """The words of one system; a module with these functions is one."""

    def decode(self, event: Mapping[str, Any]) -> FunctionCall | None:
        """The function call of an event; None for every other event."""

    def encode_output(self, call_id: str, output: str, *, is_error: bool = False) -> dict[str, Any]:
        """The message that answers a function call.

        Args:
            output: the result: a handler's text as it is, or JSON.
            is_error: ``output`` has one of the five codes.
        """
