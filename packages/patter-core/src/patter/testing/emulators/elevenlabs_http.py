"""How the emulated ElevenLabs answers HTTP: a body in pieces, paced, with the faults of the request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio

from patter.testing.emulators.connection import Connection
from patter.testing.emulators.faults import BlackHole, Drop, ErrorFrame, Garbage, SilentEnd, Stall, UnknownEvents
from patter.testing.emulators.peer import transport_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["Piece", "Streamed"]

_GARBAGE = b'{"audio_base64": "AAA\n'
_UNKNOWN = b'{"novelty": {"deep": [1, null]}}\n'

Piece = tuple[bytes, bytes, float]
"""Bytes of the body, the audio in them, and its length in milliseconds."""


class Streamed:
    """An ASGI answer: status 200 and the pieces, until they or the client or the emulator end, or a fault strikes.

    Args:
        pieces: the body.
        record: where it is entered; its fault is applied.
        headers: of the answer.
        is_json: True if the body is lines of JSON, where garbage and unknown objects may stand.
        closing: set when the emulator is left.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[Piece, None],
        record: Connection,
        headers: Mapping[str, str],
        *,
        is_json: bool,
        closing: anyio.Event,
    ) -> None:
        self._pieces = pieces
        self._record = record
        self._headers = headers
        self._is_json = is_json
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._until_gone, receive, tasks.cancel_scope)
            tasks.start_soon(self._until_closing, scope)
            fault = self._record.fault
            if isinstance(fault, Drop) and fault.after_s is not None:
                tasks.start_soon(self._cut_after, fault.after_s, scope)
            if isinstance(fault, BlackHole):
                await anyio.sleep_forever()
            at_once = isinstance(fault, Drop) and (fault.at_once or fault.after_messages == 0)
            if at_once or not await self._answer(send):
                await self._cut(scope)
            self._record.closed("emulator", None)
            await send({"type": "http.response.body", "body": b""})
            tasks.cancel_scope.cancel()

    async def _answer(self, send: Send) -> bool:
        """Send the body; False if it is to break off."""
        headers = [(name.lower().encode(), value.encode()) for name, value in self._headers.items()]
        self._record.status = 200
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sent, audio_ms = 0, 0.0
        fault = self._record.fault
        async with aclosing(self._pieces) as pieces:
            async for body, audio, length_ms in pieces:
                if isinstance(fault, SilentEnd | ErrorFrame) and sent >= fault.after_messages:
                    return True
                if isinstance(fault, Stall) and sent >= fault.after_messages:
                    await anyio.sleep_forever()
                await send({"type": "http.response.body", "body": self._junk(sent) + body, "more_body": True})
                sent, audio_ms = sent + 1, audio_ms + length_ms
                self._record.keep(audio)
                self._record.note("emulator", len(body))
                if isinstance(fault, Drop) and _is_due(fault, sent, audio_ms):
                    return False
        return True

    def _junk(self, sent: int) -> bytes:
        """What the fault puts in front of the next piece."""
        fault = self._record.fault
        if self._is_json and isinstance(fault, Garbage) and sent == fault.after_messages:
            return _GARBAGE
        return _UNKNOWN if self._is_json and isinstance(fault, UnknownEvents) else b""

    async def _until_gone(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._record.closed("client", None)
        scope.cancel()

    async def _until_closing(self, scope: Scope) -> None:
        await self._closing.wait()
        await self._cut(scope)

    async def _cut_after(self, seconds: float, scope: Scope) -> None:
        await anyio.sleep(seconds)
        await self._cut(scope)

    async def _cut(self, scope: Scope) -> None:
        """Break the connection off, and wait to be told that it is gone."""
        self._record.closed("emulator", None)
        if (transport := transport_of(scope)) is not None:
            transport.close()
        await anyio.sleep_forever()


def _is_due(drop: Drop, sent: int, audio_ms: float) -> bool:
    after_messages, after_audio_ms = drop.after_messages, drop.after_audio_ms
    return (after_messages is not None and sent >= after_messages) or (
        after_audio_ms is not None and audio_ms >= after_audio_ms
    )
