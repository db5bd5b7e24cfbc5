"""The webhook tool against a real server: what is sent, what comes back, what is sent again, what stays secret."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from patter.tools.context import ToolContext
from patter.tools.executors import webhook
from patter.tools.model import Tool
from patter.tools.refusals import ToolRefusal
from patter.tools.signing import verify_webhook

if TYPE_CHECKING:
    from .conftest import Shop

pytestmark = pytest.mark.anyio

SECRET = "hush-hush-1"


def order_status(url: str, *, headers: dict[str, str] | None = None, secret: str | None = None, **more: Any) -> Tool:
    config: dict[str, Any] = {"url": url, "headers": headers or {}, "secret": secret}
    parameters = {"type": "object", "properties": {"order_id": {"type": "string"}}}
    return Tool(
        name="order_status",
        description="Looks up the state of an order.",
        tool_type="webhook",
        config=config,
        parameters=parameters,
        **more,
    )


async def refused(handler: Any, arguments: dict[str, Any], context: ToolContext) -> dict[str, Any]:
    with pytest.raises(ToolRefusal) as refusal:
        await handler(arguments, context)
    return refusal.value.answer()


async def test_the_body_and_the_headers(shop: Shop, context: ToolContext) -> None:
    services = shop.services(given={"plan": "gold"})
    services.variables.set("email", "ann@example.com")
    handler = webhook.bind(order_status(f"{shop.origin}/orders"), services)
    assert await handler({"order_id": "ORD-7", "note": "Grüße"}, context) == {"ok": True}
    assert json.loads(shop.visit.body) == {
        "tool": "order_status",
        "tool_name": "order_status",
        "arguments": {"order_id": "ORD-7", "note": "Grüße"},
        "call_id": "call-1",
        "tool_call_id": "use-1",
        "caller": "+15550001234",
        "callee": "+15551234567",
        "attempt": 1,
        "variables": {"plan": "gold", "email": "ann@example.com"},
    }
    assert (shop.visit.method, shop.visit.path) == ("POST", "/orders")
    assert shop.visit.header("content-type") == "application/json"
    assert shop.visit.header("idempotency-key") == "use-1"
    assert shop.visit.header("x-patter-signature") is None


@pytest.mark.parametrize(("own", "common"), [(SECRET, None), (None, SECRET), (SECRET, "another")])
async def test_the_signature_is_the_receivers_proof(
    shop: Shop, context: ToolContext, own: str | None, common: str | None
) -> None:
    handler = webhook.bind(order_status(f"{shop.origin}/", secret=own), shop.services(webhook_secret=common))
    await handler({"order_id": "ORD-7"}, context)
    assert verify_webhook(shop.visit.body, dict(shop.visit.headers), SECRET)
    assert not verify_webhook(shop.visit.body + b" ", dict(shop.visit.headers), SECRET)


@pytest.mark.parametrize("own", [None, SECRET])
async def test_a_tool_of_a_store_has_nothing_signed_by_the_host(
    shop: Shop, context: ToolContext, own: str | None
) -> None:
    stored = order_status(f"{shop.origin}/", secret=own, id=uuid4())
    await webhook.bind(stored, shop.services(webhook_secret="the host's"))({"order_id": "ORD-7"}, context)
    assert (shop.visit.header("x-patter-signature") is not None) == (own is not None)
    assert not verify_webhook(shop.visit.body, dict(shop.visit.headers), "the host's")


async def test_what_the_mind_is_told(shop: Shop, context: ToolContext) -> None:
    told: list[tuple[Response, Any]] = [
        (JSONResponse({"state": "sent"}), {"state": "sent"}),
        (JSONResponse([1, None]), [1, None]),
        (JSONResponse("sent"), "sent"),
        (PlainTextResponse("It was sent."), "It was sent."),
        (PlainTextResponse("<p>sent</p>", status_code=201), "<p>sent</p>"),
        (Response(status_code=204), {"status": "ok"}),
        (Response(b""), {"status": "ok"}),
    ]
    shop.answers = [answer for answer, _ in told]
    handler = webhook.bind(order_status(shop.origin, max_retries=3), shop.services())
    assert [await handler({}, context) for _ in told] == [value for _, value in told]
    assert len(shop.visits) == len(told)


async def test_other_answers_are_a_safe_code_after_one_attempt(shop: Shop, context: ToolContext) -> None:
    statuses = [301, 400, 401, 404, 409, 418, 429, 500, 502, 503]
    shop.answers = [PlainTextResponse(f"see http://10.0.0.1/ {SECRET}", status) for status in statuses]
    handler = webhook.bind(order_status(shop.origin), shop.services())
    for status in statuses:
        assert await refused(handler, {}, context) == {"error": "handler_error", "status": status}
    assert len(shop.visits) == len(statuses)


async def test_a_server_that_took_nothing_is_asked_again_if_the_tool_allows_it(
    shop: Shop, context: ToolContext
) -> None:
    shop.answers = [PlainTextResponse("no", status, headers={"retry-after": "0"}) for status in (429, 502, 503, 504)]
    shop.answers += [JSONResponse({"ok": 5})]
    handler = webhook.bind(order_status(shop.origin, max_retries=4, secret=SECRET), shop.services())
    assert await handler({}, context) == {"ok": 5}
    assert [json.loads(visit.body)["attempt"] for visit in shop.visits] == [1, 2, 3, 4, 5]
    assert {visit.header("idempotency-key") for visit in shop.visits} == {"use-1"}
    assert all(verify_webhook(visit.body, dict(visit.headers), SECRET) for visit in shop.visits)


async def test_attempts_end(shop: Shop, context: ToolContext) -> None:
    shop.answers = [PlainTextResponse("no", 503)]
    handler = webhook.bind(order_status(shop.origin, max_retries=1), shop.services())
    before = anyio.current_time()
    assert await refused(handler, {}, context) == {"error": "handler_error", "status": 503}
    assert len(shop.visits) == 2
    assert anyio.current_time() - before >= 0.12  # a pause is between them


async def test_a_pause_longer_than_the_tools_time_is_not_made(shop: Shop, context: ToolContext) -> None:
    shop.answers = [PlainTextResponse("no", 503, headers={"retry-after": "3600"})]
    handler = webhook.bind(order_status(shop.origin, max_retries=5), shop.services())
    assert await refused(handler, {}, context) == {"error": "handler_error", "status": 503}
    assert len(shop.visits) == 1


async def test_a_server_that_may_have_worked_is_not_asked_again(shop: Shop, context: ToolContext) -> None:
    statuses = [400, 404, 500, 501]
    shop.answers = [PlainTextResponse("no", status) for status in statuses]
    handler = webhook.bind(order_status(shop.origin, max_retries=5), shop.services())
    for status in statuses:
        assert await refused(handler, {}, context) == {"error": "handler_error", "status": status}
    assert len(shop.visits) == len(statuses)


async def test_a_time_out_is_not_tried_again(shop: Shop, context: ToolContext) -> None:
    async def never(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep(0.5)
        await Response()(scope, receive, send)

    shop.answers = [never]  # type: ignore[list-item]
    handler = webhook.bind(order_status(shop.origin, max_retries=5, timeout_ms=100), shop.services())
    assert await refused(handler, {}, context) == {"error": "timeout"}
    assert len(shop.visits) == 1


async def test_a_server_that_is_not_there_or_not_public(
    shop: Shop, context: ToolContext, caplog: pytest.LogCaptureFixture
) -> None:
    for url in ("http://169.254.169.254/latest/{{TOKEN}}", "http://localhost:1/", "http://127.0.0.1:1/"):
        handler = webhook.bind(order_status(url), shop.services(secrets={"TOKEN": SECRET}))
        assert await refused(handler, {}, context) == {"error": "handler_error"}
    assert "pass allow_hosts=['localhost:1']" in caplog.text
    assert SECRET not in caplog.text


async def test_templates_in_the_address_and_the_headers(shop: Shop, context: ToolContext) -> None:
    tool = order_status(
        f"{shop.origin}/{{{{PART}}}}/{{{{order_id}}}}?from={{{{caller_phone}}}}",
        headers={"Authorization": "Bearer {{API_KEY}}", "Content-Type": "text/plain", "X-Plan": "{{args.plan}}"},
    )
    handler = webhook.bind(tool, shop.services(secrets={"API_KEY": SECRET, "PART": "a/b"}))
    # The mind was not asked for caller_phone: what it says there is not what the call knows.
    await handler({"order_id": "1/../2 {{API_KEY}}", "caller_phone": "+19998887777", "plan": "gold"}, context)
    assert shop.visit.path == "/a%2Fb/1%2F..%2F2%20%7B%7BAPI_KEY%7D%7D"
    assert shop.visit.query == "from=%2B15550001234"
    assert shop.visit.header("authorization") == f"Bearer {SECRET}"
    assert [value for name, value in shop.visit.headers if name == "content-type"] == ["application/json"]
    assert shop.visit.header("x-plan") == "gold"


async def test_a_secret_that_the_server_repeats_is_not_told(shop: Shop, context: ToolContext) -> None:
    shop.answers = [JSONResponse({"you sent": [f"Bearer {SECRET} !", 1], SECRET: None, "other": "seen?key=a%20b%2Fcd"})]
    tool = order_status(shop.origin + "/?key={{OTHER}}", headers={"Authorization": "Bearer {{API_KEY}}"})
    handler = webhook.bind(tool, shop.services(secrets={"API_KEY": SECRET, "OTHER": "a b/cd"}))
    assert await handler({}, context) == {"you sent": ["Bearer *** !", 1], "***": None, "other": "seen?key=***"}


@pytest.mark.parametrize(
    ("url", "header"),
    [("/{{missing}}", "x"), ("/", "{{missing}}"), ("/", "{{lines}}"), ("/{{nothing}}", "x"), ("/", "{{order_id}}")],
)
async def test_a_request_that_cannot_be_filled_in_is_not_sent(
    shop: Shop, context: ToolContext, caplog: pytest.LogCaptureFixture, url: str, header: str
) -> None:
    services = shop.services(given={"lines": f"{SECRET}\r\nX-Evil: 1", "nothing": ""})
    handler = webhook.bind(order_status(shop.origin + url, headers={"X-A": header}), services)
    assert await refused(handler, {"undeclared": 1}, context) == {"error": "handler_error"}
    assert shop.visits == []
    assert "nothing was sent" in caplog.text
    assert SECRET not in caplog.text


async def test_what_is_no_json_is_not_sent(shop: Shop, context: ToolContext) -> None:
    handler = webhook.bind(order_status(shop.origin), shop.services())
    for value in (float("nan"), float("inf")):
        assert await refused(handler, {"x": value}, context) == {"error": "invalid_arguments"}
    assert shop.visits == []


async def test_no_log_and_no_error_holds_what_was_said(
    shop: Shop, context: ToolContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shop.answers = [JSONResponse({"note": "whisper-2"}), PlainTextResponse("whisper-3", 500)]
    tool = order_status(f"{shop.origin}/{{{{API_KEY}}}}", headers={"X-Key": "{{API_KEY}}"}, secret="whisper-0")
    services = shop.services(secrets={"API_KEY": SECRET}, webhook_secret="whisper-9")
    handler = webhook.bind(tool, services)
    await handler({"order_id": "whisper-1"}, context)
    with pytest.raises(ToolRefusal) as refusal:
        await handler({"order_id": "whisper-1"}, context)
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    assert any("status 500" in line for line in logged)
    told = "".join([*logged, repr(refusal.value), repr(tool), repr(tool.config), repr(services)])
    assert not {"whisper", SECRET} & {word for word in ("whisper", SECRET) if word in told}
