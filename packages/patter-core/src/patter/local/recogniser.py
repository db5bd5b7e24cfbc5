"""pocketsphinx as a plain object: telephone audio in, hearings out. It blocks; run it in a thread."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from patter.audio import mulaw
from patter.errors import ConfigError
from patter.local import spoken
from patter.local.language import arpa_bigrams
from patter.voice.base import EndOfSpeech, Hearing

__all__ = ["DecoderPool", "Recogniser", "pool_of"]

DECODER_HZ = 16000
"""The rate of the acoustic model that comes with pocketsphinx."""
LANGUAGE_WEIGHT = 10.0
"""How much the language model counts against the sound."""
IDLE_DECODERS = 4
"""Decoders kept for the next calls, of each set of phrases."""

WINDOW_S = 0.3
"""Silence after which the detector says that speech has ended."""

# Cepstral mean of telephone speech (flite's rms and awb over mu-law, 8 kHz repeated to 16 kHz). The
# model's own start is for wideband speech and costs words of the first sentence.
_TELEPHONE_MEAN = "52,0,9.5,17,8.5,-2.4,3.8,-0.8,-16.2,3.8,-1.7,7.8,-3"
_DECODED_FRAME_S = 0.01
_PHONES = {"ax": "AH"}


class DecoderPool:
    """Decoders for one set of phrases. A decoder serves one call at a time and is then reused.

    Args:
        phrases: the sentences to understand, in any spelling; None for the stock model of general
            English, which is much less exact on the telephone.
    """

    def __init__(self, phrases: Sequence[str] | None) -> None:
        self._sentences = None if phrases is None else [spoken.words(phrase) for phrase in phrases]
        if self._sentences is not None and not any(self._sentences):
            raise ConfigError("the phrases to understand have no words; give sentences, or None for any English")
        self._idle: list[Any] = []
        self._lock = threading.Lock()

    def take(self) -> Any:
        """An idle decoder, or a new one (10 ms with phrases, 300 ms without, and the first import)."""
        with self._lock:
            decoder = self._idle.pop() if self._idle else None
        decoder = decoder or self._build()
        # What a decoder learned of its last caller's voice must not colour the next call.
        decoder.set_cmn(_TELEPHONE_MEAN)
        return decoder

    def give_back(self, decoder: Any) -> None:
        """Keep a decoder, between two utterances, for the next call."""
        with self._lock:
            if len(self._idle) < IDLE_DECODERS:
                self._idle.append(decoder)

    def _build(self) -> Any:
        sphinx = _pocketsphinx()
        if self._sentences is None:
            return sphinx.Decoder(samprate=DECODER_HZ, loglevel="FATAL")
        known = _pronunciations(sphinx, {word for sentence in self._sentences for word in sentence})
        sentences = [[word for word in sentence if word in known] for sentence in self._sentences]
        if not known:
            raise ConfigError("pocketsphinx knows none of the words of the phrases to understand")
        with tempfile.TemporaryDirectory(prefix="patter-") as folder:
            model, dictionary = Path(folder, "phrases.lm"), Path(folder, "phrases.dict")
            model.write_text(arpa_bigrams(sentences), encoding="utf-8")
            lines = [line for word in sorted(known) for line in known[word]]
            dictionary.write_text("".join(lines), encoding="utf-8")
            return sphinx.Decoder(
                lm=str(model),
                dict=str(dictionary),
                lw=LANGUAGE_WEIGHT,
                samprate=DECODER_HZ,
                loglevel="FATAL",
            )


@lru_cache(maxsize=8)
def pool_of(phrases: tuple[str, ...] | None) -> DecoderPool:
    """The process's pool for these phrases."""
    return DecoderPool(phrases)


def _pocketsphinx() -> Any:
    try:
        return importlib.import_module("pocketsphinx")
    except ImportError as error:
        raise ConfigError(
            "understanding speech without a vendor needs pocketsphinx: pip install patter-core[speech]"
        ) from error


def _pronunciations(sphinx: Any, wanted: set[str]) -> dict[str, list[str]]:
    """Dictionary lines of the wanted words. flite says how it speaks those that pocketsphinx lacks."""
    known: dict[str, list[str]] = {}
    with open(sphinx.get_model_path("en-us/cmudict-en-us.dict"), encoding="utf-8") as lines:
        for line in lines:
            word = line.split(" ", 1)[0].split("(", 1)[0]
            if word in wanted:
                known.setdefault(word, []).append(line)
    if flite := shutil.which("flite"):
        for word in sorted(wanted - known.keys()):
            if phones := _spoken_by(flite, word):
                known[word] = [f"{word} {phones}\n"]
    return known


def _spoken_by(flite: str, word: str) -> str:
    command = [flite, "-ps", "-f", "/dev/stdin", "-o", "none"]
    try:
        done = subprocess.run(command, input=word.encode(), capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    phones = [phone for phone in done.stdout.decode().split() if phone != "pau"]
    return " ".join(_PHONES.get(phone, phone.upper()) for phone in phones)


class Recogniser:
    """Understands one call. Speech begins and ends where the voice activity detector says.

    Args:
        decoder: a decoder of a `DecoderPool`, used by nobody else meanwhile.
    """

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self._endpointer = _pocketsphinx().Endpointer(window=WINDOW_S, sample_rate=mulaw.SAMPLE_RATE_HZ)
        self._frame = self._endpointer.frame_bytes // 2
        self._rest = b""
        self._speaking = False
        self._began_s = 0.0
        self._guess = ""

    def hear(self, audio: bytes) -> list[Hearing]:
        """Take the next mu-law audio. Returns at most one interim, after the finals."""
        found: list[Hearing] = []
        audio = self._rest + audio
        whole = len(audio) - len(audio) % self._frame
        self._rest = audio[whole:]
        for begin in range(0, whole, self._frame):
            speech = self._endpointer.process(mulaw.decode(audio[begin : begin + self._frame]))
            self._follow(speech, found)
        if self._speaking and (text := self._text()) and text != self._guess:
            self._guess = text
            found.append(Hearing(text, is_final=False))
        return found

    def finish(self) -> list[Hearing]:
        """No more audio comes; returns the final of what was being said, and frees the decoder."""
        # Silence ends what is being said, as it would on the line.
        found = self.hear(mulaw.silence(round(1000 * WINDOW_S)))
        self._conclude(found)
        return found

    def abandon(self) -> None:
        """Free the decoder without a result."""
        if self._speaking:
            self._speaking = False
            self.decoder.end_utt()

    def _follow(self, speech: bytes | None, found: list[Hearing]) -> None:
        if speech is not None:
            if not self._speaking:
                self._speaking, self._guess = True, ""
                self._began_s = self._endpointer.speech_start
                self.decoder.start_utt()
            self.decoder.process_raw(mulaw.upsample(speech))
        if not self._endpointer.in_speech:
            self._conclude(found)

    def _conclude(self, found: list[Hearing]) -> None:
        if self._speaking:
            self._speaking = False
            self.decoder.end_utt()
            if text := self._text():
                found.append(Hearing(text, True, EndOfSpeech.PAUSE, self._began_s + self._last_word_s()))

    def _text(self) -> str:
        best = self.decoder.hyp()
        return best.hypstr if best else ""

    def _last_word_s(self) -> float:
        ends = [part.end_frame for part in self.decoder.seg() or () if part.word[0] not in "<["]
        return (ends[-1] + 1) * _DECODED_FRAME_S if ends else 0.0
