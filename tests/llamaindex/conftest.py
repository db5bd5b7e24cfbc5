"""A phone on the local network whose mind says what the goal says, and tools on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import anyio
import pytest

pytest.importorskip("llama_index.core")

from patter import Patter
from patter.engine import Engine
from patter.local.dialogue import Listen, Persona, Say, Wait, scripted
from patter.local.exchange import Exchange, ExchangeCall, Timings
from patter.voice.base import Delta, Message, ToolCall, ToolSpec

BRIEF = scripted(Say("Hello?"), Listen(), Wait(0.5))


class Mind:
    """Says what the goal says, and hangs up; of a goal that begins with Hold it never hangs up."""

    model = "local/echo"

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        goal = messages[0].content.rpartition("Goal: ")[2]

        async def deltas() -> AsyncIterator[Delta]:
            yield f"{goal}."
            if not goal.startswith("Hold"):
                yield ToolCall("c1", "end_call", "{}")

        yield deltas()


class Line:
    """A phone, and what its carrier saw."""

    def __init__(self, persona: Persona | str, **options: Any) -> None:
        self.phone = Patter.local(persona, voice="tones", timings=Timings.quick(), **{"llm": Mind(), **options})

    @property
    def exchange(self) -> Exchange:
        assert self.phone.network is not None
        return self.phone.network.exchange

    @property
    def dials(self) -> list[ExchangeCall]:
        return list(self.exchange.calls.values())

    async def answered(self) -> None:
        """Wait until the first call was answered."""

        async def wait(_: object) -> None:
            call = await self.exchange.nth_call(1)
            await call.answered.wait()

        await self.phone.start()
        with anyio.fail_after(10):
            await self.phone.engine.run(wait)

    async def over(self) -> None:
        """Wait until the carrier has ended every call."""
        with anyio.fail_after(5):
            while not all(call.status.final for call in self.dials):  # noqa: ASYNC110 - a status has no event
                await anyio.sleep(0.01)


class MakeLine(Protocol):
    def __call__(self, persona: Persona | str = BRIEF, **options: Any) -> Line: ...


@pytest.fixture
def make_line() -> Iterator[MakeLine]:
    lines: list[Line] = []

    def make(persona: Persona | str = BRIEF, **options: Any) -> Line:
        lines.append(Line(persona, **options))
        return lines[-1]

    yield make
    for line in lines:
        Engine.shared().run_sync(lambda _, line=line: line.phone.stop())
        assert not line.phone.live_calls
