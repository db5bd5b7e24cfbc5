"""Goals, as people and models write them."""

import pytest

from patter.local.goal import Goal


@pytest.mark.parametrize(
    ("text", "purpose"),
    [
        ("Book a haircut for tomorrow at 3 pm.", "to book a haircut for tomorrow at three in the afternoon"),
        ("Please call the salon and book a haircut", "to book a haircut"),
        ("Call the clinic to reschedule my visit. It was on Friday.", "to reschedule my visit"),
        ("to ask about opening hours", "to ask about opening hours"),
        ("A table for 2 at 7pm", "about a table for two at seven in the evening"),
        ("ORDER two pizzas", "to order two pizzas"),
        ("GP appointment", "about GP appointment"),
        ("", "about a question"),
        ("  \n ", "about a question"),
    ],
)
def test_purpose(text: str, purpose: str) -> None:
    assert Goal.of(text).purpose == purpose


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Book a haircut for tomorrow", "Maria Lopez"),
        ("Book a haircut for John Smith", "John Smith"),
        ("Book a table under the name of Ada", "Ada"),
        ("Book a haircut for Friday at 3", "Maria Lopez"),
        ("Book it. The name is Grace Hopper.", "Grace Hopper"),
    ],
)
def test_name(text: str, name: str) -> None:
    assert Goal.of(text).name == name


def test_the_rest() -> None:
    goal = Goal.of("Make an appointment for a checkup on Friday 10am for Ann Lee, born on March 3rd, 1980.")
    assert goal.when == "friday at ten in the morning"
    assert goal.birth == "March third"
    assert goal.reason == "a checkup"
    assert Goal.of("Book a haircut").reason == "a haircut"


def test_is_in_knows_a_goal_that_was_half_told() -> None:
    goal = Goal.of("Book a haircut for tomorrow at 3 pm.")
    assert goal.is_in("hi this is an automated assistant calling to book a haircut for tomorrow")
    assert not goal.is_in("hi this is an automated")
