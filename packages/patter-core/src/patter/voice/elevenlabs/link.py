"""One websocket to ElevenLabs, with the contexts that speak on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from patter.voice.elevenlabs import wire as wire
from patter.voice.elevenlabs.wire import Failure, Output, Pieces, Settings

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

__all__ = ["Context", "Event", "Link", "Post"]

CONTEXTS = 5
"""Contexts that may be open on one connection; one more, and the vendor closes it."""
_ROOM_S = 0.3
"""How long a new context waits for one of them before it takes a new connection."""
_SLUGGISH_S = 10.0
"""A context that was closed so long ago is gone, even if the vendor has not said so."""
_SEND_S = 2.0
_MESSAGES_AHEAD = 256

Event = Output | Failure
Post = Callable[[str, Event], bool]
"""Takes an event of the context of this name; False if there is no room for it. Must not wait."""


class Link:
    """Carries messages from `run` until the connection is over. Its contexts are told of the end.

    Args:
        keep_alive_s: how often the vendor is told that the open contexts are still wanted.
    """

    def __init__(self, connection: ClientConnection, *, keep_alive_s: float) -> None:
        self._connection = connection
        self._keep_alive_s = keep_alive_s
        self._outbox, self._unsent = anyio.create_memory_object_stream[str](_MESSAGES_AHEAD)
        self._listeners: dict[str, Post] = {}
        self._closed_at: dict[str, float] = {}
        """For each context that counts with the vendor when it was closed; infinity if it is open."""
        self._scope = anyio.CancelScope()
        self._news = anyio.Event()
        self._cause = Failure(None, "connection_lost")
        self._is_usable = True

    async def run(self) -> None:
        """Read, write and keep alive, until the connection is over."""
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._write)
                    tasks.start_soon(self._keep_alive)
                    await self._read()
                    tasks.cancel_scope.cancel()
        finally:
            self._is_usable = False
            self._outbox.close()
            self._unsent.close()
            self._tell()
            for name, post in self._listeners.items():
                post(name, self._cause)

    async def has_room(self) -> bool:
        """True if one more context may be opened; waits a little for one that is about to be gone."""
        with anyio.move_on_after(_ROOM_S):
            while self._is_usable and self._occupied() >= CONTEXTS:
                await self._news.wait()
        return self._is_usable and self._occupied() < CONTEXTS

    def retire(self) -> None:
        """Take no more contexts, and end with the last one that is listened to."""
        self._is_usable = False
        self._tell()
        self._end_if_idle()

    def open(self, name: str, post: Post, settings: Settings) -> Context:
        """Begin a context whose events go to ``post``. Its name must be new."""
        self._listeners[name] = post
        self._closed_at[name] = math.inf
        self.send(wire.opening(name, settings.voice_settings))
        return Context(self, name)

    def close(self, name: str) -> None:
        """End a context after what was flushed. Its events still come."""
        if self._closed_at.get(name) == math.inf:
            self._closed_at[name] = anyio.current_time()
            self.send(wire.closing(name))

    def leave(self, name: str) -> None:
        """End a context, and take nothing more of it."""
        self.close(name)
        self._listeners.pop(name, None)
        self._end_if_idle()

    def send(self, message: str) -> None:
        """Hand a message to the writer. A connection that takes none is given up."""
        try:
            self._outbox.send_nowait(message)
        except anyio.WouldBlock:
            self._scope.cancel()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # `run` tells the contexts

    def _end_if_idle(self) -> None:
        if not self._is_usable and not self._listeners:
            self._scope.cancel()

    def _occupied(self) -> int:
        now = anyio.current_time()
        self._closed_at = {name: at for name, at in self._closed_at.items() if now - at < _SLUGGISH_S}
        return len(self._closed_at)

    async def _read(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                event = wire.read(await self._connection.recv())
                if isinstance(event, Failure) and event.context is None:
                    self._cause = event
                    return
                if event is not None:
                    self._route(event)
        except ConnectionClosed as closed:
            word = wire.error_word(closed.rcvd.reason) if closed.rcvd else wire.UNKNOWN
            if word != wire.UNKNOWN:
                self._cause = Failure(None, word)

    def _route(self, event: Event) -> None:
        name = event.context or ""
        is_over = isinstance(event, Failure) or event.is_final
        if is_over and self._closed_at.pop(name, None) is not None:
            self._tell()
        post = self._listeners.get(name)
        if post is not None and not post(name, event):
            self.leave(name)  # whoever listens misses the rest in time, and asks for it again

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _write(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            async for message in self._unsent:
                with anyio.fail_after(_SEND_S):
                    await self._connection.send(message)
        except TimeoutError:
            self._scope.cancel()
        except ConnectionClosed:
            pass  # the reader ends as well, and knows why

    async def _keep_alive(self) -> None:
        while True:
            await anyio.sleep(self._keep_alive_s)
            for name, closed_at in self._closed_at.items():
                if closed_at == math.inf:
                    self.send(wire.keep_alive(name))


class Context:
    """What one utterance says on a link, from its opening to its end."""

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self.pieces = Pieces()
        self.is_closed = False
        self._link = link

    def say(self, text: str) -> None:
        """Have a text spoken."""
        self.pieces.say(text)
        self._link.send(wire.clause(self.name, text))

    def close(self) -> None:
        """Say that no more text comes."""
        self.is_closed = True
        self._link.close(self.name)

    def leave(self) -> None:
        """Abandon it. What still comes of it is ignored."""
        self._link.leave(self.name)

    def distrust(self) -> None:
        """Have the next context opened on another link."""
        self._link.retire()
