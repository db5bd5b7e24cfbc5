"""Ears with substitutes: when one provider fails, the next one hears again what was not understood yet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from patter.audio.mulaw import BYTES_PER_MS
from patter.errors import ProviderError
from patter.voice.base import Ears, Hearing, SpeechToText
from patter.voice.fallback.bench import Bench, at_least_two, start_all
from patter.voice.held import HeldSessions
from patter.voice.replay import Replay

__all__ = ["FallbackSTT"]

_PIECE_BYTES = 250 * BYTES_PER_MS
_EVER_S = 1e6
"""Later than any call has ended."""
_STABLE_S = 5.0
"""Ears that lasted so long were working: after them, all others are worth another attempt."""


class FallbackSTT:
    """Ears made of several. When one set fails, the next one is opened and the talk goes on.

    The last ten seconds of what no final has covered are heard again, so nothing is lost; no final comes
    twice. Interims may repeat, and finals without a time cover all that was sent before them.

    Args:
        first: the first choice; its name is the fallback's `model`.
        others: who takes over, in order; at least one.
        open_s: the longest wait for a session to open.
        rest_s: how long a provider that has failed is tried last, by all calls.

    Raises:
        ConfigError: there is only one.
    """

    def __init__(self, first: SpeechToText, *others: SpeechToText, open_s: float = 2.5, rest_s: float = 30.0) -> None:
        self._providers = at_least_two("FallbackSTT", first, others)
        self._open_s = open_s
        self._bench = Bench(len(self._providers), rest_s)

    @property
    def model(self) -> str:
        """The first choice's."""
        return self._providers[0].model

    async def start(self) -> None:
        """Import what the providers need, before the first call needs it."""
        await start_all(self._providers)

    def open(self) -> _FallbackEars:
        """Open the session of one call, with the first provider that can."""
        return _FallbackEars(self._providers, self._bench, open_s=self._open_s)


class _FallbackEars:
    """The session of one call. ``model`` is the provider that is listening."""

    _hearings: MemoryObjectReceiveStream[Hearing]

    def __init__(self, providers: Sequence[SpeechToText], bench: Bench, *, open_s: float) -> None:
        self.model = providers[0].model
        self._providers = providers
        self._bench = bench
        self._open_s = open_s
        self._out: set[int] = set()
        self._tried: set[int] = set()
        self._audio = Replay()
        self._news = anyio.Event()
        self._finished = False
        self._failure: ProviderError | None = None
        self._sessions = HeldSessions()

    async def send(self, audio: bytes) -> None:
        """Hand over the callee's next audio. Never waits for a provider."""
        await checkpoint()
        self._audio.append(audio)
        self._wake()

    async def finish(self) -> None:
        """Say that no more audio comes."""
        await checkpoint()
        self._finished = True
        self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Hearing:
        try:
            return await self._hearings.receive()
        except anyio.EndOfStream:
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        await self._sessions.__aenter__()
        try:
            index, ears = await self._open_next(None)
        except BaseException as error:
            await self._sessions.__aexit__(type(error), error, error.__traceback__)
            raise
        # Hearings are few and small, and one that waited for room could get lost with its task.
        heard, self._hearings = anyio.create_memory_object_stream[Hearing](math.inf)
        self._sessions.start(partial(self._listen, index, ears, heard))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._sessions.__aexit__(kind, error, trace)
        finally:
            self._hearings.close()

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _open_next(self, failure: ProviderError | None) -> tuple[int, Ears]:
        """A session of a provider that was not tried since something worked last."""
        for index in self._bench.order(anyio.current_time(), out=self._out):
            if index in self._tried:
                continue
            self._tried.add(index)
            provider = self._providers[index]
            message = f"{provider.model} did not open its session within {self._open_s:g} s; check base_url."
            late = ProviderError("stt", message, retryable=True)
            try:
                ears = await self._sessions.open(provider.open(), within_s=self._open_s, late=late)
            except ProviderError as error:
                failure = error
                self._put_aside(index, error)
            else:
                self.model = provider.model
                return index, ears
        assert failure is not None
        raise failure

    def _put_aside(self, index: int, failure: ProviderError) -> None:
        self._bench.rest(index, anyio.current_time())
        if not failure.retryable:
            self._out.add(index)

    async def _listen(self, index: int, ears: Ears, heard: MemoryObjectSendStream[Hearing]) -> None:
        with heard:
            try:
                while True:
                    began = anyio.current_time()
                    stint = _Stint(ears)
                    self._audio.rewind()
                    await self._use(stint, heard)
                    if stint.failure is None:
                        return
                    self._sessions.close(ears)
                    self._put_aside(index, stint.failure)
                    if anyio.current_time() - began >= _STABLE_S:
                        self._tried = {index}
                    index, ears = await self._open_next(stint.failure)
            except ProviderError as failure:
                self._failure = failure

    async def _use(self, stint: _Stint, heard: MemoryObjectSendStream[Hearing]) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._feed, stint, tasks)
            try:
                async for hearing in stint.ears:
                    heard.send_nowait(self._place(hearing))
                if not stint.finished:
                    message = f"{self.model} has ended its session before the end of the audio."
                    stint.failure = ProviderError("stt", message, retryable=True)
            except ProviderError as failure:
                stint.failure = failure
            tasks.cancel_scope.cancel()

    def _place(self, hearing: Hearing) -> Hearing:
        """The hearing on the clock of the whole session; a final settles the audio that it covers."""
        ended_at_s = hearing.ended_at_s
        placed_s = self._audio.place(_EVER_S if ended_at_s is None else ended_at_s)
        if hearing.is_final and hearing.text.strip():
            self._audio.settle(placed_s)
        return hearing if ended_at_s is None else replace(hearing, ended_at_s=placed_s)

    async def _feed(self, stint: _Stint, tasks: TaskGroup) -> None:
        try:
            while True:
                news = self._news
                while audio := self._audio.take(_PIECE_BYTES):
                    await stint.ears.send(audio)
                if self._finished and news is self._news:
                    stint.finished = True
                    await stint.ears.finish()
                    return
                await news.wait()
        except ProviderError as failure:
            stint.failure = failure
            tasks.cancel_scope.cancel()


class _Stint:
    """One provider's time of listening."""

    def __init__(self, ears: Ears) -> None:
        self.ears = ears
        self.finished = False
        """True once the provider was told that no more audio comes."""
        self.failure: ProviderError | None = None
