"""One answer of the agent: the mind's text, its tools, and its voice, streaming into the mouth."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from patter.call.clauses import Clauses
from patter.call.meter import Meter, TurnClock
from patter.call.mouth import Mouth
from patter.errors import ProviderError
from patter.settings import Timing
from patter.voice.base import ChatModel, Delta, Message, Speech, ToolCall, ToolSpec, Usage, Utterance, Voice

__all__ = ["Recital", "Reply", "Toolbox", "Turn"]


class Toolbox(Protocol):
    """The tools of the call, as a turn sees them."""

    closing: bool
    """True once a tool has said that the call shall end after this turn."""

    def specs(self) -> list[ToolSpec]:
        """What the mind is offered."""

    def admit(self, call: ToolCall) -> ToolCall:
        """The call under an id that no other call of this conversation has."""

    async def run(self, calls: Sequence[ToolCall]) -> list[Message]:
        """Run them all and return their results. Cancelling the wait does not cancel the tools."""


@dataclass(slots=True, kw_only=True)
class Turn:
    """What is known of an answer while it is being given."""

    clock: TurnClock | None = None
    closing: bool = False
    """True if the call ends when this was played."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    said: list[str] = field(default_factory=list)
    """The clauses handed to the voice."""
    started_at: float | None = None
    latency_ms: float | None = None
    timing: Timing
    written: anyio.Event = field(default_factory=anyio.Event)
    """Set when the voice has the first text."""
    sounding: anyio.Event = field(default_factory=anyio.Event)
    """Set when the carrier has the first audio."""

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
        with anyio.move_on_after(self.timing.voice_timeout_s):
            await self.sounding.wait()
            return
        message = f"The voice gave no audio within {self.timing.voice_timeout_s:g} s."
        raise ProviderError("tts", message, retryable=True)


@dataclass(slots=True, kw_only=True)
class Recital(Turn):
    """Says a fixed text. ``speech`` is its audio if it was synthesised before."""

    text: str
    meter: Meter
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
    meter: Meter
    on_clause: Callable[[str], None]

    async def _speak(self, voice: Voice, mouth: Mouth) -> None:
        async with voice.utter() as utterance, anyio.create_task_group() as tasks:
            tasks.start_soon(self._think, utterance)
            await mouth.speak(utterance)

    async def _think(self, utterance: Utterance) -> None:
        messages = list(self.history)
        for tool_round in range(self.timing.tool_rounds + 1):
            offered = self.tools.specs() if tool_round < self.timing.tool_rounds else []
            text, calls = await self._ask(messages, offered, utterance)
            if not calls:
                break
            results = await self.tools.run(calls)
            if self.tools.closing and self.said:
                break  # the goodbye stands before the call of end_call
            messages.append(Message("assistant", text, tool_calls=tuple(calls)))
            messages += results
        await utterance.finish()

    async def _ask(
        self, messages: list[Message], tools: Sequence[ToolSpec], utterance: Utterance
    ) -> tuple[str, list[ToolCall]]:
        """One request to the mind; its clauses go to the voice as they are written."""
        clauses = Clauses(first_chars=self.timing.first_clause_chars)
        text: list[str] = []
        calls: list[ToolCall] = []
        usage: Usage | None = None
        accepted = False
        try:
            async with self.mind.stream(messages, tools) as stream:
                accepted = True
                while (delta := await self._next(stream)) is not None:
                    if isinstance(delta, ToolCall):
                        calls.append(self.tools.admit(delta))
                    elif isinstance(delta, Usage):
                        usage = delta
                    else:
                        text.append(delta)
                        for clause in clauses.feed(delta):
                            await self._say(clause, utterance)
        finally:
            # A stream that was stopped reports no usage, and is billed all the same.
            if accepted:
                self.meter.used(usage or _estimate(messages, text))
        for clause in clauses.flush():
            await self._say(clause, utterance)
        return "".join(text), calls

    async def _next(self, stream: AsyncIterator[Delta]) -> Delta | None:
        try:
            with anyio.fail_after(self.timing.mind_timeout_s):
                delta = await anext(stream, None)
        except TimeoutError:
            message = f"The chat model wrote nothing for {self.timing.mind_timeout_s:g} s."
            raise ProviderError("llm", message, retryable=True) from None
        if self.clock is not None and self.clock.first_token is None:
            self.clock.first_token = anyio.current_time()
        return delta

    async def _say(self, clause: str, utterance: Utterance) -> None:
        if self.clock is not None and self.clock.first_clause is None:
            self.clock.first_clause = anyio.current_time()
        self.said.append(clause)
        self.written.set()
        self.meter.synthesised(clause)
        self.on_clause(clause)
        await utterance.say(clause)


def _estimate(messages: Sequence[Message], text: Sequence[str]) -> Usage:
    """Tokens by the common rule of four characters each."""
    asked = sum(len(message.content) for message in messages)
    return Usage(asked // 4, sum(map(len, text)) // 4, estimated=True)
