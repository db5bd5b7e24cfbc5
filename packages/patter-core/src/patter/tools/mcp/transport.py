"""HTTP for the MCP SDK that reaches public servers only, like every request of a tool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from importlib import import_module
from typing import Any

import httpcore2

from patter.tools.http_messages import HttpFailure
from patter.tools.network import CheckedNetwork
from patter.tools.safe_http import MAX_BYTES
from patter.voice.sdk import ssl_context

__all__ = ["http_client"]

_BROKEN = (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException)
_CONNECT_S = 10.0
_READ_S = 300.0
"""A stream for the server's own messages may be silent for long; calls have bounds of their own."""


def http_client(
    package: str,
    headers: Collection[tuple[str, str]],
    allow_hosts: Collection[str],
    *,
    on_broken: Callable[[str], object],
) -> Any:
    """A client for one server. Proxies and logins of the environment are not used; enter it to close it.

    Args:
        package: whose client it is: ``httpx`` for mcp 1.x, ``httpx2`` for 2.x.
        headers: sent with every request.
        allow_hosts: hosts with their ports that need not be public.
        on_broken: told why if a message was not sent or its answer not read: the SDK may wait for it in vain.
    """
    http = import_module(package)
    pool = httpcore2.AsyncConnectionPool(
        ssl_context=ssl_context(), network_backend=CheckedNetwork(allow_hosts), keepalive_expiry=60.0
    )
    return http.AsyncClient(
        transport=_transport(http, pool, on_broken),
        headers=[(name.encode("ascii"), value.encode()) for name, value in headers],
        timeout=http.Timeout(_CONNECT_S, read=_READ_S),
        trust_env=False,
    )


def _transport(http: Any, pool: httpcore2.AsyncConnectionPool, on_broken: Callable[[str], object]) -> Any:
    class Body(http.AsyncByteStream):  # type: ignore[misc]
        """An answer's body. That of a POST, which answers one message, may not be longer than any tool's."""

        def __init__(self, answer: httpcore2.Response, is_message: bool) -> None:
            self._answer = answer
            self._is_message = is_message

        async def __aiter__(self) -> AsyncIterator[bytes]:
            received = 0
            try:
                async for chunk in self._answer.aiter_stream():
                    received += len(chunk)
                    if self._is_message and received > MAX_BYTES:
                        raise self._failed(f"the answer is larger than {MAX_BYTES} bytes")
                    yield chunk
            except _BROKEN as error:
                raise self._failed(type(error).__name__) from None

        def _failed(self, why: str) -> Exception:
            if self._is_message:
                on_broken(why)
            error: Exception = http.ReadError(why)
            return error

        async def aclose(self) -> None:
            await self._answer.aclose()

    class Transport(http.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            url = request.url
            sent = httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
            is_message = request.method == "POST"
            try:
                answer = await pool.handle_async_request(sent)
            except (HttpFailure, *_BROKEN) as error:
                why = str(error) if isinstance(error, HttpFailure) else type(error).__name__
                if is_message:
                    on_broken(why)
                raise http.ConnectError(why) from None
            body = Body(answer, is_message)
            return http.Response(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)

        async def aclose(self) -> None:
            await pool.aclose()

    return Transport()
