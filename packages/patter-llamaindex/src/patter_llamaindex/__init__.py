"""Patter's phone for LlamaIndex: the tool for its agents, and its LLMs, tools and retrievers inside a call.

Names are imported when they are first used, so that importing the package costs little more than LlamaIndex.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter_llamaindex.call_tools import in_call_tools as in_call_tools
    from patter_llamaindex.call_tools import retriever_tool as retriever_tool
    from patter_llamaindex.events import PhoneCallEvent as PhoneCallEvent
    from patter_llamaindex.mind import LlamaIndexLLM as LlamaIndexLLM
    from patter_llamaindex.tool import PatterFunctionTool as PatterFunctionTool
    from patter_llamaindex.tool_spec import PatterToolSpec as PatterToolSpec

_WHERE = {
    "LlamaIndexLLM": "mind",
    "PatterFunctionTool": "tool",
    "PatterToolSpec": "tool_spec",
    "PhoneCallEvent": "events",
    "in_call_tools": "call_tools",
    "retriever_tool": "call_tools",
}

__all__ = sorted(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'patter_llamaindex' has no attribute {name!r}")
    value = getattr(import_module(f"patter_llamaindex.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
