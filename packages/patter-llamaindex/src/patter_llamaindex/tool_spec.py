"""The phone as a LlamaIndex tool spec."""

from __future__ import annotations

from typing import Any

from llama_index.core.tools import FunctionTool
from llama_index.core.tools.tool_spec.base import BaseToolSpec

from patter.tool import PatterTool
from patter_llamaindex.tool import PatterFunctionTool

__all__ = ["PatterToolSpec"]


class PatterToolSpec(BaseToolSpec):
    """Phone tool spec: ``PatterToolSpec(phone=phone, agent={...}).to_tool_list()``.

    Args:
        tool: a ready `patter.PatterTool`.
        arguments: those of `PatterFunctionTool`.

    Raises:
        ConfigError: something is missing or malformed.
    """

    spec_functions = []  # noqa: RUF012 - the tool is ready made

    def __init__(self, tool: PatterTool | None = None, **arguments: Any) -> None:
        self._tool = PatterFunctionTool(tool, **arguments)

    def to_tool_list(self, *_: Any, **__: Any) -> list[FunctionTool]:
        """The phone tool. The base class's arguments select functions, and are of no use here."""
        return [self._tool]
