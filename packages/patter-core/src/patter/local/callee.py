"""The callee: somebody at the other end of a call on the local network.

`PersonaCallee` gives a `Persona` ears and a voice. It counts frames, not seconds, so it keeps its
manners at any speed of the network. Other callees, such as a person at the terminal, implement the
protocol `Callee` themselves.
"""

from __future__ import annotations

import math
import struct
from typing import Protocol

import anyio

from patter.audio import dtmf, mulaw
from patter.local.dialogue import Beep, Heard, Listen, Persona, Press, Ring, Say, Wait
from patter.local.handset import DialedCall, Handset
from patter.voice.base import Ears, SpeechToText, TextToSpeech, Voice

__all__ = ["Callee", "DialedCall", "Handset", "PersonaCallee"]

FRAMES_A_SECOND = 1000 // mulaw.FRAME_MS

TURN_FRAMES = 30
"""Silence that ends the other side's turn, once its words were understood: 0.6 s."""

UNCLEAR_FRAMES = 100
"""Silence after which sound that brought no words is given up: 2 s."""

AUDIBLE = 0.01
"""The level of a frame that is not silence, where 1 is full scale."""

FLUSH_S = 1.0
"""The last words must be understood within this time after the end of the call."""


class Callee(Protocol):
    """Somebody who can be called. The exchange asks for a new one for each call."""

    @property
    def ring(self) -> Ring:
        """What happens when it rings."""

    async def run(self, handset: Handset) -> None:
        """Talk, from the answer on. Returning hangs up.

        When the other side ends the call, `Handset.listen` raises `anyio.EndOfStream`; about a second
        later the callee is cancelled.
        """


class PersonaCallee:
    """Plays a persona in one call.

    Args:
        persona: who it is.
        ears: understands what the agent says.
        voice: speaks what the persona says.
    """

    def __init__(self, persona: Persona, ears: SpeechToText, voice: TextToSpeech) -> None:
        self.persona = persona
        self._stt = ears
        self._tts = voice
        self._pieces: list[str] = []
        self._interim = ""
        self._quiet = 0
        self._unclear = False
        self._digits = ""
        self._tone: tuple[str | None, int] = (None, 0)

    @property
    def ring(self) -> Ring:
        """What the persona does when it rings."""
        return self.persona.ring

    async def run(self, handset: Handset) -> None:
        """Act the persona's script. Returning hangs up."""
        async with self._stt.open() as ears, self._tts.open() as voice, anyio.create_task_group() as tasks:
            tasks.start_soon(self._understand, ears, handset)
            try:
                await self._act(handset, ears, voice)
                handset.hang_up()
                while True:  # what is played until the line is down is heard, too
                    await self._next_frame(handset, ears)
            except anyio.EndOfStream:
                pass
            await ears.finish()
            tasks.cancel_scope.deadline = anyio.current_time() + FLUSH_S

    async def _act(self, handset: Handset, ears: Ears, voice: Voice) -> None:
        script = self.persona.script()
        heard = Heard()
        try:
            act = next(script)
            while True:
                match act:
                    case Say():
                        await self._say(act, handset, ears, voice)
                    case Listen():
                        heard = await self._listen(act, handset, ears)
                    case Press():
                        handset.press(act.digits)
                        await self._pass(1, handset, ears)
                    case Beep():
                        handset.speak(_beep(act))
                        await self._speak_out(handset, ears)
                    case Wait():
                        await self._pass(round(act.seconds * FRAMES_A_SECOND), handset, ears)
                act = script.send(heard)
                heard = Heard()
        except StopIteration:
            return

    async def _say(self, act: Say, handset: Handset, ears: Ears, voice: Voice) -> None:
        handset.said(act.text)
        async with voice.utter() as utterance:
            await utterance.say(act.text)
            await utterance.finish()
            async for speech in utterance:
                handset.speak(speech.audio)
        await self._speak_out(handset, ears, until_key=act.until_key)

    async def _speak_out(self, handset: Handset, ears: Ears, *, until_key: bool = False) -> None:
        while handset.speaking:
            await self._next_frame(handset, ears)
            if until_key and self._digits:
                handset.hush()

    async def _pass(self, frames: int, handset: Handset, ears: Ears) -> None:
        for _ in range(frames):
            await self._next_frame(handset, ears)

    async def _listen(self, act: Listen, handset: Handset, ears: Ears) -> Heard:
        waited = 0
        while True:
            if self._digits or self._turn_is_over() or self._has_words(act.after_words):
                return self._take()
            if self._unclear and self._quiet >= UNCLEAR_FRAMES:
                self._take()
                return Heard(unclear=True)
            if act.timeout_s is not None and waited >= act.timeout_s * FRAMES_A_SECOND:
                return Heard()
            await self._next_frame(handset, ears)
            waited = waited + 1 if self._quiet and not self._pieces else 0

    def _turn_is_over(self) -> bool:
        if not self._pieces or self._quiet < TURN_FRAMES:
            return False
        return not self._unclear or self._quiet >= UNCLEAR_FRAMES

    def _has_words(self, wanted: int | None) -> bool:
        return wanted is not None and len(" ".join((*self._pieces, self._interim)).split()) >= wanted

    def _take(self) -> Heard:
        words = self._pieces or ([self._interim] if self._interim else [])
        heard = Heard(" ".join(words), self._digits)
        self._pieces, self._interim, self._digits, self._unclear = [], "", "", False
        return heard

    async def _next_frame(self, handset: Handset, ears: Ears) -> None:
        frame = await handset.listen()
        if mulaw.level(frame) >= AUDIBLE:
            self._quiet = 0
            self._unclear = True
            if self.persona.hears_keys:
                self._hear_key(frame, handset)
        else:
            self._quiet += 1
            self._tone = (None, 0)
        await ears.send(frame)

    def _hear_key(self, frame: bytes, handset: Handset) -> None:
        digit = dtmf.detect(frame)
        before, frames = self._tone
        self._tone = (digit, frames + 1 if digit == before else 1)
        # Two frames in a row, so that a syllable is no key; the third is the same press.
        if digit is not None and self._tone[1] == 2:
            self._digits += digit
            self._unclear = False
            handset.heard_digit(digit)

    async def _understand(self, ears: Ears, handset: Handset) -> None:
        async for hearing in ears:
            if hearing.is_final:
                self._interim = ""
                if hearing.text:
                    self._unclear = False
                    self._pieces.append(hearing.text)
                    handset.heard(hearing.text)
            else:
                self._interim = hearing.text


def _beep(act: Beep) -> bytes:
    turn = 2 * math.pi * act.hz / mulaw.SAMPLE_RATE_HZ
    size = round(act.seconds * mulaw.SAMPLE_RATE_HZ)
    samples = (round(9000 * math.sin(turn * at)) for at in range(size))
    return mulaw.encode(struct.pack(f"<{size}h", *samples))
