"""Scripted ears, mind and voice: each does what its script says, and records what it was asked.

A script that went wrong is reported by ``assert_complete()``: what a call raises becomes its envelope.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import anyio
import anyio.lowlevel

from patter.audio.mulaw import duration_ms
from patter.errors import PatterError
from patter.testing.line import ScriptedLine, word_audio
from patter.voice.base import Delta, Hearing, Message, Speech, ToolSpec

__all__ = [
    "MindRequest",
    "MindStep",
    "Pause",
    "ScriptedEars",
    "ScriptedMind",
    "ScriptedVoice",
    "UnexpectedRequest",
    "UnfinishedScript",
    "VoiceFault",
    "reply",
]


class UnexpectedRequest(AssertionError):
    """A double was asked for something that its script does not contain."""


class UnfinishedScript(AssertionError):
    """The call ended, and a script was not played to its end."""


@asynccontextmanager
async def _session(
    double: ScriptedEars | ScriptedVoice, open_s: float, error: PatterError | None
) -> AsyncIterator[None]:
    await anyio.sleep(open_s)
    if error is not None:
        raise error
    double.open_now += 1
    try:
        yield
    finally:
        double.open_now -= 1


class ScriptedEars:
    """Speech-to-text that hears what it is told.

    Args:
        line: whose answer the times count from.
        script: what is heard, and when it was spoken: seconds after the answer. An error is raised
            by the iteration at its time.
        delay_s: recognition time; each hearing comes so much after it was spoken.
        final_s: a final comes so much later still, unless the audio is finished: vendors wait to be sure.
        open_s, open_error: how long opening takes, and what it raises.
    """

    def __init__(
        self,
        line: ScriptedLine,
        script: Iterable[tuple[float, Hearing | PatterError]] = (),
        *,
        delay_s: float = 0.2,
        final_s: float = 0.3,
        open_s: float = 0.0,
        open_error: PatterError | None = None,
        model: str = "local/scripted-ears",
    ) -> None:
        self.model = model
        self.received_ms = 0.0
        """Audio that was handed over."""
        self.delivered: list[Hearing] = []
        self._opened = False
        self.open_now = 0
        self._line = line
        self._script = deque(sorted(script, key=lambda entry: entry[0]))
        self._delay_s = delay_s
        self._final_s = final_s
        self._open_s = open_s
        self._open_error = open_error
        self._finished: anyio.Event

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ScriptedEars]:
        """Open the session of the one call that the script is for."""
        if self._opened:
            raise UnexpectedRequest("The ears were opened a second time; a script serves one call.")
        self._opened = True
        self._finished = anyio.Event()
        async with _session(self, self._open_s, self._open_error):
            yield self

    async def send(self, audio: bytes) -> None:
        """Take audio."""
        await anyio.lowlevel.checkpoint()
        self.received_ms += duration_ms(audio)

    async def finish(self) -> None:
        """No more audio: what was spoken by now is still delivered, and nothing else."""
        now_s = self._line.now_s
        while self._script and self._script[-1][0] > now_s:
            self._script.pop()
        self._finished.set()

    def __aiter__(self) -> ScriptedEars:
        return self

    async def __anext__(self) -> Hearing:
        await self._line.answered.wait()
        while self._script:
            at_s, entry = self._script[0]
            is_final = isinstance(entry, Hearing) and entry.is_final
            wait_s = at_s + self._delay_s + self._final_s * (is_final and not self._finished.is_set())
            wait_s -= self._line.now_s
            if wait_s < 1e-9:
                self._script.popleft()
                if isinstance(entry, Hearing):
                    self.delivered.append(entry)
                    return entry
                raise entry
            if self._finished.is_set():
                await anyio.sleep(wait_s)
            else:
                with anyio.move_on_after(wait_s):
                    await self._finished.wait()
        await self._finished.wait()
        raise StopAsyncIteration

    def assert_complete(self) -> None:
        """Raise `UnfinishedScript`, naming them, if there are entries that were not delivered."""
        if self._script:
            rest = "; ".join(f"{at_s:g} s: {entry!r}" for at_s, entry in self._script)
            raise UnfinishedScript(f"The ears have not delivered {len(self._script)} entries: {rest}.")


@dataclass(frozen=True, slots=True)
class Pause:
    """The mind writes nothing for so long."""

    seconds: float


Piece = Delta | Pause | Exception
Expected = str | re.Pattern[str] | Callable[[Sequence[Message]], bool]


@dataclass(frozen=True, slots=True)
class MindStep:
    """One answer of the mind.

    ``expect`` is what the last user message must be: a text, a pattern to be found in it, or a
    predicate on all the messages. None takes whatever comes.
    """

    pieces: tuple[Piece, ...]
    expect: Expected | None = None


def reply(*pieces: Piece, expect: Expected | None = None) -> MindStep:
    """One answer of the mind, piece by piece: texts, tool calls, usage, pauses, and an error to raise."""
    return MindStep(pieces, expect)


@dataclass(frozen=True, slots=True)
class MindRequest:
    """What the mind was asked, ``at`` in seconds of the loop's clock."""

    at: float
    messages: tuple[Message, ...]
    tools: tuple[str, ...]

    @property
    def last_user(self) -> str | None:
        """What the callee said last."""
        return next((message.content for message in reversed(self.messages) if message.role == "user"), None)


class ScriptedMind:
    """A chat model that answers with one step of its script per request.

    Args:
        steps: the answers in order; a plain text is an answer of one piece.
        first_token_s: how long each answer takes to begin.
        speculative: whether it may be asked before the callee's turn is certainly over.
    """

    def __init__(
        self,
        steps: Iterable[str | MindStep] = (),
        *,
        first_token_s: float = 0.2,
        model: str = "local/scripted-mind",
        speculative: bool = True,
    ) -> None:
        self.model = model
        self.speculative = speculative
        self.requests: list[MindRequest] = []
        self.abandoned: list[int] = []
        """Numbers, from 0, of the requests whose answer was left before its end."""
        self._steps = [step if isinstance(step, MindStep) else MindStep((step,)) for step in steps]
        self._first_token_s = first_token_s
        self._unexpected: UnexpectedRequest | None = None

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        """Answer with the next step."""
        number = len(self.requests)
        request = MindRequest(anyio.current_time(), tuple(messages), tuple(tool.name for tool in tools))
        self.requests.append(request)
        answer = _Answer(self._step(number, request), self._first_token_s)
        try:
            yield answer
        finally:
            if not answer.over:
                self.abandoned.append(number)

    def assert_complete(self) -> None:
        """Raise `UnexpectedRequest` if a request had no step or did not match it, `UnfinishedScript` for steps left."""
        if self._unexpected is not None:
            raise self._unexpected
        if rest := self._steps[len(self.requests) :]:
            steps = "; ".join(repr(step) for step in rest)
            raise UnfinishedScript(f"The mind was not asked for {len(rest)} of {len(self._steps)} steps: {steps}.")

    def _step(self, number: int, request: MindRequest) -> MindStep:
        step = self._steps[number] if number < len(self._steps) else None
        if step is not None and (step.expect is None or _matches(step.expect, request)):
            return step
        expects = f"the script ends after {number}" if step is None else f"its step expects {step.expect!r}"
        error = UnexpectedRequest(f"Request {number + 1} came after the callee said {request.last_user!r}; {expects}.")
        self._unexpected = self._unexpected or error
        raise error


def _matches(expect: Expected, request: MindRequest) -> bool:
    if callable(expect):
        return expect(request.messages)
    last_user = request.last_user or ""
    return last_user == expect if isinstance(expect, str) else expect.search(last_user) is not None


class _Answer:
    def __init__(self, step: MindStep, first_token_s: float) -> None:
        self.over = False
        self._pieces: deque[Piece] = deque([Pause(first_token_s), *step.pieces])

    def __aiter__(self) -> _Answer:
        return self

    async def __anext__(self) -> Delta:
        while self._pieces:
            piece = self._pieces.popleft()
            if isinstance(piece, Pause):
                await anyio.sleep(piece.seconds)
            elif isinstance(piece, Exception):
                self.over = True
                raise piece
            else:
                return piece
        self.over = True
        raise StopAsyncIteration


@dataclass(frozen=True, slots=True)
class VoiceFault:
    """An error in utterance number ``utterance``, counted from 1, after so many of its words."""

    utterance: int
    error: Exception
    after_words: int = 0


class ScriptedVoice:
    """Text-to-speech in which every word takes the same time, with audio of `word_audio`.

    Args:
        word_ms: length of a word.
        first_audio_s: time from a clause to its first audio; the rest follows at once.
        per: one `Speech` for each word, or for each clause.
        faults: errors in the middle of utterances.
        open_s, open_error: how long opening takes, and what it raises.
    """

    def __init__(
        self,
        *,
        word_ms: int = 300,
        first_audio_s: float = 0.15,
        per: Literal["word", "clause"] = "word",
        faults: Iterable[VoiceFault] = (),
        open_s: float = 0.0,
        open_error: PatterError | None = None,
        model: str = "local/scripted-voice",
    ) -> None:
        self.model = model
        self.utterances: list[list[str]] = []
        """The clauses of each."""
        self.open_now = 0
        self._word_ms = word_ms
        self._first_audio_s = first_audio_s
        self._per = per
        self.faults = list(faults)
        self._open_s = open_s
        self._open_error = open_error

    @property
    def texts(self) -> list[str]:
        """Every clause it was given, in order."""
        return [clause for utterance in self.utterances for clause in utterance]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ScriptedVoice]:
        """Open a session."""
        async with _session(self, self._open_s, self._open_error):
            yield self

    @asynccontextmanager
    async def utter(self) -> AsyncIterator[_Utterance]:
        """Begin an utterance."""
        await anyio.lowlevel.checkpoint()
        clauses: list[str] = []
        self.utterances.append(clauses)
        number = len(self.utterances)
        yield _Utterance(self, clauses, next((fault for fault in self.faults if fault.utterance == number), None))

    def assert_complete(self) -> None:
        """Raise `UnfinishedScript`, naming them, if there are faults that have not happened."""
        if self.faults:
            rest = "; ".join(repr(fault) for fault in self.faults)
            raise UnfinishedScript(f"The voice has {len(self.faults)} faults left: {rest}.")

    async def synthesise(self, clause: str) -> list[Speech]:
        """The speech of a clause, when it is ready."""
        await anyio.sleep(self._first_audio_s)
        words = clause.split()
        audio = [word_audio(word, self._word_ms) for word in words]
        if self._per == "clause":
            return [Speech(b"".join(audio), clause)]
        return [Speech(sound, word) for sound, word in zip(audio, words, strict=True)]


class _Utterance:
    def __init__(self, voice: ScriptedVoice, record: list[str], fault: VoiceFault | None) -> None:
        self._voice = voice
        self._record = record
        self._fault = fault
        self._clauses: deque[str] = deque()
        self._pieces: deque[Speech] = deque()
        self._words = 0
        self._finished = False
        self._news = anyio.Event()

    async def say(self, text: str) -> None:
        await anyio.lowlevel.checkpoint()
        self._record.append(text)
        self._clauses.append(text)
        self._news.set()

    async def finish(self) -> None:
        await anyio.lowlevel.checkpoint()
        self._finished = True
        self._news.set()

    def __aiter__(self) -> _Utterance:
        return self

    async def __anext__(self) -> Speech:
        while not self._pieces:
            if self._clauses:
                self._pieces += await self._voice.synthesise(self._clauses.popleft())
            elif self._finished:
                self._check_fault(last=True)
                raise StopAsyncIteration
            else:
                self._news = anyio.Event()
                await self._news.wait()
        self._check_fault(last=False)
        piece = self._pieces.popleft()
        self._words += len(piece.text.split())
        return piece

    def _check_fault(self, *, last: bool) -> None:
        if self._fault is not None and (last or self._words >= self._fault.after_words):
            self._voice.faults.remove(self._fault)
            raise self._fault.error
