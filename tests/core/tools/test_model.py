"""B-02 to B-12, C-02 to C-11, X-13, X-14, X-19, X-21: one model of a tool, its limits, and what the mind is told."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any
from uuid import UUID

import pytest

from patter import Agent, ConfigError, Patter, Tool, ToolContext
from patter.tools.configs import EndCallConfig, SpeechPolicy

ORDER = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string", "description": "The order ID, usually starts with 'ORD-' followed by 6 digits"},
        "reason": {"type": "string", "enum": ["defective", "wrong_item", "other"]},
    },
    "required": ["order_id"],
}
DESCRIPTION = "Look up the customer's order status by order ID. Returns tracking number and estimated delivery date."
SECRET = "sk-very-secret"


async def handler(arguments: dict[str, Any], context: ToolContext) -> str:
    return "shipped"


def made(**changed: Any) -> Tool:
    fields: dict[str, Any] = {"name": "get_order", "description": DESCRIPTION, "handler": handler, "parameters": ORDER}
    fields |= changed
    return Tool(**{name: value for name, value in fields.items() if value is not ...})


def problem(**changed: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        made(**changed)
    return str(refused.value)


# --- what the mind is told -------------------------------------------------------------------------


def test_b09_b10_b11_name_description_and_schema_reach_the_mind_unchanged() -> None:
    spec = made().spec()
    assert (spec.name, spec.description, spec.parameters) == ("get_order", DESCRIPTION, ORDER)


def _nested(levels: int) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        part = {"type": "object", "properties": {"a": part}}
    return part


def _doubling(levels: int, word: str = "allOf") -> dict[str, Any]:
    parts = {f"d{i}": {word: [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(levels)}
    return {"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**parts, f"d{levels}": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, "the pattern at properties.a.pattern: it cannot be used"),
        (
            {"properties": {"a": {"pattern": r"(\d{1000}){1000}"}}},
            "without look-around, back-references and high counts",
        ),
        ({"properties": {"a": {"patternProperties": {r"(a)\1": {}}}}}, "the pattern at properties.a.patternProperties"),
        ({"properties": {"a": {"pattern": "a" * 501}}}, "more than 500 characters"),
        ({"properties": {f"a{i}": {"pattern": f"a{i}"} for i in range(33)}}, "more than 32 patterns"),
        (_doubling(13), "more than 5,000 parts"),
        (_doubling(13, "anyOf"), "more than 5,000 parts"),
        (_nested(33), "more than 32 levels deep"),
        (_nested(5_000), "more than 32 levels deep"),
        ({"properties": {"a": {"enum": [*range(20_000)]}}}, "more than 20,000 values"),
        ({"allOf": [{"$ref": "#"}]}, "comes back to itself"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"not": {"$ref": "#/$defs/b"}}}}, "comes back"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "a $ref leads nowhere"),
        ({"properties": {"a": {"$ref": "#/default"}}, "default": {"pattern": 5}}, "it is no JSON Schema"),
        ({"properties": {"a": {"$dynamicRef": "#a"}}}, "it uses $dynamicRef"),
        ({"unevaluatedProperties": False}, "it uses unevaluatedProperties"),
    ],
)
def test_schemas_that_cost_too_much_to_check_are_refused(schema: dict[str, Any], told: str) -> None:
    found = problem(parameters={"type": "object", **schema})
    assert "parameters: " in found and told in found


@pytest.mark.parametrize(
    "schema",
    [
        _nested(31),
        _doubling(10),
        {
            "properties": {"a": {"$ref": "#"}, "b": {"type": "array", "items": {"$ref": "#/$defs/c"}}},
            "$defs": {"c": {}},
        },
        {"$id": "https://example.com/a", "properties": {"a": {"$ref": "#/$defs/b%20c"}}, "$defs": {"b c": {}}},
        {"properties": {"$ref": {"type": "string"}, "pattern": {"pattern": r"^\p{L}+$"}}},
    ],
)
def test_schemas_that_have_an_end_are_taken(schema: dict[str, Any]) -> None:
    assert made(parameters={"type": "object", **schema}).parameters is not None


def test_what_was_given_and_what_was_told_are_copies() -> None:
    given = json.loads(json.dumps(ORDER))
    tool = made(parameters=given)
    given["properties"]["more"] = {}
    told: Any = tool.spec().parameters
    told["properties"]["more"] = {}
    assert tool.spec().parameters == ORDER


def test_a_tool_without_parameters_takes_an_object() -> None:
    assert made(parameters=...).spec().parameters == {"type": "object", "properties": {}}
    assert made(parameters={"type": "object"}).spec().parameters == {"type": "object", "properties": {}}


def test_static_arguments_are_not_shown() -> None:
    told = made(static_arguments={"order_id": "ORD-1"}).llm_parameters()
    assert list(told["properties"]) == ["reason"]
    assert told["required"] == []


def test_b10_terse_descriptions_warn_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="patter"):
        made(name="good")
        made(name="terse", description="Check order.")
        made(name="terse", description="Check order.")
    assert [record.args for record in caplog.records] == [("terse",)]


# --- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "A-z_9", "x" * 100])
def test_c04_x19_names_that_are_accepted(name: str) -> None:
    assert made(name=name).name == name


@pytest.mark.parametrize("name", ["", "x" * 101, "with space", "umläut", "a.b", "a\n", "²", 5, None])
def test_c04_x19_names_that_are_refused(name: Any) -> None:
    assert "name: " in problem(name=name)


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"description": "x" * 2001}, "description: "),
        ({"description": "  "}, "description: it is empty"),
        ({"description": ...}, "description: it is missing"),
        ({"display_name": "x" * 256}, "display_name: "),
        ({"priority": "1"}, "priority: "),
        ({"priority": True}, "priority: "),
        ({"is_enabled": "yes"}, "is_enabled: "),
        ({"timeout_ms": 0}, "timeout_ms: "),
        ({"timeout_ms": 250.5}, "timeout_ms: "),
        ({"timeout_ms": True}, "timeout_ms: "),
        ({"timeout_s": 0}, "timeout_s: "),
        ({"timeout_s": float("nan")}, "timeout_s: "),
        ({"timeout_s": 1, "timeout_ms": 1000}, "timeout_s: it is the same"),
        ({"execution_mode": "later"}, "execution_mode: "),
        ({"wait_for_response": True}, "wait_for_response: it is for execution_mode async"),
        ({"max_retries": 6}, "max_retries: "),
        ({"max_retries": 1}, "max_retries: only webhook and http_request are retried"),
        ({"assignments": [{"variable": "1x", "path": "a"}]}, "assignments.0.variable: "),
        ({"speech": {"delay_ms": -1}}, "speech.delay_ms: "),
        ({"speech": {"filler": ""}}, "speech.filler: "),
        ({"id": "no-uuid"}, "id: "),
        ({"created_at": "2026-01-01T00:00:00"}, "created_at: "),
        ({"parameters": {"type": "string"}}, "parameters: it must be a JSON Schema of type object"),
        ({"parameters": {"type": "object", "properties": []}}, "parameters: it must be a JSON Schema of type object"),
        ({"parameters": {"type": "object", "properties": {"a": {"type": SECRET}}}}, "see properties.a.type"),
        ({"parameters": "x"}, "parameters: "),
        (
            {"parameters": {"type": "object", "properties": {"a": {"anyOf": [{"$ref": "http://127.0.0.1:1/a"}]}}}},
            "parameters: a $ref must lead into the schema itself",
        ),
        ({"priority": 2**63}, "priority: "),
        ({"handler": "no function"}, "handler: "),
        ({"handler": lambda order_id: "x"}, "handler: it must take (arguments, context)"),
        ({"handlr": 1}, "handlr: there is no such field"),
        ({"config": EndCallConfig()}, "handler: a tool of type handler has one, and no other has"),
        ({"config": EndCallConfig(), "tool_type": "handler"}, "config: it is not that of tool_type handler"),
        ({"config": {"tool_type": "end_call"}}, "config.tool_type: it is not handler"),
        ({"config": {"url": SECRET}}, "config.url: there is no such field"),
        ({"config": 5}, "config: "),
    ],
)
def test_wrong_fields_are_named_by_their_path(changed: dict[str, Any], path: str) -> None:
    said = problem(**changed)
    assert said.startswith("Tool get_order: ")
    assert path in said
    assert SECRET not in said


def test_all_wrong_fields_are_named_and_no_value_is() -> None:
    config = {
        "url": f"ftp://{SECRET}",
        "method": SECRET,
        "timeout": SECRET,
        "headers": [{"key": "X", "value": f"{SECRET}\r\n"}],
    }
    said = problem(handler=..., parameters=..., tool_type="http_request", config=config, display_name=[SECRET])
    for path in ("display_name: ", "config.url: ", "config.method: ", "config.timeout"):
        assert path in said
    assert SECRET not in said


def test_a_config_error_is_a_value_error_without_a_chain() -> None:
    with pytest.raises(ValueError) as refused:
        made(name="")
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_tool_is_frozen_and_shows_no_values() -> None:
    tool = made(handler=..., webhook_url=f"https://example.com/?key={SECRET}", secret=SECRET, headers={"X-Key": SECRET})
    with pytest.raises(ValueError, match="frozen"):
        tool.name = "other"
    assert repr(tool) == "Tool(name='get_order', tool_type='webhook')"
    assert SECRET not in f"{tool!r} {tool} {tool.config!r}"
    assert "handler" not in made().model_dump()


def test_c02_c03_c11_what_a_store_knows() -> None:
    uid = "6c1f9a52-0c7b-4a35-9d43-1f3f5a3f7a11"
    tool = made(id=uid, agent_id="salon", created_at="2026-01-01T02:00:00+02:00")
    assert tool.id == UUID(uid)
    assert tool.created_at is not None
    assert tool.created_at.isoformat() == "2026-01-01T00:00:00+00:00"


# --- time limits -----------------------------------------------------------------------------------

HTTP = {"url": "https://crm.example.com/"}


@pytest.mark.parametrize(
    ("tool_type", "config", "limit_ms"),
    [
        ("webhook", HTTP, 10_000),
        ("http_request", HTTP, 30_000),
        ("http_request", {**HTTP, "timeout": 2.5}, 2500),
        ("custom_websocket", {}, 5000),
        ("custom_websocket", {"tool_call_output_timeout_ms": 7000}, 7000),
        ("play_tone", {"dtmf_digit": "1", "duration": 6000}, 11_100),
        ("play_tone", {}, 24_200),
        ("transfer_call", {"phone_number": "+4930999888", "timeout_seconds": 60}, None),
        ("end_call", {}, None),
        ("knowledge_base", {}, None),
    ],
)
def test_x14_each_type_has_its_time(tool_type: str, config: dict[str, Any], limit_ms: int | None) -> None:
    tool = Tool(name="t", description=DESCRIPTION, tool_type=tool_type, config=config)
    assert tool.limit_ms == limit_ms
    own = Tool(name="t", description=DESCRIPTION, tool_type=tool_type, config=config, timeout_ms=250)
    assert (own.limit_ms, own.timeout_s) == (250, 0.25)


@pytest.mark.parametrize(("given", "timeout_ms"), [({"timeout_s": 0.05}, 50), ({"timeout_s": None}, None), ({}, None)])
def test_seconds_are_taken_too(given: dict[str, Any], timeout_ms: int | None) -> None:
    assert made(**given).timeout_ms == timeout_ms


def test_whole_numbers_may_have_a_point() -> None:
    tool = made(timeout_ms=250.0, priority=-1.0)
    assert repr((tool.timeout_ms, tool.priority)) == "(250, -1)"


# --- Patter.tool and Agent -------------------------------------------------------------------------


def test_b02_patter_tool_makes_a_tool() -> None:
    tool = Patter.tool(name="get_order", description=DESCRIPTION, parameters=ORDER, handler=handler)
    assert isinstance(tool, Tool)
    assert tool == made()


def test_patter_tool_makes_any_type() -> None:
    hook = Patter.tool(name="t", description=DESCRIPTION, webhook_url="https://example.com/t", secret="s")
    assert (hook.tool_type, hook.config.secret) == ("webhook", "s")  # type: ignore[union-attr]
    ending = Patter.tool(name="bye", description=DESCRIPTION, tool_type="end_call", config={"goodbye_message": "Bye."})
    assert ending.config == EndCallConfig(goodbye_message="Bye.")
    assert Tool(name="bye", description=DESCRIPTION, config=EndCallConfig()).tool_type == "end_call"


def test_a_forgotten_handler_is_no_tool() -> None:
    forgotten = Patter.tool(name="get_order", description=DESCRIPTION, parameters=ORDER)
    with pytest.raises(ConfigError, match=r"tools\[0\]: .*neither handler nor webhook_url"):
        agent(tools=[forgotten])


class Provider:
    model = "test/none"

    def open(self) -> None: ...
    def stream(self) -> None: ...


def agent(tools: Any) -> Agent:
    provider: Any = Provider()
    return Agent(stt=provider, llm=provider, tts=provider, tools=tools)


def test_b03_b18_an_agent_takes_every_shape_in_one_list() -> None:
    @Patter.tool
    def hours(day: str) -> str:
        """Tell the opening hours of a day."""
        return day

    mixed = agent(
        [
            made(),
            {"name": "back", "description": DESCRIPTION, "parameters": ORDER, "webhook_url": "https://example.com/r"},
            {"name": "bye", "description": DESCRIPTION, "tool_type": "end_call", "config": {}},
            hours,
        ]
    )
    assert [(tool.name, tool.tool_type) for tool in mixed.tools] == [
        ("get_order", "handler"),
        ("back", "webhook"),
        ("bye", "end_call"),
        ("hours", "handler"),
    ]


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ([made(), made()], "two tools named 'get_order'"),
        ([made(name="end_call")], "two tools named 'end_call'"),
        ([made(), 5], r"tools\[1\]: a tool must be"),
        ([made(), {"name": "x", "description": "y", "tool_type": "fax"}], r"tools\[1\]: Tool x: tool_type: "),
        (["get_order"], r"tools\[0\]: "),
        ("get_order", "must be a list"),
        ({"name": "x"}, "must be a list"),
        ([made(name="x" * 70), made(name=made(name="x" * 70).exported_name)], "same name for a model"),
    ],
)
def test_an_agent_refuses(tools: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        agent(tools)


def test_x21_an_agent_may_declare_its_end_call() -> None:
    mine = agent([{"name": "end_call", "description": DESCRIPTION, "tool_type": "end_call", "config": {}}])
    assert [tool.tool_type for tool in mine.tools] == ["end_call"]


def test_importing_the_front_door_does_not_import_the_model() -> None:
    code = "import sys; from patter import Patter, PatterTool; Patter.tool; print('pydantic' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_the_speech_around_a_tool_may_be_said_in_one_place() -> None:
    speech = SpeechPolicy(filler="One moment.", delay_ms=100)
    assert made(speech=speech).speech == speech
    assert made(speech={"filler": "One moment.", "delay_ms": 100}).speech == speech
