"""A uvicorn server inside somebody else's program: it neither exits the process nor touches its signals."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from anyio import TASK_STATUS_IGNORED, CancelScope
from anyio.abc import TaskStatus

from patter.errors import ConfigError, PortInUse

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn import Server

__all__ = ["bind", "serve"]

MAX_MESSAGE_BYTES = 64 * 1024
"""A media frame has some 300 bytes."""

DRAIN_S = 1
"""Requests that are still running this long after the end was asked for are cancelled."""

SHUTDOWN_S = 1.5
"""The whole of the end, with uvicorn's own pauses."""

BACKLOG = 256


def bind(host: str, port: int) -> socket.socket:
    """Take a port and listen on it, so that a conflict shows before anything else is started.

    Args:
        host: address or name of a local interface.
        port: 0 takes any free one; ``socket.getsockname()[1]`` tells which.

    Raises:
        PortInUse: another program listens there.
        ConfigError: the address is not one of this machine, or may not be used.
    """
    # getaddrinfo takes a number that is too high, and cuts it.
    if not 0 <= port <= 65_535:
        raise ConfigError(f"port={port} (host={host!r}): a port is a number from 0 to 65535.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"host={host!r}, port={port}: not an address of this machine.") from error
    family, kind, proto, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    sock = socket.socket(family, kind, proto)
    try:
        # Without it, the port of a server that was just stopped stays taken for a minute.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # Two bound sockets may share a port until one of them listens.
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"Port {port} on {host} is in use by another program. Stop it, or pass another port= "
                "(0 takes any free one) and point the tunnel or the proxy there."
            ) from error
        raise ConfigError(f"Cannot listen on host={host!r}, port={port}: {error}.") from error
    return sock


async def serve(
    app: ASGIApp,
    sock: socket.socket,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    *,
    task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
) -> None:
    """Serve an ASGI app on a listening socket until cancelled, then end within about a second.

    ``task_status`` is told when connections are accepted. The socket is closed in every case. Media
    sockets that are open at the end get the close code 1012.

    Args:
        max_message_bytes: a longer message closes its websocket with 1009.
    """
    try:
        server = await anyio.to_thread.run_sync(_make_server, app, max_message_bytes, task_status.started)
        drain = CancelScope(shield=True)
        async with anyio.create_task_group() as group:
            group.start_soon(_run, server, sock, drain, group.cancel_scope)
            try:
                await anyio.sleep_forever()
            finally:
                server.should_exit = True
                drain.deadline = anyio.current_time() + SHUTDOWN_S
    finally:
        # uvicorn closes it only if it gets as far as its own shutdown.
        sock.close()


async def _run(server: Server, sock: socket.socket, drain: CancelScope, owner: CancelScope) -> None:
    state = server.server_state
    with drain:
        try:
            await server.serve(sockets=[sock])
            # uvicorn cancels late requests, and does not wait for them.
            while state.tasks:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        finally:
            for connection in list(state.connections):
                # A peer that does not read would keep a closing transport open for ever.
                connection.transport.abort()
    owner.cancel()


def _make_server(app: ASGIApp, max_message_bytes: int, started: Callable[[], None]) -> Server:
    import uvicorn

    class EmbeddedServer(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            started()

    config = uvicorn.Config(
        app,
        # access_log=False would strip the handlers of a logger that the host's own server may use.
        log_config=None,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=max_message_bytes,
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=DRAIN_S,
    )
    config.load()
    return EmbeddedServer(config)
