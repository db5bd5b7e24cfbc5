"""What callers say, and what is kept of it."""

from __future__ import annotations

import json
import unicodedata
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.tools.extraction import VariableType, normalise

KINDS: tuple[VariableType, ...] = ("email", "phone", "name", "number", "date", "custom")
GERMAN, BRITISH, FICTIONAL = "+4930999888", "+442079460000", "+15550100199"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Anna.Smith@Example.COM", "Anna.Smith@example.com"),
        ("  a+b@mail.example.org ", "a+b@mail.example.org"),
        ("jörg@müller.de", "jörg@müller.de"),
        ("jo\u0308rg@MU\u0308LLER.de", "jörg@müller.de"),
        ("anna@example", None),
        ("anna@@example.com", None),
        ("anna@b@example.com", None),
        ("anna example.com", None),
        ("an na@example.com", None),
        ("@example.com", None),
        ("anna@", None),
        ("anna@-example.com", None),
        ("anna@example..com", None),
        ("anna@example.com, bob@example.com", None),
        ("Anna <anna@example.com>", None),
        (f"{'a' * 65}@example.com", None),
        (f"a@{'b' * 250}.com", None),
    ],
)
def test_email(text: str, kept: str | None) -> None:
    assert normalise("email", text) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("+1 (555) 123-4567", "+15551234567"),
        ("0049 30 999.888", "+4930999888"),
        ("+49 (0)30 999888", "+4930999888"),
        ("0049 (0) 30/999 888", "+4930999888"),
        ("tel:+15551234567", "+15551234567"),
        ("+٤٩ ٣٠ ٩٩٩٨٨٨", "+4930999888"),
        ("+1234567", "+1234567"),
        ("+123456789012345", "+123456789012345"),
        ("+123456", None),
        ("+1234567890123456", None),
        ("+0155512345", None),
        ("+1 555 CALL NOW", None),
        ("++15551234567", None),
        ("030 999888", None),
        ("5551234567", None),
        ("112", None),
    ],
)
def test_phone(text: str, kept: str | None) -> None:
    assert normalise("phone", text) == kept


@pytest.mark.parametrize(
    ("text", "home", "kept"),
    [
        ("0151 2345678", GERMAN, "+491512345678"),
        ("020 7946 0000", BRITISH, "+442079460000"),
        ("555 123 4567", FICTIONAL, "+15551234567"),
        ("1-555-123-4567", FICTIONAL, "+15551234567"),
        ("+1 555 123 4567", GERMAN, "+15551234567"),
        ("112", GERMAN, None),
        ("12345", FICTIONAL, None),
        ("0151 2345678", "client:anna", None),
    ],
)
def test_a_national_number_is_one_of_the_other_sides_country(text: str, home: str, kept: str | None) -> None:
    assert normalise("phone", text, home=home) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  Anna   Smith\n", "Anna Smith"),
        ("Zoe\u0308", "Zoë"),
        ("x" * 120, "x" * 120),
        ("x" * 121, None),
        (" \t ", None),
        ("Anna\x00", None),
        ("Anna \ud800", None),
    ],
)
def test_name(text: str, kept: str | None) -> None:
    assert normalise("name", text) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("42", 42),
        (" -7 ", -7),
        ("007", 7),
        ("3.5", 3.5),
        ("3,5", 3.5),
        ("12,50", 12.5),
        ("0,125", 0.125),
        ("1e3", 1000.0),
        ("12345678901234567890", 12345678901234567890),
        ("٤٢", 42),
        ("1,250", None),
        ("1.234,56", None),
        ("1_000", None),
        ("1e999", None),
        ("nan", None),
        ("Infinity", None),
        ("0x10", None),
        (".5", None),
        ("four", None),
        ("1 2", None),
        ("9" * 41, None),
    ],
)
def test_number(text: str, kept: float | None) -> None:
    value = normalise("number", text)
    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("2026-12-24", "2026-12-24"),
        ("24.12.2026", "2026-12-24"),
        ("1.3.2026", "2026-03-01"),
        ("1. 3. 2026", "2026-03-01"),
        ("29.02.2028", "2028-02-29"),
        ("29.02.2026", None),
        ("12/24/2026", None),
        ("24.12.26", None),
        ("20261224", None),
        ("2026-W52-4", None),
        ("2026-12-24T10:00", None),
        ("0000-01-01", None),
        ("tomorrow", None),
    ],
)
def test_date(text: str, kept: str | None) -> None:
    assert normalise("date", text) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [(" a\nb ", "a\nb"), ("x" * 1000, "x" * 1000), ("x" * 1001, None), ("", None), ("\ud800", None), ("a\x07", None)],
)
def test_custom(text: str, kept: str | None) -> None:
    assert normalise("custom", text) == kept


@given(st.sampled_from(KINDS), st.text(max_size=80), st.sampled_from([None, GERMAN, FICTIONAL, "client:anna"]))
def test_any_text_is_a_json_value_or_none(kind: VariableType, text: str, home: str | None) -> None:
    value = normalise(kind, text, home=home)
    if value is not None:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@given(st.sampled_from(KINDS), st.text(max_size=80))
def test_what_is_kept_is_kept_as_it_is(kind: VariableType, text: str) -> None:
    value = normalise(kind, text)
    if value is not None:
        assert normalise(kind, str(value)) == value


@given(st.dates())
def test_both_ways_to_write_a_date_are_one(day: date) -> None:
    dotted = f"{day.day}.{day.month}.{day.year:04}"
    assert normalise("date", dotted) == normalise("date", day.isoformat()) == day.isoformat()


@given(st.integers(1_000_000, 10**15 - 1), st.data())
def test_separators_in_a_phone_number_do_not_matter(number: int, data: st.DataObject) -> None:
    separators = data.draw(st.lists(st.sampled_from(["", " ", "-", "/", "."]), min_size=16, max_size=16))
    written = "".join(digit + separator for digit, separator in zip(str(number), separators, strict=False))
    assert normalise("phone", f"+{written}") == normalise("phone", f"00{written}") == f"+{number}"


@given(st.text("abcäöüéАБ ", min_size=1, max_size=60))
def test_names_are_composed_characters(text: str) -> None:
    assert normalise("name", unicodedata.normalize("NFD", text)) == normalise("name", text)
