"""A LangChain chat model, or a LangGraph graph, as the mind of a call."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any, cast
from uuid import uuid4

import anyio
from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.base import RunnableBindingBase

from patter.errors import ConfigError
from patter.tasks import first_error
from patter.voice.answer import Answer
from patter.voice.base import CallContext, Message, ToolSpec
from patter.voice.chat.wire import check_end
from patter_langchain.apart import apart
from patter_langchain.failure import Writer, failure_of
from patter_langchain.messages import langchain_messages, tool_schemas
from patter_langchain.reading import Reading

__all__ = ["LangChainLLM"]

_VENDORS = {"AzureChatOpenAI": "openai", "ChatAnthropic": "anthropic", "ChatOpenAI": "openai"}
_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}

Pieces = AsyncGenerator[tuple[object, dict[str, Any]], None]


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
    callbacks. They are written on the loop that awaits a `PatterLangChainTool`, or else on Patter's own.

    Args:
        model: the chat model, the graph or the runnable.
        name: vendor and model as the price table names them, such as ``openai/gpt-5.4-mini``. By default it is read
            from a chat model, or ``langchain/`` and the class.
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
        _refuse_bound_tools(model)
        self._runnable = model
        self._nodes = None if nodes is None else frozenset(nodes)
        self._is_chat = isinstance(_inner(model), BaseLanguageModel) or hasattr(model, "bind_tools")
        self._is_graph = _is_graph(_inner(model))
        self._model = name or _price_name(_inner(model))
        self._writer = _writer(_inner(model), is_chat=self._is_chat)
        self.speculative = self._is_chat if speculative is None else speculative

    @property
    def model(self) -> str:
        """As the price table names it."""
        return self._model

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        """Ask for an answer. Leaving the context stops the model or the graph."""
        return self._stream(None, messages, tools)

    @asynccontextmanager
    async def open(self, call: CallContext) -> AsyncIterator[_CallMind]:
        """Open the session of one call, which tells a graph whose call it is."""
        yield _CallMind(self, call)

    def _stream(self, call: CallContext | None, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        return Answer(partial(self._write, call, messages, tools), model=self.model)

    async def _write(
        self, call: CallContext | None, messages: Sequence[Message], tools: Sequence[ToolSpec], answer: Answer
    ) -> None:
        here = asyncio.get_running_loop()
        told, pieces = anyio.create_memory_object_stream[tuple[object, dict[str, Any]]](math.inf)
        reading = Reading(offered=[tool.name for tool in tools], nodes=self._nodes)

        def tell(piece: tuple[object, dict[str, Any]]) -> None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # an answer that was left
                told.send_nowait(piece)

        async def read() -> None:
            async with aclosing(self._pieces(call, langchain_messages(messages), tools)) as stream:
                async for piece in stream:
                    here.call_soon_threadsafe(tell, piece)
            here.call_soon_threadsafe(told.close)

        try:
            async with told, pieces, anyio.create_task_group() as tasks:
                tasks.start_soon(apart, read)
                async for piece, metadata in pieces:
                    for delta in reading.feed(piece, metadata):
                        await answer.send(delta)
        except ExceptionGroup as group:  # the boundary to the model's or the graph's code
            raise failure_of(first_error(group), self._writer) from None
        for wanted in reading.calls(of_graph=not self._is_chat):
            await answer.send(wanted)
        answer.accept()
        if self._is_chat:
            check_end(self._writer.name, "done", spoken=reading.size > 0)

    async def _pieces(self, call: CallContext | None, messages: list[BaseMessage], tools: Sequence[ToolSpec]) -> Pieces:
        schemas = tool_schemas(tools)
        if self._is_chat:
            async with aclosing(_chunks(_bind(self._runnable, schemas), messages)) as chunks:
                async for chunk in chunks:
                    yield chunk, {}
            return
        about = {**(call or {}), "tools": schemas}
        config: RunnableConfig = {"configurable": {"thread_id": uuid4().hex, "patter": about}}
        options = {"stream_mode": "messages"} if self._is_graph else {}
        async with aclosing(_chunks(self._runnable, {"messages": messages}, config, **options)) as chunks:
            async for chunk in chunks:
                yield chunk if self._is_graph else (chunk, {})

    def __repr__(self) -> str:
        return f"LangChainLLM({type(self._runnable).__name__}, name={self.model!r})"


class _CallMind:
    """The session of one call."""

    def __init__(self, mind: LangChainLLM, call: CallContext) -> None:
        self.model = mind.model
        self._mind = mind
        self._call = call

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        """Ask for an answer."""
        return self._mind._stream(self._call, messages, tools)


def _chunks(runnable: Runnable[Any, Any], *args: Any, **options: Any) -> AsyncGenerator[Any, None]:
    return cast("AsyncGenerator[Any, None]", runnable.astream(*args, **options))


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


def _inner(model: Runnable[Any, Any]) -> Runnable[Any, Any]:
    while isinstance(model, RunnableBindingBase):
        model = model.bound
    return model


def _is_graph(runnable: Runnable[Any, Any]) -> bool:
    """True for a graph of LangGraph's, which is imported if there is one."""
    protocol = sys.modules.get("langgraph.pregel.protocol")
    return protocol is not None and isinstance(runnable, protocol.PregelProtocol)


def _refuse_bound_tools(model: Runnable[Any, Any]) -> None:
    while isinstance(model, RunnableBindingBase):
        if "tools" in model.kwargs:
            raise ConfigError(
                'The model has tools bound to it, which nobody would run. Pass agent={"tools": in_call_tools([...])}.'
            )
        model = model.bound


def _price_name(model: Runnable[Any, Any]) -> str:
    kind = type(model).__name__
    name = getattr(model, "model_name", None) or getattr(model, "model", None)
    vendor = _VENDORS.get(kind) or kind.removeprefix("Chat").lower()
    if isinstance(name, str) and name and (kind in _VENDORS or kind.startswith("Chat")):
        return f"{vendor}/{name}"
    return f"langchain/{kind}"


def _writer(model: Runnable[Any, Any], *, is_chat: bool) -> Writer:
    if not is_chat:
        return Writer("The mind's graph", "the key of its model")
    kind = type(model).__name__
    return Writer(kind, _KEYS.get(_VENDORS.get(kind, ""), f"the key of {kind}"))
