"""What a turn says, on its way to the callee: text goes in at one end, and is played at the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from patter.voice.base import Utterance, Voice

__all__ = ["Delivery"]


class Delivery:
    """Takes text from several tasks, and plays it in the order in which it came.

    It is one utterance, unless somebody waits until all of it was played: what follows is another one. There is
    no other way to wait, for a voice may keep its last audio back until it knows that no more text comes.
    """

    def __init__(self) -> None:
        self._utterance: Utterance | None = None
        """The one that takes text; None between two of them."""
        self._has_text = False
        self._is_last = False
        self._news = anyio.Condition()

    async def run(self, voice: Voice, play: Callable[[Utterance], Awaitable[None]]) -> None:
        """Play it all, up to `finish`."""
        while not self._is_last:
            async with voice.utter() as utterance:
                await self._begin(utterance)
                try:
                    await play(utterance)
                finally:
                    self._utterance = None

    async def say(self, text: str) -> None:
        """Hand a text to the voice."""
        async with self._news:
            utterance = await self._current()
            self._has_text = True
            await utterance.say(text)

    async def played(self) -> None:
        """Wait until all that was said was played."""
        async with self._news:
            if self._has_text:
                await self._end()
                await self._current()

    async def finish(self) -> None:
        """Say that no more text comes."""
        async with self._news:
            await self._current()
            self._is_last = True
            await self._end()

    async def _begin(self, utterance: Utterance) -> None:
        async with self._news:
            self._utterance, self._has_text = utterance, False
            self._news.notify_all()

    async def _end(self) -> None:
        utterance, self._utterance = await self._current(), None
        await utterance.finish()

    async def _current(self) -> Utterance:
        """The utterance that takes text, when it is there."""
        while self._utterance is None:
            await self._news.wait()
        return self._utterance
