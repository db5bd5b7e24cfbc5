"""The phone as a LangChain toolkit."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import BaseTool, BaseToolkit

from patter.tool import PatterTool
from patter_langchain.tool import PatterLangChainTool

__all__ = ["PatterToolkit"]


class PatterToolkit(BaseToolkit):
    """All tools of a phone: one `PatterLangChainTool`.

    Args:
        tool: a ready `PatterTool`. Without it, its own arguments are taken.
        arguments: as `PatterLangChainTool` takes them.

    Raises:
        ConfigError: something is missing, malformed or given twice.
    """

    phone_call: PatterLangChainTool

    def __init__(self, *, tool: PatterTool | None = None, **arguments: Any) -> None:
        made: dict[str, Any] = {"phone_call": PatterLangChainTool(tool=tool, **arguments)}
        super().__init__(**made)

    def get_tools(self) -> list[BaseTool]:
        """The tools for ``create_agent`` or ``bind_tools``."""
        return [self.phone_call]
