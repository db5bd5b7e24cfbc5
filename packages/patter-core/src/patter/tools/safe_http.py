"""The HTTP client of in-call tools: public servers only, no redirects, and bounds on time and size."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Collection
from functools import cache
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from patter.errors import ConfigError
from patter.tools.addresses import Target, check_allowed, target_of
from patter.tools.http_messages import HttpAnswer, HttpFailure, HttpRequest, check_header, check_header_value

if TYPE_CHECKING:
    import ssl

    import httpcore2

    from patter.tools.network import Resolver

__all__ = ["MAX_BYTES", "SafeHttp"]

MAX_BYTES = 1024 * 1024
"""The longest answer that is read, as it comes and as it is decoded."""


class SafeHttp:
    """Sends the requests of tools. Connections are kept for the next request; cookies are not.

    A request goes to an address that was checked when the connection was opened: every address of the name must be
    public. Redirects are answers like others. Proxies, logins and cookies of the environment are not used. It may be
    used from one event loop, and belongs to who made it: close it there.

    Args:
        allow_hosts: hosts with their ports, such as ``localhost:9000``, that need not be public; for development.
        resolve: gives the addresses of a name; None asks the system.
        network: opens connections to addresses; None is the real one.
        tls: what certificates are checked with; None trusts the usual authorities.

    Raises:
        ConfigError: allow_hosts names something else.
    """

    def __init__(
        self,
        *,
        allow_hosts: Collection[str] = (),
        resolve: Resolver | None = None,
        network: httpcore2.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.allow_hosts = check_allowed(allow_hosts)
        self._resolve = resolve
        self._network = network
        self._tls = tls
        self._pool: httpcore2.AsyncConnectionPool | None = None
        self._opening = anyio.Lock()

    async def start(self) -> None:
        """Load what the first request would else wait for. Needs no network."""
        async with self._opening:
            if self._pool is None:
                tls = await anyio.to_thread.run_sync(_load)
                self._pool = self._make_pool(self._tls or tls)

    async def aclose(self) -> None:
        """Close the connections that are kept. A later request opens new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            with anyio.CancelScope(shield=True):
                await pool.aclose()

    async def request(self, request: HttpRequest, *, timeout_s: float) -> HttpAnswer:
        """Send a request once, and read the whole answer, whatever its status is.

        Args:
            request: what to send.
            timeout_s: seconds for everything, from the name's look-up to the last byte.

        Raises:
            HttpFailure: there is no answer, or it is not used.
        """
        with anyio.move_on_after(timeout_s) as scope:
            return await self._request(request)
        assert scope.cancelled_caught
        raise HttpFailure("timeout", f"no complete answer within {timeout_s:g} s")

    async def _request(self, request: HttpRequest) -> HttpAnswer:
        await self.start()
        import httpcore2

        try:
            target = target_of(request.url)
            headers = _headers(request, target)
        except ConfigError as error:
            raise HttpFailure("refused", str(error)) from None
        address = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        assert self._pool is not None
        try:
            async with self._pool.stream(request.method, address, headers=headers, content=request.body) as response:
                received = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                body = await _read(response.aiter_stream(), received.get("content-encoding", ""))
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            raise HttpFailure("connect", f"{target.place} cannot be reached ({type(error).__name__})") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            raise HttpFailure("broken", f"{target.place} broke off ({type(error).__name__})") from None
        return HttpAnswer(response.status, received, body)

    def _make_pool(self, tls: ssl.SSLContext) -> httpcore2.AsyncConnectionPool:
        import httpcore2

        from patter.tools.network import CheckedNetwork

        network = CheckedNetwork(self.allow_hosts, resolve=self._resolve, network=self._network)
        return httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=200,
            max_keepalive_connections=20,
            keepalive_expiry=60.0,
            network_backend=network,
        )


@cache
def _load() -> ssl.SSLContext:
    """Imports and certificates take tens of milliseconds, which no call's audio should wait for."""
    import patter.tools.network  # noqa: F401
    from patter.voice.sdk import ssl_context

    return ssl_context()


def _headers(request: HttpRequest, target: Target) -> list[tuple[bytes, bytes]]:
    for name, value in request.headers:
        check_header(name)
        check_header_value(name, value)
    is_usual = target.port == {"http": 80, "https": 443}[target.scheme]
    host = target.place.rpartition(":")[0] if is_usual else target.place
    ours = [("Host", host), ("Accept-Encoding", "gzip"), ("Connection", "keep-alive")]
    if request.body is not None or request.method in ("POST", "PUT"):
        ours.append(("Content-Length", str(len(request.body or b""))))
    given = {name.lower() for name, _ in request.headers}
    usual = [("Accept", "application/json, */*;q=0.5"), ("User-Agent", "patter")]
    lines = [*ours, *(line for line in usual if line[0].lower() not in given), *request.headers]
    return [(name.encode("ascii"), value.strip(" \t").encode()) for name, value in lines]


async def _read(chunks: AsyncIterator[bytes], encoding: str) -> bytes:
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise HttpFailure("broken", "the answer has an encoding that was not asked for")
    unpack = zlib.decompressobj(31) if "gzip" in encoding else None
    body = bytearray()
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if unpack is not None:
            try:
                # Never more than the cap plus one byte, however much the bytes would become.
                chunk = unpack.decompress(chunk, MAX_BYTES + 1 - len(body))
            except zlib.error:
                raise HttpFailure("broken", "the answer is no valid gzip") from None
        body += chunk
        if max(received, len(body)) > MAX_BYTES:
            raise HttpFailure("too_large", f"the answer is larger than {MAX_BYTES} bytes")
    if unpack is not None and received and (not unpack.eof or unpack.unused_data):
        raise HttpFailure("broken", "the answer is no valid gzip")
    return bytes(body)
