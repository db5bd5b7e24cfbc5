"""CrewAI's tools as tools that the agent on the phone uses during a call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from crewai.tools import BaseTool
from crewai.utilities.string_utils import sanitize_tool_name

from patter import ConfigError, Tool, ToolContext

__all__ = ["in_call_tools"]


def in_call_tools(tools: Iterable[BaseTool], *, timeout_s: float | None = None) -> list[Tool]:
    """CrewAI's tools for ``agent={"tools": in_call_tools([...])}``; they run in a thread and never delay the audio.

    The mind reads what a CrewAI agent would read of the result. Usage limits hold for all calls together.

    Args:
        tools: tools whose names differ.
        timeout_s: how long one use may take; None takes the agent's default.

    Raises:
        ConfigError: one is no CrewAI tool, or its name or schema cannot be used during a call.
    """
    return [_in_call(tool, timeout_s) for tool in tools]


def _in_call(tool: BaseTool, timeout_s: float | None) -> Tool:
    if not isinstance(tool, BaseTool):
        raise ConfigError(f"tools must be CrewAI tools, and {type(tool).__name__} is none.")

    def use(arguments: dict[str, Any], context: ToolContext) -> str:
        return tool.format_output_for_agent(tool.run(**arguments))

    return Tool(
        name=sanitize_tool_name(tool.name),
        description=tool.description,
        parameters=tool.args_schema.model_json_schema(),
        handler=use,
        timeout_s=timeout_s,
    )
