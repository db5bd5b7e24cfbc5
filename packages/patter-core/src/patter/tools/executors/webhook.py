"""The webhook tool: a host's own server is asked, with a signed request, and its answer is the result."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, cast

from patter.tools import template
from patter.tools.attempts import send
from patter.tools.executors.filling import declared_arguments, fill_headers, filling, scope_of
from patter.tools.http_messages import HttpRequest
from patter.tools.refusals import ToolRefusal
from patter.tools.signing import signature_headers

if TYPE_CHECKING:
    from patter.tools.configs import WebhookConfig
    from patter.tools.model import Handler, Tool, ToolContext
    from patter.tools.services import CallServices

__all__ = ["bind"]

_TIMEOUT_MS = 10_000


def bind(tool: Tool, services: CallServices) -> Handler:
    """The handler that posts ``{"tool", "arguments", "call_id", ...}`` to the tool's address.

    Returns:
        The handler. Its result is the answer's JSON value, or its text if it is none, or ``{"status": "ok"}`` if it
        is empty.
    """
    config = cast("WebhookConfig", tool.config)
    declared = declared_arguments(tool, services)
    timeout_s = (tool.limit_ms or _TIMEOUT_MS) / 1000
    # Whoever may store a tool must not have what it likes signed in the name of the host.
    secret = config.secret or (services.webhook_secret if tool.id is None else None)

    async def post(arguments: dict[str, Any], context: ToolContext) -> Any:
        scope = scope_of(services, arguments, declared)
        with filling(tool.name):
            address = template.url(config.url, scope)
            headers = fill_headers(config.headers.items(), scope)

        def make(attempt: int) -> HttpRequest:
            body = _body(tool.name, arguments, context, services.variables.shared(), attempt)
            signed = signature_headers(body, secret, timestamp=int(time.time())) if secret else {}
            ours = {
                "Content-Type": "application/json",
                "Idempotency-Key": str(context.get("tool_call_id", "")),
                **signed,
            }
            taken = {name.lower() for name in ours}
            own = [(name, value) for name, value in headers if name.lower() not in taken]
            return HttpRequest("POST", address, (*ours.items(), *own), body)

        answer = await send(services.http, make, tool_name=tool.name, timeout_s=timeout_s, retries=tool.max_retries)
        value = scope.conceal(answer.value())
        return {"status": "ok"} if value is None else value

    return post


def _body(name: str, arguments: dict[str, Any], context: ToolContext, variables: dict[str, Any], attempt: int) -> bytes:
    body = {
        "tool": name,
        "tool_name": name,
        "arguments": arguments,
        "call_id": context.get("call_id"),
        "tool_call_id": context.get("tool_call_id"),
        "caller": context.get("caller"),
        "callee": context.get("callee"),
        "attempt": attempt,
        "variables": variables,
    }
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise ToolRefusal("invalid_arguments") from None
