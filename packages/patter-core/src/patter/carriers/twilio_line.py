"""The media connection of one Twilio call."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

import anyio
from anyio import CancelScope

from patter.carriers.base import LineEvent, Media, MediaSocket, Stopped
from patter.carriers.twilio_wire import Encoder, Frame, Malformed, parse
from patter.errors import LineError

__all__ = ["TwilioLine"]

SEND_S = 2.0
"""A message that cannot be sent within this time ends the line."""

CLOSE_S = 1.0

READ_OUT_S = 1.0
"""A peer that takes nothing more may have said before that it hangs up; so long it may take to read that."""

BACKLOG_CHARS = 1 << 20
"""Messages that wait to be sent: more than a minute of audio, which no pacing of ours produces."""

MALFORMED_IN_A_ROW = 20

CHUNK_WINDOW = 50
"""A chunk number up to this far back is a repetition; further back, the peer has begun to count anew."""


class TwilioLine:
    """One Media Streams websocket as a `patter.carriers.base.Line`.

    `receive` reads the socket itself, and `pump` writes it; neither needs the other to run, and
    whichever sees the end first ends both.

    Args:
        socket: the accepted websocket, whose ``start`` message was read.
        stream_id: Twilio's name of the stream; messages of another are ignored.
    """

    __slots__ = (
        "_backlog",
        "_chunk",
        "_closed",
        "_encoder",
        "_queue",
        "_receiving",
        "_socket",
        "_stopped",
        "_stream_id",
        "_wake",
    )

    def __init__(self, socket: MediaSocket, stream_id: str) -> None:
        self._socket = socket
        self._stream_id = stream_id
        self._encoder = Encoder(stream_id)
        self._queue: deque[tuple[str, bool]] = deque()
        self._backlog = 0
        self._wake = anyio.Event()
        self._chunk = 0
        self._receiving: CancelScope | None = None
        self._stopped: Stopped | None = None
        self._closed = False

    def play(self, audio: bytes) -> None:
        """Queue audio. Nothing is sent for no audio, nor on a line that is over."""
        if audio and self._stopped is None:
            self._put(self._encoder.media(audio), is_media=True)

    def mark(self, name: str) -> None:
        """Queue a mark."""
        if self._stopped is None:
            self._put(self._encoder.mark(name))

    def clear(self) -> None:
        """Drop queued audio, here and at Twilio. Queued marks still go out, so that each is answered."""
        if self._stopped is None:
            if self._queue:
                self._queue = deque(entry for entry in self._queue if not entry[1])
                self._backlog = sum(len(text) for text, _ in self._queue)
            self._put(self._encoder.clear)

    def _put(self, text: str, *, is_media: bool = False) -> None:
        self._queue.append((text, is_media))
        self._backlog += len(text)
        if self._backlog > BACKLOG_CHARS:
            self._end(Stopped(clean=False, reason="too much audio is waiting to be sent"))
        self._wake.set()

    async def pump(self) -> None:
        """Write the queue until the line is over."""
        while self._stopped is None:
            if not self._queue:
                self._wake = anyio.Event()
                await self._wake.wait()
                continue
            text, _ = self._queue.popleft()
            self._backlog -= len(text)
            lost = False
            with anyio.move_on_after(SEND_S) as limit:
                try:
                    await self._socket.send(text)
                except (LineError, OSError):
                    lost = True
            if lost:
                await self._read_out()
            elif limit.cancelled_caught:
                self._end(Stopped(clean=False, reason="the carrier does not read"))

    async def _read_out(self) -> None:
        """Let the reader find out how the line has ended; a lost socket if it does not."""
        with anyio.move_on_after(READ_OUT_S):
            while self._stopped is None:
                self._wake = anyio.Event()
                await self._wake.wait()
        self._end(Stopped(clean=False, reason="the socket is gone"))

    async def receive(self) -> LineEvent:
        """The next event. Malformed, foreign and repeated messages are skipped, up to a point."""
        malformed = 0
        while self._stopped is None:
            message: str | bytes | None = None
            with CancelScope() as self._receiving:
                message = await self._socket.receive()
            if self._stopped is not None:
                break
            if message is None:
                return self._end(Stopped(clean=False, reason="the socket is gone"))
            parsed = parse(message)
            if isinstance(parsed, Frame):
                if parsed.stream_id != self._stream_id or self._is_repeated(parsed):
                    continue
                event = parsed.event
                return self._end(event) if isinstance(event, Stopped) else event
            if isinstance(parsed, Malformed):
                malformed += 1
                if malformed == MALFORMED_IN_A_ROW:
                    return self._end(Stopped(clean=False, reason="malformed"))
        return self._stopped

    def _is_repeated(self, frame: Frame) -> bool:
        if not frame.chunk or not isinstance(frame.event, Media):
            return False
        # A late chunk counts as repeated: its place in the audio has passed.
        if self._chunk - CHUNK_WINDOW < frame.chunk <= self._chunk:
            return True
        self._chunk = frame.chunk
        return False

    def _end(self, stopped: Stopped) -> Stopped:
        if self._stopped is None:
            self._stopped = stopped
            self._queue.clear()
            self._backlog = 0
            self._wake.set()
            if self._receiving is not None:
                self._receiving.cancel()
        return self._stopped

    async def close(self) -> None:
        """End the connection, even if the caller was cancelled."""
        self._end(Stopped(clean=True, reason="closed"))
        if not self._closed:
            self._closed = True
            with anyio.move_on_after(CLOSE_S, shield=True), suppress(LineError, OSError):
                await self._socket.close()
