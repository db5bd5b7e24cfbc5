"""What is said in the benchmarks' calls, and the callee who says it.

Every sentence names its call and its turn, so that it can be followed from the callee through the three
vendors and back. Words are data tones, some six times as fast as speech: a phone that keeps up with
them has more to do for a second of audio than with people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from patter.audio import mulaw
from patter.local import tones
from patter.local.dialogue import Ring
from patter.local.handset import DialedCall, Handset
from patter.testing.emulators.minds import Answer, CallTool, Mind, says
from patter.voice.base import Message, ToolSpec

__all__ = ["GREETING", "TOOL_ARGUMENTS", "Plan", "Talker", "mind_of", "number_of", "tag_of"]

GREETING = "Hello, here is the bench."
TOOL_ARGUMENTS: dict[str, dict[str, Any]] = {
    **{
        name: {"n": 1} for name in ("coroutine", "function", "progress", "later", "broken", "slow", "webhook", "nobody")
    },
    "keep": {"value": "ann@example.com"},
    "press": {},
}
"""What the tools of `benchmarks.memory` are given; the one named nobody does not exist."""
_AUDIBLE = 0.01
_PATIENCE_FRAMES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the carrier and the vendors behave. Times of the vendors are real ones, in milliseconds.

    Args:
        turns: of the callee, after its hello.
        seconds: the callee hangs up in the first pause after this time.
        question, answer: words of each beside those that name it; the answer in sentences of 40 characters.
        pause_ms: silence after the agent's answer before the callee goes on.
        end_silence_ms: silence in the audio before Flux ends a turn.
        uses: tools that the mind uses at once in its first answer; in the next it says goodbye, and hangs up.
    """

    turns: int = 10
    seconds: float = 3600.0
    question: str = "Go on please"
    answer: str = ""
    pause_ms: int = 200
    end_silence_ms: int = 500
    uses: Sequence[str] = ()
    first_token_ms: float = 0.0
    token_ms: float = 0.0
    first_byte_ms: float = 5.0
    realtime_factor: float = 50.0


def number_of(call: int) -> str:
    """The number that is dialled for a call."""
    return f"+1555010{call:04}"


def tag_of(number: str) -> str:
    """The word by which a call is known."""
    return "c" + number[-4:]


def mind_of(plan: Plan) -> Mind:
    """Answers with the two words that name the call and its turn."""

    def answer(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer | str:
        if plan.uses:
            if messages[-1].role == "tool":
                return says("Goodbye.", CallTool("end_call"))
            return says(*(CallTool(name, TOOL_ARGUMENTS[name]) for name in plan.uses))
        question = next(message.content for message in reversed(messages) if message.role == "user")
        return says(f"All right {' '.join(question.split()[-2:])}, {plan.answer}".strip())

    return answer


class Talker:
    """A callee that takes turns: it waits until the agent was quiet for a while, and understands nothing.

    Args:
        note: takes the name of the turn, and the time at which its last frame has gone out.
    """

    ring = Ring()

    def __init__(self, plan: Plan, dialed: DialedCall, note: Callable[[str, float], None]) -> None:
        self._plan = plan
        self._tag = tag_of(dialed.to)
        self._note = note

    async def run(self, handset: Handset) -> None:
        """Talk. Returning hangs up."""
        ends_at = anyio.current_time() + self._plan.seconds
        try:
            await self._say("Hello?", handset)
            await self._hear(handset)
            for turn in range(self._plan.turns):
                if anyio.current_time() >= ends_at:
                    return
                name = f"{self._tag} t{turn}"
                await self._say(f"{self._plan.question} {name}", handset)
                self._note(name, anyio.current_time())
                await self._hear(handset)
        except anyio.EndOfStream:
            pass

    async def _say(self, text: str, handset: Handset) -> None:
        handset.speak(tones.encode(text))
        while handset.speaking:
            await handset.listen()

    async def _hear(self, handset: Handset) -> None:
        """Wait for the agent's voice, and until it was quiet for a while."""
        quiet, waited, heard = 0, 0, False
        while waited < _PATIENCE_FRAMES and not (heard and quiet * mulaw.FRAME_MS >= self._plan.pause_ms):
            if mulaw.level(await handset.listen()) >= _AUDIBLE:
                heard, quiet, waited = True, 0, 0
            else:
                quiet, waited = quiet + 1, waited + 1
