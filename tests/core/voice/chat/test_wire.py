import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.errors import ProviderError
from patter.voice.chat.wire import NotAnAnswer, ServerSentData, arguments_of, check_end, count_of, object_of


def fed(*pieces: bytes) -> list[str]:
    decoder = ServerSentData()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'data: {"a": 1}\n\ndata: [DONE]\n\n', ['{"a": 1}', "[DONE]"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        (b"data: a\r\rdata: b\r\r", ["a", "b"]),
        (b"data:no space\n\n", ["no space"]),
        (b"event: message\ndata: a\nid: 7\n\n", ["a"]),
        (b": keep alive\n\n: again\n\ndata: a\n\n", ["a"]),
        (b"data: one\ndata: two\n\n", ["one\ntwo"]),
        (b"data: a\n\ndata: without a blank line\n", ["a", "without a blank line"]),
        (b"\n\n\n", []),
        ("data: a\u2028b\u0085c\x0cd\n\n".encode(), ["a\u2028b\u0085c\x0cd"]),
    ],
)
def test_events_are_found_in_the_stream(stream: bytes, events: list[str]) -> None:
    assert fed(stream) == events
    assert fed(*(stream[at : at + 1] for at in range(len(stream)))) == events


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)), st.data())
def test_how_the_bytes_are_cut_does_not_matter(texts: list[str], data: st.DataObject) -> None:
    stream = b"".join(b"data: x" + text.encode() + b"x\n\n" for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert fed(*pieces) == [f"x{text}x" for text in texts]


def test_an_event_that_does_not_end_is_none() -> None:
    decoder = ServerSentData()
    with pytest.raises(NotAnAnswer):
        for _ in range(8):
            decoder.feed(b"data: " + b"x" * 1_000_000 + b"\n")


@pytest.mark.parametrize("data", ["", "{", "[]", "7", '"text"', "null", "[" * 100_000])
def test_what_is_no_object_is_no_event(data: str) -> None:
    with pytest.raises(NotAnAnswer):
        object_of(data)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [('{"a": 1}', {"a": 1}), ("", {}), ("{", {}), ("[1]", {}), ("null", {}), ("[" * 100_000, {})],
)
def test_arguments_that_are_no_object_are_empty(text: str, arguments: dict[str, int]) -> None:
    assert arguments_of(text) == arguments


@pytest.mark.parametrize(("told", "count"), [(7, 7), (0, 0), (-1, 0), (None, 0), ("7", 0), (7.5, 0)])
def test_tokens_are_counted_if_they_are_a_number(told: object, count: int) -> None:
    assert count_of(told) == count


@pytest.mark.parametrize("finish", ["done", "length", "refused"])
def test_what_was_said_is_an_answer_however_it_ended(finish: str) -> None:
    check_end("Vendor", finish, spoken=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("finish", "spoken", "words", "retryable"),
    [
        (None, True, "without finishing", True),
        (None, False, "without finishing", True),
        ("done", False, "empty answer", True),
        ("length", False, "max_tokens", True),
        ("refused", False, "safety filter", False),
    ],
)
def test_what_is_no_answer_is_an_error(finish: str | None, spoken: bool, words: str, retryable: bool) -> None:
    with pytest.raises(ProviderError, match=words) as caught:
        check_end("Vendor", finish, spoken=spoken)  # type: ignore[arg-type]
    assert (caught.value.stage, caught.value.retryable) == ("llm", retryable)
