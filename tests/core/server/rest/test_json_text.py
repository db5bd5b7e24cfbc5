"""What is read as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.server.rest.errors import ApiError
from patter.server.rest.json_text import read_object

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**90), 10**90)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from("abc"), values))
def test_objects_come_back_as_they_were(given: dict[str, Any]) -> None:
    assert read_object(json.dumps(given).encode()) == given
    assert read_object(b"\xef\xbb\xbf " + json.dumps(given, ensure_ascii=False).encode()) == given


@given(st.binary())
def test_anything_else_is_refused_and_nothing_worse(data: bytes) -> None:
    try:
        assert isinstance(read_object(data), dict)
    except ApiError as error:
        assert error.code == "BAD_REQUEST"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"{'a': 1}", "no JSON"),
        (b'{"a": 01}', "no JSON"),
        (b"[" * 200_000, "no JSON|nested"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b'"text"', "no JSON object"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ('{"a": "ü"}'.encode("latin-1"), "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a": 1, "a": 1}', "a key twice"),
        (b'{"x": [{"a": 1, "\\u0061": 2}]}', "a key twice"),
        (b'{"a": NaN}', "no NaN"),
        (b'{"a": [-Infinity]}', "no NaN"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too long"),
        (b'{"a": "\\u0000"}', r"U\+0000"),
        (b'{"\\u0000": 1}', r"U\+0000"),
        (b'{"a": ["x\\ud800"]}', "half of a character"),
        (b'{"a\\udfff": 1}', "half of a character"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested"),
    ],
)
def test_what_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(ApiError, match=problem):
        read_object(data)


def test_pairs_of_halves_are_a_character() -> None:
    assert read_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
