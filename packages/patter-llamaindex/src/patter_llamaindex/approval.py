"""A person is asked before the dial, through the workflow's own way of waiting for somebody."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent

from patter.schema import CallArguments

__all__ = ["NOBODY_TO_ASK", "ask"]

NOBODY_TO_ASK = "This call needs a person's approval, and there is nobody to ask here. Nothing was dialled."

_YES = ("yes", "y", "true")


async def ask(ctx: Context[Any], call: CallArguments, use_id: str | None, *, within_s: float) -> str | None:
    """None if a person has approved the call, else what the model is told.

    The step that waits is run again from its beginning when the answer has come, so nothing may have
    happened before. The answer has to repeat the question's ``approval_id``: with several calls waiting,
    one yes must not approve them all.
    """
    approval_id = hashlib.sha256(f"{use_id}/{call!r}".encode()).hexdigest()[:16]
    asked = asdict(call) | {"prefix": f"May I call {call.to}? (yes/no) ", "approval_id": approval_id}
    try:
        answer = await ctx.wait_for_event(
            HumanResponseEvent,
            waiter_event=InputRequiredEvent(**asked),
            waiter_id=f"patter-{approval_id}",
            requirements={"approval_id": approval_id},
            timeout=within_s,
        )
    except TimeoutError:
        return "Nobody approved the call in time. Nothing was dialled."
    if str(answer.get("response", "")).strip().lower() in _YES:
        return None
    return "The call was not approved. Nothing was dialled. Do not try again unless asked to."
