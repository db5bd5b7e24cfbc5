"""The MCP server of the phone over HTTP, for clients of this machine, or of those that its owner names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from patter.errors import ConfigError
from patter.exports.mcp import Sdk
from patter.server.listener import bind, serve
from patter.settings import is_loopback

if TYPE_CHECKING:
    from socket import socket

__all__ = ["PATH", "listen", "serve_http"]

PATH = "/mcp"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_HOST_NAME = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")


def listen(host: str, port: int, allowed_hosts: Sequence[str]) -> socket:
    """Take the port.

    Args:
        allowed_hosts: names and addresses under which clients on other machines reach this one.

    Raises:
        ConfigError: the port is taken; or other machines could reach it, and nobody has said how.
    """
    for name in allowed_hosts:
        if not _HOST_NAME.fullmatch(name):
            raise ConfigError(f"--allow-host {name!r} is no host name. Write it without http:// and port.")
    if not (allowed_hosts or is_loopback(f"http://[{host}]" if ":" in host else f"http://{host}")):
        raise ConfigError(
            f"{host} can be reached from other machines, and whoever reaches it can place calls. If you want that, "
            "say under which name they reach it: --allow-host NAME. There is no password: put a proxy in front."
        )
    return bind(host, port)


async def serve_http(server: Any, sock: socket, allowed_hosts: Sequence[str]) -> None:
    """Serve until cancelled. Requests for other hosts, and from pages of other origins, are refused."""
    sdk = Sdk.load()
    security = _security(allowed_hosts)
    if sdk.is_v1:
        server.settings.transport_security = security
        server.settings.streamable_http_path = PATH
        app = server.streamable_http_app()
    else:
        app = server.streamable_http_app(transport_security=security, streamable_http_path=PATH)
    async with server.session_manager.run():
        await serve(app, sock)


def _security(allowed_hosts: Sequence[str]) -> Any:
    from mcp.server.transport_security import TransportSecuritySettings

    hosts = [name for host in (*_LOOPBACK, *allowed_hosts) for name in (host, f"{host}:*")]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=hosts,
        allowed_origins=[f"{scheme}://{name}" for scheme in ("http", "https") for name in hosts],
    )
