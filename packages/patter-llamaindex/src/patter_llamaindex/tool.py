"""The phone as a LlamaIndex tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.tools import FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.workflow import Context

from patter.arguments import CallArgs
from patter.call.request import Event, EventSink
from patter.errors import ConfigError, PatterError
from patter.tool import PatterTool, ToolAnswer
from patter_llamaindex.approval import NOBODY_TO_ASK, ask
from patter_llamaindex.events import PhoneCallEvent
from patter_llamaindex.use import identify

__all__ = ["PatterFunctionTool"]


class PatterFunctionTool(FunctionTool):
    """A telephone as a tool for LlamaIndex agents and workflows.

    The output's ``content`` is the envelope as JSON, its ``raw_output`` the `patter.CallResult`. Busy,
    unanswered and failed calls are results; ``is_error`` means that nothing was dialled. In a workflow,
    progress is written to the stream as `PhoneCallEvent`, and cancelling the run hangs up.

    Args:
        tool: a ready `patter.PatterTool`.
        return_direct: the agent ends with the envelope as its answer.
        needs_approval: before the dial, the workflow waits for a person: it writes an
            ``InputRequiredEvent`` with the call's arguments and an ``approval_id`` to the stream, and goes on
            when it is sent ``HumanResponseEvent(response="yes", approval_id=...)``. Any other response
            refuses. Without a workflow nothing is dialled.
        approval_timeout_s: so long a person may take; then the call is refused.
        on_event: takes progress events as well, also in calls by hand: on the loop of `acall`, in the
            thread of `call`.
        arguments: in place of ``tool``, `patter.PatterTool`'s own arguments, such as ``phone`` and ``agent``.

    Raises:
        ConfigError: something is missing or malformed.
    """

    def __init__(
        self,
        tool: PatterTool | None = None,
        *,
        return_direct: bool = False,
        needs_approval: bool = False,
        approval_timeout_s: float = 600.0,
        on_event: EventSink | None = None,
        **arguments: Any,
    ) -> None:
        if on_event is not None and not callable(on_event):
            raise ConfigError("on_event is no function. Pass a function that takes one event.")
        if not approval_timeout_s > 0:
            raise ConfigError("approval_timeout_s must be a number of seconds, more than 0.")
        self.patter = PatterTool.of(tool, **arguments)
        self._needs_approval = needs_approval
        self._approval_timeout_s = approval_timeout_s
        self._on_event = on_event

        def place(**kwargs: Any) -> str:
            return self.call(**kwargs).content

        super().__init__(
            fn=place,
            metadata=ToolMetadata(
                name=self.patter.name,
                description=self.patter.description,
                fn_schema=CallArgs,
                return_direct=return_direct,
            ),
        )
        # The agents pass their context to a function tool that says so.
        self.requires_context = True
        self.ctx_param_name = "ctx"

    def call(self, /, *args: Any, **kwargs: Any) -> ToolOutput:
        """Place a call from plain code and wait until it is over. An interrupt hangs up.

        Args:
            args: the arguments as one mapping,
            kwargs: or as keywords: ``to``, ``goal``, ``first_message``, ``max_duration_sec``.
        """
        arguments, _ = _read(args, kwargs)
        if self._needs_approval:
            return self._output(arguments, ToolAnswer(NOBODY_TO_ASK))
        return self._output(arguments, self.patter.answer_sync(arguments, on_event=self._on_event))

    async def acall(self, /, *args: Any, **kwargs: Any) -> ToolOutput:
        """`call` for async code. Cancelling hangs up.

        Args:
            args: the arguments as one mapping,
            kwargs: or as keywords; ``ctx`` is the workflow's context, and may be left out.
        """
        arguments, ctx = _read(args, kwargs)
        use_id, scope = await identify(ctx, self.patter.name)
        if self._needs_approval and (refused := await self._refusal(arguments, ctx, use_id)) is not None:
            return self._output(arguments, ToolAnswer(refused))
        answer = await self.patter.answer(arguments, on_event=self._sink(ctx, use_id), tool_call_id=use_id, scope=scope)
        return self._output(arguments, answer)

    async def _refusal(self, arguments: Any, ctx: Context[Any] | None, use_id: str | None) -> str | None:
        """None if the call may be placed. A person is asked only about what can be dialled."""
        try:
            call = self.patter.check(arguments)
        except PatterError as error:
            return str(error)
        if ctx is None:
            return NOBODY_TO_ASK
        return await ask(ctx, call, use_id, within_s=self._approval_timeout_s)

    def _sink(self, ctx: Context[Any] | None, use_id: str | None) -> EventSink | None:
        if ctx is None:
            return self._on_event

        def sink(event: Event) -> None:
            ctx.write_event_to_stream(PhoneCallEvent.of(event, tool_id=use_id))
            if self._on_event is not None:
                self._on_event(event)

        return sink

    def _output(self, arguments: Any, answer: ToolAnswer) -> ToolOutput:
        return ToolOutput(
            content=answer.text,
            tool_name=self.patter.name,
            raw_input=dict(arguments) if isinstance(arguments, Mapping) else {},
            raw_output=answer.text if answer.result is None else answer.result,
            is_error=answer.is_error,
        )


def _read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Context[Any] | None]:
    """The arguments of a call, to be checked by Patter, and the context."""
    ctx = kwargs.pop("ctx", None)
    given = args[0] if len(args) == 1 and not kwargs else args  # several are no mapping, and refused as such
    return given if args else kwargs, ctx
