"""The http_request tool against a real server: each part of the request from its template, and the two results."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from patter.tools.context import ToolContext
from patter.tools.executors import http_request
from patter.tools.model import Tool
from patter.tools.refusals import ToolRefusal
from patter.tools.safe_http import SafeHttp

if TYPE_CHECKING:
    from .conftest import Shop

pytestmark = pytest.mark.anyio

SECRET = "hush-hush-1"


def request_tool(url: str, *, parameters: Any = None, max_retries: int = 0, **config: Any) -> Tool:
    return Tool(
        name="lookup",
        description="Looks up a customer in the files.",
        tool_type="http_request",
        config={"url": url, **config},
        parameters=parameters,
        max_retries=max_retries,
    )


def pairs(*given: tuple[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in given]


async def refused(handler: Any, arguments: dict[str, Any], context: ToolContext) -> dict[str, Any]:
    with pytest.raises(ToolRefusal) as refusal:
        await handler(arguments, context)
    return refusal.value.answer()


async def test_a_get_with_a_secret_header_and_a_query_of_the_call(shop: Shop, context: ToolContext) -> None:
    tool = request_tool(
        f"{shop.origin}/customers/{{{{name}}}}?fixed=1#part",
        headers=pairs(("Authorization", "Bearer {{API_KEY}}"), ("X-Tag", "a"), ("X-Tag", "b")),
        query_params=pairs(("phone", "{{caller_phone}}"), ("tag", "x y"), ("tag", "{{args.name}}&z=1")),
    )
    handler = http_request.bind(tool, shop.services(secrets={"API_KEY": SECRET}))
    assert await handler({"name": "Jürgen/.."}, context) == {"status": 200, "body": {"ok": True}}
    visit = shop.visit
    assert (visit.method, visit.path, visit.body) == ("GET", "/customers/J%C3%BCrgen%2F..", b"")
    assert visit.query == "fixed=1&phone=%2B15550001234&tag=x%20y&tag=J%C3%BCrgen%2F..%26z%3D1"
    assert visit.header("authorization") == f"Bearer {SECRET}"
    assert [value for name, value in visit.headers if name == "x-tag"] == ["a", "b"]
    assert visit.header("idempotency-key") is None
    assert visit.header("content-type") is None


@pytest.mark.parametrize(
    ("body", "content_type", "sent", "sent_as"),
    [
        (
            {"n": "{{n}}", "who": "Mr {{who}}", "deep": [{"all": "{{all}}"}], "none": "{{none}}"},
            None,
            {"n": 3, "who": 'Mr O"Neil', "deep": [{"all": ["a", {"b": 1}]}], "none": None},
            "application/json",
        ),
        (["{{n}}"], "application/vnd.api+json", [3], "application/vnd.api+json"),
        ('{"n": {{n}}, "who": "Mr {{who}}"}', None, {"n": 3, "who": 'Mr O"Neil'}, "application/json"),
        ('"{{who}}"', "application/json; charset=utf-8", 'O"Neil', "application/json; charset=utf-8"),
        ("who={{who}}&n={{n}}", "application/x-www-form-urlencoded", b"who=O%22Neil&n=3", None),
        ({"who": "{{who}}", "n": ["{{n}}", 4]}, "application/x-www-form-urlencoded", b"who=O%22Neil&n=3&n=4", None),
        ("<a>{{who}}</a>", "application/xml", b"<a>O&quot;Neil</a>", "application/xml"),
        ("Hello {{who}} {x}", None, b'Hello O"Neil {x}', "text/plain; charset=utf-8"),
        ("", None, b"", "text/plain; charset=utf-8"),
    ],
)
async def test_bodies(
    shop: Shop, context: ToolContext, body: Any, content_type: str | None, sent: Any, sent_as: str | None
) -> None:
    headers = pairs(("content-type", content_type)) if content_type else []
    tool = request_tool(shop.origin, method="POST", headers=headers, body=body)
    services = shop.services(given={"n": 3, "who": 'O"Neil', "all": ["a", {"b": 1}], "none": None})
    await http_request.bind(tool, services)({}, context)
    assert (shop.visit.body if isinstance(sent, bytes) else json.loads(shop.visit.body)) == sent
    assert shop.visit.header("content-type") == (sent_as or content_type)
    assert shop.visit.header("content-length") == str(len(shop.visit.body))
    assert shop.visit.header("idempotency-key") == "use-1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_methods_without_a_body(shop: Shop, context: ToolContext, method: str) -> None:
    await http_request.bind(request_tool(shop.origin, method=method), shop.services())({}, context)
    assert (shop.visit.method, shop.visit.body, shop.visit.header("transfer-encoding")) == (method, b"", None)


async def test_results(shop: Shop, context: ToolContext) -> None:
    shop.answers = [JSONResponse({"a": 1}, 201), PlainTextResponse("fine"), Response(status_code=204)]
    handler = http_request.bind(request_tool(shop.origin), shop.services())
    assert await handler({}, context) == {"status": 201, "body": {"a": 1}}
    assert await handler({}, context) == {"status": 200, "body": "fine"}
    assert await handler({}, context) == {"status": 204, "body": None}


async def test_answers_that_are_no_success(shop: Shop, context: ToolContext) -> None:
    shop.answers = [PlainTextResponse(SECRET, 404), PlainTextResponse(SECRET, 503), RedirectResponse("http://10.0.0.1")]
    handler = http_request.bind(request_tool(shop.origin), shop.services())
    for status in (404, 503, 307):
        assert await refused(handler, {}, context) == {"error": "handler_error", "status": status}
    assert len(shop.visits) == 3


async def test_a_retry_sends_the_same_request(shop: Shop, context: ToolContext) -> None:
    shop.answers = [PlainTextResponse("no", 503, headers={"retry-after": "0"}), JSONResponse(1)]
    tool = request_tool(f"{shop.origin}/{{{{id}}}}", method="PUT", body={"id": "{{id}}"}, max_retries=1)
    assert await http_request.bind(tool, shop.services())({"id": "7"}, context) == {"status": 200, "body": 1}
    first, second = shop.visits
    assert first == second
    assert first.header("idempotency-key") == "use-1"


@pytest.mark.parametrize(
    ("config", "arguments"),
    [
        ({"url": "/{{id}}"}, {}),
        ({"url": "/{{id}}"}, {"id": ".."}),
        ({"url": "/", "query_params": pairs(("q", "{{API_KEY}}"))}, {"API_KEY": "guess"}),
        ({"url": "/", "headers": pairs(("X-A", "{{id}}"))}, {"id": "a\r\nX-Evil: 1"}),
        ({"url": "/", "method": "POST", "body": {"a": "{{id}}"}}, {"id": float("nan")}),
        ({"url": "/", "method": "POST", "body": '{"a": {{id}}'}, {"id": 1}),
    ],
)
async def test_a_request_that_cannot_be_filled_in_is_not_sent(
    shop: Shop, context: ToolContext, caplog: pytest.LogCaptureFixture, config: dict[str, Any], arguments: Any
) -> None:
    tool = request_tool(**{**config, "url": shop.origin + config["url"]})
    assert await refused(http_request.bind(tool, shop.services()), arguments, context) == {"error": "handler_error"}
    assert shop.visits == []
    assert "Tool lookup: nothing was sent" in caplog.text
    assert "Evil" not in caplog.text


async def test_what_the_mind_adds_replaces_nothing_that_the_call_knows(shop: Shop, context: ToolContext) -> None:
    tool = request_tool(
        shop.origin,
        query_params=pairs(("p", "{{caller_phone}}"), ("k", "{{API_KEY}}"), ("a", "{{account}}"), ("q", "{{q}}")),
    )
    handler = http_request.bind(tool, shop.services(given={"account": "A1"}, secrets={"API_KEY": SECRET}))
    await handler({"q": "{{API_KEY}}", "caller_phone": "+19998887777", "API_KEY": "x", "account": "A2"}, context)
    assert shop.visit.query == f"p=%2B15550001234&k={SECRET}&a=A1&q=%7B%7BAPI_KEY%7D%7D"


async def test_an_argument_that_was_asked_for_comes_before_a_variable(shop: Shop, context: ToolContext) -> None:
    parameters = {"type": "object", "properties": {"account": {"type": "string"}}}
    tool = request_tool(shop.origin, parameters=parameters, query_params=pairs(("a", "{{account}}")))
    handler = http_request.bind(tool, shop.services(given={"account": "A1"}))
    await handler({"account": "A2"}, context)
    await handler({}, context)
    assert [visit.query for visit in shop.visits] == ["a=A2", "a=A1"]


async def test_a_secret_is_in_no_result_log_or_error(
    shop: Shop, context: ToolContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shop.answers = [JSONResponse({"url": f"/?k={SECRET}", "headers": [SECRET]}), PlainTextResponse(SECRET, 500)]
    tool = request_tool(
        f"{shop.origin}/{{{{API_KEY}}}}",
        method="POST",
        headers=pairs(("X-Key", "{{API_KEY}}")),
        query_params=pairs(("k", "{{API_KEY}}")),
        body={"key": "{{API_KEY}}"},
    )
    services = shop.services(secrets={"API_KEY": SECRET})
    handler = http_request.bind(tool, services)
    result = await handler({}, context)
    assert result == {"status": 200, "body": {"url": "/?k=***", "headers": ["***"]}}
    with pytest.raises(ToolRefusal) as refusal:
        await handler({}, context)
    assert SECRET.encode() in shop.visits[0].body
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    assert SECRET not in "".join([*logged, repr(refusal.value), repr(refusal.value.answer()), repr(services)])


async def test_a_get_is_tried_again_if_nothing_was_sent(
    shop: Shop, context: ToolContext, caplog: pytest.LogCaptureFixture
) -> None:
    port = int(shop.origin.rpartition(":")[2])
    asked: list[str] = []

    async def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) > 1 else []

    for method, times in (("GET", 2), ("POST", 1)):
        asked.clear()
        http = shop.http = SafeHttp(allow_hosts=[f"api.example.com:{port}"], resolve=resolve)
        handler = http_request.bind(request_tool(f"http://api.example.com:{port}/", method=method), shop.services())
        if method == "GET":
            assert await handler({}, context) == {"status": 200, "body": {"ok": True}}
        else:
            assert await refused(handler, {}, context) == {"error": "handler_error"}
        assert len(asked) == times
        await http.aclose()
