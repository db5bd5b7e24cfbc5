"""The websocket at which programs offer tools, and carry them out while calls go on."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from patter.server.rest.gate import Gate
from patter.server.rest.keys import Key
from patter.server.tool_admission import Admission, Admitted, LiveCall, LiveCalls, parsed
from patter.tools.remote import wire
from patter.tools.remote.hub import Client
from patter.tools.remote.wire import WireError
from patter.workspace import Workspace

__all__ = ["MAX_MESSAGE_BYTES", "MAX_UNCONFIGURED", "tool_socket"]

_CLOSE_CODES = {
    "unauthorized": 4401,
    "forbidden": 4403,
    "unknown_agent": 4404,
    "no_config": 4408,
    "rate_limited": 4429,
    "too_large": 1009,
}
"""By the error that turns a client away; every other one is 4400."""
_INVALID_CONFIG = 4400
_GOING_AWAY = 1001
_TOO_SLOW = 1008
_BUSY = 1013

CONFIG_S = 10.0
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_UNCONFIGURED = 50
"""Sockets of strangers that have not yet said who they are."""

_OUTBOX = 256
"""A client that has not read so many messages is too slow to be waited for."""
_SEND_S = 10.0


def tool_socket(calls: LiveCalls, workspace: Workspace, gate: Gate) -> Callable[[WebSocket], Awaitable[None]]:
    """The endpoint. A key comes in a header, or as ``api_key`` of the first message; it needs ``tools:serve``."""
    admission = Admission(calls, workspace, gate)
    strangers = 0

    async def endpoint(websocket: WebSocket) -> None:
        nonlocal strangers
        host = "" if websocket.client is None else websocket.client.host
        key: Key | None = None
        refusal: WireError | None = None
        try:
            key = admission.header_key(host, websocket.headers)
        except WireError as error:
            refusal = error
        is_stranger = key is None
        # Strangers can fill the limit; who has shown a key does not stand in their queue.
        if is_stranger and strangers >= MAX_UNCONFIGURED:
            await websocket.close(_BUSY)
            return
        await websocket.accept()
        session = _Session(websocket, workspace, admission, host)
        try:
            strangers += is_stranger
            try:
                is_welcome = await session.begin(key, refusal)
            finally:
                strangers -= is_stranger
            if is_welcome:
                await session.serve()
        finally:
            session.release()

    return endpoint


class _Session:
    """One client, from its first message to the end of its socket."""

    def __init__(self, websocket: WebSocket, workspace: Workspace, admission: Admission, host: str) -> None:
        self._websocket = websocket
        self._hub = workspace.hub
        self._admission = admission
        self._host = host
        self._outbox, self._to_send = anyio.create_memory_object_stream[dict[str, Any]](_OUTBOX)
        self._scope = anyio.CancelScope()
        self._close_code = 1000
        self._key: Key
        self._admitted: Admitted

    async def begin(self, key: Key | None, refusal: WireError | None) -> bool:
        """Read the first message; False if the client was turned away."""
        try:
            with anyio.fail_after(CONFIG_S):
                text = await self._receive()
            if refusal is not None:
                raise refusal  # not before the client listens
            if text is None:
                return False
            self._key = self._admission.first_key(self._host, text) if key is None else key
            self._admitted = await self._admission.admit(text, self._key)
        except TimeoutError:
            await self._turn_away(WireError("no_config", f"No config came within {CONFIG_S:g} s."))
        except WireError as error:
            await self._turn_away(error)
        else:
            return True
        return False

    async def serve(self) -> None:
        """Pass messages to and fro until either side is gone, or the key has expired."""
        first = self._admitted
        client = Client(
            send=self._send, end=lambda: self._end(_GOING_AWAY), agent=first.agent.name, config=first.config
        )
        client.is_in_call = None if first.call is None else first.call.goes_by
        self._send(wire.conversation_created(client.conversation_id))
        self._send({"type": "ready_to_start_conversation"})
        self._hub.join(client)
        if self._key.expires_at is not None:
            left_s = (self._key.expires_at - datetime.now(UTC)).total_seconds()
            self._scope.deadline = anyio.current_time() + left_s
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._write)
                    await self._read(client)
                    tasks.cancel_scope.cancel()
            if self._scope.cancelled_caught and self._close_code == 1000:
                self._close_code = _CLOSE_CODES["unauthorized"]
        except anyio.get_cancelled_exc_class():
            self._close_code = _GOING_AWAY
            raise
        finally:
            self._hub.leave(client)
            self.release()
            with anyio.CancelScope(shield=True):
                await self._close(self._close_code)
            client.gone.set()

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
                self._take(client, await parsed(text))
            except WireError as error:
                if error.code == "too_large":
                    self._close_code = _CLOSE_CODES[error.code]
                    return
                self._send(error.frame())

    def _take(self, client: Client, message: wire.Message | None) -> None:
        match message:
            case wire.Output():
                self._hub.answer(client, message)
            case wire.Config():
                admitted = self._admission.check(message, self._key)
                if admitted.agent.id != self._admitted.agent.id and admitted.agent.name != client.agent:
                    problem = {"agent": "it cannot be changed; open another socket"}
                    raise WireError("invalid_config", "The config is for another agent.", problem)
                self._admitted = admitted
                client.agent = admitted.agent.name
                client.is_in_call = None if admitted.call is None else admitted.call.goes_by
                self._hub.change(client, message)
            case wire.Say(text):
                self._direct(lambda call: call.say(text))
            case wire.Note(text):
                self._direct(lambda call: call.note(text))
            case wire.Generate(note):
                self._direct(lambda call: call.speak(note))

    def _direct(self, act: Callable[[LiveCall], bool]) -> None:
        call = self._admitted.call
        if call is None:
            self._send(wire.warning("no_call", "Only a client whose config has the call_id of a live call may."))
        elif not act(call):
            self._send(wire.warning("not_done", "The call does not talk now, or has had too many of these messages."))

    # --- the socket ----------------------------------------------------------------------------

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._outbox.send_nowait(message)
        except anyio.WouldBlock:
            self._end(_TOO_SLOW)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return  # the client is gone

    def _end(self, code: int) -> None:
        self._close_code = code
        self._scope.cancel()

    async def _write(self) -> None:
        async for message in self._to_send:
            try:
                with anyio.fail_after(_SEND_S):
                    await self._websocket.send_text(json.dumps(message, default=str))
            except TimeoutError:
                self._end(_TOO_SLOW)
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
