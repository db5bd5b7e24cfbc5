import re
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.local import spoken
from patter.local.language import arpa_bigrams

WORD = st.sampled_from("yes no at three a table for two please".split())


def read(arpa: str) -> tuple[dict[str, float], dict[str, float], dict[tuple[str, str], float]]:
    """Chances of single words, back-off weights, chances of pairs."""
    single, back_off, pairs = {}, {}, {}
    for line in arpa.splitlines():
        fields = line.split()
        if re.match(r"-?\d", line) and len(fields) >= 2:
            chance = 10 ** float(fields[0])
            if len(fields) == 3 and not re.match(r"-?\d", fields[2]):
                pairs[fields[1], fields[2]] = chance
            else:
                single[fields[1]] = chance
                if len(fields) == 3:
                    back_off[fields[1]] = 10 ** float(fields[2])
    return single, back_off, pairs


@given(st.lists(st.lists(WORD, min_size=1, max_size=6), min_size=1, max_size=8))
def test_the_chances_after_each_word_add_up_to_one(sentences: list[list[str]]) -> None:
    arpa = arpa_bigrams(sentences)
    single, back_off, pairs = read(arpa)
    words = single.keys() - {"<s>"}
    assert sum(single[word] for word in words) == pytest.approx(1, abs=0.01)
    after: dict[str, float] = defaultdict(float)
    for first in back_off:
        after[first] = sum(pairs.get((first, second), back_off[first] * single[second]) for second in words)
    # A word that is followed by everything has nothing left to give to what never follows it.
    assert all(0.79 <= total <= 1.01 for total in after.values())
    assert f"ngram 1={len(single)}" in arpa
    assert f"ngram 2={len(pairs)}" in arpa


def test_seen_pairs_are_much_likelier_than_unseen_ones() -> None:
    single, back_off, pairs = read(arpa_bigrams([["book", "a", "table"], ["cancel", "a", "table"]]))
    assert pairs["a", "table"] == pytest.approx(0.9, abs=0.01)
    assert back_off["a"] * single["book"] < 0.02
    assert ("a", "book") not in pairs


def test_no_words_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one sentence"):
        arpa_bigrams([[], []])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, I'm Anna!", "hello i'm anna"),
        ("at 3:30 pm", "at three thirty p.m."),
        ("3pm or 10:05 a.m. or 12am", "three p.m. or ten oh five a.m. or twelve a.m."),
        ("I am here at 9 am", "i am here at nine a.m."),
        ("9:00, 15:00, 0:00", "nine o'clock fifteen hundred zero hundred"),
        ("2026-03-04", "march fourth twenty twenty six"),
        ("the 3rd, 12th, 21st and 30th", "the third twelfth twenty first and thirtieth"),
        ("$1,250.50", "one thousand two hundred fifty dollars and fifty cents"),
        ("€30 £0.05 $1", "thirty euros five pence one dollar"),
        ("in 2025, 2005, 1900, 2000", "in twenty twenty five two thousand five nineteen hundred two thousand"),
        ("3.5% of 12,000", "three point five percent of twelve thousand"),
        ("+1 555-0199, 007", "one five five five zero one nine nine zero zero seven"),
        ("123456 is 99 & 0", "one hundred twenty three thousand four hundred fifty six is ninety nine and zero"),
        ("mail a@b.com", "mail a at b dot com"),
        ("Dr. O’Neil's café", "doctor o'neil's cafe"),
        ("U.S. e.g.", "u s e g"),
        ("👍 你好 … ***", ""),
        ("9" * 5000 + " $" + "9" * 5000, None),
    ],
)
def test_spoken_words(text: str, words: str | None) -> None:
    if words is None:
        assert set(spoken.words(text)) <= set("nine hundred ninety trillion billion million thousand dollars".split())
    else:
        assert spoken.words(text) == words.split()


@given(st.text())
def test_any_text_becomes_plain_words(text: str) -> None:
    for part in spoken.say(text):
        assert part.token in text.split()
        assert part.pause in ("", ",", ".", "?")
        assert part.words
        assert all(re.fullmatch(r"[a-z]+(?:'[a-z]+)*|[ap]\.m\.", word) for word in part.words)


def test_pauses_follow_the_punctuation() -> None:
    parts = spoken.say('Well, "yes." At 3 p.m. then: ok? - 👍 !')
    assert [(part.token, part.pause) for part in parts] == [
        ("Well,", ","),
        ('"yes."', "."),
        ("At", ""),
        ("3", ""),
        ("p.m.", ""),
        ("then:", ","),
        ("ok?", "."),
    ]
