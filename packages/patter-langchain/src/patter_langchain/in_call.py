"""LangChain tools in the hands of the mind, while it is on the phone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import BaseTool, InjectedToolCallId, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

from patter.errors import ConfigError
from patter.tools.model import Tool, ToolContext

__all__ = ["end_call", "in_call_tools"]


@tool(return_direct=True)
def end_call(reason: Literal["goal_reached", "goal_refused", "voicemail", "other"] = "other") -> str:
    """Hang up. Say goodbye in the same answer, before you call this."""
    return "The call ends when this was said."


def in_call_tools(tools: Iterable[BaseTool | Callable[..., Any]], *, timeout_s: float | None = None) -> list[Tool]:
    """LangChain tools as tools of `patter.Agent`: ``agent={..., "tools": in_call_tools([...])}``.

    The mind is told the same schema as any LangChain model; parameters that LangChain injects are not in it. A tool's
    text, or its JSON, is handed to the mind. So is the text of a ``ToolException`` that the tool itself handles
    (``handle_tool_error``); every other exception becomes the code ``handler_error``. Async tools
    run on the loop that awaits the call, or else on one of Patter's; sync tools in a thread.
    ``config["configurable"]["patter"]`` tells a tool whose call it is: ``call_id``, ``tool_call_id``, ``tool_name``,
    ``caller`` and ``callee``.

    Args:
        tools: LangChain tools, or functions that ``langchain_core.tools.tool`` makes one of.
        timeout_s: the mind is told ``timeout`` after this time; None takes the agent's default.

    Raises:
        ConfigError: it is no tool, it has no name that a mind can call, or it needs something of a graph.
    """
    return [_in_call_tool(one, timeout_s) for one in tools]


def _in_call_tool(given: BaseTool | Callable[..., Any], timeout_s: float | None) -> Tool:
    if not isinstance(given, BaseTool) and not callable(given):
        raise ConfigError(f"in_call_tools takes LangChain tools and functions, and {type(given).__name__} is neither.")
    native = given if isinstance(given, BaseTool) else tool(given)
    _refuse_needs(native)
    schema = convert_to_openai_tool(native)["function"]
    return Tool(
        name=native.name,
        description=native.description,
        parameters={"type": "object", "properties": {}, **schema.get("parameters", {})},
        handler=_handler(native),
        timeout_s=timeout_s,
    )


def _handler(native: BaseTool) -> Callable[[dict[str, Any], ToolContext], Awaitable[str]]:
    async def handler(arguments: dict[str, Any], context: ToolContext) -> str:
        call = {"type": "tool_call", "id": context.tool_call_id, "name": native.name, "args": arguments}
        config: RunnableConfig = {"configurable": {"patter": dict(context)}}
        var_child_runnable_config.set(None)  # this is no part of the run that has placed the call
        message = await native.ainvoke(call, config)
        if not isinstance(message, ToolMessage):
            raise TypeError(f"{native.name} returned a {type(message).__name__}, which only a graph can carry out")
        return str(message.text)

    return handler


def _refuse_needs(native: BaseTool) -> None:
    """Refuse a tool with a parameter that LangGraph would inject: on the phone there is no graph."""
    told: Any = native.tool_call_schema
    taken: Any = native.get_input_schema()
    if isinstance(told, dict) or not issubclass(taken, BaseModel):
        return
    for name, field in taken.model_fields.items():
        is_injected = name not in told.model_fields and field.is_required()
        if is_injected and InjectedToolCallId not in field.metadata:
            raise ConfigError(
                f"The tool {native.name} needs {name} of a graph, and there is none on the phone. Give it a default, "
                'or take what it needs from config["configurable"]["patter"].'
            )
