"""Ears and voice of the local network in data tones: exact words, in any language, without models."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import nullcontext
from types import TracebackType
from typing import Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from patter.audio import mulaw
from patter.local import tones
from patter.voice.base import EndOfSpeech, Hearing, Speech
from patter.voice.clausewise import ClausewiseVoice

__all__ = ["PAUSE_MS", "TonesEars", "TonesSTT", "TonesTTS"]

PAUSE_MS = 200
"""Time without tones after which what was heard is final."""


class TonesTTS:
    """Voice in data tones, a piece of speech for each word, so that the transcript is cut exactly."""

    model = "local/tones"

    def open(self) -> nullcontext[ClausewiseVoice]:
        """Open the session of one call."""
        return nullcontext(ClausewiseVoice(_synthesise))


async def _synthesise(text: str) -> AsyncGenerator[Speech, None]:
    for word in tones.words_of(text):
        yield Speech(tones.encode_word(word), word)


class TonesSTT:
    """Ears for data tones. What is not tones, such as a human voice, is silence to them."""

    model = "local/tones"

    def open(self) -> TonesEars:
        """Open the session of one call."""
        return TonesEars()


class TonesEars:
    """The ears' session of one call.

    An interim follows each word, with all words of the piece so far; the final comes 200 ms after
    the last tone, or at the finish. Audio sent after the finish is not heard.
    """

    _out: MemoryObjectSendStream[Hearing]
    _hearings: MemoryObjectReceiveStream[Hearing]

    def __init__(self) -> None:
        self._decoder = tones.ToneDecoder()
        self._words: list[str] = []
        self._finished = False

    async def send(self, audio: bytes) -> None:
        """Hand over the callee's next audio, mu-law 8 kHz, in chunks of any length."""
        if self._finished:
            return
        for begin in range(0, len(audio), mulaw.FRAME_BYTES):
            self._listen(audio[begin : begin + mulaw.FRAME_BYTES])

    async def finish(self) -> None:
        """Say that no more audio comes. The iteration ends after the last hearing."""
        if not self._finished:
            self._finished = True
            self._conclude()
            self._out.close()

    def __aiter__(self) -> AsyncIterator[Hearing]:
        return self._hearings

    async def __aenter__(self) -> Self:
        # Unbounded, because the sender carries live audio and must not wait for a slow reader.
        self._out, self._hearings = anyio.create_memory_object_stream[Hearing](math.inf)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished = True
        self._out.close()
        self._hearings.close()

    def _listen(self, frame: bytes) -> None:
        if words := self._decoder.feed(frame):
            self._words += words
            self._out.send_nowait(Hearing(" ".join(self._words), is_final=False))
        if self._decoder.position - self._decoder.tone_end >= PAUSE_MS * mulaw.BYTES_PER_MS:
            self._conclude()

    def _conclude(self) -> None:
        if self._words:
            ended_at_s = self._decoder.word_end / mulaw.SAMPLE_RATE_HZ
            self._out.send_nowait(Hearing(" ".join(self._words), True, EndOfSpeech.PAUSE, ended_at_s))
            self._words.clear()
