"""Times of day and days, as recognisers and people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.local.times import ClockTime, find_day, find_times, in_words, plain


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("Book a haircut for tomorrow at 3 pm.", ["three in the afternoon"]),
        (
            "three in the afternoon is taken i have four thirty would that work",
            ["three in the afternoon", "four thirty"],
        ),
        ("at 15:00", ["three in the afternoon"]),
        ("10am friday", ["ten in the morning"]),
        ("9:15 a.m.", ["nine fifteen in the morning"]),
        ("half past three", ["three thirty"]),
        ("quarter to one", ["twelve forty five"]),
        ("five o'clock", ["five"]),
        ("at seven", ["seven"]),
        ("at noon", ["twelve in the afternoon"]),
        ("at 8 pm", ["eight in the evening"]),
        ("press one", []),
        ("for two people", []),
        ("call +15551234567", []),
        ("a table for 4", []),
        ("", []),
    ],
)
def test_find_times(text: str, times: list[str]) -> None:
    assert [str(time) for time in find_times(text)] == times


@given(st.integers(1, 12), st.sampled_from([0, 5, 15, 30, 45]), st.sampled_from(["in the morning", "in the evening"]))
def test_what_is_said_is_understood(hour: int, minute: int, part: str) -> None:
    time = ClockTime(hour, minute, part)
    assert find_times(f"that would be {time} then") == [time]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a table for 2 at 19:30", "a table for two at seven thirty in the evening"),
        ("March 3rd", "March third"),
        ("at 7, please", "at seven o'clock, please"),
        ("no numbers here.", "no numbers here."),
        ("room 42b", "room forty two b"),
    ],
)
def test_in_words(text: str, words: str) -> None:
    assert in_words(text) == words


@given(st.text(max_size=60))
def test_in_words_leaves_no_digits(text: str) -> None:
    assert not any(char in "0123456789" for char in in_words(text))


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Book it for Tomorrow at 3", "tomorrow"),
        ("next Friday, please", "next friday"),
        ("on March 3rd at 9", "march third"),
        ("on may twenty second", "may twenty second"),
        ("any time", None),
    ],
)
def test_find_day(text: str, day: str | None) -> None:
    assert find_day(text) == day


def test_plain_is_what_a_recogniser_writes() -> None:
    assert plain("I'm  sorry — 3 o’clock is TAKEN!") == "i'm sorry three o'clock is taken"


def test_later_goes_round_the_clock() -> None:
    assert str(ClockTime(12, 0, "in the afternoon").later(1, 30)) == "one thirty"
