"""One websocket between a client and an emulator: messages in and out, entered into its record, faults applied."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from patter.testing.emulators.connection import Connection
from patter.testing.emulators.faults import (
    BlackHole,
    Drop,
    ErrorFrame,
    Garbage,
    Refuse,
    SilentEnd,
    SlowClose,
    Stall,
    UnknownEvents,
)

if TYPE_CHECKING:
    from asyncio import Transport

    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket

__all__ = ["Peer", "Wording", "converse", "refuse", "transport_of", "with_transport"]

GARBAGE = '{"type": "Res'
_TRANSPORT = "patter.transport"
REASON_BYTES = 123
SHUTDOWN = 1012
"""The code with which the server ends what is open when the emulator is left."""


class Wording:
    """How a vendor words what faults make it say.

    Args:
        unknown: a message of a kind that no client knows.
        error: the error message if the fault gives none.
        refusal: the body of a refused handshake of this status.
    """

    def __init__(
        self, *, unknown: Mapping[str, Any], error: Mapping[str, Any], refusal: Callable[[int], Mapping[str, Any]]
    ) -> None:
        self.unknown = dict(unknown)
        self.error = dict(error)
        self.refusal = refusal


class Peer:
    """The client at the other end of a websocket. One task receives, any may send.

    When the connection is over, whoever sends or receives is cancelled, with the task group ``tasks``
    in which a session may start its own.
    """

    def __init__(self, websocket: WebSocket, record: Connection, wording: Wording, tasks: TaskGroup) -> None:
        self.record = record
        self.tasks = tasks
        self._websocket = websocket
        self._wording = wording
        self._fault = record.fault
        self._sent = 0
        self._audio_ms = 0.0
        self._sending = anyio.Lock()
        self._shown = False

    async def receive(self) -> bytes | str | None:
        """The client's next message, or None if the client has left."""
        if self._is_deaf:
            await anyio.sleep_forever()
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            code = message.get("code")
            self.record.closed("emulator" if code == SHUTDOWN else "client", code)
            return None
        text: str | None = message.get("text")
        if text is None:
            data: bytes = message["bytes"]
            self.record.note("client", len(data))
            return data
        parsed = _parsed(text)
        self.record.note("client", parsed if isinstance(parsed, dict) else text)
        return text

    async def send(self, message: Mapping[str, Any], *, audio_ms: float = 0.0) -> bool:
        """Send a JSON message, after what the connection's fault demands. False if a fault keeps it back.

        Args:
            audio_ms: the audio that the message carries.
        """
        async with self._sending:
            fault = self._fault
            if isinstance(fault, Stall) and self._sent >= fault.after_messages:
                return False
            if not await self._misbehave():
                return False
            await self._write(dict(message))
            self._sent += 1
            self._deafen()
            await self.count_audio(audio_ms)
            if isinstance(fault, Drop) and fault.after_messages is not None and self._sent >= fault.after_messages:
                await self._end(fault.code, fault.reason)
            return True

    async def count_audio(self, ms: float) -> None:
        """Say that so much audio has passed, which may be the moment to break off."""
        self._audio_ms += ms
        fault = self._fault
        if isinstance(fault, Drop) and fault.after_audio_ms is not None and self._audio_ms >= fault.after_audio_ms:
            await self._end(fault.code, fault.reason)

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection, and cancel everything that belongs to it.

        Args:
            code: None closes without a code, which the client sees as 1005.
        """
        if isinstance(self._fault, Stall) and self._sent >= self._fault.after_messages:
            while await self.receive() is not None:
                pass
            await self._leave()
        await self._end(1005 if code is None else code, reason)

    async def show_from_the_start(self) -> None:
        """Apply the faults that do not wait for a message of the emulator."""
        self._deafen()
        fault = self._fault
        if not isinstance(fault, Drop):
            return
        if fault.at_once or fault.after_messages == 0:
            await self._end(fault.code, fault.reason)
        if fault.after_s is not None:
            await anyio.sleep(fault.after_s)
            await self._end(fault.code, fault.reason)

    async def close_with(self, closing: anyio.Event) -> None:
        """Close the connection when the emulator is left."""
        await closing.wait()
        await self._end(SHUTDOWN, "")

    async def _misbehave(self) -> bool:
        """Do what the fault wants in front of a message; False if it takes the message's place."""
        fault = self._fault
        if isinstance(fault, UnknownEvents):
            await self._write(self._wording.unknown)
        elif isinstance(fault, SilentEnd) and self._sent >= fault.after_messages:
            await self._end(1000, "")
        elif self._shown or not isinstance(fault, Garbage | ErrorFrame) or self._sent < fault.after_messages:
            return True
        elif isinstance(fault, Garbage):
            self._shown = True
            await self._write(GARBAGE)
        else:
            self._shown = True
            error = self._wording.error if fault.message is None else dict(fault.message)
            await self._write(error)
            if fault.code is not None:
                await self._end(fault.code, str(error.get("message") or error.get("description") or ""))
            return False
        return True

    @property
    def _is_deaf(self) -> bool:
        return isinstance(self._fault, SlowClose) and self._sent >= self._fault.after_messages

    def _deafen(self) -> None:
        transport = transport_of(self._websocket.scope)
        if self._is_deaf and transport is not None:
            transport.pause_reading()

    async def _write(self, message: dict[str, Any] | str) -> None:
        self.record.note("emulator", message)
        text = message if isinstance(message, str) else json.dumps(message)
        await self._out({"type": "websocket.send", "text": text})

    async def _end(self, code: int | None, reason: str) -> None:
        self.record.closed("emulator", 1006 if code is None else code)
        if code is not None:
            close = {"type": "websocket.close", "code": None if code == 1005 else code, "reason": _fitting(reason)}
            await self._out(close)
        await self._leave()

    async def _out(self, message: dict[str, Any]) -> None:
        from starlette.websockets import WebSocketDisconnect

        try:
            await self._websocket.send(message)
        except (WebSocketDisconnect, RuntimeError):
            # The client has left; starlette says so in one way the first time, and in another afterwards.
            await self._leave()

    async def _leave(self) -> None:
        self.tasks.cancel_scope.cancel()
        await anyio.lowlevel.checkpoint()


def with_transport(app: ASGIApp) -> ASGIApp:
    """Let `transport_of` find the transport below a connection, for faults that ASGI has no words for.

    uvicorn's ``receive`` is a method of the object that has it.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        scope[_TRANSPORT] = getattr(getattr(receive, "__self__", None), "transport", None)
        await app(scope, receive, send)

    return answer


def transport_of(scope: Scope) -> Transport | None:
    """The transport below a connection, or None if the server hides it."""
    transport: Transport | None = scope.get(_TRANSPORT)
    return transport


async def converse(
    websocket: WebSocket,
    record: Connection,
    wording: Wording,
    session: Callable[[Peer], Awaitable[None]],
    *,
    closing: anyio.Event,
) -> None:
    """Answer the handshake, run a session until it or the connection ends, and enter the end into the record.

    Args:
        closing: set when the emulator is left, which ends the connection.
    """
    fault = record.fault
    if isinstance(fault, Refuse):
        body = wording.refusal(fault.status) if fault.body is None else fault.body
        await refuse(websocket, record, fault.status, body, fault.headers)
        return
    if isinstance(fault, BlackHole):
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
        record.closed("client", 1006)
        return
    record.status = 101
    await websocket.accept()
    try:
        async with anyio.create_task_group() as tasks:
            peer = Peer(websocket, record, wording, tasks)
            tasks.start_soon(peer.show_from_the_start)
            tasks.start_soon(peer.close_with, closing)
            await session(peer)
            tasks.cancel_scope.cancel()
    finally:
        record.closed("emulator", 1006)


async def refuse(
    websocket: WebSocket,
    record: Connection,
    status: int,
    body: Mapping[str, Any] | str,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer a handshake with an HTTP error."""
    from starlette.responses import JSONResponse, Response

    record.status = status
    if isinstance(body, str):
        response = Response(body, status, headers, "text/plain")
    else:
        response = JSONResponse(dict(body), status, headers)
    await websocket.send_denial_response(response)
    record.closed("emulator", None)
    for _ in range(3):
        # uvicorn logs an error if the connection is not lost yet when this returns.
        await anyio.lowlevel.checkpoint()


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _fitting(reason: str) -> str:
    return reason.encode()[:REASON_BYTES].decode("utf-8", "ignore")
