"""The phone as a LangChain tool."""

from __future__ import annotations

import math
from contextlib import suppress
from contextvars import ContextVar
from typing import Annotated, Any, Literal

import anyio
from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ArgsSchema, BaseTool, ToolException
from pydantic import Field, SkipValidation

from patter.arguments import CallArgs, explain
from patter.call.request import Event
from patter.tool import PatterTool, ToolAnswer
from patter_langchain.progress import Progress

__all__ = ["PatterLangChainTool"]

_OPTIONS = BaseTool.model_fields.keys() - {"args_schema", "description", "name", "response_format"}
_RELAY_S = 5.0
"""How long handlers of progress events may take on after the call is over."""

_use_id: ContextVar[str | None] = ContextVar("patter_use_id", default=None)


class PatterLangChainTool(BaseTool):
    """Places a phone call for an agent, and answers with what came of it.

    Setup:
        Install ``patter-langchain``. For real calls, set the keys of the carrier and of the three vendors, such as
        ``TWILIO_ACCOUNT_SID``, ``TWILIO_AUTH_TOKEN``, ``DEEPGRAM_API_KEY``, ``OPENAI_API_KEY`` and
        ``ELEVENLABS_API_KEY``. ``Patter.local()`` needs none.

    Instantiation:
        .. code-block:: python

            tool = PatterLangChainTool(tool=PatterTool(phone=phone, agent=agent))
            tool = PatterLangChainTool(phone=phone, agent=agent)  # PatterTool's own arguments

    Invocation directly with args:
        .. code-block:: python

            tool.invoke({"to": "+15551234567", "goal": "Ask when they close today."})

        returns the text that a model reads: the compact envelope as JSON, or what was wrong with the arguments.

    Invocation with ToolCall:
        .. code-block:: python

            message = tool.invoke({"type": "tool_call", "id": "1", "name": tool.name, "args": {...}})

        returns a ``ToolMessage``: the same text as ``content``, and the whole envelope as a dict of plain JSON values,
        which a checkpoint can keep, as ``artifact``. ``status`` is "error" if nothing was dialled, and then there is
        no artifact; a call that was busy or failed is a success of the tool. The id makes a repeated use harmless:
        the same id with the same arguments, in the same thread, gets the first envelope and dials nobody. In a graph
        without threads, that holds for one step of one run.

    Use within an agent:
        .. code-block:: python

            agent = create_agent(model, tools=[tool])

    Args:
        tool: a ready `PatterTool`. Without it, its own arguments are taken: ``phone``, ``agent``, and so on.
        arguments: the arguments of `PatterTool`, and the options of LangChain's tools, such as ``return_direct``,
            ``callbacks``, ``tags``, ``handle_tool_error`` and ``handle_validation_error``.

    Raises:
        ConfigError: something is missing, malformed or given twice.
    """

    name: str
    description: str
    args_schema: Annotated[ArgsSchema | None, SkipValidation()] = CallArgs
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    handle_tool_error: Any = True
    handle_validation_error: Any = explain
    patter: PatterTool = Field(exclude=True, repr=False)
    """The tool behind it: `PatterTool.stop`, `PatterTool.hangup_all` and the phone."""

    def __init__(self, *, tool: PatterTool | None = None, **arguments: Any) -> None:
        options = {name: arguments.pop(name) for name in _OPTIONS & arguments.keys()}
        patter = PatterTool.of(tool, **arguments)
        super().__init__(name=patter.name, description=patter.description, patter=patter, **options)

    # LangChain hands the id of a tool call to these two, and to no parameter that plain uses can do without.

    def run(self, *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        """LangChain's ``run``, which notes the id of the tool call."""
        _use_id.set(tool_call_id)
        return super().run(*args, tool_call_id=tool_call_id, **kwargs)

    async def arun(self, *args: Any, tool_call_id: str | None = None, **kwargs: Any) -> Any:
        """LangChain's ``arun``, which notes the id of the tool call."""
        _use_id.set(tool_call_id)
        return await super().arun(*args, tool_call_id=tool_call_id, **kwargs)

    def _run(
        self, to: str, *, config: RunnableConfig, run_manager: CallbackManagerForToolRun | None = None, **rest: Any
    ) -> tuple[str, dict[str, Any]]:
        id_, given = _use_id.get(), {"to": to, **rest}
        progress = Progress(config, run_manager, id_)
        return _told(self.patter.answer_sync(given, on_event=progress.tell, tool_call_id=id_, scope=_scope(config)))

    async def _arun(
        self, to: str, *, config: RunnableConfig, run_manager: AsyncCallbackManagerForToolRun | None = None, **rest: Any
    ) -> tuple[str, dict[str, Any]]:
        id_, given = _use_id.get(), {"to": to, **rest}
        progress = Progress(config, run_manager, id_)
        told, events = anyio.create_memory_object_stream[Event](math.inf)

        def tell(event: Event) -> None:
            with suppress(anyio.ClosedResourceError):  # a use that was cancelled listens no more
                told.send_nowait(event)

        with events:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(progress.relay, events)
                with told:
                    answer = await self.patter.answer(given, on_event=tell, tool_call_id=id_, scope=_scope(config))
                tasks.cancel_scope.deadline = anyio.current_time() + _RELAY_S
        return _told(answer)


def _scope(config: RunnableConfig) -> str:
    """What the id of a tool call is unique in: the thread, or else the step of the run. Some models count anew."""
    thread_id = config.get("configurable", {}).get("thread_id")
    return str(thread_id or config.get("metadata", {}).get("langgraph_checkpoint_ns") or "")


def _told(answer: ToolAnswer) -> tuple[str, dict[str, Any]]:
    """Content and artifact. Only ToolException leaves an agent running."""
    if answer.result is None:
        raise ToolException(answer.text)
    return answer.text, answer.result.to_dict()
