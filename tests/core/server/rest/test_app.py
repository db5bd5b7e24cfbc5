"""What every request goes through: permissions, bodies, errors in one shape."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from patter.errors import StoreError, WriteUncertain
from patter.server.rest import endpoint as endpoint_module
from patter.server.rest.app import ENDPOINTS
from patter.server.rest.endpoint import MOST_BYTES
from patter.server.rest.errors import CODES
from patter.store.sql import SqlStore

pytestmark = pytest.mark.anyio

SOMEBODY = {"agent": "desk", "tool": "look_up", "document": "1"}
GUARDED = [one for one in ENDPOINTS if one.permission is not None]


def place(endpoint: Any) -> str:
    path: str = endpoint.path.format(**SOMEBODY)
    return path


def code(answer: Any) -> str:
    """The code of an error, whose shape is checked."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "details", "request_id"}
    assert error["request_id"] == answer.headers["X-Request-Id"]
    assert CODES[error["code"]] == answer.status_code
    assert bool(error["details"]) == (error["code"] == "VALIDATION_ERROR")
    found: str = error["code"]
    return found


@pytest.mark.parametrize("endpoint", GUARDED, ids=lambda one: f"{one.method} {one.path}")
async def test_every_endpoint_asks_for_its_permission(endpoint: Any, make_api: Callable[..., Any]) -> None:
    others = ["tools:read", "tools:write", "tools:serve", "kb:read", "kb:write", "agents:read", "agents:write"]
    others.remove(endpoint.permission)
    keys = {"others": {"permissions": others}, "right": {"permissions": [endpoint.permission]}}
    api = make_api(keys=keys)
    nobody = await api.ask(endpoint.method, place(endpoint), key=None)
    assert (code(nobody), nobody.headers["WWW-Authenticate"]) == ("UNAUTHORIZED", "Bearer")
    assert code(await api.ask(endpoint.method, place(endpoint), key="guess")) == "UNAUTHORIZED"
    refused = await api.ask(endpoint.method, place(endpoint), key="others")
    assert code(refused) == "FORBIDDEN" and endpoint.permission in refused.json()["error"]["message"]
    right = await api.ask(endpoint.method, place(endpoint), {}, key="right")
    assert right.status_code in (200, 400, 404)


async def test_bearer_is_a_key_too(api: Any) -> None:
    answer = await api.ask("GET", "/agents", key=None, headers={"Authorization": "Bearer all"})
    assert answer.status_code == 200


async def test_health_and_the_description_need_no_key(api: Any) -> None:
    health = await api.ask("GET", "/health", key=None)
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert (await api.ask("GET", "/openapi.json", key=None)).json()["openapi"] == "3.1.0"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", "NOT_FOUND"),
        ("GET", "/nothing", "NOT_FOUND"),
        ("GET", "/agents/", "NOT_FOUND"),
        ("GET", "/agents/desk/tools/", "NOT_FOUND"),
        ("GET", "/docs", "NOT_FOUND"),
        ("GET", "/agents/a%0Ab/tools/%0A", "NOT_FOUND"),
        ("GET", "/agents/desk/tools/x/test", "METHOD_NOT_ALLOWED"),
        ("PUT", "/agents", "METHOD_NOT_ALLOWED"),
        ("OPTIONS", "/tools", "METHOD_NOT_ALLOWED"),
        ("POST", "/health", "METHOD_NOT_ALLOWED"),
    ],
)
async def test_what_is_not_there_has_the_same_shape(api: Any, method: str, path: str, expected: str) -> None:
    answer = await api.ask(method, path)
    assert code(answer) == expected
    assert expected == "NOT_FOUND" or "Allow" in answer.headers


async def test_allow_names_every_method(api: Any) -> None:
    answer = await api.ask("PUT", "/agents/desk/tools/x")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "PATCH", "DELETE"}
    head = await api.ask("HEAD", "/agents")
    assert head.status_code == 200


async def test_every_request_has_an_id_of_its_own(api: Any) -> None:
    sent = {"X-Request-Id": "req_mine"}
    ids = [(await api.ask("GET", path, headers=sent)).headers["X-Request-Id"] for path in ("/health", "/agents", "/x")]
    assert len(set(ids)) == 3 and all(one.startswith("req_") and one != "req_mine" for one in ids)


@pytest.mark.parametrize(
    ("headers", "content", "expected"),
    [
        ({"Content-Type": "application/json"}, b'{"name":', "BAD_REQUEST"),
        ({"Content-Type": "application/json; charset=utf-8"}, b"\xff", "BAD_REQUEST"),
        ({"Content-Type": 'Application/JSON;charset="UTF-8"'}, b"", "BAD_REQUEST"),
        ({"Content-Type": "application/json"}, b"[]", "BAD_REQUEST"),
        ({"Content-Type": "application/json; charset=latin-1"}, b"{}", "UNSUPPORTED_MEDIA_TYPE"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"{}", "UNSUPPORTED_MEDIA_TYPE"),
        ({"Content-Type": "text/plain"}, b"{}", "UNSUPPORTED_MEDIA_TYPE"),
        ({}, b"{}", "UNSUPPORTED_MEDIA_TYPE"),
        ({"Content-Type": "application/json"}, b"{}", "VALIDATION_ERROR"),
        ({"Content-Type": "application/json"}, b" " * MOST_BYTES + b"{", "PAYLOAD_TOO_LARGE"),
        ({"Content-Type": "application/json"}, b" " * (MOST_BYTES - 2) + b"{}", "VALIDATION_ERROR"),
    ],
)
async def test_bodies(api: Any, headers: dict[str, str], content: bytes, expected: str) -> None:
    assert code(await api.ask("POST", "/agents", headers=headers, content=content)) == expected


async def test_a_body_without_a_length_has_the_same_end(api: Any) -> None:
    async def endless() -> Any:
        for _ in range(1000):
            yield b" " * 1024

    headers = {"Content-Type": "application/json"}
    assert code(await api.ask("POST", "/agents", headers=headers, content=endless())) == "PAYLOAD_TOO_LARGE"


async def test_a_body_that_does_not_come_is_not_waited_for(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "BODY_S", 0.01)

    async def slow() -> Any:
        yield b"{"
        await anyio.sleep_forever()

    headers = {"Content-Type": "application/json"}
    assert code(await api.ask("POST", "/agents", headers=headers, content=slow())) == "REQUEST_TIMEOUT"


async def test_a_store_that_is_away(make_api: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    class Away(SqlStore):
        async def version(self) -> int:
            raise StoreError("The store postgresql://db.internal/patter: it does not answer. Start it.")

    api = make_api(store=Away())
    for method, path, body in (("GET", "/agents", None), ("POST", "/agents", {"name": "desk"})):
        answer = await api.ask(method, path, body)
        assert code(answer) == "UNAVAILABLE" and "Nothing was changed." in answer.text
        assert "db.internal" not in answer.text
        assert answer.headers["X-Request-Id"] in caplog.messages[-1] and "db.internal" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("error", "has_documents", "told"),
    [
        (StoreError, False, "Nothing was changed."),
        (StoreError, True, "may have been made, wholly or in part. Read"),  # the documents are gone already
        (WriteUncertain, False, "may have been made, wholly or in part. Read"),
    ],
)
async def test_a_store_that_breaks_off(
    make_api: Callable[..., Any], error: type[Exception], has_documents: bool, told: str
) -> None:
    class Breaking(SqlStore):
        async def delete_agent(self, id_: str) -> bool:
            raise error("The store postgresql://db.internal/patter: it does not answer.")

    api = make_api(store=Breaking())
    await api.made("/agents", name="desk")
    if has_documents:
        await api.made("/agents/desk/knowledge", text="a", source="b")
    answer = await api.ask("DELETE", "/agents/desk")
    assert code(answer) == "UNAVAILABLE" and told in answer.text and "db.internal" not in answer.text


async def test_a_change_that_was_written_is_acknowledged_also_if_it_cannot_be_read(
    make_api: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Halting(SqlStore):
        is_halted = False

        async def create_agent(self, record: Any) -> Any:
            kept = await super().create_agent(record)
            self.is_halted = True
            return kept

        async def version(self) -> int:
            if self.is_halted:
                raise StoreError("It is gone.")
            return await super().version()

    assert (await make_api(store=Halting()).ask("POST", "/agents", {"name": "desk"})).status_code == 201
    assert "cannot be read yet" in caplog.text


async def test_a_bug_is_told_to_the_log_alone(make_api: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    class Broken(SqlStore):
        async def create_agent(self, record: Any) -> Any:
            raise ZeroDivisionError(record.system_prompt)

    with caplog.at_level(logging.DEBUG):
        answer = await make_api(store=Broken()).ask("POST", "/agents", {"name": "desk", "prompt": "hush"})
    assert code(answer) == "INTERNAL" and "Zero" not in answer.text
    (line,) = [one for one in caplog.messages if answer.headers["X-Request-Id"] in one]
    assert "ZeroDivisionError" in line and "in create_agent" in line
    assert "hush" not in caplog.text + json.dumps(answer.json())
