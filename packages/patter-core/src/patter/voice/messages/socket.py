"""An agent of the customer's own behind a websocket: one socket for each call.

We send JSON text frames: ``call`` once for each connection, ``message`` with a number for each turn,
and ``cancel`` with its number when the answer is no longer wanted. The agent sends ``delta`` frames,
then ``done`` or ``error``, with the number of the message they belong to::

    > {"type": "call", "call_id": "CA...", "caller": "+1...", "callee": "+1..."}
    > {"type": "message", "id": 1, "text": "Hello?", "history": [...], ...}
    < {"type": "delta", "id": 1, "text": "Good day. "}
    < {"type": "done", "id": 1, "end_call": false}
"""

from __future__ import annotations

import json
import math
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from patter.errors import ProviderError
from patter.tasks import OwnTasks
from patter.voice.base import CallContext
from patter.voice.held import HeldSessions
from patter.voice.messages.wire import ANSWER_BYTES, Ask, Say, read_json, read_piece
from patter.voice.socket import connect

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

__all__ = ["AgentSocket"]

_CONNECT_S = 4.0
_OPEN_S = 5.0
_CANCEL_S = 0.25


class AgentSocket:
    """The socket of one call. Entering connects; a connection that is lost is opened again when it is needed."""

    def __init__(self, url: str, call: CallContext) -> None:
        self._url = url
        self._call = call
        self._asked = 0
        self._link: _Link | None = None
        self._sessions = HeldSessions()

    async def ask(self, message: dict[str, Any], say: Say) -> bool:
        """Say what comes back; whether the call shall end after it.

        A message whose connection is lost before anything of the answer came is sent once more.
        """
        self._asked += 1
        number = self._asked
        for _ in range(2):
            link = await self._connected()
            answer = _Wanted(number)
            try:
                return await link.ask(message, answer, say)
            except _Lost:
                if answer.has_begun:
                    break
        raise ProviderError("llm", "The on_message socket was closed before the answer was complete.", retryable=True)

    async def __aenter__(self) -> Ask:
        await self._sessions.__aenter__()
        try:
            await self._connected()
        except BaseException as error:
            await self._sessions.__aexit__(type(error), error, error.__traceback__)
            raise
        return self.ask

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._sessions.__aexit__(kind, error, trace)

    async def _connected(self) -> _Link:
        if self._link is not None and self._link.is_lost:
            self._sessions.close(self._link)
            self._link = None
        if self._link is None:
            message = f"The on_message socket did not open within {_OPEN_S:g} s."
            late = ProviderError("llm", message, retryable=True)
            self._link = await self._sessions.open(_Link(self._url, self._call), within_s=_OPEN_S, late=late)
        return self._link


class _Lost(Exception):
    """The connection is gone."""


class _Wanted:
    """An answer that is waited for."""

    frames: MemoryObjectSendStream[dict[str, Any] | ProviderError]

    def __init__(self, number: int) -> None:
        self.number = number
        self.has_begun = False
        self.size = 0


class _Link:
    """One connection. A task of it reads, as long as it is open, and hands each frame to whom it is for."""

    _connection: ClientConnection

    def __init__(self, url: str, call: CallContext) -> None:
        self.is_lost = False
        self._opening: AbstractAsyncContextManager[ClientConnection] = connect(
            url, stage="llm", vendor="The on_message socket", variable="on_message", headers={}, open_s=_CONNECT_S
        )
        self._call = call
        self._wanted: dict[int, _Wanted] = {}
        self._owner = OwnTasks()

    async def ask(self, message: dict[str, Any], wanted: _Wanted, say: Say) -> bool:
        wanted.frames, frames = anyio.create_memory_object_stream[dict[str, Any] | ProviderError](math.inf)
        self._wanted[wanted.number] = wanted
        is_over = False
        try:
            await self._send({"type": "message", "id": wanted.number, **message})
            async for frame in frames:
                wanted.has_begun = True
                if isinstance(frame, ProviderError):
                    raise frame
                if frame["type"] == "delta":
                    await say(read_piece({"text": frame.get("text")})[0])
                    continue
                is_over = True
                if frame["type"] == "error":
                    raise ProviderError("llm", "The on_message agent reported an error.", retryable=True)
                return read_piece({"end_call": frame.get("end_call")})[1]
            raise _Lost
        finally:
            del self._wanted[wanted.number]
            wanted.frames.close()
            frames.close()
            if not (is_over or self.is_lost):
                await self._cancel(wanted.number)

    async def __aenter__(self) -> Self:
        self._connection = await self._opening.__aenter__()
        try:
            tasks = await self._owner.__aenter__()
            tasks.start_soon(self._read)
            await self._send({"type": "call", **self._call})
        except _Lost:
            await self.__aexit__(None, None, None)
            raise ProviderError(
                "llm", "The on_message socket was closed as soon as it was open.", retryable=True
            ) from None
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._owner.__aexit__(kind, error, trace)
        finally:
            await self._opening.__aexit__(None, None, None)

    async def _read(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                self._take(await self._connection.recv())
        except ConnectionClosed:
            self.is_lost = True
            for wanted in self._wanted.values():
                wanted.frames.close()

    def _take(self, text: str | bytes) -> None:
        try:
            frame: dict[str, Any] = read_json(text)
        except ProviderError as garbage:
            for wanted in self._wanted.values():
                wanted.frames.send_nowait(garbage)
            return
        number = frame.get("id")
        found = self._wanted.get(number) if isinstance(number, int) else None
        if found is None or frame.get("type") not in ("delta", "done", "error"):
            return
        found.size += len(text)
        if found.size > ANSWER_BYTES:
            problem = f"The on_message agent's answer has more than {ANSWER_BYTES // 1024} KiB."
            found.frames.send_nowait(ProviderError("llm", problem))
        else:
            found.frames.send_nowait(frame)

    async def _send(self, frame: dict[str, Any]) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(json.dumps(frame))
        except ConnectionClosed:
            self.is_lost = True
            raise _Lost from None

    async def _cancel(self, number: int) -> None:
        with anyio.move_on_after(_CANCEL_S, shield=True):
            try:
                await self._send({"type": "cancel", "id": number})
            except _Lost:
                return
