"""LlamaIndex tools and retrievers as tools that the mind may use during a call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.schema import MetadataMode, NodeWithScore
from llama_index.core.tools import BaseTool, FunctionTool, ToolOutput
from pydantic_core import to_jsonable_python

from patter.errors import ConfigError
from patter.tools.model import Handler, Tool, ToolContext

__all__ = ["in_call_tools", "retriever_tool"]


def in_call_tools(tools: Iterable[BaseTool], *, timeout_s: float | None = None) -> list[Tool]:
    """Function tools, query engine tools and others as tools of a call: ``agent={"tools": in_call_tools([...])}``.

    Async functions run on the loop that awaits the call, or else on one of Patter's, everything else in a thread.
    What a tool raises reaches the mind as ``handler_error``, without the exception's text.

    Args:
        tools: what the mind may use.
        timeout_s: the mind is told ``timeout`` after this time; None takes the agent's default.

    Raises:
        ConfigError: one of them is no LlamaIndex tool, needs a workflow's context, or has no usable name or schema.
    """
    return [_in_call_tool(tool, timeout_s) for tool in tools]


def retriever_tool(
    retriever: BaseRetriever,
    *,
    name: str = "search_knowledge",
    description: str = "Search what we know. Use it before you answer a question of fact.",
    top_k: int = 3,
    max_chars: int = 800,
    timeout_s: float | None = None,
) -> Tool:
    """A retriever as a tool of a call: the mind asks a question and reads the best passages as JSON.

    It runs in a thread: most retrievers block while they search, whatever their async methods are called.

    Args:
        retriever: where to search.
        name: the tool's name for the mind.
        description: tells the mind when to search.
        top_k: so many passages at most, the best first.
        max_chars: so many characters of each passage at most.
        timeout_s: the mind is told ``timeout`` after this time; None takes the agent's default.

    Raises:
        ConfigError: it is no retriever, or a number is less than 1.
    """
    if not isinstance(retriever, BaseRetriever):
        raise ConfigError(f"retriever must be a LlamaIndex retriever, and {type(retriever).__name__} is none.")
    if top_k < 1 or max_chars < 1:
        raise ConfigError("top_k and max_chars must be at least 1.")

    def search(arguments: dict[str, Any], _: ToolContext) -> list[dict[str, Any]]:
        return [_passage(node, max_chars) for node in retriever.retrieve(arguments["query"])[:top_k]]

    query = {"type": "string", "minLength": 1, "description": "What to search for, in a few words or as a question."}
    parameters = {"type": "object", "properties": {"query": query}, "required": ["query"]}
    return Tool(name=name, description=description, parameters=parameters, handler=search, timeout_s=timeout_s)


def _in_call_tool(tool: BaseTool, timeout_s: float | None) -> Tool:
    if not isinstance(tool, BaseTool):
        raise ConfigError(f"tools must be LlamaIndex tools, and {type(tool).__name__} is none.")
    name = tool.metadata.name or ""
    if isinstance(tool, FunctionTool) and tool.requires_context:
        raise ConfigError(f"Tool {name}: it needs a workflow's context, and a phone call has none.")
    try:
        parameters = tool.metadata.get_parameters_dict()
    except Exception as error:
        raise ConfigError(f"Tool {name}: its schema cannot be read ({type(error).__name__}).") from None
    about = tool.metadata.description or ""
    return Tool(name=name, description=about, parameters=parameters, handler=_handler(tool), timeout_s=timeout_s)


def _handler(tool: BaseTool) -> Handler:
    if isinstance(tool, FunctionTool):  # it runs a sync function in a thread by itself

        async def arun(arguments: dict[str, Any], _: ToolContext) -> Any:
            return _value(await tool.acall(**arguments))

        return arun

    def run(arguments: dict[str, Any], _: ToolContext) -> Any:
        return _value(tool(**arguments))

    return run


def _value(output: ToolOutput) -> Any:
    """What the mind reads. A value that LlamaIndex has written as Python is told as JSON."""
    if output.is_error:
        raise RuntimeError("the tool reported an error")
    raw = output.raw_output
    if isinstance(raw, dict | list | BaseModel) and output.content == str(raw):
        return to_jsonable_python(raw, fallback=str, inf_nan_mode="null")
    return output.content


def _passage(node: NodeWithScore, max_chars: int) -> dict[str, Any]:
    passage = {"text": node.node.get_content(MetadataMode.LLM)[:max_chars]}
    return passage if node.score is None else {**passage, "score": round(float(node.score), 3)}
