"""Agents over the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import anyio
import pytest

from patter.store.base import agent_id

pytestmark = pytest.mark.anyio

WEATHER = {"name": "get_temperature", "description": "Get the current temperature", "type": "custom_websocket"}


async def test_an_agent_is_created_shown_changed_and_deleted(api: Any) -> None:
    await api.made("/tools", **WEATHER)
    body = {"name": "desk", "system_prompt": "Grüße „Öl“", "first_message": "Hi", "tools": ["get_temperature"]}
    answer = await api.ask("POST", "/agents", body)
    made = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v1/agents/{made['id']}")
    assert UUID(made["id"]).version == 4 and made["created_at"] == made["updated_at"] and made["created_at"][-1] == "Z"
    assert made == body | {"is_read_only": False} | {key: made[key] for key in ("id", "created_at", "updated_at")}
    for path in ("/agents/desk", f"/agents/{made['id']}"):
        assert (await api.ask("GET", path)).json() == made
    assert (await api.ask("GET", "/agents")).json() == [made]
    changed = (await api.ask("PATCH", "/agents/desk", {"name": "front", "first_message": None})).json()
    assert changed == made | {"name": "front", "first_message": None, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > made["updated_at"]
    assert (await api.ask("GET", "/agents/front")).json() == changed
    assert (await api.ask("DELETE", "/agents/front")).status_code == 204
    for method in ("GET", "DELETE", "PATCH"):
        assert (await api.ask(method, "/agents/front", {})).status_code == 404


async def test_other_names_of_the_same_fields(api: Any) -> None:
    made = await api.made("/agents", name="desk", prompt="Be kind", greeting="Hello")
    assert (made["system_prompt"], made["first_message"]) == ("Be kind", "Hello")
    changed = (await api.ask("PATCH", "/agents/desk", {"greeting": None})).json()
    assert (changed["system_prompt"], changed["first_message"]) == ("Be kind", None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": "two words"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "x", "system_prompt": "a", "prompt": "b"}, ""),
        ({"name": "x", "prompt": "a" * 50_001}, "prompt"),
        ({"name": "x", "greeting": "a" * 2_001}, "greeting"),
        ({"name": "x", "first_message": 7}, "first_message"),
        ({"name": "x", "tools": "get_temperature"}, "tools"),
        ({"name": "x", "tools": ["get_temperature", "nothing"]}, "tools.1"),
        ({"name": "x", "tools": [7]}, "tools.0"),
        ({"name": "x", "voice": "hush"}, "voice"),
        ({"name": "x", "id": "hush"}, "id"),
        ({"name": "x", "created_at": "hush"}, "created_at"),
    ],
)
async def test_wrong_fields_are_named(api: Any, body: Any, field: str) -> None:
    await api.made("/tools", **WEATHER)
    await api.made("/agents", name="desk")
    for method, path in (("POST", "/agents"), ("PATCH", "/agents/desk")):
        if method == "PATCH" and body == {}:
            continue
        answer = await api.ask(method, path, body)
        assert answer.status_code == 400 and "hush" not in answer.text
        assert [one["field"] for one in answer.json()["error"]["details"]] == [field]
    assert len((await api.ask("GET", "/agents")).json()) == 1


async def test_a_name_is_taken_once(api: Any) -> None:
    await api.made("/agents", name="desk")
    other = await api.made("/agents", name="other")
    again = await api.ask("POST", "/agents", {"name": "desk"})
    renamed = await api.ask("PATCH", f"/agents/{other['id']}", {"name": "desk"})
    assert (again.status_code, again.json()["error"]["code"], renamed.status_code) == (409, "CONFLICT", 409)
    assert (await api.ask("PATCH", "/agents/desk", {"name": "desk"})).status_code == 200


async def test_of_twenty_that_want_a_name_one_has_it(api: Any) -> None:
    statuses: list[int] = []

    async def create() -> None:
        statuses.append((await api.ask("POST", "/agents", {"name": "desk"})).status_code)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(create)
    assert sorted(statuses) == [201] + [409] * 19


async def test_agents_of_the_program_are_read_only(api: Any) -> None:
    api.programmed("own", system_prompt="Be kind")
    stored = await api.made("/agents", name="stored")
    assert [one["name"] for one in (await api.ask("GET", "/agents")).json()] == ["stored", "own"]
    shown = (await api.ask("GET", "/agents/own")).json()
    assert shown == {
        "id": agent_id("own"),
        "name": "own",
        "system_prompt": "Be kind",
        "first_message": None,
        "tools": [],
        "is_read_only": True,
        "created_at": None,
        "updated_at": None,
    }
    for method in ("PATCH", "DELETE"):
        answer = await api.ask(method, f"/agents/{agent_id('own')}", {})
        assert answer.status_code == 409 and "Change it there" in answer.json()["error"]["message"]
    assert (await api.ask("POST", "/agents", {"name": "own"})).status_code == 409
    assert (await api.ask("PATCH", "/agents/stored", {"name": "own"})).status_code == 409
    # What the store has held before the program named one like it can still be changed.
    api.programmed("stored")
    assert (await api.ask("PATCH", "/agents/stored", {"prompt": "x"})).status_code == 200
    assert [one["id"] for one in (await api.ask("GET", "/agents")).json()] == [stored["id"], agent_id("own")]


async def test_with_an_agent_go_its_tools_and_documents(api: Any) -> None:
    made = await api.made("/agents", name="desk")
    config = {"goodbye_message": "Bye"}
    tool = {"name": "bye", "description": "Ends the call politely", "tool_type": "end_call", "config": config}
    await api.made("/agents/desk/tools", **tool)
    await api.made("/agents/desk/knowledge", text="We open at nine.", source="hours")
    assert (await api.ask("DELETE", "/agents/desk")).status_code == 204
    assert (await api.workspace.store.read()).tools == ()
    assert await api.knowledge.documents(agent=made["id"]) == []


async def test_a_limited_key_sees_its_agents_alone(make_api: Callable[..., Any]) -> None:
    every = ["agents:read", "agents:write", "tools:read", "tools:write", "kb:read", "kb:write"]
    api = make_api(keys={"limited": {"permissions": every, "allowed_agent_ids": ["desk", agent_id("own")]}})
    api.programmed("own")
    desk, other = await api.made("/agents", name="desk"), await api.made("/agents", name="other")
    seen = (await api.ask("GET", "/agents", key="limited")).json()
    assert [one["name"] for one in seen] == ["desk", "own"]
    for name in ("desk", desk["id"], "own"):
        assert (await api.ask("GET", f"/agents/{name}/tools", key="limited")).status_code == 200
    for path in ("", "/tools", "/tools/x", "/knowledge", "/knowledge/x"):
        for name in ("other", other["id"], "nobody"):
            answer = await api.ask("GET", f"/agents/{name}{path}", key="limited")
            assert (answer.status_code, answer.json()["error"]["message"]) == (404, "There is no such agent.")
    for method, path in (("GET", "/tools"), ("POST", "/tools"), ("DELETE", "/tools/x"), ("POST", "/agents")):
        assert (await api.ask(method, path, {}, key="limited")).status_code == 403
    for method in ("PATCH", "DELETE"):
        assert (await api.ask(method, "/agents/other", {}, key="limited")).status_code == 404
    assert (await api.ask("PATCH", "/agents/desk", {"prompt": "x"}, key="limited")).status_code == 200


async def test_a_name_that_looks_like_an_id_is_refused(api: Any) -> None:
    victim = (await api.ask("POST", "/agents", {"name": "victim"})).json()
    mine = (await api.ask("POST", "/agents", {"name": "mine"})).json()
    for method, path, body in (
        ("POST", "/agents", {"name": victim["id"]}),
        ("PATCH", f"/agents/{mine['id']}", {"name": victim["id"].replace("-", "").upper()}),
    ):
        answer = await api.ask(method, path, body)
        assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (400, "name")
    assert (await api.ask("GET", f"/agents/{victim['id']}")).json()["name"] == "victim"


async def test_documents_of_a_programs_agent_are_not_lost_when_the_store_takes_it_over(api: Any) -> None:
    api.programmed("open")
    text = {"source": "a.md", "text": "We open at nine."}
    document = (await api.ask("POST", "/agents/open/knowledge", text)).json()
    assert (await api.ask("POST", "/agents", {"name": "open"})).status_code == 409
    assert (await api.ask("DELETE", f"/agents/open/knowledge/{document['id']}")).status_code == 204
    assert (await api.ask("POST", "/agents", {"name": "open"})).status_code == 201


async def test_a_tool_for_an_agent_that_goes_meanwhile_is_not_left_behind(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = api.workspace.store
    made = (await api.ask("POST", "/agents", {"name": "brief"})).json()
    create = store.create_tool

    async def create_too_late(tool: Any) -> Any:
        await store.delete_agent(made["id"])
        return await create(tool)

    monkeypatch.setattr(store, "create_tool", create_too_late)
    tool = {"name": "bye", "description": "Ends the call.", "tool_type": "end_call", "config": {}}
    assert (await api.ask("POST", f"/agents/{made['id']}/tools", tool)).status_code == 404
    assert (await store.read()).tools == ()
