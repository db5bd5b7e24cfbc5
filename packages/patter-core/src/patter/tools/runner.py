"""The only place that executes in-call tools: it always answers, once, with a result or a safe code.

The five codes are ``unknown_tool``, ``invalid_arguments``, ``handler_error``, ``timeout`` and ``shutdown``.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio

from patter.tools.encoding import decode, encode
from patter.tools.handlers import HandlerFailed, call_handler
from patter.tools.model import Handler, Tool, ToolContext
from patter.tools.refusals import ErrorReason, ToolRefusal
from patter.tools.validation import Validator
from patter.voice.base import ToolSpec

__all__ = ["Hooks", "ToolOutcome", "ToolRunner"]

_REMEMBERED = 10_000
_WARN_BYTES = 4096

_log = logging.getLogger("patter.tools")


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What the mind is told, and how long it took. Errors carry a safe code, never an exception's text."""

    call_id: str
    tool_name: str
    output: str
    reason: ErrorReason | None
    duration_ms: float

    @property
    def is_error(self) -> bool:
        return self.reason is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Who is told what happens. None of them is given arguments or outputs; what they raise is swallowed.

    Args:
        invoked: a handler is about to start: call id, tool.
        completed: an output exists: call id, tool, whether it is an error.
        failed: why there is no result: call id, tool, one of the five codes.
        raised: the exception of a handler, for the host's developer: call id, tool, exception.
        progress: what a handler says while it works: call id, tool, text.
    """

    invoked: Callable[[str, str], object] | None = None
    completed: Callable[[str, str, bool], object] | None = None
    failed: Callable[[str, str, ErrorReason], object] | None = None
    raised: Callable[[str, str, BaseException], object] | None = None
    progress: Callable[[str, str, str], object] | None = None


class ToolRunner:
    """Executes tools: every call id once in a generation, and every one with exactly one outcome.

    Args:
        tools: what may be called; more can be registered at any time.
        timeout_s: of a tool that names no time-out.
        context: what every handler learns of its call.
        bind: makes the handler of a tool that brings none. Such a handler is trusted: it runs on this loop.
        known: names the variables that the call has a value for, so that the mind is not asked for them.
        assign: takes a tool's result, and the paths in it by the variables that they set.
        hooks: who is told.
    """

    def __init__(
        self,
        tools: Iterable[Tool] = (),
        *,
        timeout_s: float = 30.0,
        context: Callable[[], Mapping[str, Any]] = dict,
        bind: Callable[[Tool], Handler] | None = None,
        assign: Callable[[Any, Mapping[str, str]], object] | None = None,
        known: Callable[[], Collection[str]] = tuple,
        hooks: Hooks | None = None,
    ) -> None:
        self.generation = 0
        self._timeout_s = timeout_s
        self._context = context
        self._bind = bind
        self._assign = assign
        self._known = known
        self._hooks = hooks or Hooks()
        self._tools: dict[str, _Registered] = {}
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._is_destroyed = False
        self._warned: set[str] = set()
        for tool in tools:
            self.register(tool)

    # --- the registry --------------------------------------------------------------------------

    def register(self, tool: Tool | str, handler: Handler | None = None) -> None:
        """Add a tool, or replace the one of its name; with a bare name, ``handler`` takes any JSON arguments."""
        if isinstance(tool, Tool):
            self._tools[tool.exported_name] = _Registered(tool, tool.handler)
        else:
            self._tools[tool] = _Registered(None, handler)

    def register_all(self, handlers: Mapping[str, Handler]) -> None:
        """Register bare handlers by name."""
        for name, handler in handlers.items():
            self.register(name, handler)

    def unregister(self, name: str, tool: Tool | None = None) -> bool:
        """Take a tool away; False if there was none. With ``tool``, only if it is this very one that has the name."""
        known = self._tools.get(name)
        if known is None or (tool is not None and known.tool is not tool):
            return False
        del self._tools[name]
        return True

    def has(self, name: str) -> bool:
        return name in self._tools

    @property
    def names(self) -> list[str]:
        """What can be called."""
        return [*self._tools]

    def tool(self, name: str) -> Tool | None:
        """The tool of that name, if it is there and enabled."""
        known = self._tools.get(name)
        return known.tool if known is not None and known.is_enabled else None

    def specs(self) -> list[ToolSpec]:
        """What the mind is offered: the enabled tools, by priority and name."""
        tools = [known.tool for known in self._tools.values() if known.tool is not None and known.is_enabled]
        return [tool.spec(self._known()) for tool in sorted(tools, key=lambda tool: (tool.priority, tool.name))]

    # --- running -------------------------------------------------------------------------------

    def is_new(self, call_id: str) -> bool:
        """True if no call of this id is running, or was run in this generation."""
        return not self._is_destroyed and call_id not in self._runs

    async def run(self, call_id: str, name: str, arguments: str | Mapping[str, Any] | None) -> ToolOutcome:
        """Execute one tool call; its outcome. A call id that is known gets the first one's outcome.

        Never raises for what a tool does. If this is cancelled, the outcome is ``shutdown``.
        """
        if (first := self._runs.get(call_id)) is not None:
            await first.over.wait()
            assert first.outcome is not None
            return first.outcome
        run = _Run(call_id, name, self.generation, anyio.current_time())
        if self._is_destroyed:
            return run.settle(_refusal("shutdown"), "shutdown")
        self._remember(run)
        try:
            with run.scope:
                self._settle(run, *await self._outcome(run, arguments))
        finally:
            if run.outcome is None:  # it was cancelled
                self._settle(run, _refusal("shutdown"), "shutdown")
        assert run.outcome is not None
        return run.outcome

    def cancel(self, call_id: str) -> None:
        """Stop waiting for a call; its outcome is ``shutdown``, and what comes later is dropped."""
        if (run := self._runs.get(call_id)) is not None:
            run.scope.cancel()

    def reset(self) -> None:
        """Begin a new generation: known call ids are forgotten, what still runs has its output dropped."""
        self.generation += 1
        self._runs.clear()

    def destroy(self) -> None:
        """`reset`, and nothing can be called any more."""
        self.reset()
        self._tools.clear()
        self._is_destroyed = True

    async def _outcome(self, run: _Run, text: str | Mapping[str, Any] | None) -> tuple[str, ErrorReason | None]:
        try:
            return await self._execute(run, text), None
        except ToolRefusal as refusal:
            return _refusal(refusal.reason, **refusal.fields), refusal.reason
        except TimeoutError:
            return _refusal("timeout"), "timeout"
        except HandlerFailed as failure:
            if isinstance(failure.cause, ToolRefusal):
                return _refusal(failure.cause.reason, **failure.cause.fields), failure.cause.reason
            self._tell(self._hooks.raised, run.call_id, run.name, failure.cause)
        except Exception as error:  # the boundary to an executor
            self._tell(self._hooks.raised, run.call_id, run.name, error)
        return _refusal("handler_error"), "handler_error"

    async def _execute(self, run: _Run, text: str | Mapping[str, Any] | None) -> str:
        known = self._tools.get(run.name)
        if known is None or not known.is_enabled:
            raise ToolRefusal("unknown_tool")
        arguments = decode(text)
        if known.tool is not None:
            validator = known.validator(self._known)
            arguments = validator.check({} if arguments is None else arguments) | known.tool.static_arguments
        raw = text if isinstance(text, str) else ("" if text is None else json.dumps(dict(text)))
        facts = {"call_id": run.call_id, **self._context()}
        context = ToolContext(facts, tool_call_id=run.call_id, tool_name=run.name, raw_arguments=raw)
        self._tell(self._hooks.invoked, run.call_id, run.name)
        output: str
        with anyio.fail_after(known.timeout_s or self._timeout_s):
            if known.handler is not None:
                value, output = await call_handler(
                    known.handler,
                    arguments,
                    context,
                    finish=lambda value: (value, encode(value)),
                    on_progress=lambda said: self._tell(self._hooks.progress, run.call_id, run.name, said),
                )
            else:
                value = await self._bound(known)(arguments, context)
                output = encode(value)
        if known.tool is not None and known.tool.assignments and self._assign is not None:
            self._assign(value, {one.variable: one.path for one in known.tool.assignments})
        if len(output) > _WARN_BYTES and run.name not in self._warned:
            self._warned.add(run.name)
            _log.warning("tool %s answers %d characters; long answers make the agent slow", run.name, len(output))
        return output

    def _bound(self, known: _Registered) -> Handler:
        if known.bound is None:
            assert known.tool is not None
            if self._bind is None:
                raise ToolRefusal("unknown_tool")
            known.bound = self._bind(known.tool)
        return known.bound

    def _settle(self, run: _Run, output: str, reason: ErrorReason | None) -> ToolOutcome:
        if run.generation != self.generation:
            output, reason = _refusal("shutdown"), "shutdown"
        outcome = run.settle(output, reason)
        if reason is not None:
            self._tell(self._hooks.failed, run.call_id, run.name, reason)
        if reason != "shutdown":
            self._tell(self._hooks.completed, run.call_id, run.name, outcome.is_error)
        _log.debug("tool %s, call %s: %s, %.1f ms", run.name, run.call_id, reason or "ok", outcome.duration_ms)
        return outcome

    def _remember(self, run: _Run) -> None:
        self._runs[run.call_id] = run
        while len(self._runs) > _REMEMBERED:
            oldest = next(iter(self._runs))
            if not self._runs[oldest].over.is_set():
                break  # a call that runs is never forgotten
            del self._runs[oldest]

    @staticmethod
    def _tell(hook: Callable[..., object] | None, *facts: Any) -> None:
        if hook is not None:
            with suppress(Exception):  # the boundary to the host's code
                hook(*facts)


@dataclass(slots=True)
class _Registered:
    tool: Tool | None
    handler: Handler | None
    bound: Handler | None = None
    checked: Validator | None = None

    @property
    def is_enabled(self) -> bool:
        return self.tool is None or self.tool.is_enabled

    def validator(self, known: Callable[[], Collection[str]]) -> Validator:
        """What the arguments are checked with; the parameters of a request depend on what the call knows by now."""
        assert self.tool is not None
        if self.checked is None or self.tool.parameters is None:
            self.checked = Validator(self.tool.llm_parameters(known()), is_strict=self.tool.strict)
        return self.checked

    @property
    def timeout_s(self) -> float | None:
        return None if self.tool is None or self.tool.limit_ms is None else self.tool.limit_ms / 1000


@dataclass(slots=True)
class _Run:
    call_id: str
    name: str
    generation: int
    began: float
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    over: anyio.Event = field(default_factory=anyio.Event)
    outcome: ToolOutcome | None = None

    def settle(self, output: str, reason: ErrorReason | None) -> ToolOutcome:
        duration_ms = (anyio.current_time() - self.began) * 1000
        self.outcome = ToolOutcome(self.call_id, self.name, output, reason, duration_ms)
        self.over.set()
        return self.outcome


def _refusal(reason: ErrorReason, **fields: Any) -> str:
    return json.dumps({"error": reason, **fields}, ensure_ascii=False)
