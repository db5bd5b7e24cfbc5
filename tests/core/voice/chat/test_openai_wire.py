from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.errors import ProviderError
from patter.voice.base import Delta, Message, ToolCall, ToolSpec, Usage
from patter.voice.chat.openai_wire import OpenAIReply, chat_request
from patter.voice.chat.wire import LONGEST_CHARS, InStreamError, NotAnAnswer

OPTIONS = {"model": "m", "temperature": None}
BOOK = ToolSpec("book", "Books a table.", {"type": "object", "properties": {"n": {"type": "integer"}}})


def chunk(delta: Any = None, finish: str | None = None, **more: Any) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more})


def piece(index: int | None = None, id_: str | None = None, name: str | None = None, arguments: Any = None) -> Any:
    told = {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in told.items() if value is not None}


def calls(*pieces: Any) -> str:
    return chunk({"tool_calls": list(pieces)})


def fed(*chunks: str) -> list[Delta]:
    reply = OpenAIReply("OpenAI", "openai/m")
    deltas = [delta for data in chunks for delta in reply.feed(data)]
    reply.check()
    return deltas


# --- requests --------------------------------------------------------------------------------------


def test_a_request_says_what_was_said() -> None:
    history = [
        Message("system", "Be brief."),
        Message("user", "Hello?"),
        Message("assistant", "A table, please."),
        Message("system", "The other side pressed 5 on the keypad."),
        Message("assistant", "", (ToolCall("c1", "book", '{"n": 2}'), ToolCall("c2", "book", "{broken"))),
        Message("tool", '{"ok":true}', tool_call_id="c1"),
        Message("tool", "", tool_call_id="c2"),
        Message("assistant", ""),
    ]
    request = chat_request(history, [BOOK], {**OPTIONS, "max_completion_tokens": 100})
    assert request == {
        "model": "m",
        "max_completion_tokens": 100,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello?"},
            {"role": "assistant", "content": "A table, please."},
            {"role": "system", "content": "The other side pressed 5 on the keypad."},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "book", "arguments": '{"n": 2}'}},
                    {"id": "c2", "type": "function", "function": {"name": "book", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "content": '{"ok":true}', "tool_call_id": "c1"},
            {"role": "tool", "content": "", "tool_call_id": "c2"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "book", "description": "Books a table.", "parameters": BOOK.parameters},
            }
        ],
    }


def test_what_a_server_does_not_take_is_left_out() -> None:
    request = chat_request([Message("user", "Hi")], [], OPTIONS, without={"stream_options"})
    assert request == {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


# --- answers ---------------------------------------------------------------------------------------


def test_text_comes_as_it_is_written() -> None:
    reply = OpenAIReply("OpenAI", "openai/m")
    assert reply.feed(chunk({"role": "assistant", "content": ""})) == []
    assert reply.feed(chunk({"content": "Hel"})) == ["Hel"]
    assert reply.feed(chunk({"content": "lo."})) == ["lo."]
    assert not reply.finished
    assert reply.feed(chunk(finish="stop")) == []
    assert (reply.finished, reply.complete, reply.usage) == (True, False, None)
    usage = {"prompt_tokens": 30, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 20}}
    assert reply.feed(json.dumps({"choices": [], "usage": usage})) == []
    assert reply.usage == Usage(30, 4, 20, model="openai/m")
    assert reply.feed("[DONE]") == []
    assert reply.complete
    reply.check()


TWO = [ToolCall("c1", "book", '{"n": 2}'), ToolCall("c2", "find", "{}")]


@pytest.mark.parametrize(
    ("name", "chunks", "expected"),
    [
        (
            "as OpenAI sends them",
            [
                calls(piece(0, "c1", "book", "")),
                calls(piece(0, arguments='{"n"')),
                calls(piece(0, arguments=": 2}")),
                calls(piece(1, "c2", "find", "{}")),
            ],
            TWO,
        ),
        (
            "interleaved",
            [
                calls(piece(0, "c1", "book", ""), piece(1, "c2", "find", "")),
                calls(piece(1, arguments="{}"), piece(0, arguments='{"n": 2}')),
            ],
            TWO,
        ),
        ("whole", [calls(piece(0, "c1", "book", '{"n": 2}'), piece(1, "c2", "find", "{}"))], TWO),
        ("whole, without index", [calls(piece(None, "c1", "book", '{"n": 2}'), piece(None, "c2", "find", "{}"))], TWO),
        ("all at index 0", [calls(piece(0, "c1", "book", '{"n": 2}')), calls(piece(0, "c2", "find", "{}"))], TWO),
        (
            "without index",
            [
                calls(piece(None, "c1", "book")),
                calls(piece(arguments='{"n": ')),
                calls(piece(arguments="2}")),
                calls(piece(None, "c2", "find", "{}")),
            ],
            TWO,
        ),
        (
            "id and name repeated",
            [
                calls(piece(0, "c1", "book", '{"n"')),
                calls(piece(0, "c1", "book", ": 2}")),
                calls(piece(1, "c2", "find", "{}")),
            ],
            TWO,
        ),
        ("arguments as an object", [calls(piece(0, "c1", "book", {"n": 2}), piece(1, "c2", "find", {}))], TWO),
        (
            "without ids",
            [calls(piece(0, None, "book", "{}")), calls(piece(1, "", "find", "{}"))],
            [ToolCall("call_1", "book", "{}"), ToolCall("call_2", "find", "{}")],
        ),
        (
            "without index and id",
            [
                calls(piece(name="book", arguments="")),
                calls(piece(arguments='{"n": 2}')),
                calls(piece(name="find", arguments="{}")),
            ],
            [ToolCall("call_1", "book", '{"n": 2}'), ToolCall("call_2", "find", "{}")],
        ),
        ("not valid", [calls(piece(0, "c1", "book", "{broken"))], [ToolCall("c1", "book", "{broken")]),
        ("without arguments", [calls(piece(0, "c1", "book"))], [ToolCall("c1", "book", "{}")]),
    ],
)
@pytest.mark.parametrize("finish", [chunk(finish="tool_calls"), chunk(finish="stop"), "[DONE]"])
def test_tool_calls_are_put_together(name: str, chunks: list[str], expected: list[ToolCall], finish: str) -> None:
    assert fed(*chunks, finish) == expected


def test_tool_calls_are_delivered_once() -> None:
    told = fed(calls(piece(0, "c1", "book", "{}")), chunk(finish="tool_calls"), chunk(finish="tool_calls"), "[DONE]")
    assert told == [ToolCall("c1", "book", "{}")]


def test_a_call_that_was_cut_before_its_arguments_does_not_run_without_them() -> None:
    told = fed(chunk({"content": "Yes."}), calls(piece(0, "c1", "book", "")), chunk(finish="length"))
    assert told == ["Yes."]


def test_a_call_that_was_cut_later_is_the_tool_runners_business() -> None:
    told = fed(calls(piece(0, "c1", "book", '{"n": ')), chunk(finish="length"))
    assert told == [ToolCall("c1", "book", '{"n": ')]


def test_compatible_servers_that_write_parts_refusals_or_usage_in_between() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    parts = [{"type": "text", "text": "He"}, {"type": "thinking", "thinking": []}, "x"]
    reply = OpenAIReply("OpenAI", "openai/m")
    assert reply.feed(chunk({"content": parts}, usage=usage)) == ["He"]
    assert reply.feed(chunk({"refusal": "No.", "reasoning_content": "hm"}, finish="stop")) == ["No."]
    assert reply.usage == Usage(3, 1, model="openai/m")
    assert reply.feed('{"object": "news"}') == []


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [chunk({"content": "Half an ans"})],
        [chunk(finish="stop")],
        [chunk({"content": ""}), chunk(finish="length")],
        [chunk(finish="content_filter")],
        ["[DONE]"],
        [calls(piece(0, "c1", "book", ""))],
    ],
)
def test_what_is_no_answer_is_an_error(chunks: list[str]) -> None:
    with pytest.raises(ProviderError):
        fed(*chunks)


@pytest.mark.parametrize("reason", ["length", "content_filter", "stop", "something_new"])
def test_what_was_said_stays_said(reason: str) -> None:
    assert fed(chunk({"content": "Well"}), chunk(finish=reason)) == ["Well"]


@pytest.mark.parametrize("error", [{"message": "Overloaded", "code": 503}, "Overloaded"])
def test_an_error_in_the_stream(error: object) -> None:
    with pytest.raises(InStreamError) as caught:
        fed(chunk({"content": "Well"}), json.dumps({"error": error}))
    assert caught.value.body == {"error": error}


@pytest.mark.parametrize(
    "data", ["<html>", "[]", '{"choices": 7}', '{"choices": [7]}', calls(7), calls({"index": 0, "function": "book"})]
)
def test_garbage(data: str) -> None:
    with pytest.raises(NotAnAnswer):
        OpenAIReply("OpenAI", "openai/m").feed(data)


@pytest.mark.parametrize("endless", [chunk({"content": "and so on " * 100}), calls(piece(0, "c", "book", "1" * 1000))])
def test_an_answer_without_an_end_is_none(endless: str) -> None:
    reply = OpenAIReply("OpenAI", "openai/m")
    with pytest.raises(NotAnAnswer):
        for _ in range(LONGEST_CHARS // 1000 + 1):
            reply.feed(endless)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "choices delta content tool_calls function name arguments index id usage finish_reason "
                "prompt_tokens prompt_tokens_details text error refusal".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=5))
def test_nothing_else_is_ever_raised(events: list[Any]) -> None:
    reply = OpenAIReply("OpenAI", "openai/m")
    try:
        for event in events:
            for delta in reply.feed(json.dumps(event)):
                assert isinstance(delta, str | ToolCall)
        reply.check()
    except (NotAnAnswer, InStreamError, ProviderError):
        pass
