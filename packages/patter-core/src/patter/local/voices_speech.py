"""Ears and voice of the local network that speak: flite and pocketsphinx, without keys or downloads.

pocketsphinx, soxr and numpy are imported when the first session opens, in a thread.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
import wave
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from patter.audio import mulaw
from patter.audio.resample import To8k
from patter.errors import ConfigError, ProviderError
from patter.local import spoken
from patter.local.recogniser import DecoderPool, Recogniser, pool_of
from patter.local.spoken import Spoken
from patter.voice.base import Hearing, Speech
from patter.voice.clausewise import ClausewiseVoice

__all__ = ["FliteVoice", "SpeechEars", "SpeechSTT", "SpeechTTS"]

FliteVoice = Literal["rms", "awb", "slt", "kal16", "kal"]

FLITE_TIMEOUT_S = 10.0
"""flite takes 40 ms for a sentence."""
BATCH_MS = 100
"""Audio that is recognised at a time; interims come no more often."""

_SEGMENT = re.compile(r"(\S+):(\d+\.\d+)")


class SpeechTTS:
    """Voice of flite. Its subprocess gets the text in a file that only this user can read.

    Speech comes a word a piece. flite does not say where words begin: it says where its pauses are,
    and between two pauses the time is divided by the letters of the words as they are spoken.

    Args:
        voice: rms and awb (male) are understood best over the telephone; slt is female.

    Raises:
        ConfigError: there is no such voice. A missing flite is reported when the session is opened.
    """

    model = "local/flite"

    def __init__(self, voice: FliteVoice = "rms") -> None:
        if voice not in get_args(FliteVoice):
            raise ConfigError(f"flite has no voice {voice!r}; it has {', '.join(get_args(FliteVoice))}")
        self._voice = voice

    def open(self) -> nullcontext[ClausewiseVoice]:
        """Open the session of one call.

        Raises:
            ConfigError: flite is not installed.
        """
        flite_path()
        return nullcontext(ClausewiseVoice(self._synthesise))

    async def _synthesise(self, text: str) -> AsyncGenerator[Speech, None]:
        for sentence in _sentences(spoken.say(text)):
            audio, pauses = await _run_flite(self._voice, sentence)
            for speech in apportion(sentence, audio, pauses):
                yield speech


def flite_path() -> str:
    """Where flite is installed. `ConfigError` with the remedy if it is not."""
    path = shutil.which("flite")
    if path is None:
        raise ConfigError("speaking without a vendor needs flite (apt install flite); the voice 'tones' does not")
    return path


def _sentences(parts: Sequence[Spoken]) -> Iterator[list[Spoken]]:
    """Split after each full stop and question mark, so that the first sound comes early."""
    sentence: list[Spoken] = []
    for part in parts:
        sentence.append(part)
        if part.pause in (".", "?"):
            yield sentence
            sentence = []
    if sentence:
        yield sentence


async def _run_flite(voice: str, sentence: Sequence[Spoken]) -> tuple[bytes, list[tuple[float, float]]]:
    """Synthesise one sentence: its mu-law audio, and where its pauses begin and end in seconds."""
    text = " ".join(" ".join(part.words) + part.pause for part in sentence)
    with tempfile.TemporaryDirectory(prefix="patter-") as folder:
        # Not on standard input, which is a socket under some event loops, and flite cannot open that.
        script, file = Path(folder, "speech.txt"), Path(folder, "speech.wav")
        await to_thread.run_sync(script.write_text, text)
        command = [flite_path(), "-voice", voice, "-psdur", "-f", str(script), "-o", str(file)]
        with anyio.move_on_after(FLITE_TIMEOUT_S) as limit:
            done = await anyio.run_process(command, check=False)
        if limit.cancelled_caught:
            raise ProviderError("tts", f"flite did not answer within {FLITE_TIMEOUT_S:.0f} s", retryable=True)
        if done.returncode:
            raise ProviderError("tts", f"flite failed with code {done.returncode}")
        audio = await to_thread.run_sync(_read_wav, file)
    return audio, list(pauses_in(done.stdout.decode(errors="replace")))


def _read_wav(path: Path) -> bytes:
    try:
        with wave.open(str(path), "rb") as file:
            resampler = To8k(file.getframerate())
            linear = resampler.feed(file.readframes(file.getnframes())) + resampler.finish()
    except (OSError, EOFError, wave.Error) as error:
        raise ProviderError("tts", f"flite wrote no speech: {error}") from error
    return mulaw.encode(linear)


def pauses_in(printed: str) -> Iterator[tuple[float, float]]:
    """Where flite's pauses begin and end in seconds. It prints the end of each sound, anew in each line."""
    line_s = end_s = 0.0
    for line in printed.splitlines():
        for phone, time in _SEGMENT.findall(line):
            begin_s, end_s = end_s, line_s + float(time)
            if phone == "pau":
                yield begin_s, end_s
        line_s = end_s


def apportion(sentence: Sequence[Spoken], audio: bytes, pauses: Sequence[tuple[float, float]]) -> list[Speech]:
    """Cut the audio of a sentence into a piece for each token, which begins with the token's sound.

    Where flite paused as often as the text has commas, the pauses part the phrases; otherwise the
    sentence is taken as one phrase. The lead-in belongs to the first token, the pause after a phrase
    to its last.
    """
    phrases = list(_phrases(sentence))
    gaps = list(pauses) if len(pauses) == len(phrases) + 1 else [*pauses[:1], *pauses[-1:]]
    if len(gaps) < 2:
        gaps = [(0.0, 0.0), (mulaw.duration_ms(audio) / 1000,) * 2]
    if len(gaps) == 2:
        phrases = [list(sentence)]
    cuts: list[int] = []
    for phrase, (_, begin_s), (end_s, _) in zip(phrases, gaps, gaps[1:], strict=False):
        weights = [sum(len(word) for word in part.words) + 1 for part in phrase]
        done = 0
        for weight in weights:
            at_s = begin_s + (end_s - begin_s) * done / sum(weights)
            cuts.append(min(len(audio), round(at_s * mulaw.SAMPLE_RATE_HZ)))
            done += weight
    cuts[0] = 0
    ends = [*cuts[1:], len(audio)]
    return [Speech(audio[begin:end], part.token) for part, begin, end in zip(sentence, cuts, ends, strict=True)]


def _phrases(sentence: Sequence[Spoken]) -> Iterator[list[Spoken]]:
    phrase: list[Spoken] = []
    for part in sentence:
        phrase.append(part)
        if part.pause:
            yield phrase
            phrase = []
    if phrase:
        yield phrase


class SpeechSTT:
    """Ears of pocketsphinx. Decoders are kept in the process for the next calls with the same phrases.

    Args:
        phrases: sentences like those that will be said. With them the recogniser knows these words
            and no others, and is nearly exact; None takes the stock model of general English, which
            gets about every eighth word of clear telephone speech wrong.

    Raises:
        ConfigError: the phrases have no word that can be spoken.
    """

    model = "local/pocketsphinx"

    def __init__(self, phrases: Sequence[str] | None) -> None:
        self._pool = pool_of(None if phrases is None else tuple(phrases))

    def open(self) -> SpeechEars:
        """Open the session of one call. Entering it raises `ConfigError` if pocketsphinx is missing."""
        return SpeechEars(self._pool)

    async def warm_up(self) -> None:
        """Import and load what the first call needs, so that it need not wait."""
        self._pool.give_back(await to_thread.run_sync(self._pool.take))


class SpeechEars:
    """The ears' session of one call. The task that iterates recognises, in a worker thread.

    A step of the iteration that is cancelled loses no audio.
    """

    _out: MemoryObjectSendStream[bytes]
    _audio: MemoryObjectReceiveStream[bytes]
    _limiter: anyio.CapacityLimiter
    _recogniser: Recogniser

    def __init__(self, pool: DecoderPool) -> None:
        self._pool = pool
        self._heard = bytearray()
        self._ready: deque[Hearing] = deque()
        self._over = False

    async def send(self, audio: bytes) -> None:
        """Hand over the callee's next audio, mu-law 8 kHz. Audio after the finish is not heard."""
        try:
            self._out.send_nowait(audio)
        except anyio.ClosedResourceError:
            return

    async def finish(self) -> None:
        """Say that no more audio comes. The iteration ends after the last hearing."""
        self._out.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Hearing:
        while not self._ready:
            if self._over:
                raise StopAsyncIteration
            await self._gather()
            try:
                self._ready += await to_thread.run_sync(self._recognise, limiter=self._limiter)
            except RuntimeError as error:
                raise ProviderError("stt", f"pocketsphinx failed: {error}") from error
        return self._ready.popleft()

    async def __aenter__(self) -> Self:
        # One thread of its own, so that busy threads elsewhere never delay the ears.
        self._limiter = anyio.CapacityLimiter(1)
        self._recogniser = await to_thread.run_sync(self._prepare, limiter=self._limiter)
        # Unbounded, because the sender carries live audio and must not wait for recognition.
        self._out, self._audio = anyio.create_memory_object_stream[bytes](math.inf)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._out.close()
        self._audio.close()
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._leave, limiter=self._limiter)

    async def _gather(self) -> None:
        """Wait for 100 ms of audio or more, or for what is left of it before the end."""
        try:
            while len(self._heard) < BATCH_MS * mulaw.BYTES_PER_MS:
                self._heard += await self._audio.receive()
        except anyio.EndOfStream:
            self._over = True

    def _prepare(self) -> Recogniser:
        return Recogniser(self._pool.take())

    def _leave(self) -> None:
        try:
            self._recogniser.abandon()
        except RuntimeError:
            return  # A decoder that failed is not kept.
        self._pool.give_back(self._recogniser.decoder)

    def _recognise(self) -> list[Hearing]:
        audio = bytes(self._heard)
        self._heard.clear()
        found = self._recogniser.hear(audio)
        return found + self._recogniser.finish() if self._over else found
