"""Patter's phone for LlamaIndex: the tool for its agents, and its LLMs, tools and retrievers inside a call."""

from __future__ import annotations

from patter_llamaindex.call_tools import in_call_tools, retriever_tool
from patter_llamaindex.events import PhoneCallEvent
from patter_llamaindex.mind import LlamaIndexLLM
from patter_llamaindex.tool import PatterFunctionTool
from patter_llamaindex.tool_spec import PatterToolSpec

__all__ = ["LlamaIndexLLM", "PatterFunctionTool", "PatterToolSpec", "PhoneCallEvent", "in_call_tools", "retriever_tool"]
__version__ = "0.1.0"
