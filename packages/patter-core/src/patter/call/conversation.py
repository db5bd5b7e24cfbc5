"""The conversation on one line: hears the callee, asks the floor, gives the agent's answers.

Every task of a conversation lives in its one task group. Facts arrive in one inbox and are handled
one after another, so the floor, the transcript and the mouth are never touched by two tasks at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from patter.agent import Agent
from patter.audio.mulaw import duration_ms
from patter.call import floor as decisions
from patter.call import prompt
from patter.call.floor import Floor
from patter.call.meter import Meter, TurnClock
from patter.call.mouth import Mouth, Tap
from patter.call.onset import Onset
from patter.call.tasks import first_error
from patter.call.toolbox import CallTools
from patter.call.transcript import Line as TranscriptEntry
from patter.call.transcript import Transcript
from patter.call.turn import Recital, Reply, Turn
from patter.carriers.base import Digits, Line, Mark, Media, Stopped
from patter.envelope import CallError, Ending, EndReason
from patter.errors import LineError, ProviderError
from patter.voice.base import Ears, Hearing, Voice

__all__ = ["Conversation"]

_UNHEARD_FRAMES = 250
"""Frames that wait for slow ears before the oldest are dropped: five seconds."""


@dataclass(frozen=True, slots=True)
class _VoiceChange:
    on: bool


@dataclass(frozen=True, slots=True)
class _TurnOver:
    turn: Turn
    error: ProviderError | None


_Fact = Hearing | Digits | Stopped | _VoiceChange | _TurnOver

Emit = Callable[..., None]


class Conversation:
    """Runs from the moment the line is there until somebody ends the call.

    Args:
        line: the media connection; the conversation pumps it, its owner closes it.
        ears, voice: the open sessions of the call; their owner closes them.
        opening: what the agent says first, or None to let the mind find the words.
        emit: takes progress events, as keyword arguments after the type.
        tap: somebody who listens in.
    """

    def __init__(
        self,
        *,
        agent: Agent,
        system: str,
        line: Line,
        ears: Ears,
        voice: Voice,
        tools: CallTools,
        transcript: Transcript,
        meter: Meter,
        opening: Recital | None,
        emit: Emit,
        tap: Tap | None = None,
    ) -> None:
        self._agent = agent
        self._system = system
        self._line = line
        self._ears = ears
        self._voice = voice
        self._tools = tools
        self._transcript = transcript
        self._meter = meter
        self._opening = opening
        self._emit = emit
        self._tap = tap
        self._mouth = Mouth(line, agent.timing, on_audio=self._first_audio, tap=tap)
        self._onset = Onset(onset_ms=agent.timing.hold_after_ms)
        self._facts, self._inbox = anyio.create_memory_object_stream[_Fact](4096)
        self._unheard, self._audio = anyio.create_memory_object_stream[bytes](_UNHEARD_FRAMES)
        self._last_frame_at = self._loud_at = -math.inf
        self._taken_until = -math.inf
        """What was loud until then belongs to words that were taken already."""
        self._turn: Turn | None = None
        self._yielding = False
        self._floor = Floor(agent.timing, anyio.current_time())

    async def run(self) -> Ending:
        """Talk until the call ends; how it ended.

        Raises:
            ProviderError: the ears or the voice failed for good.
            LineError: the line broke.
        """
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                for service in (self._line.pump, self._receive, self._feed_ears, self._listen):
                    tasks.start_soon(service)
                self._tools.open(tasks, on_closing=self._keep_floor)
                ending = await self._talk()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            self._silence(anyio.current_time())
            for stream in (self._facts, self._inbox, self._unheard, self._audio):
                stream.close()
        return ending

    async def flush(self) -> None:
        """After the end: wait for the words that the ears still owe, and enter them."""
        await self._ears.finish()
        async for hearing in self._ears:
            if decisions.Retract() in self._hear(hearing):
                self._transcript.retract()

    def close(self, now: float) -> None:
        """Enter what the callee said last and nobody answered."""
        if (rest := self._floor.rest(now)) is not None:
            self._user_line(rest.text, rest.started_at, rest.ended_at)

    # --- services ------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            event = await self._line.receive()
            now = anyio.current_time()
            if isinstance(event, Media):
                if not event.audio:
                    continue  # to some vendors an empty message is the end of the audio
                self._last_frame_at = now
                if self._tap is not None:
                    self._tap.callee(event.audio, now)
                if (changed := self._onset.feed(event.audio)) is not None:
                    self._facts.send_nowait(_VoiceChange(changed))
                if self._onset.is_loud:
                    self._loud_at = now
                try:
                    self._unheard.send_nowait(event.audio)
                except anyio.WouldBlock:
                    self._audio.receive_nowait()
                    self._unheard.send_nowait(event.audio)
            elif isinstance(event, Mark):
                self._mouth.ack(event.name, now)
            else:
                self._facts.send_nowait(event)
                if isinstance(event, Stopped):
                    return

    async def _feed_ears(self) -> None:
        async for audio in self._audio:
            frames = [audio]
            while waiting := self._audio.statistics().current_buffer_used:
                frames += [self._audio.receive_nowait() for _ in range(waiting)]
            heard = b"".join(frames)
            self._meter.heard(duration_ms(heard))
            await self._ears.send(heard)

    async def _listen(self) -> None:
        async for hearing in self._ears:
            self._facts.send_nowait(hearing)

    # --- the loop ------------------------------------------------------------------------------

    async def _talk(self) -> Ending:
        floor = self._floor
        while True:
            fact = await self._next_fact(floor.wake_at())
            now = anyio.current_time()
            if isinstance(fact, Stopped):
                return self._stopped(fact)
            if isinstance(fact, _TurnOver):
                if (ending := self._turn_over(fact, now)) is not None:
                    return ending
            elif isinstance(fact, Hearing):
                await self._act(self._hear(fact), now)
            elif isinstance(fact, _VoiceChange):
                await self._act(floor.voice(fact.on, now), now)
            elif isinstance(fact, Digits):
                self._emit("digits", digits=fact.digits)
                self._transcript.digits += fact.digits
                self._transcript.note(prompt.keys_pressed(fact.digits))
            await self._act(floor.due(now), now)

    async def _next_fact(self, wake_at: float | None) -> _Fact | None:
        if wake_at is None:
            return await self._inbox.receive()
        with anyio.move_on_after(max(wake_at - anyio.current_time(), 0)):
            return await self._inbox.receive()
        return None

    def _stopped(self, stopped: Stopped) -> Ending:
        if not stopped.clean:
            raise LineError(stopped.reason or "the media connection broke")
        # Whoever hangs up during the goodbye does not change what the call came to.
        ending = self._tools.ending()
        return Ending(EndReason.USER_HANGUP) if ending.reason is EndReason.AGENT_HANGUP else ending

    def _hear(self, hearing: Hearing) -> Sequence[decisions.Decision]:
        now = anyio.current_time()
        taken = self._floor.hear(hearing, now, ended_at=self._end_of_words(hearing, now))
        if self._floor.pending:
            self._emit("hearing", text=self._floor.pending)
        return taken

    def _end_of_words(self, hearing: Hearing, now: float) -> float:
        """When the last word ended: by the ears' own clock, or else when the line became quiet."""
        if hearing.ended_at_s is not None:
            behind_s = self._meter.stt_ms / 1000 - hearing.ended_at_s
            return min(now, self._last_frame_at - behind_s)
        return self._loud_at if self._loud_at > self._taken_until else now

    async def _act(self, taken: Sequence[decisions.Decision], now: float) -> None:
        for decision in taken:
            match decision:
                case decisions.Hold():
                    self._mouth.hold()
                case decisions.Resume(aside):
                    self._mouth.resume()
                    if aside is not None:
                        self._user_line(aside.text, aside.started_at, aside.ended_at)
                case decisions.Yield():
                    self._mouth.hold()
                    self._yielding = True
                    await anyio.sleep_until(self._mouth.playout.cut_at(now))
                    self._silence(anyio.current_time())
                    self._yielding = False
                case decisions.Retract():
                    self._silence(now)
                    self._transcript.retract()
                    self._emit("retract")
                case decisions.Commit(text, started_at, ended_at):
                    self._user_line(text, started_at, ended_at, now=now)
                    self._answer(TurnClock(ended_at, committed=now))
                case decisions.Open():
                    if self._opening is None:
                        self._transcript.note(prompt.NOBODY_SPEAKS)
                    self._answer(None)
                case decisions.Nudge():
                    self._transcript.note(prompt.SILENCE)
                    self._answer(None)
                case decisions.GiveUp():
                    self._transcript.note(prompt.GIVE_UP)
                    self._answer(None, closing=True)

    def _keep_floor(self) -> bool:
        """Let the agent close the call, unless the callee has taken the floor from the turn that wants it."""
        if self._turn is None or self._yielding:
            return False
        self._floor.closing()
        self._mouth.resume()
        return True

    # --- the agent's turns ---------------------------------------------------------------------

    def _answer(self, clock: TurnClock | None, *, closing: bool = False) -> None:
        if self._opening is not None:
            turn: Turn = self._opening  # not an answer: its latency does not count
            self._opening = None
        else:
            turn = Reply(
                clock=clock,
                closing=closing,
                mind=self._agent.llm,
                history=self._transcript.history(self._system),
                tools=self._tools,
                meter=self._meter,
                timing=self._agent.timing,
                on_clause=lambda text: self._emit("saying", text=text),
            )
        self._give(turn)

    def _give(self, turn: Turn) -> None:
        self._turn = turn
        self._mouth.reset()
        if turn.closing:
            self._floor.closing()
        else:
            self._floor.thinking()
        self._tasks.start_soon(self._run_turn, turn)

    async def _run_turn(self, turn: Turn) -> None:
        error: ProviderError | None = None
        with turn.scope:
            try:
                await turn.run(self._voice, self._mouth)
            except* ProviderError as group:
                error = _provider_error(group)
            self._facts.send_nowait(_TurnOver(turn, error))

    def _first_audio(self, now: float) -> None:
        turn = self._turn
        assert turn is not None
        turn.started_at = now
        turn.sounding.set()
        self._floor.speaking()
        if turn.clock is not None:
            turn.clock.first_audio = now
            turn.latency_ms = self._meter.answered(turn.clock)
        self._emit("speaking", latency_ms=turn.latency_ms)

    def _turn_over(self, over: _TurnOver, now: float) -> Ending | None:
        if over.turn is not self._turn:
            return None  # it was interrupted while its last fact was on the way
        self._silence(now, interrupted=over.error is not None)
        if over.error is not None:
            if over.error.stage != "llm":
                raise over.error
            self._tools.fail(CallError(code="llm_error", message=str(over.error)))
            self._give(Recital(text=prompt.APOLOGY, meter=self._meter, timing=self._agent.timing, closing=True))
            return None
        self._floor.done(now)
        if self._tools.closing or over.turn.closing:
            return self._tools.ending()
        return None

    def _silence(self, now: float, *, interrupted: bool = True) -> None:
        """End the current turn here: nothing more is played, and what was heard is written down."""
        turn, self._turn = self._turn, None
        if turn is None:
            return
        if isinstance(turn, Recital) and turn.speech is not None and turn.started_at is None:
            self._opening = turn.again()  # the greeting was not heard yet: it is still due
        heard_ms = round(self._mouth.playout.position_ms(now))
        heard = self._mouth.cut(now)
        turn.scope.cancel()
        said = " ".join(turn.said)
        if said:
            started_at = turn.started_at if turn.started_at is not None else now
            line = TranscriptEntry(
                "agent",
                heard,
                started_at,
                now,
                generated_text=said,
                interrupted=interrupted and heard != said,
                heard_ms=heard_ms,
                latency_ms=turn.latency_ms,
            )
            self._transcript.add(line)
            self._emit("agent", text=heard, interrupted=line.interrupted, latency_ms=turn.latency_ms)

    def _user_line(self, text: str, started_at: float, ended_at: float, *, now: float | None = None) -> None:
        self._taken_until = anyio.current_time()
        self._transcript.add(TranscriptEntry("user", text, started_at, ended_at))
        waited: dict[str, Any] = {} if now is None else {"waited_ms": round((now - ended_at) * 1000, 1)}
        self._emit("user", text=text, **waited)


def _provider_error(group: BaseExceptionGroup[ProviderError]) -> ProviderError:
    error = first_error(group)
    assert isinstance(error, ProviderError)
    return error
