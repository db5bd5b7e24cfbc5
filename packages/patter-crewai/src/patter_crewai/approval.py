"""Approval of calls by a hook of CrewAI, which runs before the tool does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from crewai.hooks import register_before_tool_call_hook, unregister_before_tool_call_hook
from crewai.hooks.tool_hooks import ToolCallHookContext
from crewai.utilities.string_utils import sanitize_tool_name

__all__ = ["approve_calls"]


@contextmanager
def approve_calls(ask: Callable[[dict[str, Any]], bool], *, name: str = "make_phone_call") -> Iterator[None]:
    """While the context is open, agents may place only the calls that are approved.

    A call that is not approved is not dialled, and the agent reads that the tool was blocked. So it is
    if ``ask`` raises: CrewAI itself ignores what a hook raises, and goes on with the tool.

    Args:
        ask: takes the arguments, as the agent's model wrote them, and returns True to let the call be placed.
            It runs in the thread of the agent, and may wait for somebody.
        name: the tool's name.
    """
    guarded = sanitize_tool_name(name)

    def hook(context: ToolCallHookContext) -> bool | None:
        if context.tool_name != guarded:
            return None
        try:
            return None if ask(dict(context.tool_input)) is True else False
        except Exception:  # the boundary to the host's code: no answer is no approval
            return False

    register_before_tool_call_hook(hook)
    try:
        yield
    finally:
        unregister_before_tool_call_hook(hook)
