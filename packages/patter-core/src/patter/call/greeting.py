"""The first message, synthesised while the phone rings."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from patter.call.meter import Meter
from patter.errors import ProviderError
from patter.voice.base import Speech, Voice

__all__ = ["Greeting"]


class Greeting:
    """Collects a text's speech ahead of time. Iterating gives it from the beginning, as far as it is there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._pieces: list[Speech] = []
        self._complete = False
        self._error: ProviderError | None = None
        self._news = anyio.Event()

    async def synthesise(self, voice: Voice, meter: Meter) -> None:
        """Fetch the speech. A failure is raised where the speech is wanted."""
        meter.synthesised(self.text)
        try:
            async with voice.utter() as utterance:
                await utterance.say(self.text)
                await utterance.finish()
                async for piece in utterance:
                    self._pieces.append(piece)
                    self._wake()
        except ProviderError as error:
            self._error = error
        self._complete = True
        self._wake()

    def __aiter__(self) -> AsyncIterator[Speech]:
        return _Replay(self)

    async def piece(self, index: int) -> Speech | None:
        """The piece of this number, once it is there; None after the last."""
        while index >= len(self._pieces):
            if self._error is not None:
                raise self._error
            if self._complete:
                return None
            await self._news.wait()
        return self._pieces[index]

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()


class _Replay:
    """The greeting from its beginning. A class, because a generator that is left early is closed by nobody."""

    def __init__(self, greeting: Greeting) -> None:
        self._greeting = greeting
        self._index = 0

    def __aiter__(self) -> _Replay:
        return self

    async def __anext__(self) -> Speech:
        piece = await self._greeting.piece(self._index)
        if piece is None:
            raise StopAsyncIteration
        self._index += 1
        return piece
