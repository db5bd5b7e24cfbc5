"""The messages of the tool socket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.tools.remote import wire
from patter.tools.remote.wire import WireError, parse

INLINE: dict[str, Any] = {
    "type": "custom_websocket",
    "tool_schema": {
        "type": "function",
        "function": {
            "name": "get_temperature",
            "description": "Get the current temperature for a specific city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "The city"}},
                "required": ["city"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    },
    "execution_mode": "sync",
    "tool_call_output_timeout_ms": 5000,
}


def deep() -> dict[str, Any]:
    """A tool whose parameters are nested more deeply than Python likes."""
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(150):
        schema = {"type": "object", "properties": {"a": schema}}
    function = INLINE["tool_schema"]["function"] | {"parameters": schema}
    return INLINE | {"tool_schema": {"type": "function", "function": function}}


def config(**fields: Any) -> str:
    return json.dumps({"type": "config", "agent": "weather-assistant", **fields})


def refusal(text: str) -> WireError:
    with pytest.raises(WireError) as caught:
        parse(text)
    return caught.value


def test_d10_d12_a_config_names_tools_and_brings_tools() -> None:
    message = parse(config(tools=["find_city", INLINE], events=["transcript"], template_variables={"unit": "F"}))
    assert isinstance(message, wire.Config)
    assert (message.agent, message.names, message.variables) == ("weather-assistant", ("find_city",), {"unit": "F"})
    (tool,) = message.inline
    assert (tool.name, tool.limit_ms, tool.strict, tool.tool_type) == (
        "get_temperature",
        5000,
        True,
        "custom_websocket",
    )
    assert tool.llm_parameters()["required"] == ["city"]


def test_without_a_list_of_tools_a_config_means_all() -> None:
    message, none = parse(config()), parse(config(tools=[]))
    assert isinstance(message, wire.Config) and message.names is None
    assert isinstance(none, wire.Config) and none.names == ()


def test_a_key_in_a_message_is_not_printed() -> None:
    assert "hush" not in repr(parse(config(api_key="hush")))


@pytest.mark.parametrize(
    ("text", "code", "paths"),
    [
        ("", "invalid_message", []),
        ("[]", "invalid_message", []),
        ("{}", "invalid_message", []),
        ('{"type": 1}', "invalid_message", []),
        ('{"type": "say", "text": NaN}', "invalid_message", []),
        ("[" * 100_000, "invalid_message", []),
        ('{"type": "tool_call_output", "tool_call_id": "a"}', "invalid_message", []),
        ('{"type": "tool_call_output", "output": 1}', "invalid_message", []),
        ('{"type": "tool_call_output", "tool_call_id": "a", "output": 1, "is_error": "no"}', "invalid_message", []),
        ('{"type": "say", "text": " "}', "invalid_message", []),
        ('{"type": "add_system_message"}', "invalid_message", []),
        ('{"type": "config"}', "invalid_config", ["agent"]),
        (config(agent=""), "invalid_config", ["agent"]),
        (config(call_id=3), "invalid_config", ["call_id"]),
        (config(events="transcript"), "invalid_config", ["events"]),
        (config(events=["audio"]), "invalid_config", ["events"]),
        (config(events=[{}]), "invalid_config", ["events"]),
        (config(template_variables=[1]), "invalid_config", ["template_variables"]),
        (config(template_variables={"caller_phone": "+1"}), "invalid_config", ["template_variables"]),
        (config(template_variables={"API_KEY": "x"}), "invalid_config", ["template_variables"]),
        (config(tools={}), "invalid_config", ["tools"]),
        (config(tools=["a"] * 129), "invalid_config", ["tools"]),
        (config(tools=[1]), "invalid_config", ["tools.0"]),
        (config(tools=[{"type": "custom_websocket"}]), "invalid_config", ["tools.0"]),
        (config(tools=[{**INLINE, "self": 1}]), "invalid_config", ["tools.0"]),
        (config(tools=[deep()]), "invalid_config", ["tools.0"]),
        (config(tools=[INLINE | {"tool_call_output_timeout_ms": 1}]), "invalid_config", ["tools.0"]),
        (config(tools=["a", {**INLINE, "type": "custom_webhook"}]), "unsupported_tool_type", ["tools.1.type"]),
        (config(tools=["a", "a"]), "duplicate_tool", ["tools"]),
        (config(tools=["get_temperature", INLINE]), "duplicate_tool", ["tools"]),
    ],
)
def test_d13_what_is_malformed_is_told_by_its_path(text: str, code: str, paths: list[str]) -> None:
    error = refusal(text)
    assert (error.code, list(error.param_errors)) == (code, paths)
    frame = error.frame()
    assert frame["type"] == "error" and frame["error"]["code"] == code and frame["error"]["message"]


@pytest.mark.parametrize("kind", ["audio_chunk", "update_system_prompt", "set_external_id", "ping", "", "tool_call"])
def test_d16_other_messages_are_left_alone(kind: str) -> None:
    assert parse(json.dumps({"type": kind, "audio": "x" * 1000})) is None


def test_d03_an_output_is_any_json_value() -> None:
    for value in ("text", {"a": [1]}, None, 0, False, [], "75°F"):
        message = parse(json.dumps({"type": "tool_call_output", "tool_call_id": "t", "output": value}))
        assert message == wire.Output("t", value)


def test_d02_a_tool_call_has_its_parameters_as_an_object() -> None:
    frame = wire.tool_call(
        tool_call_id="t", tool_name="get_temperature", parameters={"city": "Köln"}, call_id="CA1", conversation_id="c"
    )
    assert frame == {
        "type": "tool_call",
        "tool_call_id": "t",
        "tool_name": "get_temperature",
        "parameters": {"city": "Köln"},
        "call_id": "CA1",
        "conversation_id": "c",
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KINDS = ["config", "tool_call_output", "say", "add_system_message", "generate_reply", "audio_chunk"]
KEYS = ["agent", "tools", "call_id", "api_key", "events", "template_variables", "tool_call_id", "output", "text"]
MESSAGES = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), JSON | st.just([INLINE]), max_size=6),
)


@given(st.text() | MESSAGES.map(json.dumps) | JSON.map(json.dumps))
def test_any_message_is_taken_or_refused(text: str) -> None:
    try:
        parse(text)
    except WireError as error:
        assert error.message
