"""C-01, C-12 to C-28: what may be set on each type, what the mind is told of it, and when the agent speaks."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from patter import ConfigError, Tool
from patter.tools.configs import SpeechPolicy, ToolType

URL = "https://crm.example.com/api/customers"
SEVEN = {
    "http_request",
    "transfer_call",
    "monitored_transfer",
    "end_call",
    "extract_variable",
    "play_tone",
    "knowledge_base",
}


def made(tool_type: str, config: dict[str, Any] | None = None, **more: Any) -> Tool:
    description = "Does what its type does, for the tests."
    return Tool(name="t", description=description, tool_type=tool_type, config=config, **more)


def told(tool_type: str, config: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return made(tool_type, config, **more).llm_parameters()


def test_c01_the_seven_types_and_ours() -> None:
    assert set(get_args(ToolType)) == SEVEN | {"handler", "webhook", "custom_websocket", "mcp"}


@pytest.mark.parametrize(
    ("tool_type", "config", "path"),
    [
        # C-12 to C-16
        ("http_request", {}, "config.url: it is missing"),
        ("http_request", {"url": "ftp://example.com"}, "config.url: "),
        ("http_request", {"url": "https://{{host}}/x"}, "config.url: "),
        ("http_request", {"url": "https://me:pw@example.com"}, "config.url: "),
        ("http_request", {"url": "//example.com/x"}, "config.url: "),
        ("http_request", {"url": "https://a b.com"}, "config.url: "),
        ("http_request", {"url": f"https://example.com/{'x' * 2048}"}, "config.url: "),
        ("http_request", {"url": URL, "method": "PATCH"}, "config.method: "),
        ("http_request", {"url": URL, "method": "get"}, "config.method: "),
        ("http_request", {"url": URL, "headers": {"a": "b"}}, "config.headers: "),
        ("http_request", {"url": URL, "headers": [{"key": "a"}]}, "config.headers.0.value: it is missing"),
        ("http_request", {"url": URL, "headers": [{"key": "a b", "value": ""}]}, "config.headers: a name must"),
        (
            "http_request",
            {"url": URL, "headers": [{"key": "a", "value": "x\r\nHost: y"}]},
            "config.headers: the value of a",
        ),
        ("http_request", {"url": URL, "headers": [{"key": "Host", "value": "y"}]}, "config.headers: Host is"),
        ("http_request", {"url": URL, "query_params": [{"key": "a", "value": 1}]}, "config.query_params.0.value: "),
        ("http_request", {"url": URL, "timeout": 0}, "config.timeout"),
        ("http_request", {"url": URL, "timeout": 121}, "config.timeout"),
        ("http_request", {"url": URL, "timeout": "30"}, "config.timeout"),
        ("http_request", {"url": URL, "timeout": float("nan")}, "config.timeout"),
        ("http_request", {"url": URL, "speak_during_execution": 1}, "config.speak_during_execution: "),
        ("http_request", {"url": URL, "retries": 1}, "config.retries: there is no such field"),
        ("webhook", {}, "config.url: it is missing"),
        ("webhook", {"url": URL, "headers": {"a\n": "b"}}, "config.headers: "),
        ("webhook", {"url": URL, "secret": ""}, "config.secret: "),
        ("custom_websocket", {"tool_call_output_timeout_ms": 999}, "config.tool_call_output_timeout_ms: "),
        ("custom_websocket", {"tool_call_output_timeout_ms": 180_001}, "config.tool_call_output_timeout_ms: "),
        # C-19, C-20
        ("transfer_call", {}, "config: it needs phone_number, or allowed_numbers"),
        ("transfer_call", {"phone_number": "110"}, "config.phone_number: emergency"),
        ("transfer_call", {"phone_number": "+19005550100"}, "config.phone_number: emergency"),
        ("transfer_call", {"phone_number": "030 999888"}, "config.phone_number: it is no E.164 number"),
        ("transfer_call", {"allowed_numbers": ["+4930999888", "x"]}, "config.allowed_numbers.1: it is no E.164"),
        ("transfer_call", {"phone_number": "+4930999888", "transfer_mode": "hot"}, "config.transfer_mode: "),
        ("transfer_call", {"phone_number": "+4930999888", "play_hold_music": "no"}, "config.play_hold_music: "),
        ("transfer_call", {"phone_number": "+4930999888", "post_dial_dtmf": "1,2"}, "config.post_dial_dtmf: "),
        ("transfer_call", {"phone_number": "+4930999888", "timeout_seconds": 4}, "config.timeout_seconds"),
        ("monitored_transfer", {}, "config.phone_number: it is missing"),
        ("monitored_transfer", {"phone_number": "+4930999888", "timeout_seconds": 121}, "config.timeout_seconds"),
        ("end_call", {"goodbye_message": ""}, "config.goodbye_message: "),
        ("end_call", {"goodbye": "x"}, "config.goodbye: there is no such field"),
        # C-22 to C-26
        ("extract_variable", {}, "config.variable_name: it is missing"),
        ("extract_variable", {"variable_name": "a-b"}, "config.variable_name: "),
        ("extract_variable", {"variable_name": "x" * 65}, "config.variable_name: "),
        ("extract_variable", {"variable_name": "a", "variable_type": "iban"}, "config.variable_type: "),
        ("extract_variable", {"variable_name": "a", "confirmation_enabled": "x"}, "config.confirmation_enabled: "),
        # C-27
        ("play_tone", {"tone_type": "beep"}, "config.tone_type: "),
        ("play_tone", {"dtmf_digit": 1}, "config.dtmf_digit: "),
        ("play_tone", {"dtmf_digit": "12"}, "config.dtmf_digit: "),
        ("play_tone", {"dtmf_digit": "E"}, "config.dtmf_digit: "),
        ("play_tone", {"duration": 39}, "config.duration: "),
        ("play_tone", {"duration": 6001}, "config.duration: "),
        ("play_tone", {"volume": 1.1}, "config.volume"),
        ("play_tone", {"volume": True}, "config.volume"),
        # C-28
        ("knowledge_base", {"top_k": 0}, "config.top_k: "),
        ("knowledge_base", {"top_k": 51}, "config.top_k: "),
        ("knowledge_base", {"top_k": "5"}, "config.top_k: "),
        ("knowledge_base", {"similarity_threshold": -0.1}, "config.similarity_threshold"),
        ("knowledge_base", {"bridging_sentence": ""}, "config.bridging_sentence: "),
        ("mcp", {}, "config: it needs exactly one of url and command"),
        ("mcp", {"url": URL, "command": "x"}, "config: it needs exactly one of url and command"),
        ("mcp", {"command": ""}, "config.command: "),
        ("fax", {}, "tool_type: it must be one of handler, "),
        (5, {}, "tool_type: it must be one of"),
    ],
)
def test_configs_that_are_refused(tool_type: Any, config: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        made(tool_type, config)
    said = str(refused.value)
    assert said.startswith(f"Tool t: {path}")
    for value in ("110", "030 999888", "+1900", "a b.com", "me:pw", "PATCH"):
        assert value not in said


@pytest.mark.parametrize(
    ("tool_type", "config"),
    [
        ("http_request", {"url": f"{URL}/{{{{ id }}}}?q={{{{x}}}}", "body": {"a": ["{{b}}"]}, "timeout": 120}),
        ("http_request", {"url": "http://127.0.0.1:9000/x", "headers": [{"key": "a", "value": "1"}] * 2}),
        ("transfer_call", {"phone_number": "+4930999888", "transfer_mode": "warm", "post_dial_dtmf": "1w#"}),
        ("play_tone", {"dtmf_digit": "#", "duration": 40, "volume": 0}),
        ("knowledge_base", {"top_k": 50, "similarity_threshold": 1}),
        ("extract_variable", {"variable_name": "_x1", "variable_type": "date"}),
        ("mcp", {"command": ["server", "--port", "1"], "allowed_tools": ["a"]}),
    ],
)
def test_configs_that_are_accepted_come_back_as_they_were(tool_type: str, config: dict[str, Any]) -> None:
    assert made(tool_type, config).config.model_dump(mode="json", exclude_unset=True) == config


def test_numbers_are_kept_in_one_form_and_commands_are_split() -> None:
    transfer = made("monitored_transfer", {"phone_number": "+49 (30) 999-888"})
    assert transfer.config.phone_number == "+4930999888"  # type: ignore[union-attr]
    assert made("mcp", {"command": "run 'two words'"}).config.command == ("run", "two words")  # type: ignore[union-attr]


# --- the arguments that follow from the type -------------------------------------------------------


def keys(schema: dict[str, Any]) -> tuple[list[str], list[str]]:
    return list(schema["properties"]), schema.get("required", [])


@pytest.mark.parametrize(
    ("tool_type", "config", "properties", "required"),
    [
        ("webhook", {"url": URL}, [], []),
        ("custom_websocket", {}, [], []),
        ("transfer_call", {"phone_number": "+4930999888"}, [], []),
        ("transfer_call", {"phone_number": "+4930999888", "transfer_mode": "warm"}, ["summary"], []),
        ("transfer_call", {"allowed_numbers": ["+4930999888"]}, ["phone_number"], ["phone_number"]),
        ("monitored_transfer", {"phone_number": "+4930999888"}, ["summary"], []),
        ("end_call", {}, ["reason"], []),
        ("extract_variable", {"variable_name": "mail"}, ["value"], ["value"]),
        ("extract_variable", {"variable_name": "m", "confirmation_enabled": True}, ["value", "confirmed"], ["value"]),
        ("play_tone", {"dtmf_digit": "1"}, [], []),
        ("play_tone", {}, ["digits"], ["digits"]),
        ("knowledge_base", {}, ["query"], ["query"]),
    ],
)
def test_derived_arguments(tool_type: str, config: dict[str, Any], properties: list[str], required: list[str]) -> None:
    assert keys(told(tool_type, config)) == (properties, required)


def test_x21_only_declared_numbers_can_be_chosen() -> None:
    allowed = ["+4930999888", "+4930999889", "+49 30 999888"]
    number = told("transfer_call", {"allowed_numbers": allowed})["properties"]["phone_number"]
    assert number["enum"] == ["+4930999888", "+4930999889"]


def test_c15_the_mind_is_asked_for_what_templates_name_but_not_for_secrets_and_what_the_call_knows() -> None:
    config = {
        "url": f"{URL}/{{{{customer}}}}/{{{{args.caller_phone}}}}",
        "method": "POST",
        "headers": [{"key": "Authorization", "value": "Bearer {{API_KEY}}"}],
        "query_params": [{"key": "phone", "value": "{{caller_phone}}"}, {"key": "{{no}}", "value": "{{ orderId }}"}],
        "body": {"items": ["{{item.name}} {{item.size}}", "{{now}}"], "mail": "{{email}}"},
    }
    tool = made("http_request", config)
    asked = ["customer", "caller_phone", "orderId", "item", "email"]
    assert keys(tool.llm_parameters()) == (asked, asked)
    assert tool.llm_parameters()["properties"]["customer"] == {"type": "string"}
    assert "email" not in tool.llm_parameters({"email"})["properties"]
    assert "email" not in tool.spec({"email"}).parameters["properties"]


def test_an_http_request_may_have_parameters_of_its_own() -> None:
    own = {"type": "object", "properties": {"n": {"type": "integer"}}}
    assert told("http_request", {"url": f"{URL}/{{{{n}}}}"}, parameters=own) == own


def test_other_types_may_not() -> None:
    with pytest.raises(ConfigError, match="parameters: those of end_call follow from its config"):
        made("end_call", {}, parameters={"type": "object"})


def test_c24_c25_question_and_example_stand_in_the_description() -> None:
    config = {"variable_name": "email", "prompt_text": "Ihre E-Mail?", "example_format": "name@example.com"}
    description = made("extract_variable", config).spec().description
    assert description.startswith("Does what its type does, for the tests.\n")
    assert "Ihre E-Mail?" in description
    assert "name@example.com" in description


# --- 5.7: when the agent speaks --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool_type", "config", "speech"),
    [
        ("webhook", {"url": URL}, SpeechPolicy()),
        ("http_request", {"url": URL}, SpeechPolicy(during=False)),
        ("http_request", {"url": URL, "speak_during_execution": True}, SpeechPolicy()),
        ("http_request", {"url": URL, "speak_after_execution": False}, SpeechPolicy(during=False, after=False)),
        ("knowledge_base", {}, SpeechPolicy()),
        ("knowledge_base", {"bridging_sentence": "Moment..."}, SpeechPolicy(filler="Moment...", delay_ms=0)),
        ("end_call", {}, SpeechPolicy(during=False)),
        ("play_tone", {}, SpeechPolicy(during=False)),
    ],
)
def test_c17_c18_c28_the_config_says_when_the_agent_speaks(
    tool_type: str, config: dict[str, Any], speech: SpeechPolicy
) -> None:
    assert made(tool_type, config).speech == speech


def test_a_policy_of_its_own_goes_before_the_config() -> None:
    own = SpeechPolicy(filler="One moment.")
    assert made("http_request", {"url": URL}, speech=own).speech == own
