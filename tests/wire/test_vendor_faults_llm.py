"""Every misfortune of the mind, in whole calls: what becomes of the conversation, and what the envelope says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.wire.vendor_calls import (
    BOOKED,
    GREETING,
    LONG,
    PLEASE,
    RUDE,
    STOPPED,
    THANKS,
    TIME,
    WHOLE,
    Outcome,
    Row,
    SetUp,
    anthropic,
    check,
    lines,
    logged,
    openai,
    replies,
    run,
    was_stopped,
)

from patter import Tool
from patter.call.prompt import APOLOGY, FILLER
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.settings import Timing
from patter.testing.emulators.chat import RateLimited
from patter.testing.emulators.faults import (
    BlackHole,
    Drop,
    ErrorFrame,
    Fault,
    Garbage,
    Refuse,
    SilentEnd,
    Stall,
    UnknownEvents,
)
from patter.testing.emulators.minds import Answer, CallTool, says
from patter.testing.emulators.openai import INSUFFICIENT_QUOTA
from patter.testing.emulators.vendors import Vendors
from patter.voice.base import Message

pytestmark = pytest.mark.timeout(180)  # the first test waits for all the calls

SORRY = lines(3, ("agent", APOLOGY))
SORRY_TO_WAIT = lines(3, ("agent", FILLER), ("agent", APOLOGY))
ASKING_FOR_PATIENCE = (
    *lines(3),
    ("agent", f"{FILLER} {PLEASE}"),
    WHOLE[4],
    ("agent", f"{FILLER} {THANKS}"),
)
PATIENT = scripted(Say("Hello?"), Listen(), Say(TIME), Wait(30))
LATER = ("try again later, or add a fallback provider",)
NO_CREDIT = ("no credit left; add some",)
SOON = Timing(mind_filler_s=0.5)

SHARED = {"402", "404", "429, for long", "500", "drops once, at once", "length", "unknown events"}
"""What the vendors' minds have in common in our code, and is tried with one of them."""

FRIDAY = CallTool("look", {"day": "Friday"})
MONDAY = CallTool("look", {"day": "Monday"})


async def look(arguments: Mapping[str, Any], context: object) -> dict[str, Any]:
    return {"free": arguments["day"]}


LOOK = Tool(
    name="look",
    description="Look into the calendar.",
    parameters={"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
    handler=look,
)


def mind(
    *faults: Fault | None, every: Fault | None = None, token_ms: float = 0.0, first_token_ms: float = 0.0
) -> SetUp:
    """Faults of the answers in their order, of all other requests, and how fast they are written."""

    def set_up(vendors: Vendors) -> None:
        for vendor in (vendors.openai, vendors.anthropic):
            vendor.token_ms, vendor.first_token_ms = token_ms, first_token_ms
            vendor.faults.every = every
            if faults:
                vendor.faults.extend([None, *faults])  # a session asks for the list of models before anything else

    return set_up


def answers(line: str, answer: Any, *faults: Fault, token_ms: float = 0.0) -> SetUp:
    """What the mind says to a line of the callee, and the faults of the answers."""

    def set_up(vendors: Vendors) -> None:
        mind(*faults, token_ms=token_ms)(vendors)
        vendors.openai.answer = vendors.anthropic.answer = replies({line: answer})

    return set_up


def uses(*calls: CallTool) -> SetUp:
    """The mind calls tools before it says goodbye."""

    def answer(messages: Sequence[Message]) -> Answer:
        return says(THANKS, CallTool("end_call")) if messages[-1].role == "tool" else says(*calls)

    return answers(BOOKED, answer)


def lost(name: str, set_up: SetUp, *tells: str, **more: Any) -> Row:
    """The agent apologises, and ends the call."""
    options = {"tells": tells, "transcript": SORRY, "callee": PATIENT, **more}
    return Row(name, set_up, "failed", "pipeline_error", "llm_error", **options)


def breaks(name: str, fault: Callable[..., Fault], *tells: str, **more: Any) -> list[Row]:
    """An answer that breaks off before anything was said of it, and one that breaks off in mid-sentence."""
    late = answers(TIME, LONG, fault(after_messages=16), token_ms=50)
    return [
        lost(f"{name} at the beginning", answers(TIME, LONG, fault(after_messages=4)), *tells, **more),
        lost(f"{name} in mid-sentence", late, *tells, **more, transcript=None, then=apologises_in_mid_sentence),
    ]


def apologises_in_mid_sentence(outcome: Outcome) -> None:
    assert outcome.agent[0] == GREETING
    assert LONG.startswith(outcome.agent[1])
    assert outcome.agent[2:] == [APOLOGY]
    is_estimated(outcome)


def is_estimated(outcome: Outcome) -> None:
    details = outcome.result.details
    assert details is not None
    assert "llm" in details.cost.estimated
    assert outcome.result.metrics.cost.llm > 0


def is_counted(outcome: Outcome) -> None:
    details = outcome.result.details
    assert details is not None
    assert "llm" not in details.cost.estimated
    assert outcome.result.metrics.cost.llm > 0


def is_stopped_and_billed(outcome: Outcome) -> None:
    was_stopped(outcome)
    is_estimated(outcome)
    asked = [*outcome.vendors.openai.requests, *outcome.vendors.anthropic.requests]
    assert any(request.stopped_by_client for request in asked)


def never_ends(outcome: Outcome) -> None:
    assert {*outcome.agent[1].split()} <= {"and", "so", "on,"}
    is_estimated(outcome)


def tried(count: int) -> Callable[[Outcome], None]:
    """So many answers were asked for."""

    def then(outcome: Outcome) -> None:
        asked = [*outcome.vendors.openai.requests, *outcome.vendors.anthropic.requests]
        assert sum(request.method == "POST" for request in asked) == count

    return then


def records(*expected: str | None) -> Callable[[Outcome], None]:
    """What became of the tools that were called."""

    def then(outcome: Outcome) -> None:
        details = outcome.result.details
        assert details is not None
        assert [record.reason for record in details.tool_calls] == [*expected, None]

    return then


def table(name: str, llm: Callable[..., Any], *, key: str) -> list[Row]:
    """What can happen to every mind."""
    hasty = partial(llm, timeout_s=1.5)
    bad_key = f"does not accept the key; check {key}"
    on_and_on = says("and so on, ", endless=True)
    rows = [
        Row("nothing", then=is_counted),
        lost("401", mind(every=Refuse(401)), bad_key, then=tried(1)),
        lost("402", mind(every=Refuse(402)), *NO_CREDIT, key, then=tried(1)),
        lost("404", mind(every=Refuse(404)), "does not know the model", "check", then=tried(1)),
        lost("429", mind(every=Refuse(429)), "too many at once", then=tried(2)),
        lost("429, for long", mind(every=Refuse(429, retry_after_s=30)), "too many at once", then=tried(1)),
        lost("500", mind(every=Refuse(500)), *LATER, then=tried(2)),
        Row("429 once, with Retry-After", mind(Refuse(429, retry_after_s=0.5)), then=tried(3)),
        Row("500 once", mind(Refuse(500)), then=tried(3)),
        Row("drops once, at once", mind(Drop()), then=tried(3)),
        lost(
            "black hole",
            mind(every=BlackHole()),
            "wrote nothing for 1.5 s",
            "later",
            llm=hasty,
            timing=SOON,
            transcript=SORRY_TO_WAIT,
        ),
        *breaks("error in the stream", ErrorFrame, *LATER),
        *breaks("cut", Drop, "check the network"),
        *breaks("silent end", SilentEnd, "ended without finishing", "add a fallback provider"),
        *breaks("garbage", Garbage, "no answer", "check base_url and the model"),
        *breaks("stall", Stall, "wrote nothing for 1.5 s", *LATER, llm=hasty),
        Row("unknown events", mind(every=UnknownEvents())),
        Row("unknown tool", uses(CallTool("fly")), tools=(LOOK,), then=records("unknown_tool")),
        Row("two tools in one turn", uses(FRIDAY, MONDAY), tools=(LOOK,), then=records(None, None)),
        lost("empty answer", answers(TIME, says()), "empty answer", "use another model"),
        Row("length", answers(TIME, says(PLEASE, finish="length"))),
        Row("a stopped stream", stopping(), transcript=None, callee=RUDE, then=is_stopped_and_billed),
        Row(
            "a stream without end",
            answers(TIME, on_and_on, token_ms=60),
            "timeout",
            "max_duration",
            transcript=None,
            callee=PATIENT,
            duration_s=6,
            then=never_ends,
        ),
    ]
    own = [row for row in rows if llm is openai or row.name not in SHARED]
    return [replace(row, name=f"{name}: {row.name}", llm=llm if row.llm is openai else row.llm) for row in own]


def stopping() -> SetUp:
    def set_up(vendors: Vendors) -> None:
        mind(token_ms=80)(vendors)
        vendors.openai.answer = vendors.anthropic.answer = replies(STOPPED)

    return set_up


ROWS = [
    *table("OpenAI", openai, key="OPENAI_API_KEY"),
    *table("Anthropic", anthropic, key="ANTHROPIC_API_KEY"),
    lost("403", mind(every=Refuse(403)), "OpenAI", "check its permissions", then=tried(1)),
    lost("quota", mind(every=INSUFFICIENT_QUOTA), "OpenAI", *NO_CREDIT, "OPENAI_API_KEY", then=tried(1)),
    Row("429 once, in milliseconds", mind(RateLimited(retry_after_ms=50)), then=tried(3)),
    Row("a slow mind", mind(first_token_ms=900), transcript=ASKING_FOR_PATIENCE, timing=SOON),
    lost(
        "black hole, usual patience",
        mind(every=BlackHole()),
        "OpenAI wrote nothing for 8 s",
        transcript=SORRY_TO_WAIT,
        within_s=25,
    ),
    Row("broken arguments", uses(CallTool("look", '{"day": ')), tools=(LOOK,), then=records("invalid_arguments")),
    Row("wrong arguments", uses(CallTool("look", {"week": 7})), tools=(LOOK,), then=records("invalid_arguments")),
    Row(
        "a goodbye whose end_call is broken",
        answers(BOOKED, says(THANKS, CallTool("end_call", "{oops"))),
        then=records(),
    ),
    lost("length before anything", answers(TIME, says(finish="length")), "OpenAI", "max_tokens", "raise it"),
    Row("content filter", answers(TIME, says(PLEASE, finish="content_filter"))),
    lost(
        "content filter before anything",
        answers(TIME, says(finish="content_filter")),
        "OpenAI",
        "safety filter",
        "change the prompt",
    ),
    lost(
        "a stream without end, as fast as it can",
        answers(TIME, says("and so on, ", endless=True)),
        "no answer (more than anybody could say)",
        "check",
        transcript=None,
        then=never_ends,
    ),
    Row("overloaded once", mind(Refuse(529)), llm=anthropic, then=tried(3)),
]


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Outcome | Exception]]:
    yield run(ROWS)


def test_nothing_is_logged(outcomes: dict[str, Outcome | Exception]) -> None:
    assert logged(outcomes) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_misfortune_of_the_mind(row: Row, outcomes: dict[str, Outcome | Exception]) -> None:
    check(row, outcomes[row.name])
