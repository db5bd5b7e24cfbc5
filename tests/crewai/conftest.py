"""Phones on the local network whose mind says what the goal says, and CrewAI tools on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest

pytest.importorskip("crewai")

from patter import Patter
from patter.engine import Engine
from patter.local.dialogue import Listen, Persona, Say, Wait, scripted
from patter.local.exchange import ExchangeCall, Timings
from patter.voice.base import Delta, Message, ToolCall, ToolSpec
from patter_crewai import PatterCrewAITool

BRIEF = scripted(Say("Hello?"), Listen(), Wait(0.5))


class Mind:
    """Says what the goal says, and hangs up."""

    model = "local/echo"

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        goal = messages[0].content.rpartition("Goal: ")[2]

        async def deltas() -> AsyncIterator[Delta]:
            yield f"{goal}."
            yield ToolCall("c1", "end_call", "{}")

        yield deltas()


def dials(tool: PatterCrewAITool) -> list[ExchangeCall]:
    """Every call that the tool's phone has dialled, as the carrier knows them."""
    assert tool.phone.network is not None
    return list(tool.phone.network.exchange.calls.values())


class MakeTool(Protocol):
    def __call__(self, persona: Persona | str = BRIEF, **options: Any) -> PatterCrewAITool: ...


@pytest.fixture
def make_tool() -> Iterator[MakeTool]:
    phones: list[Patter] = []

    def make(persona: Persona | str = BRIEF, **options: Any) -> PatterCrewAITool:
        phones.append(Patter.local(persona, voice="tones", timings=Timings.quick(), llm=Mind()))
        return PatterCrewAITool(phone=phones[-1], **options)

    yield make
    for phone in phones:
        Engine.shared().run_sync(lambda _, phone=phone: phone.stop())
        assert not phone.live_calls
