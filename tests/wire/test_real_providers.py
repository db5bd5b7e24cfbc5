"""The real SDKs and our providers against independent implementations of the four vendors' protocols, word for word."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from tests.wire.quotes import check_quotes, lateness

from patter import CallResult, DeepgramSTT, ElevenLabsTTS, OpenAILLM, Patter, PatterTool, Twilio
from patter.local.callee import Callee, DialedCall, PersonaCallee
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.local.exchange import Timings
from patter.local.voices import pick
from patter.testing.emulators.minds import scripted as answers
from patter.testing.rehearsal import Rehearsal

pytestmark = pytest.mark.anyio

TOP = Path(__file__).parent.parent.parent
GREETING = "Hello, this is an automated assistant."
REPLIES = [
    "I would like a table for two on Friday evening.",
    "At seven o'clock, please, at the window if that is possible.",
    "The name is Maria Lopez.",
    "Wonderful, thank you very much, goodbye.",
]
TURNS = (
    "Luigi's, good evening.",
    "Gladly, at what time?",
    "Certainly, what is the name?",
    "You are booked, see you on Friday.",
)


def polite() -> list[Say | Listen | Wait]:
    acts: list[Say | Listen | Wait] = [Say("Hello?"), Listen()]
    for text in TURNS:
        acts += [Say(text), Listen()]
    return acts


def rude(after_words: int) -> list[Say | Listen | Wait]:
    acts = polite()
    acts[3] = Listen(after_words=after_words)
    acts[4] = Say("Wait, stop, please say that again.")
    return acts


def callee_of(dialed: DialedCall) -> Callee:
    """The number tells who answers: its last two digits are the words after which the callee interrupts."""
    after_words = int(dialed.to[-2:])
    acts = rude(after_words) if after_words else polite()
    return PersonaCallee(scripted(*acts, Wait(0.2)), *pick("tones", role="callee", phrases=()))


@pytest.fixture
async def rehearsal() -> AsyncIterator[Rehearsal]:
    async with Rehearsal(callee_of, timings=Timings.quick()) as rehearsal:
        rehearsal.vendors.openai.answer = answers(REPLIES)
        yield rehearsal


def phone_in(rehearsal: Rehearsal) -> Patter:
    exchange = rehearsal.exchange
    return Patter(
        carrier=Twilio(exchange.account_sid, exchange.auth_token, base_url=rehearsal.env["TWILIO_BASE_URL"]),
        phone_number=rehearsal.phone_number,
        webhook_url=rehearsal.webhook_host,
        port=rehearsal.port,
    )


def check_truth(result: CallResult, rehearsal: Rehearsal) -> None:
    call = rehearsal.exchange.calls[result.call_id]
    agent = [line.text for line in result.transcript if line.role == "agent"]
    user = [line.text for line in result.transcript if line.role == "user"]
    assert " ".join(user) == " ".join(call.said)
    assert " ".join(agent) == " ".join(call.heard)


@pytest.mark.parametrize("stt_model", ["nova-3", "flux-general-en"])
async def test_a_conversation_of_four_turns_is_quoted_word_for_word(rehearsal: Rehearsal, stt_model: str) -> None:
    vendors = rehearsal.vendors
    agent = {
        "stt": DeepgramSTT("test-key", model=stt_model, base_url=vendors.deepgram.base_url),
        "llm": OpenAILLM("test-key", base_url=vendors.openai.base_url),
        "tts": ElevenLabsTTS("test-key", voice_id="rachel", base_url=vendors.elevenlabs.base_url),
    }
    async with PatterTool(phone=phone_in(rehearsal), agent=agent, max_concurrent_calls=20) as tool:
        result = await tool.execute(
            {"to": "+15550100100", "goal": "Book a table.", "first_message": GREETING, "max_duration_sec": 60}
        )
    assert result.status == "completed", result
    assert [line.text for line in result.transcript if line.role == "agent"][:5] == [GREETING, *REPLIES]
    check_truth(result, rehearsal)
    assert result.details is not None
    assert result.details.cost is not None
    assert result.details.cost.unpriced == []
    assert min(result.metrics.cost.stt, result.metrics.cost.tts, result.metrics.cost.llm) > 0


async def test_twenty_at_once_are_quoted_as_heard_though_most_of_them_interrupt(rehearsal: Rehearsal) -> None:
    vendors = rehearsal.vendors
    agent = {
        "stt": DeepgramSTT("test-key", base_url=vendors.deepgram.base_url),
        "llm": OpenAILLM("test-key", base_url=vendors.openai.base_url),
        "tts": ElevenLabsTTS("test-key", base_url=vendors.elevenlabs.base_url),
    }
    results: list[CallResult] = []
    async with PatterTool(phone=phone_in(rehearsal), agent=agent, max_concurrent_calls=20) as tool:

        async def call(number: int) -> None:
            goal = f"Book a table, caller {number}."
            to = f"+1555010{number:02}{number % 10:02}"
            results.append(await tool.execute(to=to, goal=goal, first_message=GREETING, max_duration_sec=60))

        async with lateness() as late, anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(call, number)
    assert [result.status for result in results] == ["completed"] * 20
    late_words = 0
    for result in results:
        placed = rehearsal.exchange.calls[result.call_id]
        late_words = max(late_words, late.words(placed))
        # Beside so many the order to stop comes late in any case.
        check_quotes(result, placed, max(1, late.words(placed)))
    interrupted = [result for result in results if result.details and any(t.interrupted for t in result.details.turns)]
    # Who interrupts too late finds that everything was said.
    assert len(interrupted) >= 15 - late_words


async def test_a_program_that_is_written_for_the_real_vendors_runs_unchanged(rehearsal: Rehearsal) -> None:
    program = TOP / "examples" / "real_call.py"
    assert len(program.read_text().splitlines()) < 60
    done = await anyio.run_process(
        [sys.executable, str(program), "+15550100100"], env={**os.environ, **rehearsal.env}, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().startswith("completed, ")
    assert "agent: Hello, this is an automated assistant." in done.stdout.decode()
