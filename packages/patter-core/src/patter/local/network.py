"""A phone network in a box, ready to be called: an exchange, a persona, and an agent that needs no keys."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from patter.agent import Agent
from patter.carriers.base import Carrier
from patter.carriers.twilio import Twilio
from patter.errors import ConfigError
from patter.local.brain import DemoBrain, phrases
from patter.local.callee import Callee, DialedCall, PersonaCallee
from patter.local.dialogue import Persona
from patter.local.diary import DIARY
from patter.local.exchange import Exchange, ExchangeCall, Faults, Timings
from patter.local.personas import persona as find_persona
from patter.local.voices import available, pick
from patter.voice.base import ChatModel

__all__ = ["LocalCarrier", "LocalNetwork"]

_log = logging.getLogger("patter")

_KINDS = ("auto", "speech", "tones")
_GOALS_REMEMBERED = 8


class LocalCarrier(Twilio):
    """The local network as a carrier: Twilio's protocol, another address, no cost."""

    @property
    def name(self) -> str:
        """The carrier's name in addresses and envelopes."""
        return "local"


class LocalNetwork:
    """Everything a call without keys needs.

    Args:
        persona: who answers, by name (see `patter.local.personas.PERSONAS`) or as a script of your own.
        voice: "speech", "tones", or "auto" for speech where it is installed.
        callee: makes who answers each call, in place of the persona; the agent then expects any English.
        others: further personas by their numbers, such as those that a call can be transferred to.
        llm: the mind of the local agent; the deterministic demo brain if left out.
        tools: what the local agent may use during the call, as for `patter.Agent`.
        timings: how fast the network is.
        faults: how the network misbehaves.

    Raises:
        ConfigError: no such persona or voice, or speech is not installed.
    """

    phone_number = "+15550100001"

    def __init__(
        self,
        persona: str | Persona = "salon",
        *,
        voice: str = "auto",
        callee: Callable[[DialedCall], Callee] | None = None,
        others: Mapping[str, Persona] | None = None,
        llm: ChatModel | None = None,
        tools: Sequence[Any] = (),
        timings: Timings | None = None,
        faults: Faults | None = None,
    ) -> None:
        if voice not in _KINDS:
            raise ConfigError(f"There is no voice {voice!r}. There are {', '.join(_KINDS)}.")
        self.persona = persona if isinstance(persona, Persona) else find_persona(str(persona))
        self.number = self.persona.number
        best = available()
        self.voice = best.kind if voice == "auto" else voice
        self.voice_note = best.reason if voice == "auto" and best.kind == "tones" else None
        if self.voice_note is not None:
            _log.warning("Data tones in place of speech: %s.", self.voice_note)
        self._kind = cast(Literal["speech", "tones"], self.voice)
        expected = self.persona.phrases if callee is None else ()
        ears, mouth = pick(self._kind, role="agent", phrases=expected)
        self.agent = Agent(stt=ears, llm=llm or DemoBrain(), tts=mouth, tools=tools)
        self._others = dict(others or {})
        self._callee = callee or self._main
        self.exchange = Exchange(callee=self._answer, announcer=mouth, timings=timings, faults=faults)
        self.voice_url: str | None = None
        """Where the running phone takes incoming calls."""
        self._goals: deque[str] = deque(maxlen=_GOALS_REMEMBERED)

    def expect(self, goal: str | None) -> None:
        """Let the persona's recogniser know the sentences that the demo brain may say for this goal."""
        if goal and goal not in self._goals:
            self._goals.append(goal)

    def call_in(self, caller: Persona, *, phrases: Sequence[str] = ()) -> ExchangeCall:
        """Let somebody call the phone. Runs on the phone's loop (``phone.engine.invoke``), and returns at once.

        Args:
            caller: who calls; its script begins when the call is answered.
            phrases: what the agent may say, for a caller who listens to speech.
        """
        if self.voice_url is None:
            raise ConfigError("The phone of this network does not run. Start it, and let it serve an agent.")
        who = PersonaCallee(caller, *pick(self._kind, role="callee", phrases=phrases))
        return self.exchange.call_in(self.voice_url, who, from_number=caller.number, to=self.phone_number)

    async def serve(self, *, task_status: TaskStatus[Carrier] = TASK_STATUS_IGNORED) -> None:
        """Run the network until cancelled. ``task_status`` is told the carrier that reaches it."""
        async with anyio.create_task_group() as tasks:
            origin = await tasks.start(self.exchange.serve)
            carrier = LocalCarrier(self.exchange.account_sid, self.exchange.auth_token, base_url=origin)
            task_status.started(carrier)

    def _answer(self, dialed: DialedCall) -> Callee:
        other = self._others.get(dialed.to)
        if other is None:
            return self._callee(dialed)
        # What it will hear is not known beforehand: any English.
        return PersonaCallee(other, *pick(self._kind, role="callee", phrases=()))

    def _main(self, dialed: DialedCall) -> Callee:
        has_diary = any(tool.name == DIARY for tool in self.agent.tools)
        sentences = [sentence for goal in self._goals or [""] for sentence in phrases(goal, has_diary=has_diary)]
        return PersonaCallee(self.persona, *pick(self._kind, role="callee", phrases=sentences))
