"""The only place that executes in-call tools: it always answers, once, with a result or a safe code."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import anyio
import anyio.to_thread
from jsonschema import Draft202012Validator

from patter.tools.model import Tool, ToolContext
from patter.voice.base import ToolCall, ToolSpec

__all__ = ["ErrorReason", "ToolOutcome", "ToolRunner"]

ErrorReason = Literal["unknown_tool", "invalid_arguments", "handler_error", "timeout", "shutdown"]


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What the mind is told, and how long it took. Errors carry a safe code, never an exception's text."""

    call: ToolCall
    output: str
    reason: ErrorReason | None
    duration_ms: float

    @property
    def is_error(self) -> bool:
        return self.reason is not None


class _Refused(Exception):
    def __init__(self, reason: ErrorReason, details: list[str] | None = None) -> None:
        self.reason: ErrorReason = reason
        self.details = details or []


class ToolRunner:
    """Runs the tools of one call.

    A tool call id that was seen before gets the first outcome; its handler is not run again. Sync
    handlers run in a thread. A handler's exception goes to ``on_exception`` and nowhere else.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        *,
        timeout_s: float,
        context: Callable[[], Mapping[str, Any]],
        on_exception: Callable[[str, Exception], None] | None = None,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._timeout_s = timeout_s
        self._context = context
        self._on_exception = on_exception
        self._done: dict[str, ToolOutcome] = {}

    def specs(self) -> list[ToolSpec]:
        """What the mind is offered."""
        return [tool.spec() for tool in self._tools.values()]

    async def run(self, call: ToolCall) -> ToolOutcome:
        """Execute one tool call. Never raises for what the tool does."""
        if (known := self._done.get(call.id)) is not None:
            return known
        started = anyio.current_time()
        reason: ErrorReason | None = None
        try:
            output = await self._execute(call)
        except _Refused as refused:
            reason = refused.reason
            output = json.dumps({"error": reason} | ({"details": refused.details} if refused.details else {}))
        outcome = ToolOutcome(call, output, reason, (anyio.current_time() - started) * 1000)
        self._done[call.id] = outcome
        return outcome

    async def _execute(self, call: ToolCall) -> str:
        tool = self._tools.get(call.name)
        if tool is None:
            raise _Refused("unknown_tool")
        arguments = _arguments(tool, call.arguments)
        context = ToolContext(self._context(), tool_call_id=call.id, tool_name=call.name)
        try:
            with anyio.fail_after(tool.timeout_s or self._timeout_s):
                value = await _invoke(tool, arguments, context)
        except TimeoutError:
            raise _Refused("timeout") from None
        except Exception as error:  # the boundary to the host's code
            if self._on_exception is not None:
                self._on_exception(call.name, error)
            raise _Refused("handler_error") from None
        return _encode(value)


async def _invoke(tool: Tool, arguments: dict[str, Any], context: ToolContext) -> Any:
    if inspect.iscoroutinefunction(tool.handler):
        return await tool.handler(arguments, context)
    value = await anyio.to_thread.run_sync(tool.handler, arguments, context, abandon_on_cancel=True)
    return await value if inspect.isawaitable(value) else value


def _arguments(tool: Tool, text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        raise _Refused("invalid_arguments", ["not valid JSON"]) from None
    if not isinstance(arguments, dict):
        raise _Refused("invalid_arguments", ["not an object"])
    errors = Draft202012Validator(tool.parameters).iter_errors(arguments)
    # Names of properties only: a value may be the callee's.
    details = sorted({"/".join(map(str, error.path)) or f"{error.validator}: {_missing(error)}" for error in errors})
    if details:
        raise _Refused("invalid_arguments", details)
    return arguments


def _missing(error: Any) -> str:
    if error.validator != "required":
        return "arguments"
    return ", ".join(name for name in error.validator_value if name not in error.instance)


def _encode(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise _Refused("handler_error") from None
