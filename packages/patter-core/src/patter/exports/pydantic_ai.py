"""The phone as a tool of pydantic-ai."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from patter.exports.base import load

if TYPE_CHECKING:
    from patter.call.request import EventSink
    from patter.exports.base import PhoneTool

__all__ = ["to_pydantic_ai"]

_TRIES = 3
"""So many times in a row may the model mend its arguments before the run fails."""


def to_pydantic_ai(tool: PhoneTool, *, requires_approval: bool = False, on_event: EventSink | None = None) -> Any:
    """A ``pydantic_ai.Tool``; see `patter.tool.PatterTool.to_pydantic_ai`."""
    sdk = load("pydantic_ai", extra="pydantic-ai")
    failed = getattr(sdk, "ToolFailed", sdk.ModelRetry)  # the first releases of 2.x have only the latter

    async def use(context: Any, /, **arguments: Any) -> Any:
        # The conversation outlives the run: a use that waits for approval is made in a later one.
        answer = await tool.answer(
            arguments,
            on_event=on_event,
            tool_call_id=context.tool_call_id,
            scope=context.conversation_id or "",
        )
        if answer.result is not None:
            return sdk.ToolReturn(return_value=answer.text, metadata=answer.result.to_dict())
        if answer.code == "invalid_arguments":
            raise sdk.ModelRetry(answer.text)
        raise failed(answer.text)

    native = sdk.Tool.from_schema(use, tool.name, tool.description, tool.parameters, takes_ctx=True)
    # from_schema() takes whatever a model writes, and a list cannot be passed on as keywords.
    native.function_schema.validator = TypeAdapter(dict[str, Any]).validator
    native.requires_approval = requires_approval
    native.max_retries = _TRIES
    return native
