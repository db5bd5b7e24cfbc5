"""A line in memory: plays what it is given, echoes marks, and lets a scripted callee speak.

Audio that `word_audio` made carries its word, so that the line can tell word for word what the callee
has heard. That audio is for counting, not for listening.
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Literal

import anyio
import anyio.lowlevel

from patter.audio.mulaw import BYTES_PER_MS, duration_ms
from patter.carriers.base import LineEvent, Mark, Stopped

__all__ = ["HeardWord", "ScriptedLine", "Sent", "word_audio"]

_SEND_S = 2.0
_HAIR_S = 1e-9
"""Less than this is no time, but what rounding has left."""
_WORD = re.compile(rb"\x02(\d+):([^\x02\x03]*)\x03N*")


@dataclass(frozen=True, slots=True)
class Sent:
    """Something that was sent to the carrier, ``at_s`` after the answer; ``name`` is a mark's."""

    kind: Literal["media", "mark", "clear"]
    at_s: float
    audio: bytes = b""
    name: str = ""


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word that was played to its last millisecond, from ``at_s`` to ``until_s`` after the answer."""

    text: str
    at_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class _Played:
    start: float
    audio: bytes

    @property
    def end(self) -> float:
        return self.start + duration_ms(self.audio) / 1000


def word_audio(word: str, ms: int) -> bytes:
    """Audio of ``ms`` milliseconds that carries its word. `ScriptedLine` and nobody else understands it."""
    head = b"\x02%d:%s\x03" % (ms, word.encode())
    return head.ljust(ms * BYTES_PER_MS, b"N")[: ms * BYTES_PER_MS]


class ScriptedLine:
    """The media connection of one call, as a `patter.carriers.base.Line`. It serves once.

    Sent audio reaches the carrier at once and is played at 1x after what was sent before. A mark comes
    back when the audio before it was played; ``clear`` drops what was not, and brings every pending
    mark back at once.

    Args:
        events: what happens at the callee's end, with its time in seconds after the answer.
        rtt_s: a mark comes back so much later.
        lose_marks: numbers of marks, counted from 1, that never come back.
        stall: seconds after the answer from and until which the carrier reads nothing. After 2 s of
            it the line is over.
    """

    def __init__(
        self,
        events: Iterable[tuple[float, LineEvent]] = (),
        *,
        rtt_s: float = 0.0,
        lose_marks: Container[int] = (),
        stall: tuple[float, float] | None = None,
    ) -> None:
        self.sent: list[Sent] = []
        self.answered = anyio.Event()
        """Set when the line is there; times count from then."""
        self.over = anyio.Event()
        self.closed = False
        """True once its owner has closed it."""
        self._script = list(events)
        self._rtt_s = rtt_s
        self._lose_marks = lose_marks
        self._stall = stall
        self._start = 0.0
        self._coming: list[tuple[float, int, LineEvent]] = []
        self._count = 0
        self._marks = 0
        self._news = anyio.Event()
        self._queue: list[Sent] = []
        self._work = anyio.Event()
        self._pumping = False
        self._played: list[_Played] = []
        self._stopped: Stopped | None = None
        self._silent_at = math.inf

    # --- what the call does --------------------------------------------------------------------

    def play(self, audio: bytes) -> None:
        """Queue audio to be played after all that was queued before."""
        if audio:
            self._put(Sent("media", self.now_s, audio))

    def mark(self, name: str) -> None:
        """Ask to be told when everything queued so far was played."""
        self._put(Sent("mark", self.now_s, name=name))

    def clear(self) -> None:
        """Drop what is not played, and bring back every pending mark."""
        self._queue = [entry for entry in self._queue if entry.kind != "media"]
        self._put(Sent("clear", self.now_s))

    async def pump(self) -> None:
        """Send the queue until the line is over."""
        self.answer()
        self._pumping = True
        try:
            while self._stopped is None:
                if not self._queue:
                    self._work = anyio.Event()
                    await self._work.wait()
                elif stalled_s := self._stalled_s():
                    waited_s = self.now_s - self._queue[0].at_s
                    with anyio.move_on_after(min(stalled_s, _SEND_S - waited_s)):
                        await self.over.wait()
                    if stalled_s > _SEND_S - waited_s:
                        self._end(Stopped(clean=False, reason="the carrier does not read"))
                else:
                    queue, self._queue = self._queue, []
                    for entry in queue:
                        self._send(entry)
        finally:
            self._pumping = False

    async def receive(self) -> LineEvent:
        """The next event, when its time has come."""
        self.answer()
        waited = False
        while self._stopped is None:
            due = self._coming[0][0] if self._coming else None
            if due is not None and due <= anyio.current_time():
                if not waited:
                    await anyio.lowlevel.checkpoint()
                _, _, event = heapq.heappop(self._coming)
                return self._end(event) if isinstance(event, Stopped) else event
            waited = True
            self._news = anyio.Event()
            if due is None:
                await self._news.wait()
            else:
                with anyio.CancelScope(deadline=due):
                    await self._news.wait()
        return self._stopped

    async def close(self) -> None:
        """End the connection."""
        self.closed = True
        self._end(Stopped(clean=True, reason="closed"))
        await anyio.lowlevel.checkpoint()

    # --- what the script does ------------------------------------------------------------------

    def answer(self) -> None:
        """Begin: the script's times count from now. The first use of the line does it too."""
        if not self.answered.is_set():
            self._start = anyio.current_time()
            self.answered.set()
            for at_s, event in self._script:
                self._bring(self._start + at_s, event)

    def bring(self, event: LineEvent) -> None:
        """Let something happen at the callee's end now."""
        self._bring(anyio.current_time(), event)

    async def wait_hung_up(self) -> bool:
        """Wait until the callee has hung up, and return True; False if the line ended otherwise."""
        await self.answered.wait()
        ends = [at_s for at_s, event in self._script if isinstance(event, Stopped) and event.clean]
        with anyio.CancelScope(deadline=self._start + min(ends, default=math.inf)):
            await self.over.wait()
            return self._stopped is not None and self._stopped.clean and not self.closed
        return True

    @property
    def now_s(self) -> float:
        """Seconds since the answer."""
        return anyio.current_time() - self._start if self.answered.is_set() else 0.0

    @property
    def answered_at(self) -> float:
        """The answer, in seconds of the loop's clock."""
        return self._start

    # --- what the callee has heard -------------------------------------------------------------

    def heard_audio(self) -> bytes:
        """What was played so far, without the silence between."""
        now = self._silent_at if self._stopped is not None else min(anyio.current_time(), self._silent_at)
        return b"".join(_until(piece, now) for piece in self._played)

    def heard_words(self) -> list[HeardWord]:
        """The words that were played to their ends so far, if their audio is of `word_audio`."""
        audio = self.heard_audio()
        words = []
        for match in _WORD.finditer(audio):
            if match.end() - match.start() >= (int(match[1]) - 1) * BYTES_PER_MS:
                until_s = self._at_s(match.end() - 1) + 0.001 / BYTES_PER_MS
                words.append(HeardWord(match[2].decode(), self._at_s(match.start()), round(until_s, 6)))
        return words

    def heard_text(self) -> str:
        """The same words, joined with spaces."""
        return " ".join(word.text for word in self.heard_words())

    # --- inside --------------------------------------------------------------------------------

    def _put(self, entry: Sent) -> None:
        if self._stopped is not None:
            return
        if self._pumping and not self._queue and not self._stalled_s():
            self._send(entry)
        else:
            self._queue.append(entry)
            self._work.set()

    def _stalled_s(self) -> float:
        """How much longer the carrier reads nothing."""
        if self._stall is None or self.now_s < self._stall[0]:
            return 0.0
        left_s = self._stall[1] - self.now_s
        return left_s if left_s > _HAIR_S else 0.0

    def _send(self, entry: Sent) -> None:
        now = anyio.current_time()
        self.sent.append(Sent(entry.kind, now - self._start, entry.audio, entry.name))
        if entry.kind == "media":
            self._played.append(_Played(max(now, self._played_until()), entry.audio))
        elif entry.kind == "mark":
            self._marks += 1
            if self._marks not in self._lose_marks:
                self._bring(max(now, self._played_until()) + self._rtt_s, Mark(entry.name))
        else:
            self._drop(now)

    def _played_until(self) -> float:
        return self._played[-1].end if self._played else 0.0

    def _drop(self, now: float) -> None:
        self._played = [_Played(piece.start, audio) for piece in self._played if (audio := _until(piece, now))]
        marks = sorted(entry for entry in self._coming if isinstance(entry[2], Mark))
        self._coming = [entry for entry in self._coming if not isinstance(entry[2], Mark)]
        heapq.heapify(self._coming)
        for due, _, event in marks:
            self._bring(min(due, now + self._rtt_s), event)

    def _bring(self, due: float, event: LineEvent) -> None:
        self._count += 1
        if isinstance(event, Stopped):
            self._silent_at = min(self._silent_at, due)
        heapq.heappush(self._coming, (due, self._count, event))
        if self._coming[0][1] == self._count:
            self._news.set()

    def _end(self, stopped: Stopped) -> Stopped:
        if self._stopped is None:
            self._stopped = stopped
            self._silent_at = min(self._silent_at, anyio.current_time())
            self._queue.clear()
            for event in (self._news, self._work, self.over):
                event.set()
        return self._stopped

    def _at_s(self, offset: int) -> float:
        """When the byte at this place of the heard audio was played."""
        for piece in self._played:
            if offset < len(piece.audio):
                return round(piece.start + offset / BYTES_PER_MS / 1000 - self._start, 6)
            offset -= len(piece.audio)
        raise IndexError("nothing was played there")


def _until(piece: _Played, now: float) -> bytes:
    """The part of a piece that was played by now."""
    if piece.end <= now:
        return piece.audio
    samples = max(int((now - piece.start) * 1000 * BYTES_PER_MS + 1e-6), 0)
    return piece.audio[:samples]
