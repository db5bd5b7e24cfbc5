"""Data tones: text carried as FSK in real mu-law audio, exact in any language.

It is sound on the wire: it has a level, takes its time, is paced, marked and cut like speech. The
difference is that the far end knows exactly which words it heard in full.

1000 baud; a mark (1) is 1000 Hz, a space (0) is 2000 Hz, so a bit is one or two whole periods in 8
samples. Bytes go as a UART sends them: start bit (space), 8 data bits with the lowest first, stop bit
(mark). A word is STX, its UTF-8, ETX, and the CRC-16 of the UTF-8: 40 ms and 10 ms a byte. A sentence
is the sound of its words, one after the other.
"""

from __future__ import annotations

import math
import re
import struct
from binascii import crc_hqx

from patter.audio import mulaw

__all__ = ["ToneDecoder", "encode", "encode_word", "words_of"]

_BIT_SAMPLES = 8
_BYTE_SAMPLES = 10 * _BIT_SAMPLES
_PEAK = 0.4 * 32767
_AUDIBLE = 0.03 * 32767
_STX = 0x02
_ETX = 0x03
_UNSENDABLE = dict.fromkeys(range(0x20))


def _bit(hz: int) -> bytes:
    # Half a sample off zero, so that every sample has a sign.
    turn = 2 * math.pi * hz / mulaw.SAMPLE_RATE_HZ
    samples = (round(_PEAK * math.sin(turn * (index + 0.5))) for index in range(_BIT_SAMPLES))
    return mulaw.encode(struct.pack(f"<{_BIT_SAMPLES}h", *samples))


def _byte(value: int, mark: bytes, space: bytes) -> bytes:
    data = (mark if value >> place & 1 else space for place in range(8))
    return space + b"".join(data) + mark


def _samples() -> tuple[int, ...]:
    return struct.unpack("<256h", mulaw.decode(bytes(range(256))))


_MARK, _SPACE = _bit(1000), _bit(2000)
_SOUND = tuple(_byte(value, _MARK, _SPACE) for value in range(256))

_SIGNS = bytes(ord("+") if sample > 0 else ord("-") for sample in _samples())
_QUIET = bytes(code for code, sample in enumerate(_samples()) if abs(sample) < _AUDIBLE)
_LOUD_RUN = re.compile(b"[^" + re.escape(_QUIET) + b"]+")
_VALUE = {sound.translate(_SIGNS): value for value, sound in enumerate(_SOUND)}
_START = _SOUND[_STX].translate(_SIGNS)


def words_of(text: str) -> list[str]:
    """The words that tones can carry: split at white space, without control characters."""
    words = (word.translate(_UNSENDABLE) for word in text.split())
    return [word for word in words if word]


def encode_word(word: str) -> bytes:
    """The sound of one word. A character that UTF-8 does not know (half of a pair) becomes "?"."""
    data = word.translate(_UNSENDABLE).encode("utf-8", "replace")
    frame = bytes((_STX, *data, _ETX)) + crc_hqx(data, 0).to_bytes(2, "big")
    return b"".join([_SOUND[value] for value in frame])


def encode(text: str) -> bytes:
    """The sound of a text, word by word; empty if there is nothing to say."""
    return b"".join([encode_word(word) for word in words_of(text)])


class ToneDecoder:
    """Hears words in a stream of mu-law audio, in chunks of any size, beginning anywhere.

    A word counts once its last bit was heard. A word that was cut off, noise, speech and other
    sounds are skipped. Silence inside a word does no harm, whether playback was held or ran dry.
    """

    def __init__(self) -> None:
        self.position = 0
        """Bytes of audio fed so far."""
        self.word_end = 0
        """Where in the stream the last whole word ended."""
        self.tone_end = 0
        """Where the last byte that may belong to a word ended."""
        self._signs = b""
        self._start = -1
        self._at = 0
        self._frame = bytearray()
        self._etx = -1

    def feed(self, audio: bytes) -> list[str]:
        """Take the next audio, and return the words that it completed."""
        words: list[str] = []
        if audio.translate(None, _QUIET):
            for run in _LOUD_RUN.finditer(audio):
                self._signs += run[0].translate(_SIGNS)
                self._scan(words, self.position + run.end())
        self.position += len(audio)
        return words

    def _scan(self, words: list[str], end: int) -> None:
        """Read what is held. ``end`` is where in the stream its last sample stands."""
        size = len(self._signs)
        while self._locked() and self._at + _BYTE_SAMPLES <= size:
            value = _VALUE.get(self._signs[self._at : self._at + _BYTE_SAMPLES])
            if value is None:
                self._unlock(self._start + 1)
                continue
            self._at += _BYTE_SAMPLES
            heard_to = end - (size - self._at)
            self.tone_end = max(self.tone_end, heard_to)
            if value == _STX and self._etx < 0:
                self._lock(self._at - _BYTE_SAMPLES)
            elif word := self._take(value):
                words.append(word)
                self.word_end = heard_to
        # A word that begins may need to be read again from its second sample, if it proves to be none.
        keep = self._start if self._start >= 0 else self._at
        self._signs = self._signs[keep:]
        self._at -= keep
        self._start = min(self._start, 0)

    def _locked(self) -> bool:
        """True if a word has begun; looks for the next beginning if not."""
        if self._start < 0:
            found = self._signs.find(_START, self._at)
            if found < 0:
                self._at = max(self._at, len(self._signs) - _BYTE_SAMPLES + 1)
                return False
            self._lock(found)
        return True

    def _lock(self, start: int) -> None:
        self._start, self._at, self._etx = start, start + _BYTE_SAMPLES, -1
        self._frame.clear()

    def _unlock(self, at: int) -> None:
        self._start, self._at = -1, at

    def _take(self, value: int) -> str | None:
        """Take the next byte of a frame, and return the word if it completes one."""
        frame = self._frame
        frame.append(value)
        if self._etx < 0:
            if value == _ETX:
                self._etx = len(frame) - 1
            return None
        if len(frame) < self._etx + 3:
            return None
        word = _checked(bytes(frame[: self._etx]), int.from_bytes(frame[-2:], "big"))
        self._unlock(self._start + 1 if word is None else self._at)
        return word


def _checked(data: bytes, crc: int) -> str | None:
    """The word, if its check sum is right and it is text."""
    if crc_hqx(data, 0) != crc:
        return None
    try:
        return data.decode("utf-8") or None
    except UnicodeDecodeError:
        return None
