"""Which use of a tool a workflow's step is working on."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from llama_index.core.workflow import Context

try:
    from workflows.context.state_store import DictState
    from workflows.runtime.types.results import StepWorkerStateContextVar
except ImportError:  # another release of the workflow engine, which may keep them elsewhere
    StepWorkerStateContextVar = None  # type: ignore[assignment, unused-ignore]

__all__ = ["identify"]

_SCOPE = "patter_scope"


async def identify(ctx: Context[Any] | None, tool_name: str) -> tuple[str | None, str]:
    """The model's id of this use, and what it is unique in; ``(None, "")`` if the workflow does not tell.

    The scope is kept in the workflow's context, so that a workflow that is restored from it is the same one.
    LlamaIndex hands no id to a tool, but the event that the step was started by has it.
    """
    event = _event()
    use_id = getattr(event, "tool_id", None)
    # Models without ids of their own, such as Ollama's, have the name of the tool in its place.
    if ctx is None or not use_id or use_id == tool_name or getattr(event, "tool_name", None) != tool_name:
        return None, ""
    async with ctx.store.edit_state() as state:
        if not isinstance(state, DictState):
            return None, ""
        if _SCOPE not in state:
            state[_SCOPE] = uuid4().hex
        return str(use_id), str(state[_SCOPE])


def _event() -> object:
    """What the running step was started by; None outside of a step."""
    try:
        return StepWorkerStateContextVar.get().event
    except (AttributeError, LookupError):
        return None
