import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.call.meter import Meter, TurnClock, percentile
from patter.call.prices import Prices
from patter.voice.base import Usage


@dataclass
class Names:
    stt: str = "deepgram/nova-3"
    llm: str = "openai/gpt-5.4-mini"
    tts: str = "elevenlabs/eleven_flash_v2_5"


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 95, 0.0),
        ([7.04], 95, 7.0),
        ([1, 2], 50, 1.5),
        ([4, 1, 3, 2], 95, 3.9),
        (list(range(101)), 95, 95.0),
        ([5, 5, 5], 50, 5.0),
    ],
)
def test_percentiles_interpolate_between_order_statistics(values, percent, expected):
    assert percentile(values, percent) == pytest.approx(expected, abs=0.06)


@given(st.lists(st.floats(0, 1e5), min_size=1), st.floats(0, 100))
def test_a_percentile_lies_between_the_extremes(values, percent):
    assert min(values) - 0.05 <= percentile(values, percent) <= max(values) + 0.05


def test_latencies_and_their_stages():
    meter = Meter(Names())
    assert (
        meter.answered(
            TurnClock(
                10.0,
                committed=10.5,
                asked=10.5,
                first_token=10.7,
                first_clause=10.8,
                first_speech=11.0,
                first_audio=11.0,
            )
        )
        == 1000.0
    )
    assert (
        meter.answered(
            TurnClock(
                20.0,
                committed=20.3,
                asked=20.3,
                first_token=20.4,
                first_clause=20.4,
                first_speech=20.6,
                first_audio=20.6,
            )
        )
        == 600.0
    )
    latency = meter.latency()
    assert (latency.turns, latency.p50_ms, latency.p95_ms, latency.max_ms) == (2, 800.0, 980.0, 1000.0)
    assert (latency.stt_p95_ms, latency.llm_ttft_p95_ms, latency.tts_p95_ms) == (490.0, 195.0, 200.0)
    assert meter.metrics(meter.cost(Prices(), carrier="twilio", talk_s=0.0)[0]).p95_latency_ms == 980.0


def test_turns_without_an_answer_do_not_count():
    meter = Meter(Names())
    assert meter.answered(TurnClock(10.0, committed=10.5)) is None
    assert meter.latency().turns == 0
    assert meter.latency().p95_ms == 0.0


def test_an_anchor_of_another_turn_gives_no_number():
    meter = Meter(Names())
    assert meter.answered(TurnClock(10.0, committed=9.0, first_audio=9.5)) is None
    meter.answered(TurnClock(10.0, committed=10.2, asked=10.2, first_token=10.1, first_audio=11.0))
    assert (meter.latency().turns, meter.latency().llm_ttft_p95_ms) == (1, 0.0)


def test_cost_by_part():
    meter = Meter(Names())
    meter.heard(90_000)
    meter.synthesised("x" * 1000)
    meter.used(Usage(10_000, 500, cached_tokens=4000))
    meter.used(Usage(2000, 100))
    cost, notes = meter.cost(Prices(), carrier="twilio", talk_s=61.0)
    assert cost.stt == pytest.approx(1.5 * 0.0077, abs=1e-6)
    assert cost.tts == pytest.approx(0.05)
    assert cost.llm == pytest.approx(8000 * 0.75e-6 + 4000 * 0.075e-6 + 600 * 4.5e-6, abs=1e-6)
    assert cost.telephony == pytest.approx(2 * 0.018)
    assert (notes.estimated, notes.unpriced) == (["telephony"], [])


@pytest.mark.parametrize(("talk_s", "minutes"), [(0.0, 0), (0.1, 1), (60.0, 1), (60.1, 2), (180.0, 3)])
def test_carriers_bill_whole_minutes_of_answered_calls(talk_s, minutes):
    cost, notes = Meter(Names()).cost(Prices({"minute:twilio": 1.0}), carrier="twilio", talk_s=talk_s)
    assert cost.telephony == minutes
    assert notes.estimated == (["telephony"] if minutes else [])


def test_a_change_of_models_is_billed_to_each():
    names = Names()
    meter = Meter(names)
    meter.heard(60_000)
    meter.used(Usage(1000, 0))
    meter.used(Usage(1000, 0, model="openai/gpt-5.4"))
    names.stt = "deepgram/flux-general-en"
    meter.heard(60_000)
    cost, _ = meter.cost(Prices(), carrier="twilio", talk_s=0.0)
    assert cost.stt == pytest.approx(0.0077 + 0.0065)
    assert cost.llm == pytest.approx(0.75e-3 + 2.5e-3)


def test_a_wait_that_thinking_ahead_has_hidden_is_no_stage_of_its_own():
    meter = Meter(Names())
    clock = TurnClock(10.0, committed=10.5, asked=10.1, first_token=10.3, first_clause=10.3, first_speech=10.4)
    clock.first_audio = 10.5
    assert meter.answered(clock) == 500.0
    latency = meter.latency()
    assert (latency.stt_p95_ms, latency.llm_ttft_p95_ms, latency.tts_p95_ms) == (500.0, 200.0, 100.0)


def test_estimates_and_missing_prices_are_named():
    meter = Meter(Names(stt="acme/ears"))
    meter.heard(1000)
    meter.used(Usage(100, 10, estimated=True))
    cost, notes = meter.cost(Prices(), carrier="twilio", talk_s=1.0)
    assert cost.stt == 0.0
    assert notes.unpriced == ["stt_minute:acme/ears"]
    assert notes.estimated == ["telephony", "llm"]


def test_what_was_not_used_needs_no_price():
    _, notes = Meter(Names()).cost(Prices(), carrier="g", talk_s=0.0)
    assert notes.unpriced == []


@given(st.floats(0, 1e7), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 2000))
def test_costs_are_finite_and_rounded(stt_ms, chars, tokens, cached, talk_s):
    meter = Meter(Names())
    meter.heard(stt_ms)
    meter.synthesised("x" * chars)
    meter.used(Usage(tokens + cached, tokens, cached_tokens=cached))
    cost, _ = meter.cost(Prices(), carrier="twilio", talk_s=talk_s)
    for part in (cost.stt, cost.tts, cost.llm, cost.telephony):
        assert part >= 0 and math.isfinite(part) and round(part, 6) == part
