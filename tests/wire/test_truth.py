"""The envelope says what was heard, word for word, also where the agent was interrupted."""

from __future__ import annotations

import anyio
import pytest
from tests.wire.quotes import check_quotes, lateness

from patter import CallResult, Patter
from patter.local.callee import Callee, DialedCall, PersonaCallee
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.local.exchange import Timings
from patter.local.voices import pick

pytestmark = pytest.mark.anyio

GOAL = "Book a haircut for tomorrow at three in the afternoon for Maria Lopez."
CUTS = range(2, 17)
"""Words after which the callee interrupts; some of these places fall between two words, where a clear is a race."""


def interrupting(dialed: DialedCall) -> Callee:
    persona = scripted(
        Say("Hello?"),
        Listen(after_words=int(dialed.to[-2:])),
        Say("Wait, please stop, who is this?"),
        Listen(),
        Say("Fine."),
        Listen(),
        Wait(0.2),
    )
    return PersonaCallee(persona, *pick("tones", role="callee", phrases=()))


async def test_an_interrupted_agent_is_quoted_as_far_as_it_was_heard() -> None:
    results: dict[str, CallResult] = {}
    async with Patter.local(voice="tones", callee=interrupting, timings=Timings.quick()) as phone:

        async def call(number: str) -> None:
            results[number] = await phone.call(number, goal=GOAL)

        async with lateness() as late, anyio.create_task_group() as tasks:
            for words in CUTS:
                tasks.start_soon(call, f"+155501001{words:02}")
        assert phone.network is not None
        calls = {call.request.to: call for call in phone.network.exchange.calls.values()}
    assert len(results) == len(calls) == len(CUTS)
    exact = 0
    for number, result in results.items():
        exact += check_quotes(result, calls[number], late.words(calls[number]))
        assert calls[number].record.clears
        assert result.details is not None
        cut = next(turn for turn in result.details.turns if turn.interrupted)
        assert cut.generated_text is not None
        assert cut.generated_text.startswith(cut.text)
        assert len(cut.text) < len(cut.generated_text)
    assert exact >= len(CUTS) - 3  # an order to stop that is late here and there


async def test_a_whole_call_is_quoted_word_for_word_on_both_sides() -> None:
    async with Patter.local("salon", voice="tones", timings=Timings.quick()) as phone:
        result = await phone.call("+15550100199", goal=GOAL)
        assert phone.network is not None
        (call,) = phone.network.exchange.calls.values()
    assert result.status == "completed"
    assert [line.text for line in result.transcript if line.role == "agent"] == call.heard
    assert [line.text for line in result.transcript if line.role == "user"] == call.said
    assert len(result.transcript) >= 6
