"""What the customer's agent is told, and what it may answer."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.call import prompt
from patter.errors import ProviderError
from patter.voice.base import CallContext, Message, ToolCall
from patter.voice.messages.wire import Events, message_of, read_json, read_piece

CALL = CallContext(call_id="CA1", caller="+15550100001", callee="+15550100199")
SYSTEM = Message("system", "Be brief.")
HELLO = Message("user", "Hello?")
HI = Message("assistant", "Good day.")
WHO = Message("user", "Who is it?")
SAID = [{"role": "user", "text": "Hello?"}, {"role": "agent", "text": "Good day."}]


def note(text):
    return Message("system", text)


def asked(*messages):
    """What the agent is told of them, without what it is always told."""
    told = message_of([SYSTEM, *messages], CALL)
    assert told.items() >= {**CALL, "instructions": "Be brief."}.items()
    return {name: value for name, value in told.items() if name not in (*CALL, "instructions")}


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([HELLO], {"text": "Hello?", "history": []}),
        ([HELLO, HI, WHO], {"text": "Who is it?", "history": SAID}),
        ([HELLO, WHO], {"text": "Who is it?", "history": SAID[:1]}),
        # The callee's words stand before the agent's line that they fell into.
        ([HELLO, WHO, HI], {"text": "Who is it?", "history": SAID}),
        ([], {"text": "", "history": [], "event": "answered"}),
        (
            [note(prompt.NOBODY_SPEAKS)],
            {"text": "", "history": [], "event": "answered", "note": prompt.NOBODY_SPEAKS},
        ),
        (
            [note(prompt.MACHINE), note(prompt.NOBODY_SPEAKS)],
            {"text": "", "history": [], "event": "answered", "note": f"{prompt.MACHINE} {prompt.NOBODY_SPEAKS}"},
        ),
        (
            [HELLO, HI, note(prompt.SILENCE)],
            {"text": "", "history": SAID, "event": "silence", "note": prompt.SILENCE},
        ),
        (
            [HELLO, HI, note(prompt.SILENCE), HI, note(prompt.GIVE_UP)],
            {"text": "", "history": [*SAID, SAID[1]], "event": "silence", "note": prompt.GIVE_UP},
        ),
        (
            [HELLO, HI, note(prompt.keys_pressed("12")), WHO],
            {"text": "Who is it?", "history": SAID, "note": prompt.keys_pressed("12")},
        ),
        ([note(prompt.keys_pressed("1")), HELLO, HI, WHO], {"text": "Who is it?", "history": SAID}),
    ],
)
def test_the_message_of_a_history(messages, told):
    assert asked(*messages) == told


def test_tools_are_not_part_of_the_talk():
    call = ToolCall("1", "end_call", "{}")
    exchange = [Message("assistant", "", tool_calls=(call,)), Message("tool", "{}", tool_call_id="1")]
    assert asked(HELLO, HI, *exchange, WHO) == {"text": "Who is it?", "history": SAID}
    assert message_of([SYSTEM, HELLO, HI, *exchange], CALL) is None


def test_a_history_without_instructions():
    assert message_of([HELLO], CALL) == {"text": "Hello?", **CALL, "history": [], "instructions": ""}
    assert message_of([], CALL) == {"text": "", **CALL, "history": [], "instructions": "", "event": "answered"}


@pytest.mark.parametrize(
    ("answer", "piece"),
    [
        ("Hello.", ("Hello.", False)),
        ("", ("", False)),
        (None, ("", False)),
        ({"text": "Goodbye.", "end_call": True}, ("Goodbye.", True)),
        ({"text": "Hello."}, ("Hello.", False)),
        ({"text": None, "end_call": None, "more": 1}, ("", False)),
        ({"end_call": True}, ("", True)),
    ],
)
def test_pieces_of_an_answer(answer, piece):
    assert read_piece(answer) == piece


@pytest.mark.parametrize("answer", [7, b"Hello.", ["Hello."], {"text": 7}, {"end_call": "yes"}, {"text": ["secret"]}])
def test_anything_else_is_an_error_that_does_not_repeat_it(answer):
    with pytest.raises(ProviderError, match="wrong shape") as caught:
        read_piece(answer)
    assert "secret" not in str(caught.value)
    assert caught.value.stage == "llm"


@pytest.mark.parametrize("text", ["", "secret", '["secret"]', "7", "[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_object_is_an_error_that_does_not_repeat_it(text):
    with pytest.raises(ProviderError, match="no JSON object") as caught:
        read_json(text)
    assert "secret" not in str(caught.value)


EVENTS = [{"delta": "Grüß Gott, "}, {"delta": "hello \N{WAVING HAND SIGN}."}, {"end_call": True}]
STREAM = "".join(
    f": a comment\r\nevent: x\nid: 1\n\ndata: {json.dumps(event, ensure_ascii=False)}\r\n\r\n" for event in EVENTS
).encode()


@given(st.lists(st.integers(0, len(STREAM)), max_size=20), st.booleans())
def test_an_event_stream_is_read_the_same_however_it_is_cut(cuts, is_cut_off):
    stream = STREAM.rstrip() if is_cut_off else STREAM
    places = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    events = Events()
    got = [event for begin, end in itertools.pairwise(places) for event in events.feed(stream[begin:end], last=False)]
    got += events.feed(b"", last=True)
    assert [json.loads(event) for event in got] == EVENTS
