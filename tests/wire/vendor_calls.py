"""Whole calls in which a vendor misbehaves: how a row of the fault table is run, and what is true of every row.

A row names the fault and the envelope. Each row has a telephone network, a phone and vendors of its own, and
all rows of a table run side by side.
"""

from __future__ import annotations

import gc
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio

from patter import Agent, AnthropicLLM, CallResult, DeepgramSTT, ElevenLabsTTS, OpenAILLM, Patter, Tool
from patter.engine import Engine
from patter.envelope import Turn
from patter.local.dialogue import Listen, Persona, Say, Wait, scripted
from patter.local.exchange import Timings
from patter.settings import Timing
from patter.testing.emulators.faults import Fault
from patter.testing.emulators.minds import Answer, CallTool, Mind, says
from patter.testing.emulators.vendors import Vendors
from patter.voice.base import Message, ToolSpec

__all__ = [
    "BOOKED",
    "GREETING",
    "LONG",
    "PLEASE",
    "POLITE",
    "RUDE",
    "STOPPED",
    "THANKS",
    "TIME",
    "UNCLEAR",
    "WHOLE",
    "Outcome",
    "Row",
    "SetUp",
    "anthropic",
    "armed",
    "check",
    "deepgram",
    "elevenlabs",
    "flux",
    "lines",
    "logged",
    "openai",
    "replies",
    "run",
    "was_stopped",
]

KEY = "sk-not-to-be-shown-4711"
TO = "+15550100199"
AT_ONCE = 8
"""Calls go at the pace of life; where the processor is too busy for that, other things happen."""
UNCERTAIN_WORDS = 2
"""What a carrier may play between the moment of a cut and the clear that reaches it, on a busy machine."""
TEARDOWN_S = 3.0
"""From the end of a call to its envelope: two seconds, and one for a machine that has other things to do."""

GREETING = "Hello, this is an automated assistant."
TIME = "Gladly, at what time?"
PLEASE = "At seven o'clock in the evening, please."
BOOKED = "You are booked, see you then."
THANKS = "Wonderful, thank you very much, goodbye."
UNCLEAR = "I did not understand you."
"""What the agent would say to half a sentence."""

WHOLE = (
    ("user", "Hello?"),
    ("agent", GREETING),
    ("user", TIME),
    ("agent", PLEASE),
    ("user", BOOKED),
    ("agent", THANKS),
)
"""A conversation in which nothing is lost, doubled or apologised for."""

POLITE = scripted(Say("Hello?"), Listen(), Say(TIME), Listen(), Say(BOOKED), Wait(30))

SetUp = Callable[[Vendors], object]
Reply = Answer | str | Callable[[Sequence[Message]], Answer | str]

LONG = "At seven o'clock in the evening, please, and at the window if that is possible at all. It is a birthday."
STOP = "Wait, stop, please."
COURSE = "Of course."
RUDE = scripted(Say("Hello?"), Listen(), Say(TIME), Listen(after_words=3), Say(STOP), Wait(2.5), Say(BOOKED), Wait(30))
STOPPED: dict[str, Reply] = {TIME: LONG, STOP: COURSE}
"""What the mind answers `RUDE`, for `replies`."""


def lines(count: int, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The first lines of the whole conversation, and others after them."""
    return WHOLE[:count] + more


def replies(changed: Mapping[str, Reply] | None = None) -> Mind:
    """A mind that knows what to say to each line of the callee, however often and how early it is asked.

    Args:
        changed: other answers, or functions that make them from the history, by what the callee said last.
    """
    usual: dict[str, Reply] = {TIME: PLEASE, BOOKED: says(THANKS, CallTool("end_call")), **(changed or {})}

    def mind(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer | str:
        said = next((message.content for message in reversed(messages) if message.role == "user"), "")
        answer = next((answer for line, answer in usual.items() if said.endswith(line)), UNCLEAR)
        return answer(messages) if callable(answer) else answer

    return mind


def armed(vendor: str, *faults: Fault | None, every: Fault | None = None, **knobs: Any) -> SetUp:
    """Arms one of the vendors: faults of its connections in their order, of all others, and knobs."""

    def set_up(vendors: Vendors) -> None:
        emulator = getattr(vendors, vendor)
        emulator.faults.extend(faults)
        emulator.faults.every = every
        for name, value in knobs.items():
            assert hasattr(emulator, name)
            setattr(emulator, name, value)

    return set_up


def was_stopped(outcome: Outcome) -> None:
    """Assert that `RUDE` was given way to, and answered."""
    heard = outcome.agent[1]
    assert LONG.startswith(heard) and heard != LONG
    assert outcome.agent[2] == COURSE
    assert outcome.user[2] == STOP


def deepgram(vendors: Vendors, **options: Any) -> DeepgramSTT:
    # So long that no answer is begun before its turn is over: a request more would blur what a row counts.
    return DeepgramSTT(KEY, base_url=vendors.deepgram.base_url, **{"endpointing_ms": 300, **options})


def flux(vendors: Vendors, **options: Any) -> DeepgramSTT:
    return deepgram(vendors, model="flux-general-en", **options)


def openai(vendors: Vendors, **options: Any) -> OpenAILLM:
    return OpenAILLM(KEY, base_url=vendors.openai.base_url, **options)


def anthropic(vendors: Vendors, **options: Any) -> AnthropicLLM:
    return AnthropicLLM(KEY, base_url=vendors.anthropic.base_url, **options)


def elevenlabs(vendors: Vendors, **options: Any) -> ElevenLabsTTS:
    return ElevenLabsTTS(KEY, base_url=vendors.elevenlabs.base_url, **options)


@dataclass(frozen=True)
class Row:
    """What goes wrong, and the envelope that tells of it."""

    name: str
    set_up: SetUp = lambda vendors: None
    """Arms the faults, before the call."""
    status: str = "completed"
    reason: str = "agent_hangup"
    error: str | None = None
    tells: tuple[str, ...] = ()
    """What the error message has to say: vendor, cause and remedy."""
    transcript: tuple[tuple[str, str], ...] | None = WHOLE
    """None leaves it to ``then``."""
    is_quoted: bool = True
    """False if the callee says more than the ears are there to hear."""
    callee: Persona = POLITE
    stt: Callable[[Vendors], Any] = deepgram
    llm: Callable[[Vendors], Any] = openai
    tts: Callable[[Vendors], Any] = elevenlabs
    tools: tuple[Tool, ...] = ()
    timing: Timing = field(default_factory=Timing)
    duration_s: int = 30
    within_s: float = 20.0
    """From the dial to the envelope; most take six seconds."""
    then: Callable[[Outcome], object] = lambda outcome: None
    """What else has to be true."""


@dataclass
class Outcome:
    """What came of a row."""

    result: CallResult
    took_s: float
    teardown_s: float
    dials: int
    left_on_the_line: int
    hang_ups: int
    heard: list[str]
    said: list[str]
    vendors: Vendors
    log: list[str]

    @property
    def agent(self) -> list[str]:
        return [line.text for line in self.result.transcript if line.role == "agent"]

    @property
    def user(self) -> list[str]:
        return [line.text for line in self.result.transcript if line.role == "user"]


def run(rows: Sequence[Row]) -> dict[str, Outcome | Exception]:
    """Run the rows side by side, the longest first; what became of each, by its name."""
    assert len({row.name for row in rows}) == len(rows)
    found: dict[str, Outcome | Exception] = {}

    async def one(row: Row, room: anyio.Semaphore, log: list[str]) -> None:
        async with room:
            try:
                found[row.name] = await _live(row, log)
            except Exception as raised:  # whatever reaches the host is the row's, not the table's
                found[row.name] = raised

    async def everything(_: object) -> None:
        vendors = Vendors()
        for llm in (openai, anthropic):  # an SDK is imported once, for seconds, and not beside a call that is timed
            await Agent(stt=deepgram(vendors), llm=llm(vendors), tts=elevenlabs(vendors)).start()
        room = anyio.Semaphore(AT_ONCE)
        with _logged() as log:
            async with anyio.create_task_group() as tasks:
                for row in sorted(rows, key=lambda row: -row.within_s):
                    tasks.start_soon(one, row, room, log)

    # With so many calls in the heap, a collection stops all of them for a quarter of a second.
    gc.disable()
    try:
        Engine.shared().run_sync(everything)
    finally:
        gc.enable()
    return found


def logged(outcomes: Mapping[str, Outcome | Exception]) -> list[str]:
    """The warnings and errors that were logged while the rows ran."""
    return next((outcome.log for outcome in outcomes.values() if isinstance(outcome, Outcome)), [])


def check(row: Row, outcome: Outcome | Exception) -> None:
    """Assert what has to be true of a row."""
    if isinstance(outcome, Exception):
        raise outcome
    result, details = outcome.result, outcome.result.details
    assert details is not None
    error = None if details.error is None else details.error.code
    told = "" if details.error is None else details.error.message
    assert (result.status, str(details.end_reason), error) == (row.status, row.reason, row.error), told
    for part in row.tells:
        assert part.casefold() in told.casefold()
    assert KEY not in json.dumps(result.to_dict())
    assert KEY not in " ".join(outcome.log)
    if row.transcript is not None:
        assert [(line.role, line.text) for line in result.transcript] == list(row.transcript)
    assert _is_quoted(details.turns, _words(outcome.heard))
    if row.is_quoted:
        assert _words(outcome.user) == _words(outcome.said)
    assert len(set(outcome.agent)) == len(outcome.agent)
    assert outcome.took_s < row.within_s
    assert outcome.teardown_s < TEARDOWN_S, (outcome.teardown_s, details.carrier_status)
    assert (outcome.dials, outcome.left_on_the_line) == (1, 0)
    assert outcome.hang_ups <= 1
    # Before there is a media connection, nothing else ends the call.
    assert outcome.hang_ups or result.transcript
    row.then(outcome)


async def _live(row: Row, log: list[str]) -> Outcome:
    vendors = Vendors()
    for vendor in (vendors.deepgram, vendors.openai, vendors.anthropic, vendors.elevenlabs):
        vendor.api_key = KEY
    vendors.openai.answer = vendors.anthropic.answer = replies()
    async with vendors:
        row.set_up(vendors)
        agent = Agent(
            stt=row.stt(vendors), llm=row.llm(vendors), tts=row.tts(vendors), tools=row.tools, timing=row.timing
        )
        async with Patter.local(row.callee, voice="tones", timings=Timings.quick()) as phone:
            begun = time.monotonic()
            result = await phone.call(
                TO, goal="Book a table.", first_message=GREETING, agent=agent, max_duration_s=row.duration_s
            )
            took_s = time.monotonic() - begun
            assert result.details is not None
            teardown_s = (datetime.now(UTC) - result.details.ended_at).total_seconds()
            assert phone.network is not None
            exchange = phone.network.exchange
            with anyio.move_on_after(2):
                for call in exchange.calls.values():
                    await call.ended.wait()
            calls = list(exchange.calls.values())
            return Outcome(
                result,
                took_s,
                teardown_s,
                exchange.creates,
                sum(not call.status.final for call in calls),
                sum(request.method == "POST" and "/Calls/" in request.path for request in exchange.requests),
                [text for call in calls for text in call.heard],
                [text for call in calls for text in call.said],
                vendors,
                log,
            )


def _is_quoted(turns: Sequence[Turn], heard: list[str]) -> bool:
    """Whether the agent's lines are what was heard, word for word.

    They are rounded down: where a line was cut off, its next words may have been heard too.
    """
    at = 0
    for turn in turns:
        words, wanted = _words([turn.text]), _words([turn.generated_text or ""])
        if turn.role != "agent":
            continue
        if heard[at : at + len(words)] != words:
            return False
        at += len(words)
        for word in wanted[len(words) :][:UNCERTAIN_WORDS] if turn.interrupted else ():
            at += heard[at : at + 1] == [word]
    return at == len(heard)


def _words(texts: Sequence[str]) -> list[str]:
    """The words that have a sound."""
    return [word for text in texts for word in text.split() if any(map(str.isalnum, word))]


@contextmanager
def _logged() -> Iterator[list[str]]:
    """What is logged meanwhile, from warnings on."""
    records: list[str] = []

    class _Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(f"{record.name}: {record.getMessage()} {record.exc_text or ''}")

    handler = _Keep(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        yield records
    finally:
        logging.getLogger().removeHandler(handler)
