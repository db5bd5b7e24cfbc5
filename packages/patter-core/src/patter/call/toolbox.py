"""The tools of one call: runs them beside the turns, keeps their records, knows when to hang up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio
from anyio.abc import TaskGroup

from patter.call.transcript import Transcript
from patter.envelope import Ending, EndReason, ToolCallRecord
from patter.tools.model import Tool, ToolContext
from patter.tools.runner import ToolOutcome, ToolRunner
from patter.voice.base import Message, ToolCall, ToolSpec

__all__ = ["CallTools"]

_NAME = "end_call"
_REASONS = ["goal_reached", "goal_refused", "voicemail", "other"]
_END_CALL = {
    "type": "object",
    "properties": {
        "reason": {
            "type": "string",
            "enum": _REASONS,
            "description": "Why the call ends.",
        }
    },
}


class CallTools:
    """What a turn may use. Tools run in the conversation's task group, so a barge-in does not stop them.

    ``end_call`` only records the wish: the conversation finishes the goodbye and then hangs up.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        *,
        transcript: Transcript,
        timeout_s: float,
        context: Callable[[], Mapping[str, Any]],
        emit: Callable[..., None],
    ) -> None:
        self.closing = False
        self._ids: set[str] = set()
        self._admitted = 0
        self.records: list[ToolCallRecord] = []
        self._transcript = transcript
        self._emit = emit
        self._ending = Ending(EndReason.AGENT_HANGUP)
        self._runner = ToolRunner([*tools, self._end_call()], timeout_s=timeout_s, context=context)
        self._on_closing: Callable[[], bool] = lambda: True
        self._on_machine: Callable[[], None] | None = None
        self._tasks: TaskGroup | None = None

    def open(
        self, tasks: TaskGroup, *, on_closing: Callable[[], bool], on_machine: Callable[[], None] | None = None
    ) -> None:
        """Say where tools run, and whom to ask whether the agent may close the call now.

        Args:
            on_machine: whom to tell that the mind has found an answering machine, if that does not end the call.
        """
        self._tasks = tasks
        self._on_closing = on_closing
        self._on_machine = on_machine

    def specs(self) -> list[ToolSpec]:
        """What the mind is offered."""
        return self._runner.specs()

    def admit(self, call: ToolCall) -> ToolCall:
        """The call under an id of its own: some models number their calls anew in each answer."""
        self._admitted += 1
        if call.name == _NAME:
            call = _as_meant(call)
        if call.id not in self._ids:
            self._ids.add(call.id)
            return call
        return replace(call, id=f"{call.id}-{self._admitted}")

    async def run(self, calls: Sequence[ToolCall]) -> list[Message]:
        """Run them side by side; their results in the order of the calls."""
        assert self._tasks is not None
        self._transcript.tools(calls)
        running = [_Running(call) for call in calls]
        for one in running:
            self._tasks.start_soon(self._run_one, one)
        for one in running:
            await one.over.wait()
        return [Message("tool", one.output, tool_call_id=one.call.id) for one in running]

    def ending(self) -> Ending:
        """How the call ends now that the agent hangs up."""
        return self._ending

    def close(self, ending: Ending) -> None:
        """Let the call end like this, once what is being said was said."""
        self.closing = True
        self._ending = ending

    async def _run_one(self, one: _Running) -> None:
        started = anyio.current_time()
        outcome: ToolOutcome | None = None
        try:
            outcome = await self._runner.run(one.call)
        finally:
            if outcome is None:  # the call ended first
                duration_ms = (anyio.current_time() - started) * 1000
                outcome = ToolOutcome(one.call, '{"error":"shutdown"}', "shutdown", duration_ms)
            one.output = outcome.output
            self._transcript.tool_output(one.call.id, outcome.output)
            self._record(outcome)
            one.over.set()

    def _record(self, outcome: ToolOutcome) -> None:
        record = ToolCallRecord(
            name=outcome.call.name,
            tool_call_id=outcome.call.id,
            is_error=outcome.is_error,
            reason=outcome.reason,
            duration_ms=round(outcome.duration_ms, 1),
        )
        self.records.append(record)
        self._emit("tool", **record.model_dump())

    def _end_call(self) -> Tool:
        async def end_call(arguments: dict[str, Any], context: ToolContext) -> dict[str, str]:
            if self.closing:
                return {"status": "ending"}
            is_machine = arguments.get("reason") == "voicemail"
            if is_machine and self._on_machine is not None:
                self._on_machine()
                return {"status": "the message is left after the beep"}
            if not self._on_closing():
                return {"status": "not ended", "reason": "the other side has begun to speak"}
            self.closing = True
            if is_machine:
                self._ending = Ending(EndReason.VOICEMAIL)
            return {"status": "ending"}

        return Tool(
            name=_NAME,
            description="Hang up. Say goodbye in the same answer, before you call this.",
            parameters=_END_CALL,
            handler=end_call,
        )


def _as_meant(call: ToolCall) -> ToolCall:
    """The wish to hang up, without arguments that are none: refused, the goodbye would be said once more."""
    try:
        reason = json.loads(call.arguments)["reason"]
    except (ValueError, TypeError, KeyError, RecursionError):
        reason = None
    return call if reason in _REASONS else replace(call, arguments="{}")


class _Running:
    def __init__(self, call: ToolCall) -> None:
        self.call = call
        self.output = ""
        self.over = anyio.Event()
