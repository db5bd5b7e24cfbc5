"""A program's end of the tool socket: it carries tools out for the agents of a phone elsewhere."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from patter.errors import ConfigError
from patter.settings import is_loopback, require_env
from patter.tools.clients import ClientToolManager
from patter.tools.codecs import phonic
from patter.tools.context import Handler
from patter.tools.model import Tool

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

__all__ = ["RemoteToolClient"]

_log = logging.getLogger("patter")

_PATH = "/v1/tools/ws"
_OPEN_S = 10.0
_READY_S = 10.0
_CLOSE_S = 1.0
_SHORTEST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_UNKNOWN_AGENT = 4404
_REFUSED = (4400, 4401, 4403, _UNKNOWN_AGENT)
"""Close codes that another attempt would meet again."""
_MAX_MESSAGE_BYTES = 1024 * 1024
_SHORTEST_MS, _LONGEST_MS = 1000, 180_000
"""The wire knows no other time limits."""


class RemoteToolClient:
    """Carries out tools of an agent's calls in this program; it connects to the phone, and again when it must.

    ``run`` is the whole of it. Every tool call is answered once, by an output or a safe code; of a connection that
    was lost, nothing is sent on the next one.

    Args:
        url: where the phone is, such as ``https://phone.example.com`` (with the path under which it is mounted), or the
            address of its tool socket. Plain http is for this machine alone.
        agent: the name or the id of the agent.
        api_key: with the permission ``tools:serve``; else ``PATTER_API_KEY``.
        client_tools: handlers of tools that the phone knows, by their names. Each takes ``(args, context)``.
        tools: the names to carry out; None is all that the agent has, unless there are inline tools.
        inline_tools: tools that are there while this client is: functions with type hints, or `patter.Tool` objects
            with a handler.
        call_id: the one call that this is for; None is every call of the agent.
        timeout_ms: of one run of a handler.
        on_exception: takes call id, tool and exception of a handler, and is the only one to see it.

    Raises:
        ConfigError: the address or a tool is malformed, or there is no key.
    """

    def __init__(
        self,
        url: str,
        *,
        agent: str,
        api_key: str | None = None,
        client_tools: Mapping[str, Handler] | None = None,
        tools: Sequence[str] | None = None,
        inline_tools: Sequence[Any] = (),
        call_id: str | None = None,
        timeout_ms: int = 30_000,
        on_exception: Callable[[str, str, BaseException], object] | None = None,
    ) -> None:
        self._url = _socket_url(url)
        self._key = require_env(api_key, argument="api_key", variable="PATTER_API_KEY")
        self._listeners: dict[str, list[Callable[[dict[str, Any]], object]]] = {}
        self._connection: ClientConnection | None = None
        self._refusal: dict[str, Any] = {}
        self._was_taken = False
        self._manager = ClientToolManager(
            client_tools,
            get_active_call=lambda: None if self._connection is None else _Active(self._connection),
            timeout_ms=timeout_ms,
            on_event=self._tell,
            on_exception=on_exception,
            codec=phonic,
        )
        offered = [self._offer(given) for given in inline_tools]
        self._config: dict[str, Any] = {"type": "config", "agent": agent}
        if tools is not None or offered:
            self._config["tools"] = [*(tools or ()), *offered]
        if call_id is not None:
            self._config["call_id"] = call_id

    @property
    def is_connected(self) -> bool:
        """True while the phone can reach this client."""
        return self._connection is not None

    def register_client_tool(self, name: str, handler: Handler) -> None:
        """Add a handler, or replace the one of that name, at any time."""
        self._manager.register(name, handler)

    def unregister_client_tool(self, name: str) -> bool:
        """Take a handler away; False if there was none."""
        return self._manager.unregister(name)

    def get_client_tools(self) -> Sequence[str]:
        """The names that have a handler."""
        return self._manager.list()

    def on(self, event: str, listener: Callable[[dict[str, Any]], object]) -> None:
        """Let a listener take events: ``client.tool.invoked``, ``client.tool.completed``, ``client.tool.error``, or
        any type of message of the phone, such as ``assistant_ended_conversation`` and ``warning``."""
        self._listeners.setdefault(event, []).append(listener)

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Carry tools out until cancelled. ``task_status`` is told when the phone can reach this client first.

        A connection that is lost, or cannot be made, is made again after 0.5 to 30 s.

        Raises:
            ConfigError: the phone refuses this client: its key, its agent or its tools. The message says why.
        """
        from websockets.exceptions import WebSocketException

        attempts = 0
        async with self._manager:
            while True:
                try:
                    async with self._connected() as connection:
                        attempts = 0
                        task_status.started()
                        task_status = TASK_STATUS_IGNORED
                        await self._listen(connection)
                except (OSError, TimeoutError, WebSocketException) as error:
                    _log.info("The phone cannot be reached (%s); trying again.", type(error).__name__)
                finally:
                    self._connection = None
                    self._manager.reset()
                longest_s = min(_SHORTEST_WAIT_S * 2**attempts, _LONGEST_WAIT_S)
                attempts = min(attempts + 1, 10)
                await anyio.sleep(random.uniform(_SHORTEST_WAIT_S, longest_s))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[ClientConnection]:
        """A connection on which the phone has taken the config."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidStatus

        try:
            connection = await connect(
                self._url,
                additional_headers={"Authorization": f"Bearer {self._key}"},
                open_timeout=_OPEN_S,
                close_timeout=_CLOSE_S,
                max_size=_MAX_MESSAGE_BYTES,
                compression=None,
                proxy=None if is_loopback(self._url) else True,
            )
        except InvalidStatus as refused:
            if refused.response.status_code == 404:
                raise ConfigError(f"{self._url} is no tool socket. Does the phone have store= or api_keys=?") from None
            raise
        told: dict[str, Any] = {}
        try:
            await connection.send(json.dumps(self._config))
            with anyio.fail_after(_READY_S):
                while told.get("type") != "ready_to_start_conversation":
                    told = self._take(await connection.recv())
                    if told.get("type") == "error":
                        self._refusal = told
            self._connection = connection
            self._was_taken = True
            yield connection
        except ConnectionClosed as closed:
            code = None if closed.rcvd is None else closed.rcvd.code
            # A phone that was started again may not know its program's agent before that has its first call.
            if code in _REFUSED and not (code == _UNKNOWN_AGENT and self._was_taken):
                raise ConfigError(f"The phone refuses this client: {_told(self._refusal)}") from None
            raise
        finally:
            with anyio.move_on_after(_CLOSE_S, shield=True):
                await connection.close()
            connection.transport.abort()

    async def _listen(self, connection: ClientConnection) -> None:
        async for text in connection:
            message = self._take(text)
            self._manager.handle_event(message)
            if message.get("type") == "tool_call_interrupted":
                self._manager.cancel(str(message.get("tool_call_id")))

    def _take(self, text: str | bytes) -> dict[str, Any]:
        """A message of the phone, told to whom it concerns; what is none is empty."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            return {}
        if isinstance(kind := message.get("type"), str) and kind != "tool_call":
            self._tell(kind, message)
        return message

    def _offer(self, given: Any) -> dict[str, Any]:
        """An inline tool's entry in the config; its handler stays here."""
        tool = Tool.from_any(given)
        if tool.handler is None:
            raise ConfigError(f"Tool {tool.name}: an inline tool has a handler.")
        self._manager.register(tool)
        described = Tool(
            name=tool.name,
            description=tool.description,
            tool_type="custom_websocket",
            config=_limit(tool.timeout_ms),
            parameters=tool.llm_parameters(),
            strict=tool.strict,
            execution_mode=tool.execution_mode,
            wait_for_response=tool.wait_for_response,
            speech=tool.speech,
        )
        return described.to_wire("phonic-inline")

    def _tell(self, event: str, facts: dict[str, Any]) -> None:
        for listener in self._listeners.get(event, ()):
            with suppress(Exception):  # the boundary to the host's code
                listener(facts)


class _Active:
    """A connection, as `patter.tools.clients` sends outputs to it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, message: dict[str, Any]) -> None:
        await self._connection.send(json.dumps(message, allow_nan=False))


def _limit(timeout_ms: int | None) -> dict[str, int]:
    if timeout_ms is None:
        return {}
    return {"tool_call_output_timeout_ms": min(max(timeout_ms, _SHORTEST_MS), _LONGEST_MS)}


def _told(refusal: Mapping[str, Any]) -> str:
    error = refusal.get("error")
    message = error.get("message") if isinstance(error, Mapping) else None
    details = refusal.get("param_errors")
    paths = [f"{path}: {problem}" for path, problem in details.items()] if isinstance(details, Mapping) else []
    return " ".join([str(message or "it did not say why."), *paths])


def _socket_url(url: str) -> str:
    """The address of the tool socket; a key is never sent in the clear but to this machine."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise ConfigError("url must be the phone's address, such as https://phone.example.com.")
    if scheme == "ws" and not is_loopback(url):
        raise ConfigError("url must be https:// or wss://: the key would be readable on the way.")
    path = parts.path if parts.path.endswith("/ws") else parts.path.rstrip("/") + _PATH
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))
