"""The workspace's tools over the API: Phonic's predefined tools."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from tests.documents import GET_TEMPERATURE as SEED

from patter.tools.model import Tool

pytestmark = pytest.mark.anyio


async def test_a_tool_is_created_shown_changed_and_deleted(api: Any) -> None:
    answer = await api.ask("POST", "/tools", SEED | {"project": "main"})
    made = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v1/tools/{made['id']}")
    assert made == {"id": made["id"], "name": "get_temperature"} and UUID(made["id"]).version == 4
    for path in ("get_temperature", made["id"]):
        shown = (await api.ask("GET", f"/tools/{path}?project=main")).json()
        times = {name: shown[name] for name in ("created_at", "updated_at")}
        assert shown == SEED | made | {"tool_call_output_timeout_ms": 5000} | times
    assert (await api.ask("GET", "/tools")).json() == [shown]
    change = {"tool_call_output_timeout_ms": 9000, "parameters": [], "forbid_speech_after_tool_call": True}
    changed = (await api.ask("PATCH", "/tools/get_temperature", change | {"project": "x"})).json()
    assert changed == shown | change | {"updated_at": changed["updated_at"]}
    change = {"execution_mode": "async", "wait_for_response": True, "name": "temperature"}
    changed = (await api.ask("PATCH", f"/tools/{made['id']}", change)).json()
    assert changed | change | {"forbid_speech_after_tool_call": True, "tool_call_output_timeout_ms": 9000} == changed
    assert (await api.ask("DELETE", "/tools/temperature")).status_code == 204
    for method in ("DELETE", "GET", "PATCH"):
        assert (await api.ask(method, "/tools/temperature", {})).status_code == 404


async def test_agents_use_it_by_its_name(api: Any) -> None:
    await api.made("/tools", **SEED)
    await api.made("/agents", name="weather-assistant", tools=["get_temperature"])
    known = api.workspace.agent("weather-assistant")
    assert [tool.name for tool in api.workspace.offered(known)] == ["get_temperature"]
    await api.ask("DELETE", "/tools/get_temperature")
    assert api.workspace.offered(known) == ()


async def test_parameters_are_a_list(api: Any) -> None:
    parameters = [
        {"type": kind, "name": kind, "description": "", "is_required": False}
        for kind in ("string", "integer", "number", "boolean")
    ] + [{"type": "array", "name": "list", "description": "Ünits", "is_required": True, "item_type": "number"}]
    await api.made("/tools", **SEED | {"parameters": parameters})
    assert (await api.ask("GET", "/tools/get_temperature")).json()["parameters"] == parameters
    tool = api.workspace.catalogue.tool(None, "get_temperature")
    assert tool.parameters["properties"]["list"] == {
        "type": "array",
        "items": {"type": "number"},
        "description": "Ünits",
    }


async def test_a_name_is_taken_once(api: Any) -> None:
    await api.made("/tools", **SEED)
    await api.made("/tools", **SEED | {"name": "other"})
    assert (await api.ask("POST", "/tools", SEED)).json()["error"]["code"] == "CONFLICT"
    renamed = await api.ask("PATCH", "/tools/other", {"name": "get_temperature"})
    assert renamed.json()["error"]["code"] == "CONFLICT"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": ...}, "name"),
        ({"name": "Get-Temperature"}, "name"),
        ({"name": "end_call"}, "name"),
        ({"description": ""}, "description"),
        ({"description": " "}, "description"),
        ({"type": "custom_webhook"}, "type"),
        ({"execution_mode": "later"}, "execution_mode"),
        ({"parameters": {"type": "object"}}, "parameters"),
        ({"parameters": [{"type": "object", "name": "a"}]}, "parameters.0.type"),
        ({"parameters": [{"type": "string"}]}, "parameters.0.name"),
        ({"parameters": [{"type": "string", "name": "a"}] * 2}, "parameters.1.name"),
        ({"parameters": [{"type": "array", "name": "a"}]}, "parameters.0.item_type"),
        ({"parameters": [{"type": "string", "name": "a", "x": 1}]}, "parameters.0.x"),
        ({"tool_call_output_timeout_ms": 999}, "tool_call_output_timeout_ms"),
        ({"tool_call_output_timeout_ms": 180_001}, "tool_call_output_timeout_ms"),
        ({"wait_for_response": True}, "wait_for_response"),
        ({"config": {}}, "config"),
        ({"id": "x"}, "id"),
    ],
)
async def test_wrong_fields_are_named(api: Any, change: Any, named: str) -> None:
    body = {name: value for name, value in (SEED | change).items() if value is not ...}
    answers = [await api.ask("POST", "/tools", body)]
    if ... not in change.values():
        await api.made("/tools", **SEED)
        answers.append(await api.ask("PATCH", "/tools/get_temperature", change))
    for answer in answers:
        assert [one["field"] for one in answer.json()["error"]["details"]] == [named]


async def test_tools_that_the_program_has_stored_in_another_shape(api: Any) -> None:
    fields: Any = {"name": "bye", "description": "Ends the call politely", "tool_type": "end_call", "config": {}}
    kept = await api.workspace.store.create_tool(Tool(**fields))
    shown = (await api.ask("GET", "/tools/bye")).json()
    assert (shown["id"], shown["tool_type"], shown["agent_id"]) == (str(kept.id), "end_call", None)
    assert (await api.ask("PATCH", "/tools/bye", {"description": "x"})).status_code == 409
    nested = {"type": "object", "properties": {"a": {"type": "object"}}}
    socket: Any = {"name": "s", "description": "Asks the client for it", "tool_type": "custom_websocket", "config": {}}
    await api.workspace.store.create_tool(Tool(**socket, parameters=nested))
    await api.workspace.catalogue.refresh()
    assert (await api.ask("GET", "/tools/s")).json()["parameters"] == nested
    assert (await api.ask("DELETE", "/tools/bye")).status_code == 204
    # What this shape cannot say, stays.
    await api.workspace.store.create_tool(Tool(**socket | {"name": "p"}, priority=5, display_name="P"))
    await api.ask("PATCH", "/tools/p", {"tool_call_output_timeout_ms": 7000, "execution_mode": "async"})
    kept = api.workspace.catalogue.tool(None, "p")
    assert (kept.priority, kept.display_name, kept.limit_ms, kept.execution_mode) == (5, "P", 7000, "async")
