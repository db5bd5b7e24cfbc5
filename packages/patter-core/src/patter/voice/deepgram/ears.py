"""The session of one call with Deepgram: connections come and go, the hearings go on."""

from __future__ import annotations

import math
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from patter.errors import ProviderError
from patter.tasks import OwnTasks
from patter.voice.base import Hearing
from patter.voice.deepgram.hearings import Hearings, settle
from patter.voice.deepgram.link import Link, Service, open_link
from patter.voice.deepgram.wire import Event, Paused
from patter.voice.replay import Replay
from patter.voice.retries import Retries

__all__ = ["DeepgramEars"]

_FINISH_S = 0.7
"""The longest wait for the last results; with the closing it stays under a second."""
_REOPEN_S = 3.0
"""The longest wait for a new connection; three of them are about as long as what is kept of the audio."""
_PART_S = 0.1
"""Audio that is too short for a message is sent after this time."""


class DeepgramEars:
    """The ears' session of one call. Enter it, then one task sends and finishes, another iterates.

    A connection that breaks is replaced, and hears again what was not final yet. If that fails for
    good, the iteration raises it once; `send` and `finish` never raise, and never wait.
    """

    _out: MemoryObjectSendStream[Hearing]
    _hearings: MemoryObjectReceiveStream[Hearing]

    def __init__(self, service: Service, start: Callable[[], Awaitable[None]]) -> None:
        self._service = service
        self._start = start
        self._audio = Replay()
        self._understood = Hearings()
        self._news = anyio.Event()
        self._finished = False
        self._limit = anyio.CancelScope()
        self._failure: ProviderError | None = None
        self._owner = OwnTasks()

    @property
    def replayed_ms(self) -> float:
        """Audio that was sent again over a new connection; it is billed again."""
        return self._audio.replayed_ms

    async def send(self, audio: bytes) -> None:
        """Hand over the callee's next audio, mu-law 8 kHz, in chunks of any length."""
        if audio and not self._finished:
            self._audio.append(audio)
            self._news.set()

    async def finish(self) -> None:
        """Say that no more audio comes. The iteration ends after the last hearing, within a second."""
        if not self._finished:
            self._finished = True
            self._limit.deadline = anyio.current_time() + _FINISH_S
            self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Hearing:
        try:
            return await self._hearings.receive()
        except anyio.EndOfStream:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure from None
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        await self._start()
        # Unbounded, because whoever receives must not wait for a slow reader.
        self._out, self._hearings = anyio.create_memory_object_stream[Hearing](math.inf)
        tasks = await self._owner.__aenter__()
        try:
            await tasks.start(self._work)
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._owner.__aexit__(kind, error, trace)
        finally:
            self._out.close()
            self._hearings.close()

    # --- connections ---------------------------------------------------------------------------

    async def _work(self, *, task_status: TaskStatus[None]) -> None:
        opened = anyio.Event()

        def on_open() -> None:
            if not opened.is_set():
                opened.set()
                task_status.started()

        with self._out:
            with self._limit:
                self._failure = await self._stay_connected(on_open)
            if not opened.is_set() and self._failure is not None:
                raise self._failure
            self._give(self._understood.rest())

    async def _stay_connected(self, on_open: Callable[[], None]) -> ProviderError | None:
        """Until the session was finished, or failed for good."""
        retries = Retries()
        first_until: float | None = anyio.current_time() + self._service.open_timeout_s
        within_s = self._service.open_timeout_s
        while True:
            opened_at: float | None = None
            try:
                async with open_link(self._service, within_s) as link:
                    opened_at, first_until = anyio.current_time(), None
                    on_open()
                    self._audio.rewind()
                    self._give(self._understood.reconnect(self._audio.begin_s, self._audio.settled_s))
                    error = await self._converse(link)
            except ProviderError as refused:
                error = refused
            if error is None or not error.retryable:
                return error
            now = anyio.current_time()
            wait_s = retries.wait_s(0.0 if opened_at is None else now - opened_at)
            if wait_s is None or (first_until is not None and now + wait_s >= first_until):
                return error
            await anyio.sleep(wait_s)
            within_s = min(self._service.open_timeout_s, _REOPEN_S)
            if first_until is not None:
                within_s = first_until - now - wait_s

    async def _converse(self, link: Link) -> ProviderError | None:
        """Send and receive over one connection, until it ends; None if it ended as it was asked to."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._feed, link)
            error = await self._listen(link)
            tasks.cancel_scope.cancel()
        return error

    # --- one connection ------------------------------------------------------------------------

    async def _listen(self, link: Link) -> ProviderError | None:
        while True:
            try:
                event = await link.receive()
            except ProviderError as broken:
                return None if link.closed_cleanly else broken
            if not isinstance(event, ProviderError):
                self._take(event)
            elif not link.finished:
                return event

    def _take(self, event: Event) -> None:
        if isinstance(event, Paused):
            self._give(self._understood.pause())
        elif not isinstance(event, ProviderError):
            heard = event.moved(self._audio.place)
            self._give(self._understood.take(heard))
            if heard.is_final:
                settle(heard, self._audio)

    def _give(self, hearing: Hearing | None) -> None:
        if hearing is not None:
            self._out.send_nowait(hearing)

    async def _feed(self, link: Link) -> None:
        try:
            await self._send_all(link)
            await link.finish()
        except ProviderError:
            return  # `_listen` learns of it too, and may still have something to read

    async def _send_all(self, link: Link) -> None:
        sent_at = audio_at = anyio.current_time()
        part_is_due = False
        while True:
            waiting = self._audio.waiting
            if waiting >= link.least_bytes or (waiting and (part_is_due or self._finished)):
                await link.send(self._audio.take(link.most_bytes))
                sent_at = audio_at = anyio.current_time()
                part_is_due = False
            elif self._finished:
                return
            elif waiting:
                part_is_due = not await self._news_within(_PART_S)
            else:
                gap_s = sent_at - audio_at
                due_at = sent_at + link.patience_s(gap_s)
                if not await self._news_within(due_at - anyio.current_time()):
                    self._audio.fill(await link.hold())
                    sent_at = anyio.current_time()

    async def _news_within(self, longest_s: float) -> bool:
        self._news = anyio.Event()
        with anyio.move_on_after(longest_s):
            await self._news.wait()
            return True
        return False
