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

    async def __aiter__(self) -> AsyncIterator[Speech]:
        index = 0
        while True:
            while index < len(self._pieces):
                yield self._pieces[index]
                index += 1
            if self._error is not None:
                raise self._error
            if self._complete:
                return
            await self._news.wait()

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()
