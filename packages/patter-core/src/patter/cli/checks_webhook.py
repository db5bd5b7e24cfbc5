"""What ``patter doctor --online`` finds out about the webhook: does its public address lead here, and whole?

The server of a call is started for a moment with its real routes, and called through the public
address: a secret path must come back, unsigned callbacks must be refused, signed ones must pass,
and a websocket must open. So a wrong tunnel, a rewriting proxy, and one that knows no websockets show.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from patter.carriers.addresses import Addresses, public_url
from patter.carriers.base import CallUpdate, IncomingCall, Line, LineStart
from patter.carriers.twilio import Twilio
from patter.cli.checks import Check, State
from patter.errors import ConfigError, LineError
from patter.server.app import build_app
from patter.server.listener import bind, serve
from patter.settings import is_loopback

if TYPE_CHECKING:
    from httpx2 import AsyncClient
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

__all__ = ["ask_webhook"]

_ANSWER_S = 4.0
_NOT_HERE = "start the tunnel or the proxy, and point it to {host}:{port}"
_HAIRPIN = "if it works from elsewhere, this network does not lead back to itself"


async def ask_webhook(env: Mapping[str, str], *, host: str, port: int, is_signable: bool) -> list[Check]:
    """Serve for a moment, and come back through the public address.

    Args:
        is_signable: the account's token is there, so that a signed callback can be tried.
    """
    public = public_url(env["PATTER_WEBHOOK_URL"])
    token = env["TWILIO_AUTH_TOKEN"] if is_signable else secrets.token_hex(16)
    try:
        sock = bind(host, port)
    except ConfigError:
        # The check of the port has told it.
        return [await _ask_running(public, port)]
    carrier = Twilio("AC" + 32 * "0", token)
    await carrier.start()
    visit = _Visit(public, carrier)
    async with anyio.create_task_group() as tasks:
        await tasks.start(serve, visit, sock)
        checks = await _visit(visit, token if is_signable else None, where=_NOT_HERE.format(host=host, port=port))
        tasks.cancel_scope.cancel()
    return checks


class _Door:
    """A phone at which nobody is. A real call that comes in at this moment is turned away as busy."""

    def __init__(self, public: str, carrier: Twilio) -> None:
        self.public_url = public
        self._carrier = carrier

    def report(self, ref: str, update: CallUpdate) -> None:
        """No call waits for a report."""

    def answer(self, incoming: IncomingCall) -> str:
        return self._carrier.decline()

    async def join(self, start: LineStart, line: Line) -> None:
        raise LineError("No call waits for this line.")


class _Visit:
    """The server's application with one secret path more. It keeps the paths at which it was called."""

    def __init__(self, public: str, carrier: Twilio) -> None:
        self.public_url = public
        self.path = f"/{secrets.token_hex(16)}"
        self.answer = secrets.token_hex(16)
        self.seen: list[str] = []
        self._app = self._build(carrier)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope.get("path", ""))
        await self._app(scope, receive, send)

    def _build(self, carrier: Twilio) -> Starlette:
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route

        async def answer(request: Request) -> Response:
            return PlainTextResponse(self.answer)

        app = build_app(_Door(self.public_url, carrier), carrier)
        app.router.routes.append(Route(self.path, answer))
        return app


async def _visit(visit: _Visit, token: str | None, *, where: str) -> list[Check]:
    import httpx2

    async with _client(visit.public_url) as client:
        try:
            response = await client.get(visit.public_url + visit.path)
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
            message = f"{visit.public_url} cannot be reached ({type(error).__name__})"
            return [_check("webhook", "problem", message, f"{where}; {_HAIRPIN}", is_passing=True)]
        if response.text != visit.answer:
            return [_misled(visit, response.status_code, response.headers.get("location"), where)]
        checks = [_check("webhook", "ok", f"{visit.public_url} leads here")]
        try:
            checks.append(await _signatures(client, visit, token))
        except httpx2.HTTPError as error:
            message = f"a callback did not get through ({type(error).__name__})"
            checks.append(_check("signature", "problem", message, "let the proxy forward POST", is_passing=True))
    return [*checks, await _media(visit)]


def _misled(visit: _Visit, status: int, location: str | None, where: str) -> Check:
    arrived = next((path for path in visit.seen if path.endswith(visit.path)), None)
    if arrived is not None and arrived != visit.path:
        message = f"requests arrive under {arrived.removesuffix(visit.path)}"
        return _check("webhook", "problem", message, "let the proxy take that path off")
    if location is not None:
        message = f"{visit.public_url} redirects to {urlsplit(location).netloc or 'another path'}"
        return _check("webhook", "problem", message, "set PATTER_WEBHOOK_URL to where it leads")
    message = f"somebody else answers at {visit.public_url} (HTTP {status})"
    return _check("webhook", "problem", message, where)


async def _signatures(client: AsyncClient, visit: _Visit, token: str | None) -> Check:
    """Unsigned callbacks must be refused by this program, and not by something before it."""
    url = Addresses(visit.public_url, "twilio").status(visit.path[1:])
    form = {"CallSid": "CA" + 32 * "0", "CallStatus": "ringing"}
    unsigned = await client.post(url, data=form)
    if not any(path.endswith(visit.path) and "/status/" in path for path in visit.seen):
        message = f"callbacks are stopped on the way (HTTP {unsigned.status_code})"
        return _check("signature", "problem", message, "let the proxy forward POST as it is")
    if unsigned.status_code != 403:
        message = f"an unsigned callback was answered with HTTP {unsigned.status_code}"
        return _check("signature", "problem", message, "it must be 403: look at what the proxy changes")
    if token is None:
        return _check("signature", "ok", "unsigned callbacks are refused")
    validator = import_module("twilio.request_validator").RequestValidator(token)
    headers = {"X-Twilio-Signature": validator.compute_signature(url, form)}
    signed = await client.post(url, data=form, headers=headers)
    if signed.status_code != 204:
        message = f"a signed callback was refused (HTTP {signed.status_code})"
        return _check("signature", "problem", message, "let the proxy leave path, query and body as they are")
    return _check("signature", "ok", "unsigned callbacks are refused, signed ones pass")


async def _media(visit: _Visit) -> Check:
    client = await anyio.to_thread.run_sync(import_module, "websockets.asyncio.client")
    errors = import_module("websockets.exceptions")
    address = Addresses(visit.public_url, "twilio").media()
    remedy = "let the proxy forward websockets (the Upgrade header)"
    try:
        socket = await client.connect(
            address, open_timeout=_ANSWER_S, close_timeout=1.0, proxy=None if is_loopback(address) else True
        )
        await socket.close()
    except errors.InvalidStatus as refused:
        message = f"websockets do not get through (HTTP {refused.response.status_code})"
        return _check("media", "problem", message, remedy)
    except (OSError, TimeoutError, errors.WebSocketException) as error:
        message = f"websockets do not get through ({type(error).__name__})"
        return _check("media", "problem", message, remedy)
    return _check("media", "ok", "a websocket opens")


async def _ask_running(public: str, port: int) -> Check:
    """The port is taken, perhaps by a server of ours: ask for its health."""
    import httpx2

    try:
        async with _client(public) as client:
            response = await client.get(f"{public}/health")
        is_ours = response.is_success and response.json() == {"status": "ok"}
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        message = f"{public} cannot be reached ({type(error).__name__})"
        return _check("webhook", "problem", message, f"lead it to port {port}", is_passing=True)
    if is_ours:
        return _check("webhook", "note", f"{public} leads to a phone that runs already")
    message = f"{public} leads to no phone (HTTP {response.status_code})"
    return _check("webhook", "problem", message, f"stop what uses port {port}, and run this again")


def _client(public: str) -> AsyncClient:
    import httpx2

    # A proxy of the environment does not reach this machine's loopback.
    return httpx2.AsyncClient(timeout=_ANSWER_S, trust_env=not is_loopback(public))


def _check(name: str, state: State, message: str, remedy: str = "", *, is_passing: bool = False) -> Check:
    return Check(section="Online", name=name, state=state, message=message, remedy=remedy, is_passing=is_passing)
