"""One connection to Deepgram, driven through the SDK's own socket client.

The connection itself is ours: the SDK's ``connect`` can take 30 s to leave, has no limit of its own
for the handshake, and loses what a refusal says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio

from patter.audio import mulaw
from patter.errors import ProviderError
from patter.voice.deepgram.wire import VARIABLE, Event, closed, read_flux, read_nova
from patter.voice.socket import connect

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

__all__ = ["Flux", "Link", "Nova", "Service", "open_link"]

SEND_S = 2.0
"""A peer that has not taken a message within this time does not read."""
DEAF_MS, DEAF_S = 5000.0, 2.0
"""A peer that has said nothing at all about so much loud audio, for so long, does not hear."""
_LOUD = 0.02
_CLEAN = (1000, 1005)
"""Version 2 closes without a code."""
_CLOSE_S = 0.15
"""The longest wait for the answer to our close; nothing of what comes then is needed."""


class Link:
    """One connection. One task sends, another receives; both learn of its end by a `ProviderError`."""

    module: str
    client: str
    least_bytes: int
    """A message of audio has at least so many bytes, unless no more comes."""
    most_bytes: int
    read: Callable[[Any], Event | None]

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._socket = getattr(import_module(self.module), self.client)(websocket=connection)
        self._unanswered_ms, self._answered_at = 0.0, anyio.current_time()
        self.finished = False
        """True once Deepgram was told that no more audio comes."""

    async def ready(self, within_s: float) -> None:
        """Wait until the connection takes audio."""

    async def send(self, audio: bytes) -> None:
        """Send audio. It must not be empty: to Deepgram an empty message is the end."""
        if mulaw.level(audio) > _LOUD:
            self._unanswered_ms += mulaw.duration_ms(audio)
        if self._unanswered_ms > DEAF_MS and anyio.current_time() - self._answered_at > DEAF_S:
            self._connection.transport.abort()
        await self._bounded(self._socket.send_media, audio)

    def patience_s(self, gap_s: float) -> float:
        """How long after the last message the next one is due, if the audio stopped ``gap_s`` ago."""
        raise NotImplementedError

    async def hold(self) -> int:
        """Keep the connection while there is no audio; how many bytes of silence that took."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Ask for the last results, and for the end."""
        raise NotImplementedError

    async def receive(self) -> Event:
        """The next message that says something about the speech.

        Raises:
            ProviderError: the connection was closed, or broke.
        """
        while True:
            if (event := type(self).read(await self._message())) is not None:
                return event

    @property
    def closed_cleanly(self) -> bool:
        """True if Deepgram has ended the session as it was asked to."""
        return self.finished and self._connection.close_code in _CLEAN

    async def _message(self) -> Any:
        from websockets.exceptions import ConnectionClosed

        while True:
            try:
                message = await self._socket.recv()
                self._unanswered_ms, self._answered_at = 0.0, anyio.current_time()
                return message
            except ConnectionClosed:
                raise closed(self._connection.close_code, self._connection.close_reason) from None
            except (ValueError, RecursionError):
                continue  # no JSON

    async def _bounded(self, send: Callable[..., Awaitable[None]], *args: object) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            with anyio.fail_after(SEND_S):
                await send(*args)
        except (TimeoutError, ConnectionClosed):
            # Whoever receives is woken by it, after what has arrived already.
            self._connection.transport.abort()
            raise closed(self._connection.close_code, self._connection.close_reason) from None


class Nova(Link):
    """Version 1."""

    module = "deepgram.listen.v1.socket_client"
    client = "AsyncV1SocketClient"
    least_bytes = 1
    most_bytes = 1000 * mulaw.BYTES_PER_MS
    read = staticmethod(read_nova)

    KEEP_ALIVE_S = 4.0
    """Deepgram closes after 10 s without audio or text."""

    def patience_s(self, gap_s: float) -> float:
        """How long after the last message the next one is due."""
        return self.KEEP_ALIVE_S

    async def hold(self) -> int:
        await self._bounded(self._socket.send_keep_alive)
        return 0

    async def finish(self) -> None:
        self.finished = True
        await self._bounded(self._socket.send_finalize)
        await self._bounded(self._socket.send_close_stream)


class Flux(Link):
    """Version 2. It has no KeepAlive, and a turn ends only while audio comes."""

    module = "deepgram.listen.v2.socket_client"
    client = "AsyncV2SocketClient"
    least_bytes = most_bytes = 80 * mulaw.BYTES_PER_MS
    read = staticmethod(read_flux)

    GAP_S = 0.5
    """The audio has stopped if nothing came for so long."""
    TURN_OVER_S = 12.0
    """By then every turn has ended: its time-out is at most 10 s."""
    KEEP_ALIVE_S = 4.0
    """Silence is billed, so only so much of it as keeps the connection is sent when no turn can be open."""

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__(connection)
        self._spoken = False

    async def ready(self, within_s: float) -> None:
        """Wait until the connection takes audio."""
        # An endpoint that refuses a parameter may send nothing at all.
        with anyio.move_on_after(within_s):
            while getattr(message := await self._message(), "type", None) != "Connected":
                if isinstance(error := self.read(message), ProviderError):
                    raise error
            return
        message = "Deepgram did not open the session in time; check the model and its options."
        raise ProviderError("stt", message, retryable=True)

    async def send(self, audio: bytes) -> None:
        self._spoken = True
        await super().send(audio)

    def patience_s(self, gap_s: float) -> float:
        if not self._spoken or gap_s > self.TURN_OVER_S:
            return self.KEEP_ALIVE_S
        return self.GAP_S if gap_s < self.GAP_S else self.least_bytes / mulaw.SAMPLE_RATE_HZ

    async def hold(self) -> int:
        await self._bounded(self._socket.send_media, bytes((mulaw.SILENCE,)) * self.least_bytes)
        return self.least_bytes

    async def finish(self) -> None:
        self.finished = True
        # Older releases of the SDK do not know it; without it, the last interim is what was said.
        if (force := getattr(self._socket, "send_force_end_turn", None)) is not None:
            await self._bounded(force)
        await self._bounded(self._socket.send_close_stream)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where and as what sessions are opened."""

    address: str
    key: str = field(repr=False)
    version: type[Link]
    open_timeout_s: float


@asynccontextmanager
async def open_link(service: Service, within_s: float) -> AsyncIterator[Link]:
    """A connection that takes audio. Leaving it takes a fraction of a second.

    Raises:
        ProviderError: refused, unreachable, or not ready in time.
    """
    until = anyio.current_time() + within_s
    headers = {"Authorization": f"Token {service.key}"}
    async with connect(
        service.address, stage="stt", vendor="Deepgram", variable=VARIABLE, headers=headers, open_s=within_s
    ) as connection:
        try:
            link = service.version(connection)
            await link.ready(until - anyio.current_time())
            yield link
        finally:
            with anyio.move_on_after(_CLOSE_S, shield=True):
                await connection.close()
            connection.transport.abort()
