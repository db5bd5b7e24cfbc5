"""What somebody outside may do in a call that goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.call.inbox import News

if TYPE_CHECKING:
    from patter.call.call import Call

__all__ = ["LiveCall"]


class LiveCall:
    """A call, for a program that carries out its tools.

    What is asked for is False if nothing is done: before the talk begins, after its end, and if there was too much.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def agent_name(self) -> str | None:
        """The agent that speaks in it."""
        return self._call.request.agent.name

    def goes_by(self, call_id: str) -> bool:
        """True if this is the call's id, or was before the carrier gave it one."""
        return self._call.goes_by(call_id)

    def say(self, text: str) -> bool:
        """Let the agent say this as soon as nobody else speaks."""
        return self._tell(News(text=text))

    def note(self, text: str) -> bool:
        """Tell the mind something, for its next answer."""
        return self._tell(News(text, is_urgent=False))

    def speak(self, note: str | None) -> bool:
        """Let the mind answer as soon as nobody speaks."""
        return self._tell(News(note))

    def _tell(self, news: News) -> bool:
        conversation = self._call.conversation
        return conversation is not None and conversation.hear_of(news)
