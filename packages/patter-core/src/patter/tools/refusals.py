"""How an executor says that a tool did not do its work, in words that are safe for the mind."""

from __future__ import annotations

from typing import Any, Literal

__all__ = ["ErrorReason", "ToolRefusal"]

ErrorReason = Literal["unknown_tool", "invalid_arguments", "handler_error", "timeout", "shutdown"]


class ToolRefusal(Exception):
    """The tool did not do its work; the mind is told ``{"error": reason, **fields}`` and nothing else.

    Args:
        reason: one of the five safe codes.
        fields: JSON values that are safe to tell, such as ``status=502``.
    """

    def __init__(self, reason: ErrorReason, **fields: Any) -> None:
        super().__init__(reason)
        self.reason: ErrorReason = reason
        self.fields = fields

    def answer(self) -> dict[str, Any]:
        """What the mind is told."""
        return {"error": self.reason, **self.fields}
