"""Who has the right to speak now: turn-taking, barge-in and silence.

The floor is told facts with their time and answers with decisions. It has no clock: `wake_at` says
when to come back even if nothing happens. Barge-in has two stages: the callee's voice makes the agent
*hold* (stop feeding audio, keep what is buffered), enough words make it *yield*; without words it
goes on. Words decide because phone lines are noisy and people say "mhm".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from patter.settings import Timing
from patter.voice.base import EndOfSpeech, Hearing

__all__ = ["Commit", "Decision", "Floor", "GiveUp", "Hold", "Nudge", "Open", "Resume", "Retract", "Yield"]

_STOP_WORDS = frozenset({"stop", "wait", "no"})
_LATE_FINAL_S = 2.0
_WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True, slots=True)
class Open:
    """Nobody said hello: the agent speaks first."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Stop feeding audio."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on feeding audio. ``aside`` is what the callee put in without taking the floor, if anything."""

    aside: Commit | None


@dataclass(frozen=True, slots=True)
class Yield:
    """The callee has taken the floor: be silent at once."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The callee's turn is over. ``ended_at`` is when the speech ended."""

    text: str
    started_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class Retract:
    """The callee went on before the agent could be heard: forget the last `Commit`, a longer one follows."""


@dataclass(frozen=True, slots=True)
class Nudge:
    """Long silence: ask whether the callee is there."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The nudges went unanswered: say goodbye."""


Decision = Open | Hold | Resume | Yield | Commit | Retract | Nudge | GiveUp


class _Agent(Enum):
    WAITING = auto()
    """Before its first word."""
    LISTENING = auto()
    THINKING = auto()
    SPEAKING = auto()
    PLAYING = auto()
    """Plays music to a callee who waits: noise interrupts it as it does speech, and any word takes the floor."""
    CLOSING = auto()
    """Says goodbye; what the callee says is heard and not acted on."""


_SOUNDING = (_Agent.SPEAKING, _Agent.PLAYING)


class Floor:
    """The turn-taking of one conversation, from the answer at time ``now``."""

    def __init__(self, timing: Timing, now: float) -> None:
        self.awaits_somebody = False
        """True while the callee waits for somebody else: silence is no reason to speak then."""
        self._timing = timing
        self._agent = _Agent.WAITING
        self._answered_at = now
        self._quiet_since = now
        self._nudges = 0
        self._finals: list[str] = []
        self._interim = ""
        self._end = EndOfSpeech.NONE
        self._started_at = now
        self._word_at = now
        self._voice_began_at: float | None = None
        self._voice_on = False
        self._voice_changed_at: float | None = None
        self._held_at: float | None = None
        self._committed: Commit | None = None
        self._late_final_until = 0.0

    # --- facts ---------------------------------------------------------------------------------

    def voice(self, on: bool, now: float) -> list[Decision]:
        """The callee's voice began (after `Timing.hold_after_ms` of it) or ended."""
        if on and not self._voice_on:
            self._voice_began_at = now
        self._voice_on = on
        self._voice_changed_at = now
        if on and self._agent in _SOUNDING and self._held_at is None:
            self._held_at = now
            return [Hold()]
        return []

    def hear(self, hearing: Hearing, now: float, *, ended_at: float | None = None) -> list[Decision]:
        """The ears understood something; ``ended_at`` is when its last word ended, if that is known."""
        text = hearing.text.strip()
        is_late = hearing.is_final and now < self._late_final_until
        self._late_final_until = 0.0
        if is_late:
            return []  # the final of a piece that was committed as an interim
        if not text:
            self._interim = "" if hearing.is_final else self._interim
            self._end = hearing.end if self._finals else self._end
            return []
        decisions = self._take(text, hearing, now if ended_at is None else ended_at)
        if self._agent in _SOUNDING:
            if self._takes_floor():
                self._agent, self._held_at = _Agent.LISTENING, None
                decisions.append(Yield())
            elif self._held_at is not None:
                self._held_at = now
        return decisions

    def thinking(self) -> None:
        """The agent prepares an answer."""
        self._agent = _Agent.THINKING

    def speaking(self) -> None:
        """The agent's first audio is on its way."""
        if self._agent is not _Agent.CLOSING:
            self._agent = _Agent.SPEAKING
            self._committed = None

    def playing(self) -> None:
        """Music is on its way."""
        if self._agent is not _Agent.CLOSING:
            self._agent, self._held_at = _Agent.PLAYING, None

    def done(self, now: float) -> None:
        """The agent has nothing more to say, and it was played."""
        if self._agent is not _Agent.CLOSING:
            self._agent, self._held_at = _Agent.LISTENING, None
            self._committed = None
            self._quiet_since = now

    def closing(self) -> None:
        """From now on the agent keeps the floor."""
        self._agent, self._held_at = _Agent.CLOSING, None

    def reopen(self, now: float) -> None:
        """The agent keeps the floor no longer: the call goes on, and what was said in the meantime is acted on."""
        if self._agent is _Agent.CLOSING:
            self._agent, self._quiet_since = _Agent.LISTENING, now

    @property
    def pending(self) -> str:
        """What the callee has said of a turn that is not over, as far as it was understood."""
        return self._text()

    @property
    def ready(self) -> str | None:
        """What the callee has said, if the turn is probably over: the mind may begin to think about it."""
        if self._agent not in (_Agent.WAITING, _Agent.LISTENING):
            return None
        if self._end is not EndOfSpeech.EAGER:
            goes_on = self._voice_on and self._end is not EndOfSpeech.PAUSE
            if self._interim or goes_on:
                return None
        return self._text() or None

    def rest(self, now: float) -> Commit | None:
        """What the callee said and no turn has taken, at the end of the conversation."""
        return self._commit(now) if self._text() else None

    # --- decisions that time brings ------------------------------------------------------------

    def wake_at(self) -> float | None:
        """When `due` may have something to say, if nothing happens before."""
        if self._agent in _SOUNDING:
            return None if self._held_at is None else self._held_at + self._timing.resume_after_s
        if self._agent in (_Agent.THINKING, _Agent.CLOSING):
            return None
        if self._text():
            return self._turn_ends_at()
        if self._agent is _Agent.WAITING:
            return self._opens_at()
        return None if self.awaits_somebody else self._quiet_since + self._timing.nudge_after_s

    def due(self, now: float) -> list[Decision]:
        """What has to be done because of the time."""
        wake = self.wake_at()
        # Timers fire a hair early on some clocks; a hair is no reason to sleep once more.
        if wake is None or now < wake - 1e-6:
            return []
        if self._agent in _SOUNDING:
            self._held_at = None
            aside = Commit(" ".join(self._finals), self._started_at, self._word_at) if self._finals else None
            self._finals.clear()
            return [Resume(aside)]
        if self._text():
            return [self._commit(now)]
        if self._agent is _Agent.WAITING:
            return [Open()]
        self._quiet_since = now
        self._nudges += 1
        return [Nudge() if self._nudges <= self._timing.nudges else GiveUp()]

    # --- the rules -----------------------------------------------------------------------------

    def _take(self, text: str, hearing: Hearing, ended_at: float) -> list[Decision]:
        decisions: list[Decision] = []
        if self._agent is _Agent.THINKING and self._committed is not None:
            self._finals.insert(0, self._committed.text)
            self._started_at = self._committed.started_at
            self._committed = None
            self._agent = _Agent.LISTENING
            decisions.append(Retract())
        elif self._agent is _Agent.THINKING:
            self._agent = _Agent.LISTENING
            decisions.append(Yield())
        if not self._text():
            self._started_at = self._speech_began(ended_at)
        if hearing.is_final:
            self._finals.append(text)
            self._interim = ""
        else:
            self._interim = text
        self._end = hearing.end
        self._word_at = ended_at
        self._nudges = 0
        return decisions

    def _speech_began(self, ended_at: float) -> float:
        """When the voice of the words that ended then began; a noise of long ago is not theirs."""
        if self._voice_began_at is None or self._voice_changed_at is None:
            return ended_at
        if not self._voice_on and ended_at - self._voice_changed_at > _LATE_FINAL_S:
            return ended_at
        return min(ended_at, self._voice_began_at)

    def _text(self) -> str:
        return " ".join([*self._finals, self._interim] if self._interim else self._finals)

    def _takes_floor(self) -> bool:
        if self._agent is _Agent.PLAYING:
            return True
        words = [word.lower() for word in _WORD.findall(self._text())]
        return len(words) >= self._timing.yield_words or any(word in _STOP_WORDS for word in words)

    def _turn_ends_at(self) -> float:
        latest = self._word_at + self._timing.end_of_turn_max_s
        if self._end is EndOfSpeech.TURN:
            return self._word_at
        if self._interim or self._voice_on:
            return latest
        marked = self._end is EndOfSpeech.PAUSE
        wait = self._timing.end_of_turn_marked_s if marked else self._timing.end_of_turn_s
        return min(self._word_at + wait, latest)

    def _opens_at(self) -> float:
        opens_at = self._answered_at + self._timing.hello_wait_s
        if self._voice_on:  # somebody is saying hello
            return opens_at + self._timing.end_of_turn_max_s
        if self._voice_changed_at is not None:  # somebody has, and the words are on their way
            return max(opens_at, self._voice_changed_at + self._timing.resume_after_s)
        return opens_at

    def _commit(self, now: float) -> Commit:
        commit = Commit(self._text(), self._started_at, min(self._word_at, now))
        if self._interim:
            self._late_final_until = now + _LATE_FINAL_S
        self._finals.clear()
        self._interim = ""
        self._end = EndOfSpeech.NONE
        self._committed = commit
        self._quiet_since = now
        self._voice_began_at = None  # the next words belong to a voice yet to come
        return commit
