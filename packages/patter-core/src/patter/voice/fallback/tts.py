"""A voice with substitutes: when one provider fails, the next one says what is left to say."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import anyio
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from patter.errors import ProviderError
from patter.tasks import OwnTasks
from patter.voice.base import Speech, TextToSpeech, Utterance, Voice
from patter.voice.fallback.bench import Bench, at_least_two, start_all
from patter.voice.held import HeldSessions
from patter.voice.unspoken import Unspoken

__all__ = ["FallbackTTS"]

_PIECES_AHEAD = 64
_HAS_WORD = re.compile(r"\w")


class FallbackTTS:
    """A voice made of several. When one fails, the next one says the rest: no word twice, none left out.

    The rest begins with the next word where the voice gives its speech word by word, else with the next
    clause. A voice that has failed stays aside for the rest of the call, even if it might work again: a
    voice that keeps changing is worse than the second choice.

    Args:
        first: the first choice; its name is the fallback's `model`.
        others: who takes over, in order; at least one.
        open_s: the longest wait for a session to open.
        first_audio_s: the longest wait from an utterance's first text to its first audio, as long as
            there is another voice.
        rest_s: how long a provider that has failed is tried last, by calls that begin.

    Raises:
        ConfigError: there is only one.
    """

    def __init__(
        self,
        first: TextToSpeech,
        *others: TextToSpeech,
        open_s: float = 2.5,
        first_audio_s: float = 3.0,
        rest_s: float = 30.0,
    ) -> None:
        self._providers = at_least_two("FallbackTTS", first, others)
        self._open_s = open_s
        self._first_audio_s = first_audio_s
        self._bench = Bench(len(self._providers), rest_s)

    @property
    def model(self) -> str:
        """The first choice's."""
        return self._providers[0].model

    async def start(self) -> None:
        """Import what the providers need, before the first call needs it."""
        await start_all(self._providers)

    def open(self) -> _FallbackVoice:
        """Open the session of one call, with the first provider that can."""
        return _FallbackVoice(self._providers, self._bench, open_s=self._open_s, first_audio_s=self._first_audio_s)


class _FallbackVoice:
    """The session of one call. ``model`` is the provider that is speaking."""

    def __init__(self, providers: Sequence[TextToSpeech], bench: Bench, *, open_s: float, first_audio_s: float) -> None:
        self.model = providers[0].model
        self._providers = providers
        self._bench = bench
        self._open_s = open_s
        self._first_audio_s = first_audio_s
        self._voice: Voice | None = None
        self._index = 0
        self._aside: set[int] = set()
        self._failure: ProviderError | None = None
        self._sessions = HeldSessions()
        self._opening = anyio.Lock()

    def utter(self) -> _FallbackUtterance:
        """Begin an utterance. Leaving it early abandons what is not yet synthesised."""
        return _FallbackUtterance(self, first_audio_s=self._first_audio_s)

    @property
    def has_another(self) -> bool:
        """Whether somebody could take over from the voice that is speaking."""
        return len(self._aside) + 1 < len(self._providers)

    async def current(self) -> Voice:
        """The voice to speak with.

        Raises:
            ProviderError: all have failed; the last one's error.
        """
        async with self._opening:
            if self._voice is None:
                self._voice = await self._open_next()
            return self._voice

    def failed(self, voice: Voice, failure: ProviderError) -> None:
        """A voice could not say what it was given; the next `current` is another one."""
        if voice is self._voice:
            self._voice = None
            self._put_aside(self._index, failure)

    async def __aenter__(self) -> Self:
        await self._sessions.__aenter__()
        try:
            await self.current()
        except BaseException as error:
            await self._sessions.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._sessions.__aexit__(kind, error, trace)

    async def _open_next(self) -> Voice:
        for index in self._bench.order(anyio.current_time()):
            if index in self._aside:
                continue
            provider = self._providers[index]
            message = f"{provider.model} did not open its session within {self._open_s:g} s; check base_url."
            late = ProviderError("tts", message, retryable=True)
            try:
                voice = await self._sessions.open(provider.open(), within_s=self._open_s, late=late)
            except ProviderError as failure:
                self._put_aside(index, failure)
            else:
                self._index, self.model = index, provider.model
                return voice
        assert self._failure is not None
        raise self._failure

    def _put_aside(self, index: int, failure: ProviderError) -> None:
        self._failure = failure
        self._aside.add(index)
        self._bench.rest(index, anyio.current_time())


class _FallbackUtterance:
    """One thing the agent says, by as many voices as it takes. One task works on it from entering to leaving."""

    _pieces: MemoryObjectReceiveStream[Speech]

    def __init__(self, voices: _FallbackVoice, *, first_audio_s: float) -> None:
        self._voices = voices
        self._first_audio_s = first_audio_s
        self._unspoken = Unspoken()
        self._clauses: list[str] = []
        self._finished = False
        self._news = anyio.Event()
        self._failure: ProviderError | None = None
        self._patience = anyio.CancelScope()
        self._waits_for_audio = False
        self._owner = OwnTasks()

    async def say(self, text: str) -> None:
        """Append the next clause. Never waits for a provider."""
        await checkpoint()
        if text.strip():
            self._unspoken.say(text)
            self._clauses.append(text)
            self._expect_audio([text])
            self._wake()

    async def finish(self) -> None:
        """Say that no more text comes."""
        await checkpoint()
        self._finished = True
        self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Speech:
        try:
            return await self._pieces.receive()
        except anyio.EndOfStream:
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        pieces, self._pieces = anyio.create_memory_object_stream[Speech](_PIECES_AHEAD)
        tasks = await self._owner.__aenter__()
        tasks.start_soon(self._work, pieces)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._owner.__aexit__(kind, error, trace)
        finally:
            self._pieces.close()

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    def _expect_audio(self, texts: Sequence[str]) -> None:
        """Limit the wait for the first audio, now that there is something to be heard."""
        can_wait = not self._waits_for_audio or self._patience.deadline != math.inf
        if not can_wait and self._voices.has_another and any(map(_HAS_WORD.search, texts)):
            self._patience.deadline = anyio.current_time() + self._first_audio_s

    async def _work(self, pieces: MemoryObjectSendStream[Speech]) -> None:
        with pieces:
            try:
                while True:
                    voice = await self._voices.current()
                    failure = await self._speak(voice, pieces)
                    if failure is None:
                        return
                    self._voices.failed(voice, failure)
                    if self._finished and not self._unspoken.rest():
                        return
            except ProviderError as failure:
                self._failure = failure

    async def _speak(self, voice: Voice, pieces: MemoryObjectSendStream[Speech]) -> ProviderError | None:
        """Let a voice say what is left, and what comes; why it could not, or None if it is done."""
        attempt = _Attempt()
        with anyio.CancelScope() as self._patience:
            self._waits_for_audio = True
            self._expect_audio(self._unspoken.rest())
            try:
                async with voice.utter() as utterance:
                    await self._relay(utterance, pieces, attempt)
            except ProviderError as failure:
                attempt.failure = attempt.failure or failure
        self._waits_for_audio = False
        if self._patience.cancelled_caught:
            message = f"{self._voices.model} gave no audio within {self._first_audio_s:g} s; try again later."
            return ProviderError("tts", message, retryable=True)
        return attempt.failure

    async def _relay(self, utterance: Utterance, pieces: MemoryObjectSendStream[Speech], attempt: _Attempt) -> None:
        async with anyio.create_task_group() as tasks:
            attempt.scope = tasks.cancel_scope
            tasks.start_soon(self._feed, utterance, attempt)
            try:
                async for speech in utterance:
                    await checkpoint_if_cancelled()  # what was given up must not be heard
                    if speech.audio:
                        self._waits_for_audio = False
                        self._patience.deadline = math.inf
                    await pieces.send(speech)
                    self._unspoken.spoke(speech.text)
                if not attempt.finished:
                    message = f"{self._voices.model} has ended the utterance before its text did."
                    attempt.failure = attempt.failure or ProviderError("tts", message, retryable=True)
            except ProviderError as failure:
                attempt.failure = failure
            tasks.cancel_scope.cancel()

    async def _feed(self, utterance: Utterance, attempt: _Attempt) -> None:
        rest, given = self._unspoken.rest(), len(self._clauses)
        try:
            for clause in rest:
                await utterance.say(clause)
            while True:
                news = self._news
                while given < len(self._clauses):
                    given += 1
                    await utterance.say(self._clauses[given - 1])
                if self._finished and news is self._news:
                    attempt.finished = True
                    await utterance.finish()
                    return
                await news.wait()
        except ProviderError as failure:
            attempt.failure = failure
            attempt.scope.cancel()


class _Attempt:
    scope: anyio.CancelScope

    def __init__(self) -> None:
        self.finished = False
        """True once the voice was told that no more text comes."""
        self.failure: ProviderError | None = None
