"""The callee counts frames, so these tests run as fast as the loop turns."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import anyio
import pytest
from anyio.lowlevel import checkpoint

from patter.audio import dtmf, mulaw
from patter.local import tones
from patter.local.callee import TURN_FRAMES, UNCLEAR_FRAMES, PersonaCallee
from patter.local.dialogue import Act, Beep, Dialogue, Heard, Listen, Persona, Press, Say, Wait, scripted
from patter.local.exchange_record import CallRecord
from patter.local.handset import DialedCall, Handset
from patter.local.tones import ToneDecoder
from patter.local.voices import TonesSTT, TonesTTS

pytestmark = pytest.mark.anyio

QUIET = mulaw.silence(20)
HISS = mulaw.encode(b"\x00\x20\x00\xe0" * 80)


def frames(audio: bytes) -> list[bytes]:
    return [audio[at : at + 160].ljust(160, b"\xff") for at in range(0, len(audio), 160)]


class Line:
    """Exchanges frames with a callee, without waiting for real time."""

    def __init__(self, *acts: Act, persona: Persona | None = None, hears_keys: bool = False) -> None:
        self.record = CallRecord()
        self.handset = Handset(DialedCall("CA1", "+15550100999", "+15550100001"), self.record)
        self.spoken = b""
        self.callee = PersonaCallee(persona or scripted(*acts, hears_keys=hears_keys), TonesSTT(), TonesTTS())

    async def talk(self, audio: Sequence[bytes] = (), *, quiet: int = 0) -> None:
        """Let the callee hear this, then silence."""
        for frame in (*audio, *[QUIET] * quiet):
            self.spoken += self.handset.exchange(frame)
            for _ in range(6):
                await checkpoint()

    async def until_hung_up(self, *, limit: int = 2000) -> int:
        """Be silent until the callee hangs up; how many frames it took."""
        for waited in range(limit):
            if self.handset.hung_up.is_set():
                return waited
            await self.talk(quiet=1)
        raise AssertionError("the callee does not hang up")

    def words(self) -> str:
        return " ".join(ToneDecoder().feed(self.spoken))


class Running:
    """Runs the callee of a line."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def __aenter__(self) -> Line:
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._line.callee.run, self._line.handset)
        return self._line

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._line.handset.end()
        self._tasks.cancel_scope.deadline = anyio.current_time() + 5
        if error is not None:
            self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, trace)
        finally:
            self._line.handset.dispose()


async def test_a_turn_ends_after_its_silence() -> None:
    async with Running(Line(Listen())) as line:
        await line.talk(frames(tones.encode("how are you")), quiet=TURN_FRAMES - 2)
        assert not line.handset.hung_up.is_set()
        await line.talk(quiet=4)
        assert line.handset.hung_up.is_set()
    assert line.record.heard == ["how are you"]


async def test_a_pause_does_not_end_a_turn() -> None:
    heard: list[Heard] = []
    async with Running(Line(persona=_collecting(heard))) as line:
        await line.talk(frames(tones.encode("book a haircut")), quiet=15)
        await line.talk(frames(tones.encode("for tomorrow")))
        await line.until_hung_up()
    assert heard == [Heard("book a haircut for tomorrow")]


def _collecting(heard: list[Heard], *, timeout_s: float | None = 8.0, hears_keys: bool = False) -> Persona:
    def script() -> Dialogue:
        heard.append((yield Listen(timeout_s)))

    return Persona("collecting", "Collecting", "+15550100998", script, hears_keys=hears_keys)


async def test_silence_times_out() -> None:
    heard: list[Heard] = []
    async with Running(Line(persona=_collecting(heard, timeout_s=1.0))) as line:
        assert await line.until_hung_up() == pytest.approx(50, abs=3)
    assert heard == [Heard()]


async def test_sound_without_words_is_unclear() -> None:
    heard: list[Heard] = []
    async with Running(Line(persona=_collecting(heard))) as line:
        await line.talk([HISS] * 20)
        assert await line.until_hung_up() == pytest.approx(UNCLEAR_FRAMES, abs=3)
    assert heard == [Heard(unclear=True)]


async def test_keys_are_heard_once_each() -> None:
    heard: list[Heard] = []
    async with Running(Line(persona=_collecting(heard, hears_keys=True))) as line:
        await line.talk(frames(dtmf.tones("5")))
        await line.until_hung_up()
    assert heard == [Heard(digits="5")]
    assert line.record.digits_heard == "5"


async def test_keys_are_only_sound_to_most_people() -> None:
    heard: list[Heard] = []
    async with Running(Line(persona=_collecting(heard))) as line:
        await line.talk(frames(dtmf.tones("5")))
        await line.until_hung_up()
    assert heard == [Heard(unclear=True)]


async def test_a_key_cuts_a_menu_short() -> None:
    menu = Say("press one for one or two for two or three for three", until_key=True)
    async with Running(Line(menu, Listen(), hears_keys=True)) as line:
        await line.talk(quiet=10)
        await line.talk(frames(dtmf.tones("2")))
        await line.until_hung_up()
    assert 0 < len(line.words().split()) < 5
    assert line.record.said == [menu.text]


async def test_it_speaks_listens_presses_waits_and_beeps() -> None:
    async with Running(Line(Say("hello there"), Press("1#"), Wait(0.2), Beep(seconds=0.1))) as line:
        waited = await line.until_hung_up()
    speech = len(tones.encode("hello there")) / 160
    assert waited == pytest.approx(speech + 1 + 10 + 5, abs=5)
    assert line.words() == "hello there"
    assert line.handset.take_keys() == ["1", "#"]
    assert mulaw.level(line.spoken[-800:]) > 0.1


async def test_it_interrupts_after_some_words() -> None:
    async with Running(Line(Listen(after_words=2), Say("stop"))) as line:
        await line.talk(frames(tones.encode("one two three four five six seven eight")))
        assert line.words() == "stop"
        await line.until_hung_up()


async def test_what_is_said_over_it_is_heard_afterwards() -> None:
    heard: list[Heard] = []

    def script() -> Dialogue:
        yield Say("a long sentence that nobody waits for")
        heard.append((yield Listen()))

    async with Running(Line(persona=Persona("talker", "Talker", "+15550100997", script))) as line:
        await line.talk(frames(tones.encode("excuse me")))
        await line.until_hung_up()
    assert heard == [Heard("excuse me")]


async def test_the_end_of_the_call_lets_it_understand_the_rest() -> None:
    async with Running(Line(Listen(timeout_s=None))) as line:
        await line.talk(frames(tones.encode("goodbye")))
    assert line.record.heard == ["goodbye"]
    assert not line.handset.hung_up.is_set()


async def test_what_is_played_until_the_line_is_down_is_heard() -> None:
    async with Running(Line(Wait(0.02))) as line:
        for frame in frames(tones.encode("thank you very much")):
            line.handset.exchange(frame)  # more than it has listened to when it hangs up
        await line.until_hung_up()
    assert line.record.heard == ["thank you very much"]
