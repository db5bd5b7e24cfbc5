"""Patter for LangChain: the phone as a tool of an agent, and LangChain on the phone.

`PatterLangChainTool` lets a LangChain agent call somebody. `LangChainLLM` makes a chat model or a LangGraph
graph the mind of a call, and `in_call_tools` gives that mind LangChain's tools. Names are imported when they
are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter_langchain.in_call import end_call as end_call
    from patter_langchain.in_call import in_call_tools as in_call_tools
    from patter_langchain.mind import LangChainLLM as LangChainLLM
    from patter_langchain.tool import PatterLangChainTool as PatterLangChainTool
    from patter_langchain.toolkit import PatterToolkit as PatterToolkit

_WHERE = {
    "LangChainLLM": "patter_langchain.mind",
    "PatterLangChainTool": "patter_langchain.tool",
    "PatterToolkit": "patter_langchain.toolkit",
    "end_call": "patter_langchain.in_call",
    "in_call_tools": "patter_langchain.in_call",
}

__all__ = sorted(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'patter_langchain' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
