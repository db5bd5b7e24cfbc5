"""Opens connections to addresses that were checked: what a name leads to is asked once, and used as it was checked."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from ipaddress import ip_address

import anyio
import anyio.to_thread
import httpcore2

from patter.tools.addresses import is_public
from patter.tools.http_messages import HttpFailure

__all__ = ["CheckedNetwork", "Resolver"]

Resolver = Callable[[str, int], Awaitable[Collection[str]]]
"""Gives the IP addresses of a host name and a port; may raise OSError."""

_ONE_ADDRESS_S = 2.5
"""The longest wait for one address if there are others."""


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to a host if each of its addresses is public, or if its host and port are exempt.

    The address that was checked is the one connected to, so a name that leads elsewhere the next time gains nothing.
    TLS still asks for the certificate of the name.
    """

    def __init__(
        self,
        allowed: Collection[str],
        *,
        resolve: Resolver | None = None,
        network: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve or self._ask_system
        # A name server that does not answer holds a thread of its own, and none that a vendor's name waits for.
        self._threads = anyio.CapacityLimiter(20)
        self._network = network or httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the seam's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the first address of the host that answers.

        Raises:
            HttpFailure: an address is not public.
            httpcore2.ConnectError: the name has no address, or none answers.
        """
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        addresses = await self._addresses(host, port)
        if place not in self._allowed and not all(map(is_public, addresses)):
            raise HttpFailure(
                "refused", f"{place} leads to a private network; for development, pass allow_hosts=[{place!r}]"
            )
        for address in addresses[:-1]:
            with anyio.move_on_after(_ONE_ADDRESS_S):
                try:
                    return await self._network.connect_tcp(address, port, timeout)
                except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                    continue
        return await self._network.connect_tcp(addresses[-1], port, timeout)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the seam's
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Never: a tool has no business with this machine's sockets."""
        raise HttpFailure("refused", "a local socket is no public server")

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError):
            found = ()
        if not found:
            raise httpcore2.ConnectError("the name has no address")
        return list(dict.fromkeys(found))

    async def _ask_system(self, host: str, port: int) -> list[str]:
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await anyio.to_thread.run_sync(ask, abandon_on_cancel=True, limiter=self._threads)
        return [str(address[0]) for _, _, _, _, address in found]
