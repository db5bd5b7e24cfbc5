"""Makes the agent's turns, of what the call is made of."""

from __future__ import annotations

from collections.abc import Callable

from patter.agent import Agent
from patter.call.hold import HoldMusic
from patter.call.meter import Meter, TurnClock
from patter.call.sessions import Sessions
from patter.call.toolbox import CallTools
from patter.call.transcript import Transcript
from patter.call.turn import Recital, Reply
from patter.voice.base import Message, Voice

__all__ = ["Turns"]


class Turns:
    """Each turn is new, and is not run here.

    Args:
        system: the mind's system prompt.
        emit: takes progress events, as keyword arguments after the type.
    """

    def __init__(
        self,
        agent: Agent,
        system: str,
        sessions: Sessions,
        tools: CallTools,
        transcript: Transcript,
        meter: Meter,
        *,
        emit: Callable[..., None],
    ) -> None:
        self._timing = agent.timing
        self._system = system
        self._sessions = sessions
        self._tools = tools
        self._transcript = transcript
        self._meter = meter
        self._emit = emit

    @property
    def voice(self) -> Voice:
        """What they speak with."""
        return self._sessions.voice

    def reply(self, clock: TurnClock | None, *, heard: str | None = None, closing: bool = False) -> Reply:
        """An answer to what stands in the transcript.

        Args:
            heard: what the callee has said, if it does not stand there yet.
        """
        history = self._transcript.history(self._system)
        return Reply(
            clock=clock,
            closing=closing,
            mind=self._sessions.mind,
            history=history if heard is None else [*history, Message("user", heard)],
            tools=self._tools,
            meter=self._meter,
            timing=self._timing,
            on_clause=lambda text: self._emit("saying", text=text),
        )

    def recital(self, text: str, *, closing: bool) -> Recital:
        """A fixed text."""
        return Recital(text=text, meter=self._meter, timing=self._timing, closing=closing)

    def hold_music(self) -> HoldMusic:
        """Music for a caller who waits."""
        return HoldMusic(meter=self._meter, timing=self._timing)
