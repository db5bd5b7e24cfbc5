"""The tools of one call: runs them beside the turns, keeps their records, knows what they want of the call."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import anyio
from anyio.abc import TaskGroup

from patter.call.borrowed import Borrowed
from patter.call.gear import CallGear
from patter.call.inbox import News
from patter.call.intents import END_CALL, REASONS, Intents, as_meant
from patter.call.prompt import FILLER, tool_answered
from patter.call.schedule import CALL_CONTROL, plan, refused
from patter.call.transcript import Transcript
from patter.envelope import ToolCallRecord
from patter.tools.context import Handler
from patter.tools.model import Tool
from patter.tools.runner import Hooks, ToolOutcome, ToolRunner
from patter.voice.base import Message, ToolCall, ToolSpec

__all__ = ["CallTools"]

_LAST = 1_000_000
_ENDING = '{"error": "invalid_arguments", "details": ["the call is ending"]}'
_NOT_RUN = '{"error": "shutdown", "details": ["not carried out: the other side has begun to speak"]}'
_END_CALL = {
    "type": "object",
    "properties": {"reason": {"type": "string", "enum": REASONS, "description": "Why the call ends."}},
}


class CallTools:
    """What a turn may use. Tools run in the conversation's task group, so a barge-in does not stop them.

    Args:
        tools: the agent's. ``end_call`` is there in any case.
        gear: what they work with.
        context: what every handler learns of the call.
        emit: takes progress events.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        *,
        gear: CallGear,
        transcript: Transcript,
        timeout_s: float,
        context: Callable[[], Mapping[str, Any]],
        emit: Callable[..., None],
    ) -> None:
        self.intents = Intents()
        self.records: list[ToolCallRecord] = []
        self._gear = gear
        self._ids: set[str] = set()
        self._stoppable: dict[str, _Running] = {}
        self._admitted = 0
        self._transcript = transcript
        self._emit = emit
        if not any(tool.name == END_CALL for tool in tools):
            tools = [*tools, self._end_call()]
        self._context = context
        self._servers = [tool for tool in tools if tool.tool_type == "mcp"]
        self._own = {tool.exported_name for tool in tools}
        self._runner = ToolRunner(
            [tool for tool in tools if tool.tool_type != "mcp"],
            timeout_s=timeout_s,
            context=self._facts,
            bind=self._bind,
            assign=gear.variables.assign,
            known=gear.variables.names,
            hooks=Hooks(progress=self._progress, raised=gear.on_tool_error),
        )
        self._borrowed = None
        if gear.shelf is not None:
            self._borrowed = Borrowed(gear.shelf, self._runner, own=self._own, expand=self._expand_beside)
        self._say: Callable[[str], object] | None = None
        self._tasks: TaskGroup | None = None
        self._on_news: Callable[[News], None] = lambda news: None

    async def start(self) -> None:
        """Ask the MCP servers for their tools."""
        for server in self._servers:
            for tool in await self._expand(server, lambda: self._own):
                self._runner.register(tool)
                self._own.add(tool.exported_name)

    def open(
        self,
        tasks: TaskGroup,
        *,
        on_closing: Callable[[], bool],
        on_machine: Callable[[], None] | None = None,
        on_news: Callable[[News], None] = lambda news: None,
    ) -> None:
        """Say where tools run, and whom to ask whether the agent may close the call now.

        Args:
            on_machine: whom to tell that the mind has found an answering machine, if that does not end the call.
            on_news: whom to tell that a tool that was not waited for has answered, and the mind shall say so.
        """
        self._tasks = tasks
        self.intents.may_close = on_closing
        self.intents.on_machine = on_machine
        self._on_news = on_news

    @property
    def leaving(self) -> bool:
        """True once the call shall end, or be handed over, after this turn."""
        return self.intents.closing or self.intents.transfer is not None

    def words(self) -> str:
        """What a tool wants to be said before the call ends or is handed over; asked once."""
        return self.intents.words()

    def specs(self) -> list[ToolSpec]:
        """What the mind is offered."""
        self._update()
        return self._runner.specs()

    def admit(self, call: ToolCall) -> ToolCall:
        """The call under an id of its own: some models number their calls anew in each answer."""
        self._admitted += 1
        if call.name == END_CALL:
            call = as_meant(call)
        if call.id not in self._ids:
            self._ids.add(call.id)
            return call
        return replace(call, id=f"{call.id}-{self._admitted}")

    async def run(
        self,
        calls: Sequence[ToolCall],
        *,
        say: Callable[[str], object] | None = None,
        before: Callable[[Sequence[ToolCall]], Awaitable[None]] | None = None,
    ) -> list[Message]:
        """Run them, group after group; their results in the order of the calls.

        If this is cancelled, what has not begun does not run; the history has no call of which nothing has begun.

        Args:
            say: takes what a tool says of its progress.
            before: waited for before each group.
        """
        assert self._tasks is not None
        self._update()
        planned = [(call, self._runner.tool(call.name)) for call in calls]
        running = {call.id: _Running(call, tool) for call, tool in planned}
        for call in refused(planned):
            running[call.id].output = _ENDING
        groups = plan(planned)
        self._say = say
        try:
            for group in groups:
                if before is not None:
                    await before(group)
                if group is groups[0]:
                    self._transcript.tools(calls)
                for call in group:
                    running[call.id].has_begun = True
                    self._tasks.start_soon(self._run_one, running[call.id])
                for call in group:
                    await running[call.id].over.wait()
        finally:
            if any(one.has_begun for one in running.values()):
                for one in running.values():
                    if not one.has_begun:
                        self._transcript.tool_output(one.call.id, one.output or _NOT_RUN)
        return [Message("tool", running[call.id].output, tool_call_id=call.id) for call in calls]

    def filler(self, calls: Sequence[ToolCall]) -> tuple[str, float] | None:
        """What to say while these run, and after how many seconds; None if they say nothing."""
        policies = [tool.speech for call in calls if (tool := self._runner.tool(call.name)) is not None]
        speaking = [policy for policy in policies if policy.during]
        if not speaking:
            return None
        first = min(speaking, key=lambda policy: policy.delay_ms)
        return first.filler or FILLER, first.delay_ms / 1000

    def preface(self, calls: Sequence[ToolCall]) -> tuple[str | None, bool]:
        """What has to be said before these run, if nothing was; and whether all that is said must be played."""
        policies = [tool.speech for call in calls if (tool := self._runner.tool(call.name)) is not None]
        required = [policy.filler for policy in policies if policy.require_before]
        words = next(filter(None, required), FILLER) if required else None
        return words, any(policy.wait_before for policy in policies)

    def want_answer(self, calls: Sequence[ToolCall]) -> bool:
        """True if the mind shall go on when the results of these calls are there."""
        tools = [self._runner.tool(call.name) for call in calls]
        return any(tool is None or tool.speech.after for tool in tools)

    def interrupted(self) -> None:
        """The other side has taken the floor: stop what does not outlive that."""
        self.intents.transfer = None
        for call_id, running in list(self._stoppable.items()):
            if running.tool is not None and running.tool.interruption == "cancel":
                running.is_stopped = True
                self._runner.cancel(call_id)

    def _update(self) -> None:
        """Take over what others have changed since."""
        if self._borrowed is not None and self._tasks is not None:
            self._borrowed.update(self._tasks)

    async def _expand_beside(self, server: Tool) -> Sequence[Tool]:
        """The tools of a server of others, under names that nobody has."""
        return await self._expand(server, lambda: self._own.union(self._runner.names))

    async def _expand(self, server: Tool, taken: Callable[[], Collection[str]]) -> Sequence[Tool]:
        """The tools of an MCP server; one that does not answer has none."""
        mcp = import_module("patter.tools.executors.mcp")
        tools: Sequence[Tool] = await mcp.expand(server, self._gear, taken=taken)
        return tools

    def _facts(self) -> dict[str, Any]:
        """What a handler learns of the call."""
        facts = self._context()
        variables = self._gear.variables
        variables.tell(call_id=facts.get("call_id"), conversation_id=facts.get("call_id"))
        more = {"direction": variables.lookup("direction"), "variables": variables.shared()}
        return {**facts, **more, "agent_id": self._gear.agent_id, "attempt": 1}

    async def _run_one(self, one: _Running) -> None:
        started = anyio.current_time()
        outcome: ToolOutcome | None = None
        is_async = one.tool is not None and one.tool.execution_mode == "async"
        if is_async:
            one.settle(json.dumps({"status": "pending", "tool_call_id": one.call.id}))
            self._transcript.tool_output(one.call.id, one.output)
        self._stoppable[one.call.id] = one
        try:
            outcome = await self._runner.run(one.call.id, one.call.name, one.call.arguments)
        finally:
            del self._stoppable[one.call.id]
            if outcome is None:  # the call ended first
                one.is_stopped = True
                duration_ms = (anyio.current_time() - started) * 1000
                outcome = ToolOutcome(one.call.id, one.call.name, '{"error":"shutdown"}', "shutdown", duration_ms)
            self._record(outcome)
            if not is_async:
                self._transcript.tool_output(one.call.id, outcome.output)
                if not one.is_stopped:  # else the turn that waits has lost the floor, and must not go on
                    one.settle(outcome.output)
        if is_async and one.tool is not None:
            self._transcript.note(tool_answered(one.call.name, outcome.output))
            if one.tool.wait_for_response or one.tool.speech.after:
                self._on_news(News())

    def _record(self, outcome: ToolOutcome) -> None:
        record = ToolCallRecord(
            name=outcome.tool_name,
            tool_call_id=outcome.call_id,
            is_error=outcome.is_error,
            reason=outcome.reason,
            duration_ms=round(outcome.duration_ms, 1),
        )
        self.records.append(record)
        self._emit("tool", **record.model_dump())

    def _progress(self, call_id: str, name: str, text: str) -> None:
        if self._say is not None:
            self._say(text)

    def _bind(self, tool: Tool) -> Handler:
        if tool.tool_type in CALL_CONTROL:
            return self.intents.bind(tool)
        handler: Handler = import_module(f"patter.tools.executors.{tool.tool_type}").bind(tool, self._gear)
        return handler

    def _end_call(self) -> Tool:
        return Tool(
            name=END_CALL,
            description="Hang up. Say goodbye in the same answer, before you call this.",
            parameters=_END_CALL,
            handler=self.intents.ender(),
            priority=_LAST,
        )


class _Running:
    def __init__(self, call: ToolCall, tool: Tool | None) -> None:
        self.call = call
        self.tool = tool
        self.output = ""
        self.has_begun = False
        self.is_stopped = False
        self.over = anyio.Event()

    def settle(self, output: str) -> None:
        self.output = output
        self.over.set()
