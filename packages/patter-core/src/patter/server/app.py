"""The web application of a phone: the carrier's callbacks and its media sockets.

Everything here is reachable by strangers. Nothing of a request is believed before the carrier's
signature was checked over the configured public address; no Host or X-Forwarded header is read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from patter.carriers.addresses import websocket_url
from patter.carriers.base import CallUpdate, Carrier, IncomingCall, Line, LineStart
from patter.errors import LineError, SignatureError
from patter.server.reading import read_body

__all__ = ["MAX_BODY_BYTES", "MAX_UNSTARTED", "PhoneDoor", "build_app"]

MAX_BODY_BYTES = 64 * 1024
"""A callback has about one kilobyte."""

BODY_S = 5.0

MAX_MEDIA_BYTES = 64 * 1024
"""A media frame has some 300 bytes."""

MAX_UNSTARTED = 50
"""Media sockets that were accepted and have not yet said whose call they are."""

PROTOCOL_ERROR = 1002
TOO_LARGE = 1009
REFUSED = 1008


class PhoneDoor(Protocol):
    """What the web application needs of a phone."""

    @property
    def public_url(self) -> str:
        """Where the carrier reaches the root of this application: ``https://`` (or loopback ``http://``),
        host, and the path under which a host program mounted it, if any; no slash at the end."""

    def report(self, ref: str, update: CallUpdate) -> None:
        """Take in a verified fact of the call of this reference, if there is one. An incoming call is known by
        its carrier's id, and its reference is empty."""

    def answer(self, incoming: IncomingCall) -> str:
        """Take a verified incoming call, or turn it away; what the carrier is told."""

    async def join(self, start: LineStart, line: Line) -> None:
        """Run a call's conversation on its line; returns when it needs the line no more.

        Raises:
            LineError: no call waits for this line, or its token is wrong or used.
        """


def build_app(phone: PhoneDoor, carrier: Carrier) -> Starlette:
    """The routes of one phone and its carrier.

    ``POST /{carrier}/status/{ref}`` and ``/{carrier}/machine/{ref}`` take callbacks of our calls,
    ``/{carrier}/leg/{ref}`` those of the second legs of transfers,
    ``/{carrier}/voice`` takes incoming calls and ``/{carrier}/status`` their callbacks, ``/{carrier}/media``
    takes media sockets, ``GET /health`` answers while the server runs.
    """
    prefix = f"/{carrier.name}"
    webhook = _webhook(phone, carrier)
    media = _media(phone, carrier)
    app = Starlette(
        routes=[
            Route("/health", _health, methods=["GET"]),
            Route(f"{prefix}/status/{{ref}}", webhook, methods=["POST"]),
            Route(f"{prefix}/machine/{{ref}}", webhook, methods=["POST"]),
            Route(f"{prefix}/leg/{{ref}}", webhook, methods=["POST"]),
            Route(f"{prefix}/status", webhook, methods=["POST"]),
            Route(f"{prefix}/voice", _voice(phone, carrier), methods=["POST"]),
            WebSocketRoute(f"{prefix}/media", media),
            WebSocketRoute(f"{prefix}/media/", media),
        ]
    )
    # A redirect would be built from the Host header, and signatures do not survive it.
    app.router.redirect_slashes = False
    return app


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _webhook(phone: PhoneDoor, carrier: Carrier) -> Callable[[Request], Awaitable[Response]]:
    async def webhook(request: Request) -> Response:
        body = await read_body(request, most_bytes=MAX_BODY_BYTES, within_s=BODY_S)
        try:
            update = carrier.read_webhook(_signed_url(phone.public_url, request), request.headers, body)
        except SignatureError:
            return Response(status_code=403)
        phone.report(request.path_params.get("ref", ""), update)
        return Response(status_code=204)

    return webhook


def _voice(phone: PhoneDoor, carrier: Carrier) -> Callable[[Request], Awaitable[Response]]:
    async def voice(request: Request) -> Response:
        body = await read_body(request, most_bytes=MAX_BODY_BYTES, within_s=BODY_S)
        try:
            call = carrier.read_call(_signed_url(phone.public_url, request), request.headers, body)
        except SignatureError:
            return Response(status_code=403)
        if call is None:
            return Response(status_code=400)
        return Response(phone.answer(call), media_type="text/xml")

    return voice


def _media(phone: PhoneDoor, carrier: Carrier) -> Callable[[WebSocket], Awaitable[None]]:
    waiting = 0

    @asynccontextmanager
    async def counted(is_signed: bool) -> AsyncIterator[None]:
        nonlocal waiting
        waiting += not is_signed
        try:
            yield
        finally:
            waiting -= not is_signed

    async def media(websocket: WebSocket) -> None:
        # A close before the accept is answered as HTTP 403.
        try:
            is_signed = carrier.check_upgrade(
                _signed_url(websocket_url(phone.public_url), websocket), websocket.headers
            )
        except SignatureError:
            await websocket.close(REFUSED)
            return
        # Strangers can fill the limit; whom the carrier has signed does not stand in their queue.
        if waiting >= MAX_UNSTARTED and not is_signed:
            await websocket.close(REFUSED)
            return
        socket = _Socket(websocket)
        try:
            async with counted(is_signed):
                await websocket.accept()
                start, line = await carrier.open_line(socket)
        except LineError:
            await socket.close(PROTOCOL_ERROR)
            return
        try:
            await phone.join(start, line)
        except LineError:
            await socket.close(REFUSED)
        finally:
            await line.close()

    return media


def _signed_url(base: str, connection: HTTPConnection) -> str:
    """The address as the carrier has called and signed it: the public one, and this path and query."""
    scope = connection.scope
    raw: bytes | None = scope.get("raw_path")
    path = raw.decode("latin-1") if raw else quote(scope["path"])
    path = path.removeprefix(scope.get("root_path", ""))
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{base}{path}?{query}" if query else f"{base}{path}"


class _Socket:
    """A starlette websocket as a `patter.carriers.base.MediaSocket`."""

    __slots__ = ("_websocket",)

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes | None:
        try:
            message = await self._websocket.receive()
        except RuntimeError:
            # Starlette's word for a socket whose end was already told.
            return None
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        content = text if text is not None else bytes(message.get("bytes") or b"")
        if len(content) > MAX_MEDIA_BYTES:  # the server itself allows more, for other sockets
            await self.close(TOO_LARGE)
            return None
        return content

    async def send(self, text: str) -> None:
        try:
            await self._websocket.send({"type": "websocket.send", "text": text})
        except (WebSocketDisconnect, RuntimeError) as error:
            # The first send after a loss raises the one, every further send the other.
            raise LineError("The media socket is closed.") from error

    async def close(self, code: int = 1000) -> None:
        try:
            await self._websocket.close(code)
        except (WebSocketDisconnect, RuntimeError):
            return
