"""The agent's side of a conversation: gives its turns, one at a time, and writes down what was heard of each."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from patter.call.draft import Drafts
from patter.call.floor import Floor
from patter.call.hold import HoldMusic
from patter.call.inbox import TurnOver
from patter.call.meter import TurnClock
from patter.call.mouth import Mouth, Tap
from patter.call.transcript import Transcript
from patter.call.turn import Recital, Reply, Turn
from patter.call.turns import Turns
from patter.carriers.base import Line
from patter.errors import ProviderError
from patter.settings import Timing
from patter.tasks import first_error

__all__ = ["Speaker"]


class Speaker:
    """Belongs to the conversation's loop: nobody else calls it.

    Args:
        opening: what the agent says first, or None to let the mind find the words.
        starts: how often the mind may begin to answer a turn that is probably over.
        tell: takes the fact that a turn has come to its end by itself.
        emit: takes progress events, as keyword arguments after the type.
    """

    def __init__(
        self,
        line: Line,
        turns: Turns,
        floor: Floor,
        transcript: Transcript,
        timing: Timing,
        *,
        opening: Recital | None,
        starts: int,
        tell: Callable[[TurnOver], None],
        emit: Callable[..., None],
        tap: Tap | None,
    ) -> None:
        self.opening = opening
        self.turn: Turn | None = None
        self.mouth = Mouth(line, timing, on_audio=self._first_audio, tap=tap)
        self.drafts = Drafts(starts=starts, begin=self._begin_draft)
        self._turns = turns
        self._floor = floor
        self._transcript = transcript
        self._tell = tell
        self._emit = emit
        self._tasks: TaskGroup

    def open(self, tasks: TaskGroup) -> None:
        """Say where turns run."""
        self._tasks = tasks

    @property
    def plays_music(self) -> bool:
        """True while a caller who waits hears music."""
        return isinstance(self.turn, HoldMusic)

    # --- what it says --------------------------------------------------------------------------

    def think_ahead(self) -> None:
        """Begin an answer if the callee's turn is probably over; drop one that answers something else."""
        ready = self._floor.ready if self.opening is None else None
        self.drafts.follow(self._floor.pending, ready, self._transcript.version)

    def answer(self, clock: TurnClock | None, draft: Reply | None = None, *, closing: bool = False) -> None:
        """Answer what stands in the transcript, or say the opening if it was not said yet."""
        if self.opening is not None:
            opening, self.opening = self.opening, None
            self._give(opening)  # not an answer: its latency does not count
        elif draft is not None:
            self._give(draft, is_running=True)
        else:
            self._give(self._turns.reply(clock, closing=closing))

    def say(self, text: str, *, closing: bool = False) -> None:
        """Say a fixed text; with ``closing``, the call ends when it was played."""
        self._give(self._turns.recital(text, closing=closing))

    def play_music(self) -> None:
        """Play music until something else is said or heard."""
        self._give(self._turns.hold_music())

    async def play(self, audio: bytes) -> None:
        """Play tones in the current turn. If there is none, nothing is played."""
        if self.turn is not None:
            await self.turn.play(audio, self.mouth)

    # --- how it ends ---------------------------------------------------------------------------

    async def break_off(self, now: float) -> None:
        """Be silent as soon as it is certain which word was heard last."""
        self.mouth.hold()
        await anyio.sleep_until(self.mouth.playout.cut_at(now))
        self.silence(anyio.current_time())

    def silence(self, now: float, *, interrupted: bool = True) -> None:
        """End the current turn here: nothing more is played, and what was heard is written down."""
        turn, self.turn = self.turn, None
        if turn is None:
            return
        if isinstance(turn, Recital) and turn.speech is not None and turn.started_at is None:
            self.opening = turn.again()  # the greeting was not heard yet: it is still due
        heard_ms = round(self.mouth.playout.position_ms(now))
        heard = self.mouth.cut(now)
        turn.stop()
        line = turn.line(heard, heard_ms, now, interrupted=interrupted)
        if line is not None:
            self._transcript.add(line)
            self._emit("agent", text=heard, interrupted=line.interrupted, latency_ms=turn.latency_ms)

    # --- inside --------------------------------------------------------------------------------

    def _begin_draft(self, text: str, clock: TurnClock) -> Reply:
        reply = self._turns.reply(clock, heard=text)
        self._tasks.start_soon(self._run, reply)
        return reply

    def _give(self, turn: Turn, *, is_running: bool = False) -> None:
        self.drafts.drop()
        self.turn = turn
        self.mouth.reset()
        if turn.closing:
            self._floor.closing()
        elif self.plays_music:
            self._floor.playing()
        else:
            self._floor.thinking()
        turn.confirm()
        if not is_running:
            self._tasks.start_soon(self._run, turn)

    async def _run(self, turn: Turn) -> None:
        error: ProviderError | None = None
        with turn.scope:
            try:
                await turn.run(self._turns.voice, self.mouth)
            except* ProviderError as group:
                first = first_error(group)
                error = first if isinstance(first, ProviderError) else None
            self._tell(TurnOver(turn, error))

    def _first_audio(self, now: float) -> None:
        assert self.turn is not None
        self.turn.sounds(now)
        if not self.plays_music:
            self._floor.speaking()
            self._emit("speaking", latency_ms=self.turn.latency_ms)
