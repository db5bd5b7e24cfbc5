import re

import pytest

from patter.call.prices import PRICES_DATED, Prices
from patter.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "name", "price"),
    [
        ("minute", "twilio", 0.018),
        ("minute", "local", 0.0),
        ("stt_minute", "deepgram/nova-3", 0.0077),
        ("tts_char", "elevenlabs/eleven_flash_v2_5", 0.00005),
        ("llm_input", "openai/gpt-5.4-mini", 0.75e-6),
        ("llm_cached", "openai/gpt-5.4-mini", 0.075e-6),
        ("llm_output", "openai/gpt-5.4-mini", 4.5e-6),
        ("llm_output", "local/anything", 0.0),
        ("llm_output", "acme/unknown", None),
        ("minute", "deepgram/nova-3", None),
    ],
)
def test_rates(kind, name, price):
    assert Prices().rate(kind, name) == (None if price is None else pytest.approx(price))


def test_the_table_is_dated():
    assert re.fullmatch(r"20\d\d-[01]\d", PRICES_DATED)


def test_overrides_win_and_stay_with_their_table():
    prices = Prices({"minute:twilio": 0.02, "llm_input:acme/unknown": 1})
    assert (prices.rate("minute", "twilio"), prices.rate("llm_input", "acme/unknown")) == (0.02, 1)
    assert Prices().rate("minute", "twilio") == pytest.approx(0.018)


@pytest.mark.parametrize("key", ["twilio", "minutes:twilio", "minute:", ":twilio", ""])
def test_a_key_that_is_no_kind(key):
    with pytest.raises(ConfigError, match="is not KIND:NAME with KIND one of minute, stt_minute"):
        Prices({key: 1.0})


@pytest.mark.parametrize("price", [-0.1, True, "0.1", None])
def test_a_price_that_is_no_price(price):
    with pytest.raises(ConfigError, match="must be US dollars per unit, 0 or more"):
        Prices({"minute:twilio": price})


@pytest.mark.parametrize("price", [float("nan"), float("inf")])
def test_a_price_that_is_no_finite_number(price):
    with pytest.raises(ConfigError):
        Prices({"minute:twilio": price})
