"""The websocket at which programs offer tools, and carry them out while calls go on."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from patter.server.rest.errors import ApiError
from patter.server.rest.gate import Gate
from patter.server.rest.keys import Key, Permission, presented_key
from patter.tools.remote import wire
from patter.tools.remote.hub import Client
from patter.tools.remote.wire import WireError
from patter.workspace import KnownAgent, Workspace

__all__ = ["LiveCalls", "tool_socket"]

_CLOSE_CODES = {"unauthorized": 4401, "forbidden": 4403, "unknown_agent": 4404, "no_config": 4408, "too_large": 1009}
"""By the error that turns a client away; every other one is 4400."""
_INVALID_CONFIG = 4400
_GOING_AWAY = 1001
_TOO_SLOW = 1008
_BUSY = 1013

CONFIG_S = 10.0
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_UNCONFIGURED = 50
"""Sockets that have not yet said who they are."""

_OUTBOX = 256
"""A client that has not read so many messages is too slow to be waited for."""
_SEND_S = 10.0
_PERMISSION: Permission = "tools:serve"


class LiveCall(Protocol):
    """What a client that is bound to a call may do there."""

    @property
    def agent_name(self) -> str | None:
        """The agent that speaks in it."""

    def say(self, text: str) -> None:
        """Let the agent say this as soon as nobody else speaks."""

    def note(self, text: str) -> None:
        """Tell the mind something, for its next answer."""

    def speak(self, note: str | None) -> None:
        """Let the mind answer as soon as nobody speaks."""


class LiveCalls(Protocol):
    """The calls that go on."""

    def live(self, call_id: str) -> LiveCall | None:
        """The call of this id, if it goes on."""


def tool_socket(calls: LiveCalls, workspace: Workspace, gate: Gate) -> Callable[[WebSocket], Awaitable[None]]:
    """The endpoint. A key comes in a header, or as ``api_key`` of the first message; it needs ``tools:serve``."""
    unconfigured = 0

    async def endpoint(websocket: WebSocket) -> None:
        nonlocal unconfigured
        if unconfigured >= MAX_UNCONFIGURED:
            await websocket.close(_BUSY)
            return
        await websocket.accept()
        session = _Session(websocket, calls, workspace, gate)
        try:
            unconfigured += 1
            try:
                is_welcome = await session.begin()
            finally:
                unconfigured -= 1
            if is_welcome:
                await session.serve()
        finally:
            session.release()

    return endpoint


class _Session:
    """One client, from its first message to the end of its socket."""

    def __init__(self, websocket: WebSocket, calls: LiveCalls, workspace: Workspace, gate: Gate) -> None:
        self._websocket = websocket
        self._calls = calls
        self._workspace = workspace
        self._gate = gate
        self._outbox, self._to_send = anyio.create_memory_object_stream[dict[str, Any]](_OUTBOX)
        self._client: Client | None = None
        self._close_code = 1000
        self._scope = anyio.CancelScope()

    async def begin(self) -> bool:
        """Read the first message; False if the client was turned away."""
        try:
            with anyio.fail_after(CONFIG_S):
                text = await self._receive()
            if text is not None:
                self._client = self._admit(text)
        except TimeoutError:
            await self._turn_away(WireError("no_config", f"No config came within {CONFIG_S:g} s."))
        except WireError as error:
            await self._turn_away(error)
        return self._client is not None

    async def serve(self) -> None:
        """Pass messages to and fro until either side is gone."""
        client = self._client
        assert client is not None
        self._send(wire.conversation_created(client.conversation_id))
        self._send({"type": "ready_to_start_conversation"})
        self._workspace.hub.join(client)
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._write)
                    await self._read(client)
                    tasks.cancel_scope.cancel()
        except anyio.get_cancelled_exc_class():
            self._close_code = _GOING_AWAY
            raise
        finally:
            self._workspace.hub.leave(client)
            self.release()
            with anyio.CancelScope(shield=True):
                await self._close(self._close_code)

    def release(self) -> None:
        """Nothing is sent any more."""
        self._outbox.close()
        self._to_send.close()

    # --- messages of the client ----------------------------------------------------------------

    async def _read(self, client: Client) -> None:
        while True:
            try:
                if (text := await self._receive()) is None:
                    return
                self._take(client, wire.parse(text))
            except WireError as error:
                if error.code == "too_large":
                    self._close_code = _CLOSE_CODES[error.code]
                    return
                self._send(error.frame())

    def _take(self, client: Client, message: wire.Message | None) -> None:
        match message:
            case wire.Output():
                self._workspace.hub.answer(client, message)
            case wire.Config():
                known = self._known(message)
                if known.name != client.agent:
                    problem = {"agent": "it cannot be changed; open another socket"}
                    raise WireError("invalid_config", "The config is for another agent.", problem)
                self._check(message, known)
                self._workspace.hub.change(client, message)
            case wire.Say() | wire.Note() | wire.Generate():
                self._direct(client, message)

    def _direct(self, client: Client, message: wire.Say | wire.Note | wire.Generate) -> None:
        call_id = client.config.call_id
        call = None if call_id is None else self._calls.live(call_id)
        if call is None:
            self._send(
                wire.warning("no_call", "Only a client whose config has the call_id of a live call can do this.")
            )
            return
        match message:
            case wire.Say(text):
                call.say(text)
            case wire.Note(text):
                call.note(text)
            case wire.Generate(note):
                call.speak(note)

    # --- the first message ---------------------------------------------------------------------

    def _admit(self, text: str) -> Client:
        message = wire.parse(text)
        if not isinstance(message, wire.Config):
            raise WireError("invalid_config", "The first message must be a config.")
        key = self._key(message)
        known = self._known(message, key)
        self._check(message, known)
        return Client(send=self._send, agent=known.name, config=message)

    def _key(self, config: wire.Config) -> Key:
        try:
            host = "" if self._websocket.client is None else self._websocket.client.host
            key = self._gate.recognise(host, presented_key(self._websocket.headers) or config.api_key)
        except ApiError as error:
            raise WireError("unauthorized", error.message) from None
        if not key.may(_PERMISSION):
            raise WireError("forbidden", f"The key lacks the permission {_PERMISSION}.")
        return key

    def _known(self, config: wire.Config, key: Key | None = None) -> KnownAgent:
        known = self._workspace.agent(config.agent)
        if known is None or (key is not None and not key.sees(known.id, known.name)):
            problem = {"agent": "there is no such agent"}
            raise WireError("unknown_agent", "There is no such agent.", problem)
        return known

    def _check(self, config: wire.Config, known: KnownAgent) -> None:
        """The tools that it names are there, those that it brings are new, and the call is one of the agent's."""
        offered = {tool.name: tool for tool in (*known.tools, *self._workspace.offered(known))}
        for place, name in enumerate(config.names or ()):
            tool = offered.get(name) or self._workspace.catalogue.tool(None, name)
            if tool is None:
                raise WireError("unknown_tool", "There is no such tool.", {f"tools.{place}": "there is no such tool"})
            if tool.tool_type != "custom_websocket":
                problem = {f"tools.{place}": f"it is of type {tool.tool_type}, which no client carries out"}
                raise WireError("unsupported_tool_type", "A client carries out custom_websocket tools.", problem)
        for tool in config.inline:
            if tool.name in offered or tool.name == "end_call":
                problem = {"tools": f"the agent has a tool {tool.name} already"}
                raise WireError("duplicate_tool", "An inline tool has the name of another tool.", problem)
        if config.call_id is not None:
            call = self._calls.live(config.call_id)
            if call is None or call.agent_name != known.name:
                raise WireError("invalid_config", "The call is not there.", {"call_id": "the agent has no such call"})

    # --- the socket ----------------------------------------------------------------------------

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._outbox.send_nowait(message)
        except anyio.WouldBlock:
            self._close_code = _TOO_SLOW
            self._scope.cancel()
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return  # the client is gone

    async def _write(self) -> None:
        async for message in self._to_send:
            try:
                with anyio.fail_after(_SEND_S):
                    await self._websocket.send_text(json.dumps(message, ensure_ascii=False, default=str))
            except TimeoutError:
                self._close_code = _TOO_SLOW
                self._scope.cancel()
            except (WebSocketDisconnect, RuntimeError):
                self._scope.cancel()

    async def _receive(self) -> str | None:
        try:
            message = await self._websocket.receive()
        except RuntimeError:
            return None
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        if text is None:
            raise WireError("invalid_message", "Messages are JSON text; a binary one says nothing here.")
        if len(text) > MAX_MESSAGE_BYTES:
            raise WireError("too_large", f"A message has at most {MAX_MESSAGE_BYTES} bytes.")
        return text

    async def _turn_away(self, error: WireError) -> None:
        with suppress(WebSocketDisconnect, RuntimeError), anyio.move_on_after(_SEND_S):
            await self._websocket.send_text(json.dumps(error.frame()))
        await self._close(_CLOSE_CODES.get(error.code, _INVALID_CONFIG))

    async def _close(self, code: int) -> None:
        with suppress(WebSocketDisconnect, RuntimeError), anyio.move_on_after(_SEND_S):
            await self._websocket.close(code)
