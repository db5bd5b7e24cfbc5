from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.voice.unspoken import Unspoken

CLAUSES = ["Hello there,", "how are you?", "Fine."]


@pytest.mark.parametrize(
    ("spoken", "rest"),
    [
        ([], CLAUSES),
        ([""], CLAUSES),
        (["Hello"], ["there,", "how are you?", "Fine."]),
        (["Hello", "", "there,"], ["how are you?", "Fine."]),
        (["Hello there,", "how"], ["are you?", "Fine."]),
        (["Hello there, how are you?", "Fine."], []),
        (["Bonjour là,"], ["how are you?", "Fine."]),
        (["one two three four five six seven eight"], []),
    ],
)
def test_the_rest_begins_after_the_last_word_that_was_spoken(spoken: Sequence[str], rest: Sequence[str]) -> None:
    unspoken = Unspoken()
    for clause in CLAUSES:
        unspoken.say(clause)
    for text in spoken:
        unspoken.spoke(text)
    assert unspoken.rest() == rest


def test_clauses_may_be_written_while_others_are_spoken() -> None:
    unspoken = Unspoken()
    assert unspoken.rest() == []
    unspoken.say("one two")
    unspoken.spoke("one")
    unspoken.say("three")
    assert unspoken.rest() == ["two", "three"]
    unspoken.spoke("two three")
    assert unspoken.rest() == []
    unspoken.say("four  five\nsix")
    assert unspoken.rest() == ["four five six"]


@given(st.lists(st.lists(st.text("ab", min_size=1), min_size=1)), st.integers(0, 40))
def test_nothing_is_lost_and_nothing_comes_twice(clauses: list[list[str]], spoken: int) -> None:
    unspoken = Unspoken()
    words = [word for clause in clauses for word in clause]
    for clause in clauses:
        unspoken.say(" ".join(clause))
    for word in words[:spoken]:
        unspoken.spoke(word)
    assert " ".join(unspoken.rest()).split() == words[spoken:]
