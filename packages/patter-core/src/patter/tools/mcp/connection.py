"""One connection to an MCP server: opened, used and closed by a task of its own, and over when the server is gone."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import IO, Any, TypeVar

import anyio
import anyio.to_thread

from patter.errors import ConfigError
from patter.tasks import first_error
from patter.voice.sdk import load_sdk

__all__ = ["Connection", "McpFailure", "Offer", "Place", "load"]

T = TypeVar("T")

_PING_S = 2.0
_MOST_PAGES = 50
_UNKNOWN_METHOD = -32601


class McpFailure(Exception):
    """A server could not be reached, or did not do what it was asked. The message is for the developer."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is: a program to start, with its arguments, or an address with the headers sent to it."""

    command: tuple[str, ...] | None = field(default=None, repr=False)
    url: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool of a server, as the server describes it."""

    name: str
    description: str
    schema: Mapping[str, Any]


def load() -> None:
    """Import the SDK, which takes a second: call it in a thread, before a call needs it.

    Raises:
        ConfigError: it is not installed.
    """
    load_sdk("mcp", "client.session", "client.stdio", "client.streamable_http", "types")
    log = logging.getLogger("mcp")
    if log.level == logging.NOTSET:
        # Below warnings it writes whole messages, arguments and results included.
        log.setLevel(logging.WARNING)


class Connection:
    """A session with one server, as long as `run` runs. It does not come back: make another one.

    `run` belongs into a task; the other methods are called from any task of the same loop.

    Args:
        place: where the server is.
        allow_hosts: hosts with their ports that need not be public.
        start_s: a server that has not told its tools after so many seconds counts as unreachable.
    """

    def __init__(self, place: Place, *, allow_hosts: Collection[str], start_s: float) -> None:
        self.tools: list[Offer] = []
        self._place = place
        self._allow_hosts = allow_hosts
        self._start_s = start_s
        self._session: Any = None
        self._failure: str | None = None
        self._calls: set[anyio.CancelScope] = set()
        self._settled = anyio.Event()
        self._closing = anyio.Event()
        self._over = anyio.Event()
        self._scope = anyio.CancelScope()

    @property
    def is_closing(self) -> bool:
        """True if no more calls should be made on it."""
        return self._closing.is_set() or self._over.is_set()

    @property
    def is_busy(self) -> bool:
        """True while it is being opened, and while a call waits for the server."""
        return not self._settled.is_set() or bool(self._calls)

    async def run(self) -> None:
        """Open the session and keep it until `close`, or until the server is gone. Does not raise."""
        try:
            with self._scope:
                await anyio.to_thread.run_sync(load)
                with anyio.fail_after(self._start_s) as starting:
                    async with AsyncExitStack() as stack:
                        self._session = await self._open(stack)
                        self.tools = await _list_tools(self._session)
                        starting.deadline = math.inf
                        self._settled.set()
                        await self._closing.wait()
        except Exception as error:  # the boundary to the SDK, and to whatever the server does
            self._failure = self._failure or _named(error)
        finally:
            self._over.set()
            self._settled.set()
            for call in self._calls:
                call.cancel()

    async def opened(self) -> None:
        """Wait until it is open.

        Raises:
            McpFailure: it could not be opened.
        """
        await self._settled.wait()
        if self._over.is_set():
            raise McpFailure(f"the connection has ended ({self._failure or 'closed'})")

    async def is_alive(self) -> bool:
        """Whether the server is still there. One that is busy and does not answer at once is."""
        if self.is_closing:
            return False
        if self._calls:
            return True
        with anyio.move_on_after(_PING_S):
            try:
                await self._guarded(self._session.send_ping)
            except Exception as error:  # the SDK raises errors of several kinds if the wire is gone
                # A server need not know what a ping is.
                return _code(error) == _UNKNOWN_METHOD
        return not self.is_closing

    async def call(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Use a tool once; its result in the protocol's own form.

        Raises:
            McpFailure: the server is gone, or has answered with an error.
        """
        try:
            result = await self._guarded(lambda: self._session.call_tool(name, dict(arguments)))
        except McpFailure:
            raise
        except Exception as error:  # the boundary to the SDK
            raise McpFailure(f"the server did not carry it out ({_named(error)})") from None
        dumped: dict[str, Any] = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        return dumped

    def close(self) -> None:
        """End the session; whoever waits for a call is told that the server is gone."""
        self._closing.set()

    async def over(self, *, within_s: float) -> None:
        """Wait until everything is closed, and see to it if it takes longer."""
        with anyio.move_on_after(within_s):
            await self._over.wait()
            return
        self._scope.cancel()
        await self._over.wait()

    def _break(self, why: str) -> None:
        self._failure = self._failure or why
        self.close()

    async def _guarded(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Wait for the server, but no longer than the connection lasts."""
        if self._over.is_set():
            raise McpFailure("the server is gone")
        with anyio.CancelScope() as scope:
            self._calls.add(scope)
            try:
                return await ask()
            finally:
                self._calls.discard(scope)
        raise McpFailure("the server is gone")

    async def _open(self, stack: AsyncExitStack) -> Any:
        client = import_module("mcp")
        if self._place.command is not None:
            # What a server writes beside the protocol would spoil the terminal of whoever uses the phone.
            nowhere = stack.enter_context(_nowhere())
            program, *arguments = self._place.command
            server = client.StdioServerParameters(command=program, args=arguments)
            streams = await stack.enter_async_context(client.stdio_client(server, errlog=nowhere))
        else:
            from patter.tools.mcp.transport import http_client

            package = "httpx" if find_spec("mcp.server.mcpserver") is None else "httpx2"
            http = http_client(package, self._place.headers, self._allow_hosts, on_broken=self._break)
            await stack.enter_async_context(http)
            connect = import_module("mcp.client.streamable_http").streamable_http_client
            streams = await stack.enter_async_context(connect(self._place.url, http_client=http))
        session = await stack.enter_async_context(client.ClientSession(streams[0], streams[1]))
        await session.initialize()
        return session


async def _list_tools(session: Any) -> list[Offer]:
    types = import_module("mcp.types")
    found: list[Offer] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor) if cursor else None)
        listed = page.model_dump(mode="json", by_alias=True, exclude_none=True)
        found += [Offer(one["name"], one.get("description", ""), one["inputSchema"]) for one in listed["tools"]]
        cursor = listed.get("nextCursor")
        if not cursor:
            break
    return found


def _nowhere() -> IO[str]:
    return open(os.devnull, "w", encoding="utf-8")


def _named(error: BaseException) -> str:
    """An error for the log: its kind alone, for a foreign one's text may hold what the server was told."""
    error = first_error(error) if isinstance(error, BaseExceptionGroup) else error
    return str(error) if isinstance(error, ConfigError) else type(error).__name__


def _code(error: BaseException) -> int | None:
    code = getattr(getattr(error, "error", None), "code", None)
    return code if isinstance(code, int) else None
