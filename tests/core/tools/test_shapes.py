"""B-03, C-04 to C-11, C-31, C-35, C-36, D-05, D-11 to D-14, X-13, X-20: every shape is read, and written back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.documents import GET_TEMPERATURE, LOOKUP_CUSTOMER

from patter import ConfigError, Tool, ToolContext
from patter.tools.configs import CustomWebsocketConfig, SpeechPolicy, WebhookConfig
from patter.tools.parameter_list import schema_from_list, schema_to_list

SECRET = "sk-very-secret"
URL = "https://api.example.com/orders/status"
SCHEMA = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}


async def handler(arguments: dict[str, Any], context: ToolContext) -> str:
    return "shipped"


HANDLER = {"name": "get_order", "description": "Looks up an order.", "parameters": SCHEMA, "handler": handler}
WEBHOOK = {"name": "get_order", "description": "Looks up an order.", "parameters": SCHEMA, "webhook_url": URL}
TALKPILOT = LOOKUP_CUSTOMER | {"display_name": "Kunden-Lookup „für alle“"}
PREDEFINED = GET_TEMPERATURE
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "The city to get the temperature for"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {
    "type": "function",
    "function": {
        "name": "get_temperature",
        "description": "Get the current temperature for a specific city",
        "parameters": CITY,
        "strict": True,
    },
}
INLINE = {
    "type": "custom_websocket",
    "tool_schema": FUNCTION,
    "execution_mode": "sync",
    "tool_call_output_timeout_ms": 5000,
}


def refused(shape: Any) -> str:
    with pytest.raises(ConfigError) as problem:
        Tool.from_any(shape)
    assert SECRET not in str(problem.value)
    return str(problem.value)


# --- a mapping with a handler or a webhook_url -----------------------------------------------------


def test_b03_a_mapping_is_as_good_as_a_tool() -> None:
    tool = Tool.from_any(HANDLER)
    assert tool == Tool(**HANDLER)
    assert Tool.from_any(tool) is tool
    assert (tool.tool_type, tool.handler, tool.parameters) == ("handler", handler, SCHEMA)


def test_b13_a_webhook_url_makes_a_webhook() -> None:
    tool = Tool.from_any({**WEBHOOK, "headers": {"X-Shop": "1"}, "secret": SECRET, "max_retries": 2})
    assert tool.config == WebhookConfig(url=URL, headers={"X-Shop": "1"}, secret=SECRET)
    assert tool.max_retries == 2


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({**HANDLER, "webhook_url": URL}, "exactly one of them"),
        ({"name": "x", "description": "y", "parameters": SCHEMA}, "exactly one of them"),
        ({**HANDLER, "handler": None}, "exactly one of them"),
        ({**WEBHOOK, "webhook_url": f"ftp://{SECRET}"}, "config.url: "),
        ({**WEBHOOK, "webhook_url": 5}, "config.url: "),
        ({**WEBHOOK, "tool_type": "end_call"}, "webhook_url: a tool of type end_call has none"),
        ({**WEBHOOK, "config": {"url": URL}}, "config.url: it is given twice"),
        ({**HANDLER, "tool_type": "end_call"}, "handler: a tool of type handler has one"),
        ({"name": "x", "description": "y", "tool_type": "handler", "config": {}}, "handler: "),
        ({**HANDLER, SECRET[:2]: 1}, "sk: there is no such field"),
        ({**HANDLER, 5: 1}, "names that are strings"),
        (None, "NoneType is none"),
        ("get_order", "str is none"),
        ([HANDLER], "list is none"),
        (int, "type is none"),
    ],
)
def test_what_is_no_tool(shape: Any, said: str) -> None:
    assert said in refused(shape)


def test_reassurance_is_a_filler() -> None:
    assert Tool.from_any({**HANDLER, "reassurance": {"message": "One moment."}}).speech == SpeechPolicy(
        filler="One moment.", delay_ms=1500
    )
    assert Tool.from_any({**HANDLER, "reassurance": "One moment."}).speech.delay_ms == 1500
    assert "reassurance: " in refused({**HANDLER, "reassurance": {"after_ms": 5}})
    assert "speech: it cannot be combined" in refused({**HANDLER, "reassurance": "x", "speech": {}})


# --- TalkPilot -------------------------------------------------------------------------------------


def test_c31_c35_c36_the_body_of_the_document_comes_back_as_it_was() -> None:
    tool = Tool.from_any(TALKPILOT)
    assert tool.to_wire("talkpilot") == TALKPILOT
    assert json.loads(json.dumps(tool.to_wire("talkpilot"))) == TALKPILOT
    assert tool.speech == SpeechPolicy(during=True, after=True)


CONFIGS = {
    "transfer_call": {"phone_number": "+4930999888", "transfer_mode": "cold", "play_hold_music": False},
    "monitored_transfer": {"phone_number": "+4930999888", "timeout_seconds": 20},
    "end_call": {"goodbye_message": "Vielen Dank fuer Ihren Anruf. Auf Wiederhoeren!"},
    "extract_variable": {
        "variable_name": "email",
        "variable_type": "email",
        "prompt_text": "Bitte nennen Sie mir Ihre E-Mail-Adresse.",
        "example_format": "name@example.com",
        "confirmation_enabled": True,
    },
    "play_tone": {"tone_type": "dtmf", "dtmf_digit": "1", "duration": 500, "volume": 0.8},
    "knowledge_base": {"top_k": 5, "similarity_threshold": 0.7, "bridging_sentence": "Einen Moment..."},
}


@pytest.mark.parametrize("tool_type", CONFIGS)
def test_c19_to_c28_the_configs_of_the_document_come_back_as_they_were(tool_type: str) -> None:
    body = {"name": "t", "description": "For the tests.", "tool_type": tool_type, "config": CONFIGS[tool_type]}
    assert Tool.from_any(body).to_wire("talkpilot") == {**body, "priority": 0, "is_enabled": True}


def test_fields_of_ours_survive_the_wire() -> None:
    tool = Tool.from_any(
        {
            **WEBHOOK,
            "id": "6c1f9a52-0c7b-4a35-9d43-1f3f5a3f7a11",
            "agent_id": "salon",
            "created_at": "2026-01-01T00:00:00Z",
            "speech": {"filler": "One moment."},
            "static_arguments": {"shop": None},
            "assignments": [{"variable": "state", "path": "order.state"}],
            "execution_mode": "async",
            "timeout_ms": 700,
            "is_enabled": False,
        }
    )
    body = json.loads(json.dumps(tool.to_wire("talkpilot")))
    assert body["static_arguments"] == {"shop": None}
    assert body["is_enabled"] is False
    assert Tool.from_any(body) == tool


@pytest.mark.parametrize(
    ("alias", "tool_type", "config"),
    [
        ("websocket", "custom_websocket", {}),
        ("send_dtmf", "play_tone", {}),
        ("custom_webhook", "webhook", {"url": URL}),
    ],
)
@pytest.mark.parametrize("key", ["type", "tool_type"])
def test_aliases(key: str, alias: str, tool_type: str, config: dict[str, Any]) -> None:
    assert Tool(**{"name": "t", "description": "x", key: alias, "config": config}).tool_type == tool_type


def test_a_type_is_named_once() -> None:
    assert "type: it is the same as tool_type" in refused({**TALKPILOT, "type": "http_request"})


# --- Phonic ----------------------------------------------------------------------------------------


def test_d05_a_predefined_tool_is_read_and_written() -> None:
    tool = Tool.from_any(PREDEFINED)
    assert (tool.tool_type, tool.parameters, tool.limit_ms) == ("custom_websocket", CITY, 5000)
    assert tool.to_wire("phonic") == PREDEFINED


def test_d11_d12_d14_an_inline_entry_is_read_and_written() -> None:
    tool = Tool.from_any(INLINE)
    assert (tool.name, tool.strict, tool.parameters) == ("get_temperature", True, CITY)
    assert tool.config == CustomWebsocketConfig(tool_call_output_timeout_ms=5000)
    assert tool.to_wire("phonic-inline") == INLINE
    assert tool.to_openai() == FUNCTION


def test_phonics_flags_are_a_policy_and_come_back() -> None:
    flags = {
        "require_speech_before_tool_call": True,
        "wait_for_speech_before_tool_call": True,
        "forbid_speech_after_tool_call": True,
        "tool_call_output_timeout_ms": 9000,
        "wait_for_response": True,
    }
    tool = Tool.from_any({**PREDEFINED, **flags, "execution_mode": "async"})
    assert tool.speech == SpeechPolicy(require_before=True, wait_before=True, after=False)
    assert (tool.execution_mode, tool.wait_for_response, tool.limit_ms) == ("async", True, 9000)
    assert tool.to_wire("phonic") == {**PREDEFINED, **flags, "execution_mode": "async"}
    inline = {**INLINE, **flags, "execution_mode": "async"}
    assert Tool.from_any(inline).to_wire("phonic-inline") == inline


def test_a_webhook_of_phonics() -> None:
    shape = {
        **PREDEFINED,
        "type": "custom_webhook",
        "endpoint_method": "POST",
        "endpoint_url": URL,
        "endpoint_headers": {"X-A": "1"},
        "endpoint_timeout_ms": 4000,
    }
    tool = Tool.from_any(shape)
    assert (tool.config, tool.limit_ms) == (WebhookConfig(url=URL, headers={"X-A": "1"}), 4000)
    assert "endpoint_method: " in refused({**shape, "endpoint_method": "GET"})


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({**INLINE, "type": "custom_webhook"}, "type: an inline tool must be custom_websocket"),
        ({k: v for k, v in INLINE.items() if k != "type"}, "type: an inline tool must be custom_websocket"),
        ({**INLINE, "tool_schema": SECRET}, "tool_schema: "),
        ({**INLINE, "tool_schema": {"type": "function"}}, "tool_schema: "),
        ({**INLINE, "tool_schema": {**FUNCTION, "x": 1}}, "tool_schema: "),
        ({**INLINE, "tool_schema": {"type": "function", "function": {"nam": "x"}}}, "tool_schema.function.nam: "),
        ({**INLINE, "handler": handler}, "handler: an inline tool has no such field"),
        ({**INLINE, "tool_call_output_timeout_ms": 999}, "config.tool_call_output_timeout_ms: "),
        ({**INLINE, "forbid_speech_after_tool_call": "no"}, "forbid_speech_after_tool_call: "),
        (FUNCTION, "type: a function's schema says nothing of who carries it out"),
        ({**PREDEFINED, "name": "Get-Temperature"}, "name: with a list of parameters"),
        ({**PREDEFINED, "type": "built_in_transfer_to_agent"}, "tool_type: it must be one of"),
        ({**PREDEFINED, "parameters": ["city"]}, "parameters.0: "),
        ({**PREDEFINED, "parameters": [{"type": "object", "name": "x"}]}, "parameters.0.type: "),
        ({**PREDEFINED, "parameters": [{"type": "array", "name": "x"}]}, "parameters.0.item_type: "),
        ({**PREDEFINED, "parameters": [{"type": "string", "name": "x", "item_type": "string"}]}, "item_type: "),
        ({**PREDEFINED, "parameters": [{"type": "string", "name": ""}]}, "parameters.0.name: "),
        ({**PREDEFINED, "parameters": [PREDEFINED["parameters"][0]] * 2}, "parameters.1.name: "),  # type: ignore[index]
        ({**PREDEFINED, "parameters": [{"type": "string", "name": "x", "is_required": 1}]}, "is_required: "),
        ({**PREDEFINED, "parameters": [{"type": "string", "name": "x", "description": 1}]}, "description: "),
        ({**PREDEFINED, "parameters": [{"type": "string", "name": "x", "enum": [1]}]}, "parameters.0.enum: "),
        ({**HANDLER, "tool_call_output_timeout_ms": 5000}, "only a custom_websocket has it"),
    ],
)
def test_d13_what_is_no_shape_of_phonics(shape: Any, said: str) -> None:
    assert said in refused(shape)


def test_what_cannot_be_told_on_a_wire() -> None:
    for wire in ("talkpilot", "phonic", "phonic-inline"):
        with pytest.raises(ConfigError, match="a handler lives in this process"):
            Tool.from_any(HANDLER).to_wire(wire)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="for custom_websocket, not for webhook"):
        Tool.from_any(WEBHOOK).to_wire("phonic")
    with pytest.raises(ConfigError, match="Phonic's names"):
        Tool(name="Upper", description="x", tool_type="custom_websocket").to_wire("phonic")
    with pytest.raises(ConfigError, match="wire must be one of"):
        Tool.from_any(WEBHOOK).to_wire("telnyx")  # type: ignore[arg-type]


# --- list and schema -------------------------------------------------------------------------

KINDS = st.sampled_from(["string", "integer", "number", "boolean"])
ENTRIES = st.one_of(
    st.fixed_dictionaries({"type": KINDS, "description": st.text(), "is_required": st.booleans()}),
    st.fixed_dictionaries(
        {"type": st.just("array"), "item_type": KINDS, "description": st.text(), "is_required": st.booleans()}
    ),
)


@given(st.dictionaries(st.text(min_size=1), ENTRIES))
def test_x20_a_flat_list_and_its_schema_say_the_same(named: dict[str, Any]) -> None:
    listed = [{"name": name, **entry} for name, entry in named.items()]
    assert schema_to_list(schema_from_list(listed)) == listed


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"properties": {"a": {"type": "object", "properties": {}}}}, "parameters.properties.a: "),
        ({"properties": {"a": {"type": "string", "enum": ["x"]}}}, "parameters.properties.a.enum: "),
        ({"properties": {"a": {"type": "array"}}}, "parameters.properties.a.items: "),
        ({"properties": {"a": {"type": "array", "items": {"type": "object"}}}}, "parameters.properties.a.items: "),
        ({"properties": {"a": {"type": ["string", "null"]}}}, "parameters.properties.a: "),
        ({"properties": {"a": True}}, "parameters.properties.a: "),
        ({"properties": {}, "required": ["b"]}, "parameters.required: b"),
        ({"properties": {}, "$defs": {}}, "parameters.$defs: "),
    ],
)
def test_x20_a_schema_that_says_more_is_no_list(schema: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as problem:
        schema_to_list({"type": "object", **schema})
    assert str(problem.value).startswith(path)
