"""What somebody outside may do in a call that goes on."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from patter.call.inbox import News

if TYPE_CHECKING:
    from patter.call.call import Call

__all__ = ["LiveCall"]


class LiveCall:
    """A call, for a program that carries out its tools. Before the talk begins and after its end, nothing is done."""

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def agent_name(self) -> str | None:
        """The agent that speaks in it."""
        return self._call.request.agent.name

    def say(self, text: str) -> None:
        """Let the agent say this as soon as nobody else speaks."""
        self._tell(News(text=text))

    def note(self, text: str) -> None:
        """Tell the mind something, for its next answer."""
        self._tell(News(text, is_urgent=False))

    def speak(self, note: str | None) -> None:
        """Let the mind answer as soon as nobody speaks."""
        self._tell(News(note))

    def _tell(self, news: News) -> None:
        if self._call.conversation is not None:
            with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.WouldBlock):
                self._call.conversation.tell(news)
