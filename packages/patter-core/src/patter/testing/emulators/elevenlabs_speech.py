"""What the emulated ElevenLabs says: text as data tones, cut into chunks, with the times of its characters. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from patter.audio import mulaw
from patter.local import tones

__all__ = ["FORMATS", "Chunk", "speak"]

GAP_MS = 30
"""Silence for the white space between two words."""

FORMATS = {"ulaw_8000": 1, "pcm_8000": 2, "pcm_16000": 4, "pcm_24000": 6}
"""The formats the emulator speaks, with their bytes for each sample at 8 kHz."""

_PIECE = re.compile(r"\s+|\S+")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, slots=True)
class _Char:
    text: str
    start_ms: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the sound of a text.

    Args:
        audio: in the format that was asked for.
        start_ms: where in the sound of the whole text it begins.
        duration_ms: its length.
        chars: the characters that begin in it, as written, with start and duration; starts count from
            the beginning of the chunk.
        normalized: the same of the text as it was read, with digits as words.
    """

    audio: bytes
    start_ms: int
    duration_ms: int
    chars: tuple[_Char, ...]
    normalized: tuple[_Char, ...]

    def alignment(self) -> dict[str, Any] | None:
        """The times as the websockets carry them; None if no character begins here."""
        return _alignment(self.chars)

    def normalized_alignment(self) -> dict[str, Any] | None:
        """The times of the text as it was read."""
        return _alignment(self.normalized)

    def timestamps(self) -> dict[str, Any]:
        """The times as HTTP carries them, in seconds from the beginning of the chunk."""
        return {"alignment": _seconds(self.chars), "normalized_alignment": _seconds(self.normalized)}


def speak(text: str, *, output_format: str, chunk_ms: int, speaks_symbols: bool = True) -> list[Chunk]:
    """The sound of a text in chunks of equal length, whose boundaries do not care for words.

    Args:
        text: what to say.
        output_format: one of `FORMATS`.
        chunk_ms: length of a chunk; the last is shorter.
        speaks_symbols: False has no sound for words without a letter or digit, such as emoji.
    """
    sound, chars, normalized = bytearray(), list[_Char](), list[_Char]()
    for piece in _PIECE.findall(text):
        start_ms = len(sound) // mulaw.BYTES_PER_MS
        audio = _sound_of(piece, is_first=not sound, speaks_symbols=speaks_symbols)
        sound += audio
        length_ms = int(mulaw.duration_ms(audio))
        chars += _spread(piece, start_ms, length_ms)
        normalized += _spread(_normal(piece), start_ms, length_ms)
    return list(_cut(bytes(sound), chars, normalized, output_format, chunk_ms))


def _sound_of(piece: str, *, is_first: bool, speaks_symbols: bool) -> bytes:
    if piece.isspace():
        return b"" if is_first else mulaw.silence(GAP_MS)
    if not speaks_symbols and not any(char.isalnum() for char in piece):
        return b""
    return tones.encode(piece)


def _normal(piece: str) -> str:
    """A word as it is read: each digit by its name."""
    spaced = re.sub(r"[0-9]", lambda digit: f" {_DIGITS[int(digit[0])]} ", piece)
    return spaced if piece.isspace() else " ".join(spaced.split())


def _spread(piece: str, start_ms: int, length_ms: int) -> Iterator[_Char]:
    bounds = [start_ms + length_ms * index // len(piece) for index in range(len(piece) + 1)]
    for char, begin, end in zip(piece, bounds, bounds[1:], strict=False):
        yield _Char(char, begin, end - begin)


def _cut(
    sound: bytes, chars: list[_Char], normalized: list[_Char], output_format: str, chunk_ms: int
) -> Iterator[Chunk]:
    total_ms = int(mulaw.duration_ms(sound))
    for begin in range(0, total_ms, chunk_ms):
        is_last = begin + chunk_ms >= total_ms
        end = total_ms if is_last else begin + chunk_ms
        audio = sound[begin * mulaw.BYTES_PER_MS : end * mulaw.BYTES_PER_MS]
        # Characters without sound at the very end begin where the sound ends.
        until = end + 1 if is_last else end
        yield Chunk(
            _converted(audio, output_format),
            begin,
            end - begin,
            _within(chars, begin, until),
            _within(normalized, begin, until),
        )


def _within(chars: list[_Char], begin: int, end: int) -> tuple[_Char, ...]:
    return tuple(
        _Char(char.text, char.start_ms - begin, char.duration_ms) for char in chars if begin <= char.start_ms < end
    )


def _converted(audio: bytes, output_format: str) -> bytes:
    if output_format == "ulaw_8000":
        return audio
    pcm, times = mulaw.decode(audio), FORMATS[output_format] // 2
    raised = bytearray(times * len(pcm))
    for copy in range(times):
        raised[2 * copy :: 2 * times] = pcm[0::2]
        raised[2 * copy + 1 :: 2 * times] = pcm[1::2]
    return bytes(raised)


def _alignment(chars: tuple[_Char, ...]) -> dict[str, Any] | None:
    if not chars:
        return None
    return {
        "chars": [char.text for char in chars],
        "charStartTimesMs": [char.start_ms for char in chars],
        "charDurationsMs": [char.duration_ms for char in chars],
    }


def _seconds(chars: tuple[_Char, ...]) -> dict[str, Any] | None:
    if not chars:
        return None
    return {
        "characters": [char.text for char in chars],
        "character_start_times_seconds": [char.start_ms / 1000 for char in chars],
        "character_end_times_seconds": [(char.start_ms + char.duration_ms) / 1000 for char in chars],
    }
