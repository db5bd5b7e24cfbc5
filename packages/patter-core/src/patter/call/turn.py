"""One answer of the agent: the mind's text, its tools, and its voice, streaming into the mouth."""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from patter.call.clauses import Clauses
from patter.call.delivery import Delivery
from patter.call.meter import Meter, TurnClock
from patter.call.mouth import Mouth
from patter.call.prompt import FILLER
from patter.call.transcript import Line
from patter.errors import ProviderError
from patter.settings import Timing
from patter.tools.refusals import ToolRefusal
from patter.voice.base import ChatModel, Message, Speech, ToolCall, ToolSpec, Usage, Utterance, Voice

__all__ = ["Recital", "Reply", "Toolbox", "Turn"]


class Toolbox(Protocol):
    """The tools of the call, as a turn sees them."""

    @property
    def leaving(self) -> bool:
        """True once a tool has said that the call shall end, or be handed over, after this turn."""

    def specs(self) -> list[ToolSpec]:
        """What the mind is offered."""

    def admit(self, call: ToolCall) -> ToolCall:
        """The call under an id that no other call of this conversation has."""

    async def run(
        self,
        calls: Sequence[ToolCall],
        *,
        say: Callable[[str], object],
        before: Callable[[Sequence[ToolCall]], Awaitable[None]],
    ) -> list[Message]:
        """Run them all and return their results. Cancelling the wait does not cancel the tools that have begun.

        Args:
            say: takes what a tool tells of its progress.
            before: waited for before each group of calls that run side by side.
        """

    def preface(self, calls: Sequence[ToolCall]) -> tuple[str | None, bool]:
        """What has to be said before these run, if nothing was; and whether all that is said must be played."""

    def filler(self, calls: Sequence[ToolCall]) -> tuple[str, float] | None:
        """What to say while these run, and after how many seconds; None if nothing is said."""

    def want_answer(self, calls: Sequence[ToolCall]) -> bool:
        """True if the mind shall go on when the results of these calls are there."""

    def words(self) -> str:
        """What a tool wants to be said before the call ends or is handed over; asked once."""


@dataclass(slots=True, kw_only=True)
class Turn:
    """What is known of an answer while it is being given."""

    clock: TurnClock | None = None
    closing: bool = False
    """True if the call ends when this was played."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    aside: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    said: list[str] = field(default_factory=list)
    """The clauses handed to the voice."""
    started_at: float | None = None
    latency_ms: float | None = None
    timing: Timing
    meter: Meter
    written: anyio.Event = field(default_factory=anyio.Event)
    """Set when the voice has the first text."""
    sounding: anyio.Event = field(default_factory=anyio.Event)
    """Set when the carrier has the first audio."""
    confirmed: anyio.Event = field(default_factory=anyio.Event)
    """Set when the turn is the agent's. Before that it may be thought of, and nothing is heard, run or told."""

    def confirm(self) -> None:
        """Let it be heard."""
        self.confirmed.set()

    def sounds(self, now: float) -> None:
        """The carrier was given its first audio."""
        self.started_at = now
        self.sounding.set()
        if self.clock is not None:
            self.clock.first_audio = now
            self.latency_ms = self.meter.answered(self.clock)

    def stop(self) -> None:
        """End it here, and the tones that are played in it."""
        self.scope.cancel()
        self.aside.cancel()

    async def play(self, audio: bytes, mouth: Mouth) -> None:
        """Play tones, which end where the turn does.

        Raises:
            ToolRefusal: they were not played to their end.
        """
        with anyio.CancelScope() as self.aside:
            await mouth.play(audio)
        if self.aside.cancelled_caught:
            raise ToolRefusal("handler_error", status="interrupted")

    def line(self, heard: str, heard_ms: int, now: float, *, interrupted: bool) -> Line | None:
        """Its line of the transcript; None if nothing was to be said.

        Args:
            interrupted: whether it was ended before it was over.
        """
        if not (said := " ".join(self.said)):
            return None
        return Line(
            "agent",
            heard,
            now if self.started_at is None else self.started_at,
            now,
            generated_text=said,
            interrupted=interrupted and heard != said,
            heard_ms=heard_ms,
            latency_ms=self.latency_ms,
        )

    async def run(self, voice: Voice, mouth: Mouth) -> None:
        """Say it all; returns when it was played.

        Raises:
            ProviderError: in a group; mind or voice failed, or kept the callee waiting for too long.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._expect_sound)
            await self._speak(voice, mouth)
            tasks.cancel_scope.cancel()

    async def _speak(self, voice: Voice, mouth: Mouth) -> None:
        raise NotImplementedError

    async def _expect_sound(self) -> None:
        await self.written.wait()
        await self.confirmed.wait()
        with anyio.move_on_after(self.timing.voice_timeout_s):
            await self.sounding.wait()
            return
        problem = f"{self.meter.models.tts} gave no audio within {self.timing.voice_timeout_s:g} s"
        message = f"{problem}; try again later, or add a fallback provider."
        raise ProviderError("tts", message, retryable=True)


@dataclass(slots=True, kw_only=True)
class Recital(Turn):
    """Says a fixed text. ``speech`` is its audio if it was synthesised before."""

    text: str
    speech: AsyncIterable[Speech] | None = None

    def again(self) -> Recital:
        """The same text, to be said from its beginning."""
        return Recital(text=self.text, meter=self.meter, timing=self.timing, speech=self.speech, closing=self.closing)

    async def _speak(self, voice: Voice, mouth: Mouth) -> None:
        self.said.append(self.text)
        self.written.set()
        if self.speech is not None:
            await mouth.speak(self.speech)
            return
        self.meter.synthesised(self.text)
        async with voice.utter() as utterance:
            await utterance.say(self.text)
            await utterance.finish()
            await mouth.speak(utterance)


@dataclass(slots=True, kw_only=True)
class Reply(Turn):
    """Asks the mind and says what it answers, clause by clause, running tools in between."""

    mind: ChatModel
    history: list[Message]
    tools: Toolbox
    on_clause: Callable[[str], None]
    has_spoken: bool = False
    """True once the mind has said something of its own."""
    patience: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """What ends when the mind has said all."""
    delivery: Delivery = field(default_factory=Delivery)

    def confirm(self) -> None:
        """Let it be heard, and tell what was written in the meantime."""
        for clause in self.said:
            self.on_clause(clause)
        self.confirmed.set()

    async def _speak(self, voice: Voice, mouth: Mouth) -> None:
        async def play(utterance: Utterance) -> None:
            speech = _Begun(utterance)
            await speech.begin()
            if self.clock is not None and self.clock.first_speech is None and speech.has_begun:
                self.clock.first_speech = anyio.current_time()
            await self.confirmed.wait()
            await mouth.speak(speech)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._think)
            tasks.start_soon(self._bridge)
            await self.delivery.run(voice, play)
            tasks.cancel_scope.cancel()

    async def _bridge(self) -> None:
        """Ask for patience if the mind takes long to answer the callee."""
        if self.clock is None:
            return
        with self.patience:
            await self.confirmed.wait()
            with anyio.move_on_after(self.timing.mind_filler_s):
                await self.written.wait()
                return
            await self._say(FILLER)

    async def _think(self) -> None:
        messages = list(self.history)
        for tool_round in range(self.timing.tool_rounds + 1):
            offered = self.tools.specs() if tool_round < self.timing.tool_rounds else []
            said = len(self.said)
            text, calls = await self._ask(messages, offered)
            if not calls:
                break
            await self.confirmed.wait()
            results = await self._run_tools(calls, said=said)
            if words := self.tools.words():
                self.has_spoken = True
                await self._say(words)
            if (self.tools.leaving and self.has_spoken) or not self.tools.want_answer(calls):
                break  # the goodbye stands before the call of end_call
            messages.append(Message("assistant", text, tool_calls=tuple(calls)))
            messages += results
        self.patience.cancel()
        await self.delivery.finish()

    async def _run_tools(self, calls: list[ToolCall], *, said: int) -> list[Message]:
        """Run the tools; meanwhile say what they tell, or a filler if nothing was said since the mind was asked.

        Args:
            said: how many clauses had been said then.
        """
        quiet = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            has_begun = False

            async def before(group: Sequence[ToolCall]) -> None:
                nonlocal has_begun
                await self._preface(group)
                if not has_begun:
                    tasks.start_soon(self._fill, calls, said, quiet)
                has_begun = True

            results = await self.tools.run(calls, say=lambda text: tasks.start_soon(self._say, text), before=before)
            quiet.cancel()  # what was begun is said: it stands in the transcript
        return results

    async def _preface(self, calls: Sequence[ToolCall]) -> None:
        """Say, and play, what these tools want to be heard before they run."""
        words, must_be_played = self.tools.preface(calls)
        if words is not None and not self.said:
            await self._say(words)
        if must_be_played:
            await self.delivery.played()

    async def _fill(self, calls: list[ToolCall], said: int, quiet: anyio.CancelScope) -> None:
        if (filler := self.tools.filler(calls)) is None:
            return
        text, delay_s = filler
        with quiet:
            await anyio.sleep(delay_s)
        if not quiet.cancelled_caught and len(self.said) == said:
            await self._say(text)

    async def _ask(self, messages: list[Message], tools: Sequence[ToolSpec]) -> tuple[str, list[ToolCall]]:
        """One request to the mind; its clauses go to the voice as they are written."""
        clauses = Clauses(first_chars=self.timing.first_clause_chars)
        text: list[str] = []
        calls: list[ToolCall] = []
        usages: dict[str | None, Usage] = {}
        accepted = False
        if self.clock is not None and self.clock.asked is None:
            self.clock.asked = anyio.current_time()
        limit_s = self.timing.mind_timeout_s
        try:
            with anyio.move_on_after(limit_s) as limit:
                async with self.mind.stream(messages, tools) as stream:
                    accepted = True
                    async for delta in stream:
                        limit.deadline = math.inf  # a voice that is busy is not the mind's delay
                        self._note_token()
                        if isinstance(delta, ToolCall):
                            calls.append(self.tools.admit(delta))
                        elif isinstance(delta, Usage):
                            usages[delta.model] = delta  # a later report of a model replaces the one before
                        else:
                            text.append(delta)
                            for clause in clauses.feed(delta):
                                self.has_spoken = True
                                await self._say(clause)
                        limit.deadline = anyio.current_time() + limit_s
            if limit.cancelled_caught:
                problem = f"{self.mind.model} wrote nothing for {limit_s:g} s"
                message = f"{problem}; try again later, or add a fallback provider."
                raise ProviderError("llm", message, retryable=True)
        finally:
            # A stream that was stopped reports no usage, and is billed all the same.
            if accepted:
                for usage in usages.values() or [Usage.estimate(messages, sum(map(len, text)))]:
                    self.meter.used(usage)
        for clause in clauses.flush():
            self.has_spoken = True
            await self._say(clause)
        return "".join(text), calls

    def _note_token(self) -> None:
        if self.clock is not None and self.clock.first_token is None:
            self.clock.first_token = anyio.current_time()

    async def _say(self, clause: str) -> None:
        if self.clock is not None and self.clock.first_clause is None:
            self.clock.first_clause = anyio.current_time()
        self.said.append(clause)
        self.written.set()
        self.meter.synthesised(clause)
        if self.confirmed.is_set():
            self.on_clause(clause)
        await self.delivery.say(clause)


class _Begun:
    """An utterance whose first piece is there before anybody plays it."""

    def __init__(self, utterance: Utterance) -> None:
        self._rest = aiter(utterance)
        self._first: Speech | None = None

    @property
    def has_begun(self) -> bool:
        return self._first is not None

    async def begin(self) -> None:
        self._first = await anext(self._rest, None)

    def __aiter__(self) -> _Begun:
        return self

    async def __anext__(self) -> Speech:
        if self._first is None:
            return await anext(self._rest)
        first, self._first = self._first, None
        return first
