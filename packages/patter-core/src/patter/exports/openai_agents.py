"""The phone as a tool of the OpenAI Agents SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patter.exports.base import load

if TYPE_CHECKING:
    from patter.call.request import EventSink
    from patter.exports.base import Answer, PhoneTool

__all__ = ["to_openai_agents"]


def to_openai_agents(tool: PhoneTool, *, needs_approval: bool = False, on_event: EventSink | None = None) -> Any:
    """An ``agents.FunctionTool``; see `patter.tool.PatterTool.to_openai_agents`."""
    agents = load("agents", extra="agents")

    async def invoke(context: Any, arguments: str) -> Answer:
        return await tool.answer(arguments, on_event=on_event, tool_call_id=context.tool_call_id)

    function = tool.openai_schema("responses", strict=True)
    return agents.FunctionTool(
        name=function["name"],
        description=function["description"],
        params_json_schema=function["parameters"],
        on_invoke_tool=invoke,
        strict_json_schema=True,
        needs_approval=needs_approval,
    )
