"""The description of the API says what the API does."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.documents import GET_TEMPERATURE as SEED_D
from tests.documents import LOOKUP_CUSTOMER as SEED_C

from patter.server.rest.app import ENDPOINTS, build_api
from patter.server.rest.openapi import describe

pytestmark = pytest.mark.anyio

DOCUMENT = describe(ENDPOINTS, "/v1")


def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert references(DOCUMENT) == known
    for name, one in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(one), name


def test_every_endpoint_is_described_once() -> None:
    operations = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(operations) == len(ENDPOINTS) == len(set(names))
    for endpoint in ENDPOINTS:
        operation = DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]
        assert [one["name"] for one in operation.get("parameters", [])] == re.findall("{(.*?)}", endpoint.path)
        assert bool(operation["security"]) == (endpoint.permission is not None)


def test_what_was_created_is_linked_to_what_can_be_done_with_it() -> None:
    def links(path: str) -> Any:
        return DOCUMENT["paths"][path]["post"]["responses"]["201"]["links"]

    with_tool = {"agent": "$request.path.agent", "tool": "$response.body#/id"}
    assert links("/agents/{agent}/tools") == {
        name: {"operationId": name, "parameters": with_tool}
        for name in ("get_tool", "change_tool", "delete_tool", "test_tool")
    }
    assert links("/agents").keys() > {"get_agent", "list_tools", "create_tool", "add_document"}
    assert links("/tools")["get_workspace_tool"]["parameters"] == {"tool": "$response.body#/id"}


async def test_it_names_where_it_is_mounted(api: Any) -> None:
    assert (await api.ask("GET", "/openapi.json")).json() == DOCUMENT
    api.app = Starlette(routes=[Mount("/phone/v1", app=api.app.routes[-1].app)])
    assert (await api.ask("GET", "../phone/v1/openapi.json")).json()["servers"] == [{"url": "/phone/v1"}]


@pytest.mark.parametrize(
    ("name", "body", "fits"),
    [
        ("ToolCreate", SEED_C, True),
        ("ToolCreate", SEED_C | {"tool_type": "end_call"}, False),
        ("ToolCreate", SEED_C | {"nothing": 1}, False),
        ("ToolCreate", {key: value for key, value in SEED_C.items() if key != "config"}, False),
        ("ToolCreate", SEED_C | {"config": {"url": "https://a.example", "nothing": 1}}, False),
        ("ToolCreate", SEED_C | {"tool_type": "play_tone", "config": {"dtmf_digit": "1", "volume": 2}}, False),
        ("ToolCreate", SEED_C | {"description": " "}, False),
        ("ToolCreate", SEED_C | {"parameters": {"properties": {}}}, False),
        ("ToolCreate", SEED_C | {"wait_for_response": True}, False),
        ("ToolCreate", SEED_C | {"wait_for_response": True, "execution_mode": "async"}, True),
        ("ToolCreate", SEED_C | {"tool_type": "mcp", "config": {"url": "https://mcp.example.com"}}, True),
        ("ToolCreate", SEED_C | {"tool_type": "mcp", "config": {"command": ["server"]}}, False),
        (
            "ToolCreate",
            SEED_C | {"tool_type": "transfer_call", "config": {"phone_number": "+4930999888"}},
            True,
        ),
        ("ToolCreate", SEED_C | {"tool_type": "transfer_call", "config": {"allowed_numbers": []}}, False),
        ("ToolCreate", SEED_C | {"tool_type": "end_call", "config": {}, "max_retries": 1}, False),
        (
            "ToolCreate",
            SEED_C | {"tool_type": "end_call", "config": {}, "parameters": {"type": "object"}},
            False,
        ),
        ("ToolChange", {"config": {"timeout": None}, "display_name": None}, True),
        ("ToolChange", {"config": {"nothing": 1}}, False),
        ("ToolChange", {"id": "x"}, False),
        ("WorkspaceToolCreate", SEED_D, True),
        ("WorkspaceToolCreate", SEED_D | {"type": "custom_webhook"}, False),
        ("WorkspaceToolCreate", SEED_D | {"wait_for_response": True}, False),
        ("WorkspaceToolCreate", SEED_D | {"parameters": [{"type": "array", "name": "a"}]}, False),
        (
            "WorkspaceToolCreate",
            SEED_D | {"parameters": [{"type": "array", "name": "a", "item_type": "string"}]},
            True,
        ),
        ("WorkspaceToolChange", {"wait_for_response": True}, True),
        ("AgentCreate", {"name": "desk", "prompt": "a", "system_prompt": None}, False),
        ("AgentCreate", {"name": "weather-assistant", "tools": ["get_temperature"], "prompt": None}, True),
        ("AgentCreate", {"name": "two words"}, False),
        ("AgentChange", {"greeting": None}, True),
        ("AgentChange", {"name": None}, False),
    ],
)
def test_bodies(name: str, body: Any, fits: bool) -> None:
    assert schema(name).is_valid(body) is fits


async def test_answers(api: Any) -> None:
    await api.made("/tools", **SEED_D)
    await api.made("/agents", name="desk", tools=["get_temperature"])
    api.programmed("own")
    tool = await api.made("/agents/desk/tools", **SEED_C, speech={"filler": "Moment"})
    document = await api.made("/agents/desk/knowledge", text="a", source="b")
    for path, name in (
        ("/health", "Health"),
        ("/agents/desk", "Agent"),
        ("/agents/own", "Agent"),
        (f"/agents/desk/tools/{tool['id']}", "Tool"),
        ("/tools/get_temperature", "WorkspaceTool"),
        (f"/agents/desk/knowledge/{document['id']}", "Document"),
        ("/nothing", "Error"),
    ):
        schema(name).validate((await api.ask("GET", path)).json())


def test_build_api_is_what_is_described() -> None:
    paths = {route.path for route in build_api(None, None).routes}  # type: ignore[arg-type, attr-defined]
    assert paths == set(DOCUMENT["paths"])
