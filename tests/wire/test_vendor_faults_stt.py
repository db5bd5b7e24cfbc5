"""Every misfortune of the ears, in whole calls: what becomes of the conversation, and what the envelope says."""

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
    UNCLEAR,
    WHOLE,
    Outcome,
    Row,
    SetUp,
    armed,
    check,
    deepgram,
    flux,
    lines,
    logged,
    replies,
    run,
    was_stopped,
)

from patter.call.prompt import APOLOGY
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

SEVEN = "I think we have a table at seven."

HESITANT = scripted(
    Say("Hello?"),
    Listen(),
    Say("I"),
    Wait(0.3),
    Say("think"),
    Wait(0.3),
    Say("we have"),
    Wait(0.3),
    Say("a table at seven."),
    Listen(),
    Say(BOOKED),
    Wait(30),
)


def first(*faults: Fault | None, **knobs: Any) -> SetUp:
    """Faults of the first connections; without results for silence, so that messages can be counted."""
    return armed("deepgram", *faults, empty_result_s=None, **knobs)


def always(fault: Fault) -> SetUp:
    return armed("deepgram", every=fault)


def dies(fault: Fault) -> SetUp:
    """The connection breaks in the middle of the callee's second sentence, and no other can be made."""
    return armed("deepgram", Drop(after_messages=7), every=fault, empty_result_s=None)


def deaf(name: str, set_up: SetUp, *tells: str, **more: Any) -> Row:
    """Nothing can be heard from the beginning: the call ends before it has begun."""
    options = {"tells": ("Deepgram", *tells), "transcript": (), "is_quoted": False, **more}
    return Row(name, set_up, "failed", "pipeline_error", "stt_error", **options)


def deafened(name: str, set_up: SetUp, *tells: str) -> Row:
    """The agent says that something went wrong, and ends the call."""
    return deaf(name, set_up, *tells, transcript=None, then=apologises)


def apologises(outcome: Outcome) -> None:
    assert outcome.agent == [GREETING, APOLOGY]
    assert outcome.user[0] == "Hello?"
    # What was understood of the sentence that was broken off.
    assert TIME.startswith(" ".join(outcome.user[1:]))


def thinks_ahead(outcome: Outcome) -> None:
    answers = [request for request in outcome.vendors.openai.requests if request.method == "POST"]
    assert len(answers) > 2
    assert UNCLEAR not in outcome.agent


def connects(times: int) -> Callable[[Outcome], None]:
    def then(outcome: Outcome) -> None:
        assert len(outcome.vendors.deepgram.connections) == times

    return then


def storm(name: str, **knobs: Any) -> Row:
    """A speaker with pauses, each of which is taken for the end of the turn at first."""

    def set_up(vendors: Vendors) -> None:
        first(**knobs)(vendors)
        vendors.openai.answer = replies({SEVEN: PLEASE})

    transcript = (*lines(2), ("user", SEVEN), *WHOLE[3:])
    return Row(name, set_up, transcript=transcript, callee=HESITANT, stt=flux, then=thinks_ahead)


def late(vendors: Vendors) -> None:
    vendors.deepgram.latency_ms = 250
    vendors.openai.answer = replies(STOPPED)


QUICK = partial(deepgram, open_timeout_s=1.0)

ROWS = [
    Row("nothing"),
    Row("nothing, flux", stt=flux),
    deaf("401", always(Refuse(401)), "does not accept the key; check DEEPGRAM_API_KEY", then=connects(1)),
    deaf("402", always(Refuse(402)), "no credit left", "DEEPGRAM_API_KEY", then=connects(1)),
    deaf("403", always(Refuse(403)), "may not use this", "check its permissions", then=connects(1)),
    deaf("404", always(Refuse(404)), "does not know the model", "check", then=connects(1)),
    deaf("400", always(Refuse(400)), "check the model and its options", then=connects(1)),
    deaf("429", always(Refuse(429)), "too many at once"),
    deaf("503", always(Refuse(503)), "try again later, or add a fallback provider"),
    deaf("black hole", always(BlackHole()), "did not answer the handshake within 1 s; check", stt=QUICK),
    deaf("black hole, usual patience", always(BlackHole()), "5 s; check"),
    deaf("no Connected", always(Stall()), "did not open the session", "check", stt=partial(flux, open_timeout_s=1.0)),
    deaf("every connection drops at once", always(Drop()), "broke", "try again later", stt=flux),
    Row("429 once", first(Refuse(429))),
    Row("503 twice", first(Refuse(503), Refuse(503))),
    *(Row(f"drops after {n} messages", first(Drop(after_messages=n))) for n in (0, 1, 2, 3, 5, 6, 7, 8, 9, 11)),
    *(Row(f"flux drops after {n} messages", first(Drop(after_messages=n)), stt=flux) for n in range(1, 32, 6)),
    Row("drops twice", first(Drop(after_messages=7), Drop(after_messages=3))),
    Row("NET-0001", first(Drop(after_messages=8, code=1011, reason="NET-0001: no audio came"))),
    Row("error frame", first(ErrorFrame(after_messages=8)), then=connects(2)),
    Row("error frame and close", first(ErrorFrame(after_messages=8, code=1011)), then=connects(2)),
    Row("error frame, flux", first(ErrorFrame(after_messages=8)), stt=flux, then=connects(2)),
    Row("unknown types", always(UnknownEvents())),
    Row("unknown types, flux", always(UnknownEvents()), stt=flux),
    Row("garbage", first(Garbage(after_messages=7))),
    Row("garbage, flux", first(Garbage(after_messages=7)), stt=flux),
    Row("silent end", first(SilentEnd(after_messages=7))),
    Row("silent end, flux", first(SilentEnd(after_messages=7)), stt=flux),
    Row("slow close", first(SlowClose(after_messages=19))),
    Row("no speech_final", first(speech_final=False)),
    Row("finals in pieces", first(final_every_words=2)),
    Row("Finalize is not answered", first(answers_finalize=False)),
    storm("a storm of eager ends"),
    storm("a storm of eager ends, sooner", eager_silence_ms=100),
    Row("results after a barge-in", late, transcript=None, callee=RUDE, then=was_stopped),
    deafened("dies, then 503", dies(Refuse(503)), "try again later, or add a fallback provider"),
    deafened("dies, then 401", dies(Refuse(401)), "check DEEPGRAM_API_KEY"),
    deafened("dies, then drops", dies(Drop(after_messages=0)), "broke", "try again later"),
]


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Outcome | Exception]]:
    yield run(ROWS)


def test_nothing_is_logged(outcomes: dict[str, Outcome | Exception]) -> None:
    assert logged(outcomes) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_misfortune_of_the_ears(row: Row, outcomes: dict[str, Outcome | Exception]) -> None:
    check(row, outcomes[row.name])
