"""Every misfortune of the voice, in whole calls: what becomes of the conversation, and what the envelope says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from tests.wire.vendor_calls import (
    BOOKED,
    GREETING,
    PLEASE,
    RUDE,
    STOPPED,
    TIME,
    WHOLE,
    Outcome,
    Row,
    SetUp,
    armed,
    check,
    elevenlabs,
    lines,
    logged,
    replies,
    run,
    was_stopped,
)

from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.testing.emulators.faults import (
    BlackHole,
    Drop,
    ErrorFrame,
    Fault,
    Garbage,
    Refuse,
    SilentEnd,
    SlowClose,
    Stall,
    UnknownEvents,
)
from patter.testing.emulators.vendors import Vendors

pytestmark = pytest.mark.timeout(180)  # the first test waits for all the calls

PATIENT = scripted(Say("Hello?"), Wait(6.5), Listen(), Say(TIME), Listen(), Say(BOOKED), Wait(30))
SPEECHLESS = scripted(Say("Hello?"), Wait(30))
UNANSWERED = scripted(Say("Hello?"), Listen(), Say(TIME), Wait(1.5), Say(BOOKED), Wait(30))

first = partial(armed, "elevenlabs")
http = partial(elevenlabs, transport="http")


def always(fault: Fault) -> SetUp:
    return first(every=fault)


def mute(name: str, set_up: SetUp, *tells: str, **more: Any) -> Row:
    """The agent cannot speak, or not any more: the call ends at once."""
    options = {"tells": ("ElevenLabs", *tells), "transcript": (), "is_quoted": False, **more}
    return Row(name, set_up, "failed", "pipeline_error", "tts_error", **options)


def answer(text: str, *, speaks_symbols: bool) -> SetUp:
    """The mind has only this to say."""

    def set_up(vendors: Vendors) -> None:
        vendors.elevenlabs.speaks_symbols = speaks_symbols
        vendors.openai.answer = replies({TIME: text})

    return set_up


def saying(text: str) -> tuple[tuple[str, str], ...]:
    return (*lines(3), ("agent", text), *WHOLE[4:])


def late(vendors: Vendors) -> None:
    vendors.elevenlabs.realtime_factor = 3
    vendors.openai.answer = replies(STOPPED)


def stops_on_the_same_connection(outcome: Outcome) -> None:
    was_stopped(outcome)
    assert len(outcome.vendors.elevenlabs.connections) == 1


def begins_the_greeting(outcome: Outcome) -> None:
    assert 0 < len(outcome.agent[0]) < len(GREETING)
    assert GREETING.startswith(outcome.agent[0]) and len(outcome.agent) == 1


def begins_the_answer(outcome: Outcome) -> None:
    assert outcome.agent[0] == GREETING
    assert PLEASE.startswith(" ".join(outcome.agent[1:]))


def connects(times: int) -> Callable[[Outcome], None]:
    def then(outcome: Outcome) -> None:
        assert len(outcome.vendors.elevenlabs.connections) == times

    return then


HELLO = lines(1)
NO_CREDIT = ("no credit left; add some", "ELEVENLABS_API_KEY")
BAD_KEY = ("does not accept the key; check ELEVENLABS_API_KEY",)
NO_VOICE = ("does not know the voice; check voice_id",)
FAILED = ("failed; try again later, or add a fallback provider",)
LATER = ("try again later, or add a fallback provider",)
BROKEN_OFF = ("did not speak the whole text", *LATER)

ROWS = [
    Row("nothing"),
    mute("401", always(Refuse(401)), *BAD_KEY, then=connects(1)),
    mute("402", always(Refuse(402)), *NO_CREDIT, then=connects(1)),
    mute("403", always(Refuse(403)), "may not use this", "check its permissions", then=connects(1)),
    mute("404", always(Refuse(404)), *NO_VOICE, then=connects(1)),
    mute("429", always(Refuse(429)), "too many at once"),
    mute("503", always(Refuse(503)), *FAILED),
    mute("black hole", always(BlackHole()), "1 s; check", tts=partial(elevenlabs, open_timeout_s=1.0)),
    Row("429 once", first(Refuse(429))),
    Row("503 once", first(Refuse(503))),
    mute("wrong key, told at the handshake", first(api_key="another", refuses_at="handshake"), *BAD_KEY),
    mute("no such voice, told at the handshake", first(voices=[], refuses_at="handshake"), *NO_VOICE),
    mute("no credit, told at the handshake", first(quota_characters=0, refuses_at="handshake"), *NO_CREDIT),
    mute("wrong key, told at the first message", first(api_key="another"), *BAD_KEY, transcript=HELLO),
    mute("no such voice, told at the first message", first(voices=[]), *NO_VOICE, transcript=HELLO),
    mute("no credit, told at the first message", first(quota_characters=0), *NO_CREDIT, transcript=HELLO),
    mute("credit used up in mid-call", first(quota_characters=60), *NO_CREDIT, transcript=lines(3)),
    *(Row(f"drops after {n} messages", first(Drop(after_messages=n)), then=connects(2)) for n in range(0, 21, 3)),
    Row("drops between two sentences", first(Drop(after_s=3.0)), then=connects(2)),
    Row("always drops after 3 messages", always(Drop(after_messages=3))),
    mute("drops always", always(Drop()), *BROKEN_OFF, transcript=HELLO),
    mute(
        "drops within a word, always",
        always(Drop(after_messages=1)),
        *BROKEN_OFF,
        transcript=None,
        callee=SPEECHLESS,
        then=begins_the_greeting,
    ),
    Row("closes with 1008", first(Drop(after_messages=8, code=1008, reason="sorry"))),
    Row("error frame and close", first(ErrorFrame(after_messages=9, code=1008))),
    Row(
        "error frame of one context",
        first(ErrorFrame({"error": "odd", "message": "x", "contextId": "u2"}, after_messages=8)),
    ),
    mute(
        "no credit, told to one context",
        first(ErrorFrame({"error": "quota_exceeded", "contextId": "u2"}, after_messages=9)),
        *NO_CREDIT,
        transcript=None,
        then=begins_the_answer,
    ),
    Row("no isFinal", first(sends_is_final=False)),
    Row("audio after close_context", late, transcript=None, callee=RUDE, then=stops_on_the_same_connection),
    Row(
        "an answer of emoji", answer("🙂 👍", speaks_symbols=False), transcript=lines(3) + WHOLE[4:], callee=UNANSWERED
    ),
    Row("an answer of dots", answer("...!", speaks_symbols=False), transcript=lines(3) + WHOLE[4:], callee=UNANSWERED),
    Row(
        "an answer with emoji",
        answer("On 👍 Friday 🙂.", speaks_symbols=False),
        transcript=saying("On 👍 Friday 🙂."),
        callee=UNANSWERED,
    ),
    *(Row(f"chunks of {n} ms", first(chunk_ms=n)) for n in (33, 1000)),
    Row("stalls before the greeting", first(Stall()), callee=PATIENT, within_s=25, then=connects(2)),
    Row("stalls in the greeting", first(Stall(after_messages=3)), callee=PATIENT, within_s=25, then=connects(2)),
    mute("stalls always", always(Stall()), *LATER, transcript=HELLO, callee=SPEECHLESS, within_s=25),
    Row("is closed when nothing is said", first(inactivity_s=1.0)),
    Row("slow close", first(SlowClose(after_messages=18))),
    Row("does not read anything", first(SlowClose()), within_s=25, then=connects(2)),
    Row("garbage", first(Garbage(after_messages=7))),
    Row("silent end", first(SilentEnd(after_messages=7))),
    Row("unknown types", always(UnknownEvents())),
    Row("slow to begin", first(first_byte_ms=700)),
    Row("slower than life", first(realtime_factor=0.8)),
    Row("http: nothing", tts=http),
    mute("http: 401", always(Refuse(401)), *BAD_KEY, tts=http, transcript=HELLO),
    mute("http: 402", always(Refuse(402)), *NO_CREDIT, tts=http, transcript=HELLO),
    mute("http: 404", always(Refuse(404)), *NO_VOICE, tts=http, transcript=HELLO),
    mute("http: 429", always(Refuse(429)), "too many at once", tts=http, transcript=HELLO),
    mute("http: 500 in mid-call", first(None, every=Refuse(500)), *FAILED, tts=http, transcript=lines(3)),
    mute(
        "http: drops in mid-sentence",
        first(None, every=Drop(after_messages=2)),
        "check the network",
        tts=http,
        transcript=None,
        then=begins_the_answer,
    ),
    mute("http: credit used up in mid-call", first(quota_characters=60), *NO_CREDIT, tts=http, transcript=lines(3)),
    mute(
        "http: stalls",
        first(None, every=Stall(after_messages=2)),
        "sent nothing for 4 s",
        "try again later",
        tts=http,
        transcript=None,
        then=begins_the_answer,
        callee=scripted(Say("Hello?"), Listen(), Say(TIME), Wait(30)),
    ),
]


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Outcome | Exception]]:
    yield run(ROWS)


def test_nothing_is_logged(outcomes: dict[str, Outcome | Exception]) -> None:
    assert logged(outcomes) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_misfortune_of_the_voice(row: Row, outcomes: dict[str, Outcome | Exception]) -> None:
    check(row, outcomes[row.name])
