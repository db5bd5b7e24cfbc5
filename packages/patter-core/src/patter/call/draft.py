"""The agent thinks ahead: an answer to a turn that is probably over, kept back until it is."""

from __future__ import annotations

from collections.abc import Callable

from patter.call.meter import TurnClock
from patter.call.turn import Reply, Turn

__all__ = ["Drafts"]


class Drafts:
    """Holds at most one draft, and drops it without trace when it answers the wrong question.

    Args:
        starts: how many drafts a turn of the callee may have.
        begin: begins to answer what the callee has said; the answer is not confirmed.
    """

    def __init__(self, *, starts: int, begin: Callable[[str, TurnClock], Reply]) -> None:
        self._starts = starts
        self._begin = begin
        self._started = 0
        self._reply: Reply | None = None
        self._clock = TurnClock()
        self._text = ""
        self._version = 0

    def follow(self, pending: str, ready: str | None, version: int) -> None:
        """Drop what the callee's further words have overtaken; begin if the turn is probably over.

        Args:
            pending: what the callee has said of the turn so far.
            ready: the same if that is probably all, or None.
            version: of the transcript that the answer rests on.
        """
        if self._reply is not None and (self._text, self._version) != (pending, version):
            self.drop()
        if ready is None or self._reply is not None or self._started >= self._starts:
            return
        self._started += 1
        self._text, self._version, self._clock = ready, version, TurnClock()
        self._reply = self._begin(ready, self._clock)

    def adopt(self, text: str, version: int, clock: TurnClock) -> Reply | None:
        """The turn is over: the draft, if it answers this very text and nothing else has happened."""
        self._started = 0
        reply, self._reply = self._reply, None
        if reply is None:
            return None
        if (self._text, self._version) != (text, version):
            reply.scope.cancel()
            return None
        self._clock.speech_ended, self._clock.committed = clock.speech_ended, clock.committed
        return reply

    def over(self, turn: Turn) -> bool:
        """A turn has ended by itself: True if it was the draft, which has failed then, and is forgotten."""
        if turn is not self._reply:
            return False
        self._reply = None
        self._started = self._starts  # the turn's own answer is the second chance
        return True

    def drop(self) -> None:
        """Stop thinking."""
        if self._reply is not None:
            self._reply.scope.cancel()
            self._reply = None
