"""The callee who sits at the keyboard: what is typed is spoken into the call."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

import anyio

from patter.audio import mulaw
from patter.local.dialogue import Ring

if TYPE_CHECKING:
    from patter.cli.keyboard import Lines
    from patter.local.handset import Handset
    from patter.voice.base import TextToSpeech, Voice

__all__ = ["TypedCallee"]

_TURN_FRAMES = 40
"""Silence of the agent that ends its turn, for lines that wait for it: 0.8 s of 20 ms frames."""
_PATIENCE_FRAMES = 400
"""A line that waits for its turn is spoken after this long all the same: 8 s."""
_AUDIBLE = 0.01


class TypedCallee:
    """Answers, and says each line when it comes.

    Args:
        tts: the voice that speaks the lines.
        lines: where they come from.
        takes_turns: True lets a line wait until the agent has answered the line before it, for lines
            that come from a file; a person at a keyboard may interrupt.
    """

    ring = Ring()

    def __init__(self, tts: TextToSpeech, lines: Lines, *, takes_turns: bool = False) -> None:
        self._tts = tts
        self._lines = lines
        self._takes_turns = takes_turns
        self._agent_spoke = True
        self._quiet = _TURN_FRAMES
        self._waited = 0

    async def run(self, handset: Handset) -> None:
        """Talk until a line hangs up or the other side does."""
        async with self._tts.open() as voice:
            try:
                while True:
                    await self._listen(handset)
                    if handset.speaking or not self._has_turn():
                        continue
                    try:
                        line = self._lines.get_nowait()
                    except queue.Empty:
                        continue
                    if line is None:
                        return
                    await self._say(line, handset, voice)
            except anyio.EndOfStream:
                return

    async def _listen(self, handset: Handset) -> None:
        frame = await handset.listen()
        self._waited += 1
        if mulaw.level(frame) >= _AUDIBLE:
            self._agent_spoke, self._quiet = True, 0
        else:
            self._quiet += 1

    def _has_turn(self) -> bool:
        if not self._takes_turns or self._waited >= _PATIENCE_FRAMES:
            return True
        return self._agent_spoke and self._quiet >= _TURN_FRAMES

    async def _say(self, line: str, handset: Handset, voice: Voice) -> None:
        handset.said(line)
        async with voice.utter() as utterance:
            await utterance.say(line)
            await utterance.finish()
            async for speech in utterance:
                handset.speak(speech.audio)
        self._agent_spoke, self._quiet, self._waited = False, 0, 0
