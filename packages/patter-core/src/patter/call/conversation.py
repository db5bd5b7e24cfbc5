"""The conversation on one line: hears the callee, asks the floor, gives the agent's answers.

Every task of a conversation lives in its one task group. Facts arrive in one inbox and are handled
one after another, so the floor, the transcript and the mouth are never touched by two tasks at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio

from patter.agent import Agent
from patter.call import floor as decisions
from patter.call import prompt
from patter.call.floor import Floor
from patter.call.inbox import Fact, MachineFound, News, NotHandedOver, Tidings, TurnOver
from patter.call.intake import Beeped, EarsFailed, Intake, VoiceChange
from patter.call.intents import TransferWish
from patter.call.meter import Meter, TurnClock
from patter.call.mouth import Tap
from patter.call.sessions import Sessions
from patter.call.speaker import Speaker
from patter.call.toolbox import CallTools
from patter.call.transcript import Line as TranscriptEntry
from patter.call.transcript import Transcript
from patter.call.turn import Recital, Reply
from patter.call.turns import Turns
from patter.call.voicemail import Voicemail
from patter.carriers.base import Digits, Line, Stopped, TransferResult
from patter.envelope import CallError, Ending, EndReason
from patter.errors import LineError, ProviderError
from patter.tasks import first_error
from patter.voice.base import Hearing

__all__ = ["Conversation"]

_MOST_NEWS = 200
"""So much a program outside may say, note and ask for in one call: all of it costs money, and fills the history."""


class Conversation:
    """Runs from the moment the line is there until somebody ends the call.

    Args:
        line: the media connection; the conversation pumps it, its owner closes it.
        sessions: ears, mind and voice of the call; their owner closes them.
        opening: what the agent says first, or None to let the mind find the words.
        first_note: what the mind is told then, if nobody has spoken.
        emit: takes progress events, as keyword arguments after the type.
        hand_over: transfers the call, see `patter.call.transfer.Transfers.run`.
        tap: somebody who listens in.
    """

    def __init__(
        self,
        *,
        agent: Agent,
        system: str,
        line: Line,
        sessions: Sessions,
        tools: CallTools,
        transcript: Transcript,
        meter: Meter,
        opening: Recital | None,
        first_note: str,
        emit: Callable[..., None],
        hand_over: Callable[..., Awaitable[TransferResult]],
        tap: Tap | None = None,
    ) -> None:
        self._agent = agent
        self._line = line
        self._sessions = sessions
        self._tools = tools
        self._transcript = transcript
        self._first_note = first_note
        self._emit = emit
        self._hand_over = hand_over
        self._tidings = Tidings(transcript)
        self._news_left = _MOST_NEWS
        self._facts, self._inbox = anyio.create_memory_object_stream[Fact](4096)
        self._floor = Floor(agent.timing, anyio.current_time())
        self._speaker = Speaker(
            line,
            Turns(agent, system, sessions, tools, transcript, meter, emit=emit),
            self._floor,
            transcript,
            agent.timing,
            opening=opening,
            starts=agent.timing.early_starts if getattr(agent.llm, "speculative", True) else 0,
            tell=self._facts.send_nowait,
            emit=emit,
            tap=tap,
        )
        self._intake = Intake(
            line,
            sessions.ears,
            hold_after_ms=agent.timing.hold_after_ms,
            meter=meter,
            tell=self._facts.send_nowait,
            on_mark=self._speaker.mouth.ack,
            tap=tap,
        )
        self._yielding = False
        self._voicemail: Voicemail | None = None

    async def run(self) -> Ending:
        """Talk until the call ends; how it ended.

        Raises:
            ProviderError: the voice failed for good.
            LineError: the line broke.
        """
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                self._speaker.open(tasks)
                for service in (self._line.pump, *self._intake.services):
                    tasks.start_soon(service)
                on_machine = self.machine_answered if self._agent.voicemail_message else None
                self._tools.open(tasks, on_closing=self._keep_floor, on_machine=on_machine, on_news=self.tell)
                ending = await self._talk()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        except anyio.get_cancelled_exc_class():
            if self._tools.intents.under_way is None:  # else the caller may be with somebody else by now
                with anyio.CancelScope(shield=True):
                    await self._speaker.break_off(anyio.current_time())
            raise
        finally:
            self._speaker.silence(anyio.current_time())
            self._intake.close()
            self._facts.close()
            self._inbox.close()
        return ending

    def machine_answered(self) -> None:
        """An answering machine has picked up: leave the agent's ``voicemail_message`` after its beep."""
        now = anyio.current_time()
        if self._voicemail is not None or self._tools.intents.closing:
            return
        self._speaker.silence(now)
        self._speaker.opening = None
        self._speaker.drafts.drop()
        self._floor.closing()
        self._intake.listen_for_beep()
        self._voicemail = Voicemail(self._agent.timing, now, is_speaking=self._intake.voice_is_on)
        self._facts.send_nowait(MachineFound())

    def tell(self, news: News) -> None:
        """Let the agent know of something new."""
        self._facts.send_nowait(news)

    def hear_of(self, news: News) -> bool:
        """The same from outside the phone; False if the conversation is over, or has had enough of it."""
        if self._news_left == 0:
            return False
        self._news_left -= 1
        try:
            self._facts.send_nowait(news)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return False
        return True

    async def play(self, audio: bytes) -> None:
        """Play tones in the agent's turn. If the other side has taken the floor, nothing is played."""
        await self._speaker.play(audio)

    async def flush(self) -> None:
        """After the end: wait for the words that the ears still owe, and enter them."""
        await self._sessions.ears.finish()
        async for hearing in self._sessions.ears:
            if decisions.Retract() in self._hear(hearing):
                self._transcript.retract()

    def close(self, now: float) -> None:
        """Enter what the callee said last and nobody answered."""
        if (rest := self._floor.rest(now)) is not None:
            self._user_line(rest.text, rest.started_at, rest.ended_at)

    # --- the loop ------------------------------------------------------------------------------

    async def _talk(self) -> Ending:
        while True:
            fact = await self._next_fact()
            now = anyio.current_time()
            if isinstance(fact, Stopped):
                return self._stopped(fact)
            if isinstance(fact, TurnOver):
                if (ending := await self._turn_over(fact, now)) is not None:
                    return ending
            elif fact is not None:
                await self._take(fact, now)
            await self._act(self._floor.due(now), now)
            if self._voicemail is not None and now >= self._voicemail.wake_at() - 1e-6:
                self._leave_message()
            self._speaker.think_ahead()

    async def _take(self, fact: Fact, now: float) -> None:
        match fact:
            case Hearing():
                await self._act(self._hear(fact), now)
            case VoiceChange(on):
                if self._voicemail is not None:
                    self._voicemail.voice(on, now)
                await self._act(self._floor.voice(on, now), now)
            case Digits(digits):
                self._emit("digits", digits=digits)
                self._transcript.digits += digits
                self._transcript.note(prompt.keys_pressed(digits))
            case EarsFailed(error):
                await self._fail(error, now)
            case News():
                self._tidings.take(fact)
                self._tell_news()
            case NotHandedOver(status):
                self._tools.intents.under_way, self._floor.awaits_somebody = None, False
                if not self._tools.intents.closing:
                    self._floor.reopen(now)
                await self._take(News(prompt.transfer_failed(status)), now)
            case Beeped() if self._voicemail is not None:
                self._voicemail.beeped(now)

    async def _next_fact(self) -> Fact | None:
        wake_at = self._voicemail.wake_at() if self._voicemail is not None else self._floor.wake_at()
        if wake_at is None:
            return await self._inbox.receive()
        with anyio.move_on_after(max(wake_at - anyio.current_time(), 0)):
            return await self._inbox.receive()
        return None

    def _stopped(self, stopped: Stopped) -> Ending:
        if not stopped.clean:
            raise LineError(stopped.reason or "the media connection broke")
        # Whoever hangs up during the goodbye does not change what the call came to.
        ending = self._tools.intents.ending
        return Ending(EndReason.USER_HANGUP) if ending.reason is EndReason.AGENT_HANGUP else ending

    def _hear(self, hearing: Hearing) -> Sequence[decisions.Decision]:
        now = anyio.current_time()
        taken = self._floor.hear(hearing, now, ended_at=self._intake.end_of_words(hearing, now))
        if self._floor.pending:
            self._emit("hearing", text=self._floor.pending)
        return taken

    async def _act(self, taken: Sequence[decisions.Decision], now: float) -> None:
        for decision in taken:
            match decision:
                case decisions.Hold():
                    self._speaker.mouth.hold()
                case decisions.Resume(aside):
                    self._speaker.mouth.resume()
                    if aside is not None:
                        self._user_line(aside.text, aside.started_at, aside.ended_at)
                case decisions.Yield():
                    self._yielding = True
                    self._tools.interrupted()
                    await self._speaker.break_off(now)
                    self._yielding = False
                case decisions.Retract():
                    self._tools.interrupted()
                    self._speaker.silence(now)
                    self._transcript.retract()
                    self._emit("retract")
                case decisions.Commit(text, started_at, ended_at):
                    clock = TurnClock(ended_at, committed=now)
                    draft = self._speaker.drafts.adopt(text, self._transcript.version, clock)
                    self._user_line(text, started_at, ended_at, now=now)
                    self._answer(clock, draft)
                case decisions.Open():
                    if self._speaker.opening is None:
                        self._transcript.note(self._first_note)
                    self._answer(None)
                case decisions.Nudge():
                    self._transcript.note(prompt.SILENCE)
                    self._answer(None)
                case decisions.GiveUp():
                    self._transcript.note(prompt.GIVE_UP)
                    self._answer(None, closing=True)

    def _keep_floor(self) -> bool:
        """Let the agent close the call, unless the callee has taken the floor from the turn that wants it."""
        if self._speaker.turn is None or self._yielding:
            return False
        self._floor.closing()
        self._speaker.mouth.resume()
        return True

    # --- the agent's turns ---------------------------------------------------------------------

    def _answer(self, clock: TurnClock | None, draft: Reply | None = None, *, closing: bool = False) -> None:
        if self._speaker.opening is None:  # else the mind is not asked yet
            self._tidings.answered()
        self._speaker.answer(clock, draft, closing=closing)

    async def _turn_over(self, over: TurnOver, now: float) -> Ending | None:
        if self._speaker.drafts.over(over.turn) or over.turn is not self._speaker.turn:
            return None  # it was interrupted while its last fact was on the way
        if over.error is not None:
            await self._speaker.break_off(now)
            if over.error.stage == "tts":
                raise over.error
            await self._fail(over.error, now)
            return None
        self._speaker.silence(now, interrupted=False)
        self._floor.done(now)
        if self._tools.intents.closing or over.turn.closing:
            return self._tools.intents.ending
        if (wish := self._tools.intents.take_transfer()) is not None:
            self._floor.awaits_somebody = True
            self._tasks.start_soon(self._transfer, wish)
            if wish.mode == "cold":
                return None  # the caller is taken away at once
            self._floor.reopen(now)
        self._tell_news()
        under_way = self._tools.intents.under_way
        if under_way and under_way.hold_music and self._speaker.turn is None and not self._floor.pending:
            self._speaker.play_music()
        return None

    async def _transfer(self, wish: TransferWish) -> None:
        result = await self._hand_over(**wish.order())
        if result.status != "transferred":  # else the call has ended
            self._facts.send_nowait(NotHandedOver(result.status))

    def _tell_news(self) -> None:
        if not self._tidings.are_due or self._floor.pending or self._speaker.opening is not None:
            return
        if self._speaker.plays_music:
            self._speaker.silence(anyio.current_time())
        if self._speaker.turn is not None:
            return
        if (text := self._tidings.next_text()) is None:
            self._answer(None)
        else:
            self._speaker.say(text)

    async def _fail(self, error: ProviderError, now: float) -> None:
        """Ears or mind are gone for good: apologise, and end the call. Leaving a message needs neither."""
        if self._tools.intents.closing or self._voicemail is not None:
            return
        self._tools.intents.close(
            Ending(EndReason.PIPELINE_ERROR, CallError(code=f"{error.stage}_error", message=str(error)))
        )
        await self._speaker.break_off(now)
        self._speaker.say(prompt.APOLOGY, closing=True)

    def _leave_message(self) -> None:
        self._voicemail = None
        self._tools.intents.close(Ending(EndReason.VOICEMAIL))
        self._speaker.say(self._agent.voicemail_message or "", closing=True)

    def _user_line(self, text: str, started_at: float, ended_at: float, *, now: float | None = None) -> None:
        self._intake.take(anyio.current_time())
        self._transcript.add(TranscriptEntry("user", text, started_at, ended_at))
        waited: dict[str, Any] = {} if now is None else {"waited_ms": round((now - ended_at) * 1000, 1)}
        self._emit("user", text=text, **waited)
