"""An agent's tools over the API: TalkPilot's five routes, and the one that tries a tool out."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest
from tests.documents import LOOKUP_CUSTOMER as LOOKUP
from tests.documents import LOOKUP_CUSTOMER_JSON as SEED

from patter.server.listener import bind, serve
from patter.store.base import agent_id

pytestmark = pytest.mark.anyio

BYE = {
    "name": "bye",
    "description": "Ends the call when the caller is done",
    "tool_type": "end_call",
    "config": {"goodbye_message": "Vielen Dank für Ihren Anruf. „Auf Wiederhören!“ 👋"},
}
CONFIGS: dict[str, dict[str, Any]] = {
    "http_request": {
        "url": "https://crm.example.com/api/{{customer_id}}?x=1",
        "headers": [{"key": "Authorization", "value": "Bearer {{API_KEY}}"}] * 2,
        "query_params": [{"key": "phone", "value": "{{caller_phone}}"}],
        "body": {"a": ["{{b}}"]},
    },
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
    "knowledge_base": {
        "top_k": 5,
        "similarity_threshold": 0.7,
        "bridging_sentence": "Einen Moment, ich schaue kurz nach...",
    },
    "webhook": {"url": "https://example.com/hook", "headers": {"X-A": "1"}, "secret": "s"},
    "custom_websocket": {"tool_call_output_timeout_ms": 1000},
    "mcp": {"url": "https://example.com/mcp"},
}
ALWAYS = {
    "id",
    "agent_id",
    "name",
    "display_name",
    "description",
    "tool_type",
    "config",
    "is_enabled",
    "priority",
    "created_at",
    "updated_at",
}


@pytest.fixture
async def desk(api: Any) -> str:
    made = await api.made("/agents", name="desk")
    found: str = made["id"]
    return found


def fields(answer: Any) -> list[str]:
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR", answer.text
    return [one["field"] for one in answer.json()["error"]["details"]]


# --- the five routes -----------------------------------------------------------------------------


async def test_the_body_of_the_documentation_is_taken_as_it_stands(api: Any, desk: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api.ask("POST", f"/agents/{desk}/tools", content=SEED.encode(), headers=headers)
    made = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v1/agents/{desk}/tools/{made['id']}")
    assert made == LOOKUP | {"agent_id": desk} | {key: made[key] for key in ("id", "created_at", "updated_at")}
    assert UUID(made["id"]).version == 4
    for path in (made["id"], "lookup_customer"):
        assert (await api.ask("GET", f"/agents/desk/tools/{path}")).json() == made
    assert (await api.ask("GET", f"/agents/{desk}/tools")).json() == [made]
    assert (await api.ask("DELETE", f"/agents/{desk}/tools/{made['id']}")).content == b""
    assert (await api.ask("DELETE", f"/agents/{desk}/tools/{made['id']}")).status_code == 404
    assert (await api.ask("GET", f"/agents/{desk}/tools")).json() == []


@pytest.mark.parametrize("kind", CONFIGS)
async def test_tools_of_every_type_come_back_as_they_were_sent(api: Any, desk: str, kind: str) -> None:
    body = {"name": "it", "description": "Does what it is for, „ä“ 電話", "tool_type": kind, "config": CONFIGS[kind]}
    made = await api.made("/agents/desk/tools", **body)
    assert set(made) == ALWAYS
    assert made | body == made
    assert (made["display_name"], made["is_enabled"], made["priority"]) == (None, True, 0)
    assert (await api.ask("GET", "/agents/desk/tools/it")).json() == made


async def test_what_a_tool_of_ours_has_beside(api: Any, desk: str) -> None:
    parameters = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}}
    more = {
        "parameters": parameters,
        "timeout_ms": 4000,
        "max_retries": 2,
        "execution_mode": "async",
        "speech": {"filler": "Moment"},
        "static_arguments": {"shop": 7},
        "assignments": [{"variable": "status", "path": "order.status"}],
        "is_enabled": False,
        "priority": -2,
    }
    made = await api.made("/agents/desk/tools", **LOOKUP | more)
    assert made | more == made
    assert list(made["parameters"]["properties"]) == ["z", "a"]


async def test_tools_are_listed_by_priority_and_age(api: Any, desk: str) -> None:
    for name, priority in (("c", 1), ("b", 0), ("a", 0), ("d", -1)):
        await api.made("/agents/desk/tools", **BYE | {"name": name, "priority": priority})
    assert [one["name"] for one in (await api.ask("GET", "/agents/desk/tools")).json()] == ["d", "b", "a", "c"]


async def test_a_long_list(api: Any, desk: str) -> None:
    for number in range(60):
        await api.made("/agents/desk/tools", **BYE | {"name": f"t{number:02}"})
    assert [one["name"] for one in (await api.ask("GET", "/agents/desk/tools")).json()] == [
        f"t{number:02}" for number in range(60)
    ]


async def test_a_name_is_taken_once_in_an_agent(api: Any, desk: str) -> None:
    other = await api.made("/agents", name="other")
    await api.made("/agents/desk/tools", **LOOKUP)
    await api.made("/agents/other/tools", **LOOKUP)
    assert (await api.ask("POST", "/agents/desk/tools", LOOKUP)).json()["error"]["code"] == "CONFLICT"
    await api.made("/agents/desk/tools", **BYE)
    renamed = await api.ask("PATCH", "/agents/desk/tools/bye", {"name": "lookup_customer"})
    assert renamed.json()["error"]["code"] == "CONFLICT"
    # A tool is found in its own agent alone.
    tool = (await api.ask("GET", "/agents/desk/tools/bye")).json()["id"]
    for method in ("GET", "PATCH", "DELETE"):
        assert (await api.ask(method, f"/agents/{other['id']}/tools/{tool}", {})).status_code == 404
        assert (await api.ask(method, f"/agents/desk/tools/{uuid4()}", {})).status_code == 404


async def test_a_running_call_sees_what_was_acknowledged(api: Any, desk: str) -> None:
    catalogue = api.workspace.catalogue
    await api.made("/agents/desk/tools", **BYE)
    assert [tool.name for tool in catalogue.tools(desk)] == ["bye"]
    await api.ask("PATCH", "/agents/desk/tools/bye", {"is_enabled": False})
    assert [tool.is_enabled for tool in catalogue.tools(desk)] == [False]
    await api.ask("DELETE", "/agents/desk/tools/bye")
    assert catalogue.tools(desk) == ()


# --- changes -------------------------------------------------------------------------------------


async def test_config_is_merged_key_by_key_and_null_resets_one(api: Any, desk: str) -> None:
    made = await api.made("/agents/desk/tools", **LOOKUP)
    change = {"config": {"timeout": None, "method": "POST"}, "display_name": None, "priority": 3}
    answer = await api.ask("PATCH", f"/agents/desk/tools/{made['id']}", change)
    config = {name: value for name, value in LOOKUP["config"].items() if name != "timeout"} | {"method": "POST"}
    expected = {"config": config, "display_name": None, "priority": 3, "updated_at": answer.json()["updated_at"]}
    assert (answer.status_code, answer.json()) == (200, made | expected)
    assert answer.json()["updated_at"] > made["updated_at"]
    assert (await api.ask("GET", f"/agents/desk/tools/{made['id']}")).json() == answer.json()


async def test_another_type_comes_with_its_whole_config(api: Any, desk: str) -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "string"}}}
    await api.made("/agents/desk/tools", **LOOKUP, parameters=parameters, max_retries=1)
    alone = await api.ask("PATCH", "/agents/desk/tools/lookup_customer", {"tool_type": "end_call"})
    assert fields(alone) == ["config"]
    change = {"tool_type": "end_call", "config": {"goodbye_message": "Bye"}}
    changed = (await api.ask("PATCH", "/agents/desk/tools/lookup_customer", change)).json()
    assert set(changed) == ALWAYS and changed | change == changed
    assert (changed["name"], changed["priority"], changed["display_name"]) == ("lookup_customer", 1, "Kunden-Lookup")
    same = {"tool_type": "end_call", "is_enabled": False}
    changed = (await api.ask("PATCH", "/agents/desk/tools/lookup_customer", same)).json()
    assert (changed["config"], changed["is_enabled"]) == ({"goodbye_message": "Bye"}, False)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": str(UUID(int=1))}, "id"),
        ({"agent_id": "hush"}, "agent_id"),
        ({"created_at": "hush"}, "created_at"),
        ({"updated_at": None}, "updated_at"),
        ({"name": None}, "name"),
        ({"name": "hush hush"}, "name"),
        ({"name": "end_call"}, "name"),
        ({"is_enabled": None}, "is_enabled"),
        ({"is_enabled": "yes"}, "is_enabled"),
        ({"priority": 1.5}, "priority"),
        ({"description": ""}, "description"),
        ({"config": None}, "config"),
        ({"config": {"url": None}}, "config.url"),
        ({"config": {"hush": 1}}, "config.hush"),
        ({"config": {"method": "hush"}}, "config.method"),
        ({"config": {"url": "http://127.0.0.1/hush"}}, "config.url"),
        ({"tool_type": "handler", "config": {}}, "tool_type"),
        ({"tool_type": None}, "config"),
        ({"type": "end_call"}, "type"),
        ({"handler": "hush"}, "handler"),
        ({"timeout_s": 3}, "timeout_s"),
    ],
)
async def test_a_change_that_is_wrong_changes_nothing(api: Any, desk: str, change: Any, field: str) -> None:
    made = await api.made("/agents/desk/tools", **LOOKUP)
    answer = await api.ask("PATCH", "/agents/desk/tools/lookup_customer", change)
    assert fields(answer) == [field]
    assert "hush" not in answer.text.replace(f'"{field}"', "")
    assert (await api.ask("GET", "/agents/desk/tools/lookup_customer")).json() == made


async def test_changes_at_the_same_time_do_not_lose_one_another(api: Any, desk: str) -> None:
    await api.made("/agents/desk/tools", **LOOKUP)
    changes: list[dict[str, Any]] = [
        {"priority": 9},
        {"display_name": "x"},
        {"is_enabled": False},
        {"config": {"timeout": 7}},
        {"config": {"method": "PUT"}},
        {"timeout_ms": 700},
    ]
    async with anyio.create_task_group() as group:
        for change in changes:
            group.start_soon(api.ask, "PATCH", "/agents/desk/tools/lookup_customer", change)
    found = (await api.ask("GET", "/agents/desk/tools/lookup_customer")).json()
    assert (found["priority"], found["display_name"], found["is_enabled"]) == (9, "x", False)
    assert (found["config"]["timeout"], found["config"]["method"], found["timeout_ms"]) == (7, "PUT", 700)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": ...}, ["name"]),
        (
            {"name": ..., "description": ..., "tool_type": ..., "config": ...},
            ["name", "description", "tool_type", "config"],
        ),
        ({"name": "x" * 101}, ["name"]),
        ({"display_name": "x" * 256}, ["display_name"]),
        ({"description": "x" * 2001}, ["description"]),
        ({"tool_type": "carrier_pigeon"}, ["tool_type"]),
        ({"tool_type": ["http_request"]}, ["tool_type"]),
        ({"tool_type": "handler"}, ["tool_type"]),
        ({"tool_type": "send_dtmf", "config": {}}, ["tool_type"]),
        ({"config": []}, ["config"]),
        ({"config": {}}, ["config.url"]),
        ({"config": {"url": "https://a.example", "tool_type": "http_request"}}, ["config.tool_type"]),
        ({"config": {"url": "https://a.example", "timeout": 121, "nothing": 1}}, ["config.timeout", "config.nothing"]),
        ({"config": {"url": "https://a.example", "headers": {"a": "b"}}}, ["config.headers"]),
        ({"config": {"url": "https://a.example", "headers": [{"key": "A", "value": "b\r\nC: d"}]}}, ["config.headers"]),
        ({"config": {"url": "https://a.example", "method": "PATCH"}}, ["config.method"]),
        ({"parameters": []}, ["parameters"]),
        ({"parameters": {"type": "string"}}, ["parameters"]),
        ({"parameters": {"type": "object", "properties": {"a": {"$ref": "http://10.0.0.1/"}}}}, ["parameters"]),
        ({"priority": 2**70}, ["priority"]),
        ({"static_arguments": None}, ["static_arguments"]),
        ({"surprise": 1, "another": 2}, ["surprise", "another"]),
        ({"name": "end_call"}, ["name"]),
        ({"tool_type": "transfer_call", "config": {}}, ["config"]),
        ({"tool_type": "transfer_call", "config": {"phone_number": "112"}}, ["config.phone_number"]),
        ({"tool_type": "end_call", "config": {}, "parameters": {"type": "object"}}, ["parameters"]),
        ({"tool_type": "mcp", "config": {"command": ["rm", "-rf", "/"]}}, ["config.command"]),
        ({"tool_type": "mcp", "config": {"command": "rm -rf /"}}, ["config.command"]),
        ({"tool_type": "mcp", "config": {}}, ["config"]),
        ({"max_retries": 1, "tool_type": "end_call", "config": {}}, ["max_retries"]),
    ],
)
async def test_wrong_fields_are_named(api: Any, desk: str, change: Any, named: list[str]) -> None:
    body = {name: value for name, value in (LOOKUP | change).items() if value is not ...}
    answer = await api.ask("POST", "/agents/desk/tools", body)
    assert answer.status_code == 400 and fields(answer) == named
    assert (await api.ask("GET", "/agents/desk/tools")).json() == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "//example.com/",
        "example.com",
        "javascript:alert(1)",
        "https://user:secretpw@example.com/",
        "http://localhost/secretpw",
        "http://localhost./secretpw",
        "http://LOCALHOST:8000/",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.1.2.3/",
        "http://100.64.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[fd00::1]/",
        "http://intranet/",
        "https://{{host}}/",
        "https://example.com:99999/",
        "https://exa mple.com/",
    ],
)
@pytest.mark.parametrize("kind", ["http_request", "webhook", "mcp"])
async def test_addresses_that_are_not_public(api: Any, desk: str, kind: str, url: str) -> None:
    body = {"name": "x", "description": "Asks a server for something", "tool_type": kind, "config": {"url": url}}
    answer = await api.ask("POST", "/agents/desk/tools", body)
    assert fields(answer) == ["config.url"]
    assert url not in answer.text and "secretpw" not in answer.text


async def test_a_host_that_is_allowed(make_api: Callable[..., Any]) -> None:
    api = make_api(allow_hosts=["localhost:9000"])
    await api.made("/agents", name="desk")
    for url, status in (("http://localhost:9000/a", 201), ("http://localhost:9001/a", 400)):
        body = LOOKUP | {"config": {"url": url}}
        assert (await api.ask("POST", "/agents/desk/tools", body)).status_code == status


# --- agents of the program -----------------------------------------------------------------------


def own_tool(arguments: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"caller": context.caller}


async def test_an_agent_of_the_program_has_tools_of_the_store_beside_its_own(api: Any) -> None:
    own = {"name": "own_tool", "description": "Says what it was told", "handler": own_tool}
    api.programmed("own", tools=[own], variables={"shop": "7"})
    made = await api.made("/agents/own/tools", **LOOKUP)
    assert made["agent_id"] == agent_id("own")
    assert (await api.ask("POST", "/agents/own/tools", BYE | {"name": "own_tool"})).status_code == 409
    assert (await api.ask("PATCH", "/agents/own/tools/lookup_customer", {"name": "own_tool"})).status_code == 409
    assert [one["name"] for one in (await api.ask("GET", "/agents/own/tools")).json()] == ["lookup_customer"]
    tried = await api.ask(
        "POST", "/agents/own/tools/own_tool/test", {"arguments": {}, "context": {"caller": "+4930111"}}
    )
    assert tried.status_code == 404, "nobody outside reaches a handler of the program, as whomever it says to be"


# --- trying one out ------------------------------------------------------------------------------


@asynccontextmanager
async def echo() -> Any:
    """A server that answers with the head of what it was asked."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        seen = {"path": scope["path"], "query": scope["query_string"].decode(), "key": headers.get("x-key")}
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})

    sock = bind("127.0.0.1", 0)
    place = f"127.0.0.1:{sock.getsockname()[1]}"
    async with anyio.create_task_group() as group:
        await group.start(lambda task_status: serve(app, sock, task_status=task_status))
        yield place
        group.cancel_scope.cancel()


async def test_a_request_is_sent_for_real(make_api: Callable[..., Any]) -> None:
    async with echo() as place:
        api = make_api(allow_hosts=[place])
        api.programmed("own", secrets={"API_KEY": "sk-1"})
        config = {
            "url": f"http://{place}/orders/{{{{order_id}}}}",
            "headers": [{"key": "X-Key", "value": "{{API_KEY}}"}],
            "query_params": [{"key": "from", "value": "{{caller_phone}}"}],
        }
        await api.made("/agents/own/tools", **LOOKUP | {"config": config})
        body = {"arguments": {"order_id": "A 1"}, "context": {"caller": "+4930111"}}
        tried = (await api.ask("POST", "/agents/own/tools/lookup_customer/test", body)).json()
        seen = {"path": "/orders/A 1", "query": "from=%2B4930111", "key": "***"}
        assert json.loads(tried["output"]) == {"status": 200, "body": seen}
        wrong = (await api.ask("POST", "/agents/own/tools/lookup_customer/test", {})).json()
        assert (wrong["is_error"], wrong["reason"]) == (True, "invalid_arguments")


async def test_the_documents_of_the_agent_are_searched(api: Any, desk: str) -> None:
    await api.made("/agents/desk/knowledge", text="We open at nine.", source="hours")
    await api.made("/agents", name="other")
    search = BYE | {"name": "search", "tool_type": "knowledge_base", "config": {"similarity_threshold": 0}}
    for agent, found in (("desk", ["hours"]), ("other", [])):
        await api.made(f"/agents/{agent}/tools", **search)
        body = {"arguments": {"query": "When do you open?"}}
        tried = (await api.ask("POST", f"/agents/{agent}/tools/search/test", body)).json()
        assert [one["source"] for one in json.loads(tried["output"])["results"]] == found


@pytest.mark.parametrize(
    "kind", ["end_call", "transfer_call", "play_tone", "extract_variable", "custom_websocket", "mcp"]
)
async def test_what_acts_on_a_call_needs_one(api: Any, desk: str, kind: str) -> None:
    await api.made("/agents/desk/tools", **BYE | {"tool_type": kind, "config": CONFIGS[kind]})
    answer = await api.ask("POST", "/agents/desk/tools/bye/test", {})
    assert fields(answer) == ["tool"]


@pytest.mark.parametrize(
    "body", [{"arguments": []}, {"context": {"callers": 1}}, {"context": {"direction": "up"}}, {"x": 1}]
)
async def test_a_trial_that_is_wrong(api: Any, desk: str, body: Any) -> None:
    await api.made("/agents/desk/tools", **LOOKUP)
    assert (await api.ask("POST", "/agents/desk/tools/lookup_customer/test", body)).status_code == 400
    assert (await api.ask("POST", "/agents/desk/tools/nothing/test", {})).status_code == 404
