"""The http_request tool: any request to any public server, made of templates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from patter.tools import template
from patter.tools.attempts import send
from patter.tools.executors.filling import declared_arguments, fill_headers, filling, scope_of
from patter.tools.http_messages import HttpRequest
from patter.tools.template import TemplateError

if TYPE_CHECKING:
    from patter.tools.configs import HttpRequestConfig
    from patter.tools.model import Handler, Tool, ToolContext
    from patter.tools.services import CallServices
    from patter.tools.template import Lookup

__all__ = ["bind"]

_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"


def bind(tool: Tool, services: CallServices) -> Handler:
    """The handler that sends the tool's request.

    Returns:
        The handler. Its result is ``{"status": 200, "body": ...}``: the body is the JSON value, or the text if it is
        none, or null if it is empty.
    """
    config = cast("HttpRequestConfig", tool.config)
    headers = [(pair.key, pair.value) for pair in config.headers]
    query = [(pair.key, pair.value) for pair in config.query_params]
    declared = declared_arguments(tool, services)
    timeout_s = config.timeout if tool.timeout_ms is None else tool.timeout_ms / 1000

    async def request(arguments: dict[str, Any], context: ToolContext) -> Any:
        scope = scope_of(services, arguments, declared)
        with filling(tool.name):
            address = _address(config.url, query, scope)
            lines = fill_headers(headers, scope)
            kind, body = _body(config.body, _value_of(lines, "content-type"), scope)
        if kind is not None and _value_of(lines, "content-type") is None:
            lines.append(("Content-Type", kind))
        if config.method != "GET" and _value_of(lines, "idempotency-key") is None:
            lines.append(("Idempotency-Key", str(context.get("tool_call_id", ""))))
        sent = HttpRequest(config.method, address, tuple(lines), body)
        answer = await send(
            services.http,
            lambda _: sent,
            tool_name=tool.name,
            timeout_s=timeout_s,
            retries=tool.max_retries,
            connect_retries=1 if config.method == "GET" else 0,
        )
        return {"status": answer.status, "body": scope.conceal(answer.value())}

    return request


def _address(url: str, query: list[tuple[str, str]], scope: Lookup) -> str:
    address = template.url(url, scope).partition("#")[0]
    if not query:
        return address
    return f"{address}{'&' if '?' in address else '?'}{template.query(query, scope)}"


def _body(body: Any, content_type: str | None, scope: Lookup) -> tuple[str | None, bytes | None]:
    """The content type that the body has if the headers name none, and the body."""
    if body is None:
        return None, None
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == _FORM and isinstance(body, str | dict):
        return _FORM, template.form_body(body, scope).encode()
    if not isinstance(body, str):
        return _JSON, _encoded(template.json_body(body, scope))
    if kind.endswith("json") or (not kind and body.lstrip()[:1] in ("{", "[")):
        return _JSON, template.json_text(body, scope).encode()
    if kind.endswith(("xml", "html")):
        return kind, template.xml_text(body, scope).encode()
    return "text/plain; charset=utf-8", template.text(body, scope).encode()


def _encoded(value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise TemplateError("the body is no JSON value") from None


def _value_of(lines: list[tuple[str, str]], name: str) -> str | None:
    return next((value for key, value in lines if key.lower() == name), None)
