"""A tool tried out without a call."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from patter.tools.context import ToolContext
from patter.tools.model import Tool
from patter.tools.safe_http import SafeHttp
from patter.tools.trial import Trial, try_out

pytestmark = pytest.mark.anyio


async def test_each_trial_is_a_use_of_its_own() -> None:
    seen: list[str] = []

    async def book(arguments: object, context: ToolContext) -> str:
        seen.append(context.tool_call_id)
        return "booked"

    tool = Tool(name="book", description="Books what the caller wants.", handler=book)
    async with aclosing(SafeHttp()) as http:
        for _ in range(2):
            assert (await try_out(tool, {}, Trial(), http=http)).output == "booked"
    assert len(set(seen)) == 2  # a server that is asked takes two requests of one id for one
