"""Client-side tools: functions of a program that an assistant elsewhere calls in the middle of its conversation.

The promises are those of Telnyx's agent library, and so are the words unless another codec is chosen; `ToolRunner`
keeps them.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup

from patter.tools.codecs import telnyx
from patter.tools.codecs.base import FunctionCall, ToolCodec
from patter.tools.context import Handler
from patter.tools.model import Tool
from patter.tools.runner import Hooks, ToolRunner

__all__ = ["ActiveCall", "ClientToolManager"]


class ActiveCall(Protocol):
    """The conversation that the outputs go to."""

    def send(self, message: dict[str, Any]) -> Awaitable[object] | object:
        """Send one JSON message; raises if the connection is gone."""


class ClientToolManager:
    """Answers an assistant's function calls: every call id once, and every one with an output or a safe error code.

    It works while its context is entered: ``async with ClientToolManager(...) as manager``. Arguments and outputs
    are neither logged nor told to listeners.

    Args:
        client_tools: handlers by name. Each takes ``(args, context)``: the parsed arguments, None if there are
            none, and a context with ``call_id`` (of the function call), ``tool_name`` and ``raw_arguments``.
        get_active_call: finds where outputs go now; None drops them.
        timeout_ms: of one run of a handler.
        on_event: takes ``client.tool.invoked``, ``client.tool.completed`` and ``client.tool.error``, and their facts:
            ``call_id``, ``tool_name``, and ``is_error`` or ``reason``.
        on_exception: takes call id, tool and exception of a handler, and is the only one to see it.
        codec: whose words the events and the outputs are in: a module of `patter.tools.codecs`.
    """

    def __init__(
        self,
        client_tools: Mapping[str, Handler] | None = None,
        *,
        get_active_call: Callable[[], ActiveCall | None],
        timeout_ms: int = 30_000,
        on_event: Callable[[str, dict[str, Any]], object] | None = None,
        on_exception: Callable[[str, str, BaseException], object] | None = None,
        codec: ToolCodec = telnyx,
    ) -> None:
        self._codec = codec
        self._get_active_call = get_active_call
        self._on_event = on_event
        hooks = Hooks(
            invoked=lambda call_id, name: self._tell("invoked", call_id, name),
            failed=lambda call_id, name, reason: self._tell("error", call_id, name, reason=reason),
            raised=on_exception,
        )
        self._runner = ToolRunner(timeout_s=timeout_ms / 1000, hooks=hooks)
        self._runner.register_all(client_tools or {})
        self._tasks: TaskGroup | None = None
        self._accepted: set[str] = set()
        """Calls whose run has not begun yet, so that the runner does not know them."""

    async def __aenter__(self) -> ClientToolManager:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        tasks, self._tasks = self._tasks, None
        tasks.cancel_scope.cancel()
        await tasks.__aexit__(None, None, None)  # what was raised in the context is raised as it is

    @property
    def generation(self) -> int:
        """How often it was reset."""
        return self._runner.generation

    def register(self, tool: str | Tool, handler: Handler | None = None) -> None:
        """Add a tool, or replace the one of that name; also in the middle of a conversation.

        Args:
            tool: its name, with its ``handler``; or a `Tool` with a handler, whose arguments are checked.
        """
        self._runner.register(tool, handler)

    def register_all(self, handlers: Mapping[str, Handler]) -> None:
        """`register` several."""
        self._runner.register_all(handlers)

    def unregister(self, name: str) -> bool:
        """Take a tool away; False if there was none."""
        return self._runner.unregister(name)

    def has(self, name: str) -> bool:
        """True if there is a tool of that name."""
        return self._runner.has(name)

    def list(self) -> Sequence[str]:
        """The names of the tools."""
        return self._runner.names

    def handle_event(self, event: Mapping[str, Any]) -> bool:
        """Take an event of the conversation; True if it is a function call that is answered.

        Everything else is left alone, and so is a call id that was answered, or is being answered, since the
        last `reset`.

        Raises:
            RuntimeError: the context of this manager is not entered.
        """
        call = self._codec.decode(event)
        if call is None or call.call_id in self._accepted or not self._runner.is_new(call.call_id):
            return False
        if self._tasks is None:
            raise RuntimeError("Enter 'async with manager:' before events are handled.")
        self._accepted.add(call.call_id)
        self._tasks.start_soon(self._answer, call, self._runner.generation)
        return True

    def cancel(self, call_id: str) -> None:
        """Nobody waits for this call any more: its handler is stopped, and no output is sent."""
        self._accepted.discard(call_id)
        self._runner.cancel(call_id)

    def reset(self) -> None:
        """The connection was lost: forget what was called. Outputs that are still to come are dropped."""
        self._accepted.clear()
        self._runner.reset()

    def destroy(self) -> None:
        """`reset`, and take every tool away, for good."""
        self._runner.destroy()

    async def _answer(self, call: FunctionCall, generation: int) -> None:
        if generation != self._runner.generation or call.call_id not in self._accepted:
            self._tell("error", call.call_id, call.name, reason="shutdown")  # it was reset or cancelled before it began
            return
        self._accepted.discard(call.call_id)  # nothing is awaited before the runner knows it
        outcome = await self._runner.run(call.call_id, call.name, call.arguments)
        if outcome.reason == "shutdown":
            return
        active = self._get_active_call()
        if active is not None and generation == self._runner.generation:
            with suppress(Exception):  # the boundary to a connection that may be gone
                message = self._codec.encode_output(call.call_id, outcome.output, is_error=outcome.is_error)
                sent = active.send(message)
                if inspect.isawaitable(sent):
                    await sent
                self._tell("completed", call.call_id, call.name, is_error=outcome.is_error)
                return
        self._tell("error", call.call_id, call.name, reason="shutdown")

    def _tell(self, what: str, call_id: str, tool_name: str, **facts: Any) -> None:
        if self._on_event is not None:
            with suppress(Exception):  # the boundary to the host's code
                self._on_event(f"client.tool.{what}", {"call_id": call_id, "tool_name": tool_name, **facts})
