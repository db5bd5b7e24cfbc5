"""The voice over the live socket of ElevenLabs: one connection for a call, one context for each utterance.

A connection that breaks is replaced when it is next needed. What was being said is then taken up in a
new context, from the first word whose sound has not come.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from patter.errors import PatterError, ProviderError
from patter.tasks import OwnTasks
from patter.voice.base import Speech
from patter.voice.elevenlabs import wire as wire
from patter.voice.elevenlabs.link import Context, Event, Link, Post
from patter.voice.elevenlabs.whole_words import WholeWords
from patter.voice.elevenlabs.wire import Failure, Settings
from patter.voice.socket import connect
from patter.voice.unspoken import Unspoken

__all__ = ["Patience", "SocketUtterance", "SocketVoice"]

_TRIES = 2
"""New beginnings in a row that bring no audio before an utterance is given up."""
_RETRY_S = 0.2
_EVENTS_AHEAD = 4096
_PIECES_AHEAD = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for a peer that says nothing."""

    reconnect_s: float = 2.0
    """For a new connection in the middle of a call."""
    stall_s: float = 4.0
    """For the sound of a text, since the text or the last audio."""
    quiet_aligned_s: float = 1.0
    """For the final message, after audio of which the alignment says that it is all."""
    quiet_s: float = 2.5
    """For the final message, after audio without alignment."""
    more_s: float = 1.0
    """For more audio, before a context is closed whose sound may not be all there."""
    keep_alive_s: float = 10.0
    """How often a context that waits for text is kept alive; the vendor may close it after 20 s."""


class SocketVoice:
    """The voice's session of one call. Entering it connects; leaving it closes within a second.

    Args:
        find_voice: gives the id of the voice.
    """

    _tasks: TaskGroup

    def __init__(
        self, settings: Settings, find_voice: Callable[[], Awaitable[str]], patience: Patience | None = None
    ) -> None:
        self._settings = settings
        self._find_voice = find_voice
        self._patience = patience or Patience()
        self._address = ""
        self._link: Link | None = None
        self._connecting = anyio.Lock()
        self._contexts = 0
        self._is_left = False
        self._owner = OwnTasks()

    def utter(self) -> SocketUtterance:
        """Begin an utterance. Leaving it early abandons what is not yet synthesised."""
        return SocketUtterance(self._begin, self._patience)

    async def __aenter__(self) -> Self:
        self._address = wire.socket_address(self._settings, await self._find_voice())
        self._tasks = await self._owner.__aenter__()
        try:
            self._link = await self._connect(self._settings.open_s)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._is_left = True
        return await self._owner.__aexit__(kind, error, trace)

    async def _begin(self, post: Post) -> Context:
        """Open a context, on a new connection if the old one is gone or full."""
        async with self._connecting:
            if self._is_left:
                raise ProviderError("tts", "The voice was left before the utterance was over.")
            link = self._link
            if link is None or not await link.has_room():
                if link is not None:
                    link.retire()
                link = self._link = await self._connect(self._patience.reconnect_s)
            self._contexts += 1
            return link.open(f"u{self._contexts}", post, self._settings)

    async def _connect(self, within_s: float) -> Link:
        """A new connection, at the second try if the first one fails for now."""
        deadline = anyio.current_time() + within_s
        try:
            link: Link = await self._tasks.start(self._serve, within_s)
            return link
        except ProviderError as error:
            if (word := wire.error_word(str(error))) != wire.UNKNOWN:
                raise wire.refused(word) from None  # the vendor answers 401 for more than a wrong key
            left_s = deadline - anyio.current_time() - _RETRY_S
            if not error.retryable or left_s < _RETRY_S:
                raise
        await anyio.sleep(_RETRY_S)
        link = await self._tasks.start(self._serve, left_s)
        return link

    async def _serve(self, open_s: float, *, task_status: TaskStatus[Link]) -> None:
        async with connect(
            self._address,
            stage="tts",
            vendor=wire.VENDOR,
            variable=wire.KEY_VARIABLE,
            headers={"xi-api-key": self._settings.key},
            open_s=open_s,
        ) as connection:
            link = Link(connection, keep_alive_s=self._patience.keep_alive_s)
            task_status.started(link)
            await link.run()


class SocketUtterance:
    """One thing the agent says. Enter it, then one task says and finishes, another iterates.

    A failure is raised by the iteration; `say` and `finish` then do nothing, so that it is reported
    once. Leaving closes the context, and what still comes of it is ignored.

    Args:
        begin: opens a context whose events go to the function it is given.
    """

    _inbox: MemoryObjectSendStream[str | tuple[str, Event] | None]
    _facts: MemoryObjectReceiveStream[str | tuple[str, Event] | None]
    """Clauses, events of a context by its name, and None for the finish."""
    _outbox: MemoryObjectSendStream[Speech]
    _speech: MemoryObjectReceiveStream[Speech]

    def __init__(self, begin: Callable[[Post], Awaitable[Context]], patience: Patience) -> None:
        self._begin = begin
        self._patience = patience
        self._context: Context | None = None
        self._unspoken = Unspoken()
        self._words = WholeWords()
        self._failure: PatterError | None = None
        self._is_written = self._is_finished = self._is_over = False
        self._tries = 0
        self._last_at = 0.0
        self._owner = OwnTasks()

    async def say(self, text: str) -> None:
        """Append the next clause. Text without anything to say is skipped."""
        if self._is_written and self._failure is None:
            raise anyio.ClosedResourceError
        if not wire.is_speakable(text):
            return
        with suppress(anyio.BrokenResourceError):
            await self._inbox.send(text)

    async def finish(self) -> None:
        """Say that no more text comes. The iteration ends after the last audio."""
        if not self._is_written:
            self._is_written = True
            with suppress(anyio.BrokenResourceError):
                await self._inbox.send(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Speech:
        try:
            return await self._speech.receive()
        except anyio.EndOfStream:
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        self._inbox, self._facts = anyio.create_memory_object_stream[str | tuple[str, Event] | None](_EVENTS_AHEAD)
        self._outbox, self._speech = anyio.create_memory_object_stream[Speech](_PIECES_AHEAD)
        (await self._owner.__aenter__()).start_soon(self._work)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._owner.__aexit__(kind, error, trace)
        finally:
            for stream in (self._inbox, self._facts, self._outbox, self._speech):
                stream.close()

    # --- the worker: clauses and events, one after another -------------------------------------

    async def _work(self) -> None:
        with self._facts, self._outbox:
            try:
                while not self._is_over:
                    await self._step()
            except PatterError as failure:
                self._failure = failure
            finally:
                if self._context is not None:
                    self._context.leave()

    async def _step(self) -> None:
        try:
            fact = await self._next()
        except TimeoutError:
            await self._overdue()
            return
        if isinstance(fact, tuple):
            name, event = fact
            if self._context is not None and self._context.name == name:
                await self._take(self._context, event)
        elif isinstance(fact, str):
            self._unspoken.say(fact)
            await self._speak([fact])
        else:
            self._is_finished = True
            await self._speak([])

    async def _next(self) -> str | tuple[str, Event] | None:
        try:
            return self._facts.receive_nowait()
        except anyio.WouldBlock:
            with anyio.fail_after(max(self._due_at() - anyio.current_time(), 0)):
                return await self._facts.receive()

    def _due_at(self) -> float:
        """When something should have come."""
        context = self._context
        if context is None:
            return math.inf
        if self._may_close(context):
            return self._last_at + self._patience.more_s
        if not context.pieces.is_complete or self._words.holds:
            return self._last_at + self._patience.stall_s
        if not context.is_closed:
            return math.inf
        is_aligned = context.pieces.is_aligned
        return self._last_at + (self._patience.quiet_aligned_s if is_aligned else self._patience.quiet_s)

    async def _overdue(self) -> None:
        assert self._context is not None
        if self._may_close(self._context):
            self._context.close()
            self._last_at = anyio.current_time()
        elif self._context.pieces.is_complete and not self._words.holds:
            await self._end(self._context)
        else:
            self._context.distrust()
            await self._again("stalled")

    async def _speak(self, clauses: list[str]) -> None:
        """Have clauses spoken, in a new context if there is none."""
        if self._context is None and clauses:
            self._context = await self._begin(self._post)
        if self._context is None:
            self._is_over = self._is_finished
            return
        for text in clauses:
            self._context.say(text)
        if self._may_close(self._context) and self._context.pieces.is_covered:
            self._context.close()
        self._last_at = anyio.current_time()

    async def _take(self, context: Context, event: Event) -> None:
        if isinstance(event, Failure):
            if event.is_permanent:
                raise wire.refused(event.word)
            await self._again(event.word)
            return
        self._last_at = anyio.current_time()
        speeches = context.pieces.take(event.audio, event.starts)
        for speech in self._words.take(speeches, is_whole=context.pieces.is_whole):
            await self._give(speech)
        if self._may_close(context) and context.pieces.is_covered:
            context.close()
        if not event.is_final:
            return
        if context.is_closed:
            await self._end(context)
        else:  # the vendor has closed it: after a long time without text, or because it finds nothing to say
            await self._again("context_closed" if context.pieces.has_sounded else "no_audio")

    def _may_close(self, context: Context) -> bool:
        """True if the context waits for its close, which comes when its sound is all there."""
        return self._is_finished and not context.is_closed and context.pieces.has_sounded

    async def _end(self, context: Context) -> None:
        for speech in [*self._words.rest(), *context.pieces.rest()]:
            await self._give(speech)
        self._is_over = True

    async def _give(self, speech: Speech) -> None:
        self._tries = 0
        self._unspoken.spoke(speech.text)
        await self._outbox.send(speech)

    async def _again(self, cause: str) -> None:
        """The context is gone: say in a new one what was not spoken yet."""
        if self._context is not None:
            self._context.leave()
            self._context = None
        self._words = WholeWords()
        left = self._unspoken.rest()
        if left and not wire.is_speakable(left[0]):
            self._unspoken.spoke(left.pop(0))  # only what is left of a clause can be without sound
        if left and self._tries == _TRIES:
            raise wire.broken_off(cause)
        if left:
            await anyio.sleep(_RETRY_S if self._tries else 0.0)
            self._tries += 1
        await self._speak(left)

    def _post(self, name: str, event: Event) -> bool:
        try:
            self._inbox.send_nowait((name, event))
        except anyio.WouldBlock:
            return False
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        return True
