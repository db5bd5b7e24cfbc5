from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.errors import ProviderError
from patter.voice.base import Delta, Message, ToolCall, ToolSpec, Usage
from patter.voice.chat.anthropic_wire import AnthropicReply, messages_request
from patter.voice.chat.wire import LONGEST_CHARS, InStreamError, NotAnAnswer

OPTIONS = {"model": "m", "max_tokens": 9, "temperature": None}
BOOK = ToolSpec("book", "Books a table.", {"type": "object", "properties": {"n": {"type": "integer"}}})
ASKED = Message("assistant", "", (ToolCall("c1", "book", '{"n": 2}'), ToolCall("c:2", "find", "{broken")))
TOLD = (Message("tool", '{"ok":true}', tool_call_id="c1"), Message("tool", "", tool_call_id="c:2"))


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def turns(*messages: Message) -> list[tuple[str, Any]]:
    request = messages_request(messages, [], OPTIONS)
    return [(turn["role"], turn["content"]) for turn in request["messages"]]


USES = [
    {"type": "tool_use", "id": "c1", "name": "book", "input": {"n": 2}},
    {"type": "tool_use", "id": "c_2", "name": "find", "input": {}},
]
RESULTS = [
    {"type": "tool_result", "tool_use_id": "c1", "content": '{"ok":true}'},
    {"type": "tool_result", "tool_use_id": "c_2"},
]


# --- requests --------------------------------------------------------------------------------------


def test_a_request() -> None:
    request = messages_request([Message("system", "Be brief."), Message("user", "Hello?")], [BOOK], OPTIONS)
    assert request == {
        "model": "m",
        "max_tokens": 9,
        "stream": True,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [text("Hello?")]}],
        "tools": [{"name": "book", "description": "Books a table.", "input_schema": BOOK.parameters}],
    }


def test_further_parameters_go_beside_those_that_every_sdk_knows() -> None:
    options = {"model": "m", "max_tokens": 9, "temperature": 0.5, "thinking": {"type": "disabled"}}
    assert messages_request([], [], options)["extra_body"] == {"temperature": 0.5, "thinking": {"type": "disabled"}}
    assert messages_request([], [], options, without={"thinking"})["extra_body"] == {"temperature": 0.5}


def test_all_leading_system_messages_are_the_system_prompt() -> None:
    request = messages_request([Message("system", "One."), Message("system", "Two.")], [], OPTIONS)
    assert request["system"] == "One.\n\nTwo."
    assert "system" not in messages_request([Message("system", " "), Message("user", "Hi")], [], OPTIONS)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], [("user", [text("[The call was answered.]")])]),
        ([Message("system", "Be brief.")], [("user", [text("[The call was answered.]")])]),
        (
            [Message("assistant", "Hello."), Message("user", "Yes?")],
            [
                ("user", [text("[The call was answered.]")]),
                ("assistant", [text("Hello.")]),
                ("user", [text("Yes?")]),
            ],
        ),
        (
            [Message("user", "Hello?"), Message("assistant", "Hi.")],
            [
                ("user", [text("Hello?")]),
                ("assistant", [text("Hi.")]),
                ("user", [text("[The other side has said nothing since.]")]),
            ],
        ),
        (
            [Message("user", "Hello?"), Message("system", "The other side pressed 5."), Message("user", "There?")],
            [("user", [text("Hello?"), text("[The other side pressed 5.]"), text("There?")])],
        ),
        (
            [Message("user", "1"), Message("assistant", "2"), Message("assistant", "3"), Message("user", "4")],
            [("user", [text("1")]), ("assistant", [text("2"), text("3")]), ("user", [text("4")])],
        ),
        (
            [Message("user", "1"), Message("assistant", " "), Message("user", ""), Message("system", "")],
            [("user", [text("1")])],
        ),
        (
            [Message("user", "Two."), ASKED, *TOLD, Message("user", "Done?")],
            [("user", [text("Two.")]), ("assistant", USES), ("user", [*RESULTS, text("Done?")])],
        ),
        (
            [Message("user", "Two."), Message("assistant", "One moment."), ASKED, Message("user", "Done?"), *TOLD],
            [
                ("user", [text("Two.")]),
                ("assistant", [text("One moment."), *USES]),
                ("user", [*RESULTS, text("Done?")]),
            ],
        ),
    ],
)
def test_turns(messages: list[Message], expected: list[tuple[str, Any]]) -> None:
    assert turns(*messages) == expected


def test_a_history_with_tool_calls_names_their_tools_also_if_none_may_be_called() -> None:
    request = messages_request([Message("user", "Two."), ASKED, *TOLD], [], OPTIONS)
    assert [tool["name"] for tool in request["tools"]] == ["book", "find"]
    assert all(tool["input_schema"] == {"type": "object"} for tool in request["tools"])
    assert request["tool_choice"] == {"type": "none"}
    assert "tool_choice" not in messages_request([Message("user", "Two."), ASKED, *TOLD], [BOOK], OPTIONS)
    assert "tools" not in messages_request([Message("user", "Hi")], [], OPTIONS)


def test_a_schema_has_a_type() -> None:
    request = messages_request([], [ToolSpec("end_call", "", {})], OPTIONS)
    assert request["tools"] == [{"name": "end_call", "input_schema": {"type": "object"}}]


MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.sampled_from(["", " ", "a", "b c"]))
    | st.just(ASKED)
)


@given(MESSAGES)
def test_the_user_begins_and_ends_and_nobody_speaks_twice(messages: list[Message]) -> None:
    roles = []
    for role, blocks in turns(*messages):
        roles.append(role)
        assert blocks
        assert all(block["text"].strip() for block in blocks if block["type"] == "text")
    assert roles[0] == roles[-1] == "user"
    assert all(one != other for one, other in itertools.pairwise(roles))


# --- answers ---------------------------------------------------------------------------------------


def event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def begin(block: dict[str, Any], index: int = 0) -> str:
    return event("content_block_start", index=index, content_block=block)


def use(index: int = 0, id_: str = "t1", name: str = "book", **given: Any) -> str:
    return begin({"type": "tool_use", "id": id_, "name": name, "input": given}, index)


def said(words: str, index: int = 0) -> str:
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": words})


def written(json_: str, index: int = 0) -> str:
    return event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": json_})


def stop(reason: str | None, **usage: int) -> str:
    return event("message_delta", delta={"stop_reason": reason}, usage=usage)


START = event(
    "message_start",
    message={"usage": {"input_tokens": 10, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 5}},
)


def fed(*events: str) -> list[Delta]:
    reply = AnthropicReply("Anthropic", "anthropic/m")
    deltas = [delta for data in events for delta in reply.feed(data)]
    reply.check()
    return [delta for delta in deltas if not isinstance(delta, Usage)]


def test_text_comes_as_it_is_written_and_the_usage_at_the_end() -> None:
    reply = AnthropicReply("Anthropic", "anthropic/m")
    for data in (START, event("ping"), begin(text(""))):
        assert reply.feed(data) == []
    assert reply.feed(said("Hello")) == ["Hello", Usage(35, 2, 20, estimated=True, model="anthropic/m")]
    assert reply.feed(said(", you")) == [", you", Usage(35, 3, 20, estimated=True, model="anthropic/m")]
    assert reply.feed(said(".")) == ["."]
    assert reply.feed(event("content_block_stop", index=0)) == []
    assert (reply.finished, reply.complete) == (False, False)
    assert reply.feed(stop("end_turn", output_tokens=6)) == []
    assert (reply.finished, reply.complete) == (True, False)
    assert reply.usage == Usage(35, 6, 20, model="anthropic/m")
    assert reply.feed(event("message_stop")) == []
    assert reply.complete
    reply.check()


def test_the_last_word_on_the_tokens_counts() -> None:
    reply = AnthropicReply("Anthropic", "anthropic/m")
    for data in (START, said("Hi"), stop("end_turn", input_tokens=11, output_tokens=6), event("message_stop")):
        reply.feed(data)
    assert reply.usage == Usage(36, 6, 20, model="anthropic/m")


def test_without_any_word_on_the_tokens_there_is_no_usage() -> None:
    reply = AnthropicReply("Anthropic", "anthropic/m")
    assert reply.feed(said("Hi")) == ["Hi"]
    assert reply.usage is None


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([use(), written(""), written('{"n"'), written(": 2}")], [ToolCall("t1", "book", '{"n": 2}')]),
        ([use()], [ToolCall("t1", "book", "{}")]),
        ([use(n=2)], [ToolCall("t1", "book", '{"n": 2}')]),
        ([use(), written("{broken")], [ToolCall("t1", "book", "{broken")]),
        ([use(id_="")], [ToolCall("call_1", "book", "{}")]),
        (
            [said("One moment."), use(1), written('{"n": 2}', 1), use(2, "t2", "find"), written("{}", 2)],
            ["One moment.", ToolCall("t1", "book", '{"n": 2}'), ToolCall("t2", "find", "{}")],
        ),
    ],
)
@pytest.mark.parametrize("end", [stop("tool_use"), event("message_stop")])
def test_tool_calls_are_put_together(events: list[str], expected: list[Delta], end: str) -> None:
    assert fed(START, *events, end, event("message_stop")) == expected


def test_a_call_that_was_cut_before_its_arguments_does_not_run_without_them() -> None:
    assert fed(said("Yes."), use(1), stop("max_tokens")) == ["Yes."]


def test_a_call_that_was_cut_later_is_the_tool_runners_business() -> None:
    assert fed(use(), written('{"n": '), stop("max_tokens")) == [ToolCall("t1", "book", '{"n": ')]


def test_thoughts_and_unknown_events_are_not_spoken() -> None:
    thought = event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm."})
    thinking = begin({"type": "thinking", "thinking": ""})
    assert fed(thinking, thought, event("news"), said("Hi.", 1), stop("end_turn")) == ["Hi."]


@pytest.mark.parametrize(
    "events",
    [
        [],
        [START, said("Half an ans")],
        [START, stop("end_turn")],
        [START, stop("max_tokens")],
        [START, stop("refusal")],
        [START, use(), stop(None)],
        [event("message_stop")],
    ],
)
def test_what_is_no_answer_is_an_error(events: list[str]) -> None:
    with pytest.raises(ProviderError):
        fed(*events)


@pytest.mark.parametrize("reason", ["end_turn", "max_tokens", "refusal", "pause_turn", "something_new"])
def test_what_was_said_stays_said(reason: str) -> None:
    assert fed(said("Well"), stop(reason)) == ["Well"]


def test_an_error_in_the_stream() -> None:
    with pytest.raises(InStreamError) as caught:
        fed(said("Well"), event("error", error={"type": "overloaded_error", "message": "Overloaded"}))
    assert caught.value.body["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize("data", ["<html>", "[]", "{}", event("message_start"), event("content_block_delta", delta=7)])
def test_garbage(data: str) -> None:
    with pytest.raises(NotAnAnswer):
        AnthropicReply("Anthropic", "anthropic/m").feed(data)


@pytest.mark.parametrize("endless", [said("and so on " * 100), written("1" * 1000)])
def test_an_answer_without_an_end_is_none(endless: str) -> None:
    reply = AnthropicReply("Anthropic", "anthropic/m")
    reply.feed(use())
    with pytest.raises(NotAnAnswer):
        for _ in range(LONGEST_CHARS // 1000 + 1):
            reply.feed(endless)


KINDS = ["message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop", "tool_use"]
INNER = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(KINDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "type index delta content_block message usage text partial_json input id name stop_reason "
                "input_tokens output_tokens".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.just("delta") | st.just("index"), INNER)) | INNER))
def test_nothing_else_is_ever_raised(events: list[Any]) -> None:
    reply = AnthropicReply("Anthropic", "anthropic/m")
    try:
        for one in events:
            told = {"type": one[0], **one[1]} if isinstance(one, tuple) else one
            for delta in reply.feed(json.dumps(told)):
                assert isinstance(delta, str | ToolCall | Usage)
        reply.check()
    except (NotAnAnswer, InStreamError, ProviderError):
        pass
