import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.call.clauses import Clauses


def cut(text, *, chunk=None, **options):
    """The clauses of a text that comes in chunks, and the rest at its end."""
    clauses = Clauses(**options)
    size = chunk or max(len(text), 1)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return [clause for piece in pieces for clause in clauses.feed(piece)] + clauses.flush()


TABLE = [
    ("", []),
    ("Hello.", ["Hello."]),
    ("Good morning. How are you? Fine!", ["Good morning.", "How are you?", "Fine!"]),
    ("Hi. I am calling about a table, if I may.", ["Hi. I am calling about a table,", "if I may."]),
    ("One moment, please. I will look, and tell you.", ["One moment, please.", "I will look, and tell you."]),
    ("Well, that is nice, I think. Yes, it is, really.", ["Well, that is nice,", "I think.", "Yes, it is, really."]),
    ("It costs 3.50 dollars. Is that all right?", ["It costs 3.50 dollars.", "Is that all right?"]),
    ("Please ask Dr. Miller about it. He knows.", ["Please ask Dr. Miller about it.", "He knows."]),
    ("We close at 5 p.m. Please come before. Bye.", ["We close at 5 p.m.", "Please come before.", "Bye."]),
    ("We are open until 5 p.m. on Friday. Bye.", ["We are open until 5 p.m. on Friday.", "Bye."]),
    ('He said "Come at nine." Then he left.', ['He said "Come at nine."', "Then he left."]),
    ("**Bold** and `code` are\n\nnot   spoken. # Really", ["Bold and code are not spoken.", "Really"]),
    ("今日はいい天気です。明日も来てください。", ["今日はいい天気です。明日も来てください。"]),
    ("  \n ", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TABLE, ids=[text[:20] for text, _ in TABLE])
def test_a_text_becomes_clauses(text, expected):
    if text.startswith("今"):
        assert "".join(cut(text)) == text
    else:
        assert cut(text) == expected


# What follows "p.m." decides, and has to be there.
WHOLE = [entry for entry in TABLE if not entry[0].startswith("今") and "p.m." not in entry[0]]


@pytest.mark.parametrize(("text", "expected"), WHOLE, ids=[text[:20] for text, _ in WHOLE])
def test_the_size_of_the_deltas_does_not_matter(text, expected):
    assert cut(text, chunk=1) == cut(text, chunk=7) == expected


def test_the_first_clause_comes_as_soon_as_it_can():
    clauses = Clauses(first_chars=12)
    assert clauses.feed("Well,") == []
    assert clauses.feed(" good morning,") == []
    assert clauses.feed(" sir") == ["Well, good morning,"]
    assert clauses.feed(". And") == ["sir."]
    assert clauses.flush() == ["And"]


def test_the_first_clause_can_be_longer():
    assert cut("Well, good morning, sir. Bye.", first_chars=20) == ["Well, good morning, sir.", "Bye."]


def test_text_without_punctuation_does_not_wait_for_ever():
    words = "word " * 100
    pieces = cut(words)
    assert len(pieces[0]) <= 100
    assert all(len(piece) <= 200 for piece in pieces)
    assert " ".join(pieces) == words.strip()


@given(st.text(max_size=300), st.integers(1, 40), st.sampled_from([1, 12, 40]))
def test_nothing_is_lost_or_invented(text, chunk, first_chars):
    pieces = cut(text, chunk=chunk, first_chars=first_chars)
    spoken = "".join("".join(pieces).split())
    assert spoken == "".join(text.translate(str.maketrans("", "", "*#`")).split())
    assert all(piece == " ".join(piece.split()) and piece for piece in pieces)


@given(st.text(st.sampled_from("ab ,.!?"), max_size=200), st.integers(1, 20))
def test_a_clause_is_never_held_back_once_a_sentence_follows(text, chunk):
    for piece in cut(text, chunk=chunk)[1:-1]:
        assert len(piece) <= 200
