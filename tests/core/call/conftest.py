"""Virtual time for every async test of the call, and a call in memory that is checked when it is over."""

from dataclasses import dataclass, field

import anyio
import pytest

from patter.agent import Agent
from patter.envelope import CallResult
from patter.settings import Timing
from patter.testing import EventLog, ScriptedCarrier, ScriptedEars, ScriptedLine, ScriptedMind, ScriptedVoice
from patter.testing import check_invariants as check
from patter.testing.pytest_plugin import anyio_backend, no_leaked_tasks

__all__ = ["anyio_backend", "no_leaked_tasks"]


@dataclass
class Talk:
    """One call: what it was made of, and what came of it."""

    line: ScriptedLine
    ears: ScriptedEars
    mind: ScriptedMind
    voice: ScriptedVoice
    carrier: ScriptedCarrier
    log: EventLog = field(default_factory=EventLog)
    result: CallResult | None = None
    took_s: float = 0.0

    @property
    def transcript(self):
        return [(line.role, line.text) for line in self.result.transcript]

    @property
    def turns(self):
        return self.result.details.turns

    def of(self, role):
        return [text for who, text in self.transcript if who == role]

    def at(self, kind):
        """Seconds after the answer at which the events of one kind came."""
        answered = self.log.of("answered")[0]["at_s"]
        return [pytest.approx(event["at_s"] - answered, abs=2e-3) for event in self.log.of(kind)]

    def check_invariants(self, **options):
        check(self.result, self.line, self.log, mind=self.mind, **options)


@pytest.fixture
async def talk(no_leaked_tasks):
    """Talk to a scripted callee; the phone is answered 1 s after the dial."""

    async def run(
        callee,
        steps=(),
        *,
        voice=None,
        tools=(),
        timing=None,
        ears=None,
        line=None,
        mind=None,
        carrier=None,
        answer_at=1.0,
        invariants=True,
        tap=None,
        **request,
    ):
        the_line = callee.line(**(line or {}))
        the_ears = callee.ears(the_line, **(ears or {}))
        carrier = (carrier or ScriptedCarrier()).rings(0.5).answers(answer_at, the_line)
        call = Talk(the_line, the_ears, ScriptedMind(steps, **(mind or {})), voice or ScriptedVoice(), carrier)
        agent = Agent(
            stt=the_ears,
            llm=call.mind,
            tts=call.voice,
            tools=tools,
            timing=timing or Timing(),
            system_prompt="Be brief.",
        )
        begun = anyio.current_time()
        call.result = await carrier.place(agent, on_event=call.log, tap=tap, **request)
        call.took_s = anyio.current_time() - begun
        if invariants:
            call.mind.assert_complete()
            call.voice.assert_complete()
            call.check_invariants()
        return call

    return run
