"""All vendors on this machine at once."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from patter.testing.emulators.anthropic import AnthropicEmulator
from patter.testing.emulators.deepgram import DeepgramEmulator
from patter.testing.emulators.elevenlabs import ElevenLabsEmulator
from patter.testing.emulators.openai import OpenAIEmulator

__all__ = ["Vendors"]


class Vendors:
    """Starts all emulators when entered, and ends them when left."""

    def __init__(self) -> None:
        self.deepgram = DeepgramEmulator()
        self.openai = OpenAIEmulator()
        self.anthropic = AnthropicEmulator()
        self.elevenlabs = ElevenLabsEmulator()
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as starting:
            for emulator in (self.deepgram, self.openai, self.anthropic, self.elevenlabs):
                await starting.enter_async_context(emulator)
            self._running = starting.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._running.__aexit__(kind, error, trace)
