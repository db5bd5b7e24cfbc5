"""The documents of an agent over the API."""

from __future__ import annotations

from typing import Any

import pytest

from patter.store.base import agent_id
from patter.store.knowledge import SqliteKnowledge

pytestmark = pytest.mark.anyio


async def test_a_document_is_added_found_and_forgotten(api: Any) -> None:
    desk = await api.made("/agents", name="desk")
    body = {"text": "Wir öffnen um neun.\n\nSonntags ist zu.", "source": "zeiten.md"}
    answer = await api.ask("POST", "/agents/desk/knowledge", body)
    made = answer.json()
    assert (answer.status_code, made) == (201, {"id": made["id"], "source": "zeiten.md", "passages": 1})
    assert answer.headers["Location"] == f"/v1/agents/{desk['id']}/knowledge/{made['id']}"
    assert (await api.ask("GET", "/agents/desk/knowledge")).json() == [made]
    assert (await api.ask("GET", f"/agents/desk/knowledge/{made['id']}")).json() == made
    (found,) = await api.knowledge.of(desk["id"]).search("sonntag", top_k=5)
    assert found.source == "zeiten.md"
    await api.made("/agents", name="other")
    for method in ("GET", "DELETE"):
        assert (await api.ask(method, f"/agents/other/knowledge/{made['id']}")).status_code == 404
    assert (await api.ask("DELETE", f"/agents/desk/knowledge/{made['id']}")).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await api.ask(method, f"/agents/desk/knowledge/{made['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, ["text", "source"]),
        ({"text": "", "source": "a"}, ["text"]),
        ({"text": " \n", "source": "a"}, ["text"]),
        ({"text": "a", "source": ""}, ["source"]),
        ({"text": "a", "source": "b" * 1001}, ["source"]),
        ({"text": "a", "source": "b", "agent": "c"}, ["agent"]),
    ],
)
async def test_wrong_fields_are_named(api: Any, body: Any, named: list[str]) -> None:
    await api.made("/agents", name="desk")
    answer = await api.ask("POST", "/agents/desk/knowledge", body)
    assert [one["field"] for one in answer.json()["error"]["details"]] == named


async def test_agents_of_the_program(api: Any) -> None:
    api.programmed("plain")
    made = await api.made("/agents/plain/knowledge", text="apple", source="a")
    assert [one.id for one in await api.knowledge.documents(agent=agent_id("plain"))] == [made["id"]]
    own = SqliteKnowledge()
    api.programmed("reader", knowledge=own.of("x"))
    assert (await api.ask("POST", "/agents/reader/knowledge", {"text": "a", "source": "b"})).status_code == 409
    own.close()
