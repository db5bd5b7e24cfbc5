"""A second provider takes over, in whole calls: the conversation is completed, and each sentence is said once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.wire.vendor_calls import (
    GREETING,
    LONG,
    TIME,
    Outcome,
    Row,
    SetUp,
    anthropic,
    armed,
    check,
    deepgram,
    elevenlabs,
    flux,
    logged,
    openai,
    replies,
    run,
)

from patter import FallbackLLM, FallbackSTT, FallbackTTS
from patter.call.prompt import APOLOGY
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.testing.emulators.faults import BlackHole, Drop, ErrorFrame, Fault, Refuse, Stall
from patter.testing.emulators.vendors import Vendors

pytestmark = pytest.mark.timeout(180)  # the first test waits for all the calls

NO_CREDIT = ErrorFrame({"error": "quota_exceeded", "message": "no credit", "contextId": "u2"}, after_messages=9)


def ears(vendors: Vendors) -> FallbackSTT:
    return FallbackSTT(deepgram(vendors), flux(vendors), open_s=1.0)


def mind(vendors: Vendors) -> FallbackLLM:
    return FallbackLLM(openai(vendors), anthropic(vendors), first_delta_s=0.6)


def voice(vendors: Vendors) -> FallbackTTS:
    # HTTP and websocket share the faults of the one emulator: who comes after a fault finds none.
    return FallbackTTS(elevenlabs(vendors), elevenlabs(vendors, transport="http"), open_s=1.0)


def asks(*, openai: int, anthropic: int) -> Callable[[Outcome], None]:
    """How many answers were asked for."""

    def then(outcome: Outcome) -> None:
        vendors = outcome.vendors
        for vendor, count in ((vendors.openai, openai), (vendors.anthropic, anthropic)):
            assert sum(request.method == "POST" for request in vendor.requests) == count

    return then


def hears_with(*versions: str) -> Callable[[Outcome], None]:
    """Which versions of Deepgram's protocol were tried, in their order."""

    def then(outcome: Outcome) -> None:
        assert [connection.path for connection in outcome.vendors.deepgram.connections] == [
            f"/{version}/listen" for version in versions
        ]

    return then


def goes_on_by_http(outcome: Outcome) -> None:
    methods = [connection.method for connection in outcome.vendors.elevenlabs.connections]
    assert methods[0] == "GET" and methods[-1] == "POST"


def first_ears(*faults: Fault | None) -> SetUp:
    return armed("deepgram", *faults, empty_result_s=None)


def breaks_in_mid_sentence(vendors: Vendors) -> None:
    vendors.openai.token_ms = 50
    vendors.openai.faults.extend([None, Drop(after_messages=16)])
    vendors.openai.answer = vendors.anthropic.answer = replies({TIME: LONG})


def apologises(outcome: Outcome) -> None:
    assert outcome.agent[0] == GREETING and outcome.agent[-1] == APOLOGY
    assert LONG.startswith(outcome.agent[1])


ROWS = [
    Row("ears: nothing", stt=ears, then=hears_with("v1")),
    Row("ears: the first has a wrong key", first_ears(Refuse(401)), stt=ears, then=hears_with("v1", "v2")),
    Row("ears: the first does not answer", first_ears(BlackHole()), stt=ears, then=hears_with("v1", "v2")),
    *(
        Row(
            f"ears: the first dies after {n} messages",
            first_ears(Drop(after_messages=n), Refuse(401)),
            stt=ears,
            then=hears_with("v1", "v1", "v2"),
        )
        for n in range(3, 14, 2)
    ),
    Row(
        "ears: both are dead",
        armed("deepgram", every=Refuse(401)),
        "failed",
        "pipeline_error",
        "stt_error",
        ("Deepgram", "DEEPGRAM_API_KEY"),
        transcript=(),
        is_quoted=False,
        stt=ears,
    ),
    Row("mind: nothing", llm=mind, then=asks(openai=2, anthropic=0)),
    Row(
        "mind: the first has a wrong key",
        armed("openai", every=Refuse(401)),
        llm=mind,
        then=asks(openai=1, anthropic=2),
    ),
    Row(
        "mind: the first does not answer",
        armed("openai", every=BlackHole()),
        llm=mind,
        then=asks(openai=1, anthropic=2),
    ),
    Row("mind: the first is slow", armed("openai", first_token_ms=3000.0), llm=mind, then=asks(openai=1, anthropic=2)),
    Row("mind: the first fails for a while", armed("openai", every=Refuse(500)), llm=mind),
    Row(
        "mind: the first dies in mid-call",
        armed("openai", None, None, every=Refuse(401)),
        llm=mind,
        then=asks(openai=2, anthropic=1),
    ),
    Row(
        "mind: the first breaks in mid-sentence",
        breaks_in_mid_sentence,
        "failed",
        "pipeline_error",
        "llm_error",
        ("OpenAI", "check the network"),
        transcript=None,
        llm=mind,
        callee=scripted(Say("Hello?"), Listen(), Say(TIME), Wait(30)),
        then=apologises,
    ),
    Row("voice: nothing", tts=voice),
    Row("voice: the first has a wrong key", armed("elevenlabs", Refuse(401)), tts=voice, then=goes_on_by_http),
    Row("voice: the first does not answer", armed("elevenlabs", BlackHole()), tts=voice, then=goes_on_by_http),
    Row("voice: the first says nothing", armed("elevenlabs", Stall()), tts=voice, then=goes_on_by_http),
    Row(
        "voice: the first has no credit left in mid-sentence",
        armed("elevenlabs", NO_CREDIT),
        tts=voice,
        then=goes_on_by_http,
    ),
    *(
        Row(
            f"voice: the first dies after {n} messages",
            armed("elevenlabs", Drop(after_messages=n), Refuse(401)),
            tts=voice,
            then=goes_on_by_http,
        )
        for n in range(1, 21, 3)
    ),
]


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Outcome | Exception]]:
    yield run(ROWS)


def test_nothing_is_logged(outcomes: dict[str, Outcome | Exception]) -> None:
    assert logged(outcomes) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_second_provider_takes_over(row: Row, outcomes: dict[str, Outcome | Exception]) -> None:
    check(row, outcomes[row.name])
