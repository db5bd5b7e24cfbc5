"""A LangChain chat model, or a LangGraph graph, as the mind of a call."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from copy import copy
from functools import partial
from typing import Any, cast
from uuid import uuid4

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import var_child_runnable_config

from patter.errors import ConfigError
from patter.tools.exporters import to_openai
from patter.voice.answer import Answer
from patter.voice.base import CallContext, Message, ToolSpec
from patter.voice.chat.failure import Vendor
from patter.voice.foreign import foreign_answer, writer
from patter_langchain.messages import langchain_messages
from patter_langchain.reading import Piece, Reading, price_name

__all__ = ["LangChainLLM"]


class LangChainLLM:
    """A mind that LangChain thinks with.

    - **A chat model** is offered the in-call tools and ``end_call`` with ``bind_tools``.
    - **A LangGraph graph** is asked with ``{"messages": [...]}``, and its text is spoken as its models write it. It
      runs its own tools. To hang up, it calls a tool named ``end_call``: give its agent `patter_langchain.end_call`.
      In-call tools whose calls the graph leaves without a result are run by Patter, and the graph is asked again.
      Without either, the call ends when the other side hangs up or falls silent, or at its longest duration.
    - **Any other runnable** is asked with ``{"messages": [...]}`` as well, and streams messages or text.

    A graph or runnable finds in ``config["configurable"]["patter"]`` the ``call_id``, ``caller`` and ``callee``, and
    in-call ``tools`` in the form that ``bind_tools`` takes. Each answer is a thread of its own: the messages are the
    whole conversation, with what was said *and heard*, so what a checkpointer remembers would be said twice.

    The answers are written outside of the run that has placed the call: nothing of them reaches its stream or its
    callbacks. They are written on the loop that awaits the call, or else on one of Patter's.

    Args:
        model: the chat model, the graph or the runnable.
        name: vendor and model as the price table names them, such as ``openai/gpt-5.4-mini``. By default what a chat
            model tells of itself, or ``langchain/`` and the class.
        nodes: the nodes of a graph whose text is spoken. By default all; a model that is tagged ``nostream``, or
            that works in a subgraph, is not heard while it writes.
        speculative: whether it may be asked a little before the other side's turn is certainly over, and be left
            again. By default only chat models are: what a graph does may have consequences.

    Raises:
        ConfigError: ``model`` is no runnable, or has tools bound to it that nobody would run.
    """

    def __init__(
        self,
        model: Runnable[Any, Any],
        *,
        name: str | None = None,
        nodes: Collection[str] | None = None,
        speculative: bool | None = None,
    ) -> None:
        if not isinstance(model, Runnable):
            raise ConfigError(f"model must be a LangChain chat model, graph or runnable, not {type(model).__name__}.")
        inner = _unbound(model)
        kind = type(inner).__name__
        told: dict[str, Any] = getattr(inner, "_get_ls_params", dict)()
        self.model: str = name or price_name(told) or f"langchain/{kind}"
        """Vendor and model as the price table names them."""
        self._runnable = model
        self._nodes = None if nodes is None else frozenset(nodes)
        self._is_chat = isinstance(inner, BaseLanguageModel) or hasattr(model, "bind_tools")
        self._is_graph = _is_graph(inner)
        graph = Vendor("The mind's graph", "the api_key of its model")
        self._writer = writer(kind, told.get("ls_provider")) if self._is_chat else graph
        self._call: CallContext | None = None
        self.speculative = self._is_chat if speculative is None else speculative

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        """Ask for an answer. Leaving the context stops the model or the graph."""
        offered = None if self._is_chat else [tool.name for tool in tools]
        reading = Reading(offered=offered, nodes=self._nodes)
        write = partial(self._pieces, messages, tools)
        return foreign_answer(write, reading, self._writer, model=self.model, may_be_silent=not self._is_chat)

    @asynccontextmanager
    async def open(self, call: CallContext) -> AsyncIterator[LangChainLLM]:
        """Open the session of one call, which tells a graph whose call it is."""
        session = copy(self)
        session._call = call
        yield session

    async def _pieces(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncGenerator[Piece, None]:
        var_child_runnable_config.set(None)  # this is no part of the run that has placed the call
        schemas, history = [to_openai(tool) for tool in tools], langchain_messages(messages)
        if self._is_chat:
            stream = _bind(self._runnable, schemas).astream(history)
        else:
            about = {**(self._call or {}), "tools": schemas}
            config: RunnableConfig = {"configurable": {"thread_id": uuid4().hex, "patter": about}}
            options = {"stream_mode": "messages"} if self._is_graph else {}
            stream = self._runnable.astream({"messages": history}, config, **options)
        async with aclosing(cast("AsyncGenerator[Any, None]", stream)) as chunks:
            async for chunk in chunks:
                yield chunk if self._is_graph else (chunk, {})

    def __repr__(self) -> str:
        return f"LangChainLLM({type(self._runnable).__name__}, name={self.model!r})"


def _unbound(model: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """What the model was before something was bound to it."""
    while isinstance(model, RunnableBindingBase):
        if "tools" in model.kwargs:
            raise ConfigError(
                'The model has tools bound to it, which nobody would run. Pass agent={"tools": in_call_tools([...])}.'
            )
        model = model.bound
    return model


def _bind(model: Runnable[Any, Any], schemas: list[dict[str, Any]]) -> Runnable[Any, Any]:
    """The chat model with the tools, below what else was bound to it. One that cannot take tools goes without."""
    if not schemas:
        return model
    if isinstance(model, RunnableBindingBase):
        return model.model_copy(update={"bound": _bind(model.bound, schemas)})
    try:
        bound: Runnable[Any, Any] = cast(Any, model).bind_tools(schemas)
    except (AttributeError, NotImplementedError):
        return model
    return bound


def _is_graph(runnable: Runnable[Any, Any]) -> bool:
    """True for a graph of LangGraph's, which is imported if there is one."""
    protocol = sys.modules.get("langgraph.pregel.protocol")
    return protocol is not None and isinstance(runnable, protocol.PregelProtocol)
