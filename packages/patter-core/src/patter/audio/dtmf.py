"""DTMF in the audio itself: the keypad's dual tones, for carriers without a command that sends digits."""

from __future__ import annotations

import math
import struct
from functools import lru_cache

from patter.audio import mulaw

__all__ = ["ACCEPTED", "PAUSE_MS", "detect", "tones"]

ACCEPTED = "0-9, *, #, A-D, and w for a pause of half a second"
PAUSE_MS = 500

_ROWS_HZ = (697, 770, 852, 941)
_COLUMNS_HZ = (1209, 1336, 1477, 1633)
_KEYS = ("123A", "456B", "789C", "*0#D")
_PAIR_HZ = {
    key: (row, column)
    for row, keys in zip(_ROWS_HZ, _KEYS, strict=True)
    for column, key in zip(_COLUMNS_HZ, keys, strict=True)
}

_RAMP_MS = 5
_HEADROOM = 0.9
_AUDIBLE = 0.005
_SHARE = 0.8
_TWIST = 10.0


def tones(digits: str, *, on_ms: int = 120, gap_ms: int = 80, volume: float = 0.8) -> bytes:
    """The mu-law audio of the keys, one after the other, each followed by the gap.

    Args:
        digits: the keys, such as ``"1w42#"``; a ``w`` is a pause of 500 ms.
        on_ms: length of a tone, at least 40 (the shortest that a receiver must accept).
        gap_ms: silence after each tone, at least 40.
        volume: 0 to 1; the sum of both tones peaks at this part of nine tenths of full scale.

    Raises:
        ValueError: an argument is not of this kind; the message says what is accepted.
    """
    if not digits:
        raise ValueError(f"no digits to send; accepted are {ACCEPTED}")
    if on_ms < 40 or gap_ms < 40:
        raise ValueError(f"a tone and its gap take at least 40 ms each, not {on_ms} and {gap_ms}")
    if not 0 <= volume <= 1:
        raise ValueError(f"volume is a number from 0 to 1, not {volume}")
    return b"".join([_key(digit, on_ms, volume) + _rest(digit, gap_ms) for digit in digits])


@lru_cache(maxsize=64)
def _key(digit: str, on_ms: int, volume: float) -> bytes:
    if digit == "w":
        return b""
    try:
        pair = _PAIR_HZ[digit.upper()]
    except KeyError:
        raise ValueError(f"{digit!r} is not a key; accepted are {ACCEPTED}") from None
    low, high = (2 * math.pi * hz / mulaw.SAMPLE_RATE_HZ for hz in pair)
    size, ramp = on_ms * mulaw.BYTES_PER_MS, _RAMP_MS * mulaw.BYTES_PER_MS
    peak = volume * _HEADROOM * 32767 / 2
    # The frequencies are whole numbers, so every second of a tone is like its first.
    second = [peak * (math.sin(low * at) + math.sin(high * at)) for at in range(min(size, mulaw.SAMPLE_RATE_HZ))]
    samples = (second * (size // len(second) + 1))[:size]
    for at in range(ramp):
        samples[at] *= at / ramp
        samples[-1 - at] *= at / ramp
    return mulaw.encode(struct.pack(f"<{size}h", *map(round, samples)))


def _rest(digit: str, gap_ms: int) -> bytes:
    return mulaw.silence(PAUSE_MS if digit == "w" else gap_ms)


def detect(frame: bytes) -> str | None:
    """The key whose two tones fill this mu-law frame, or None.

    Meant for frames of 20 to 40 ms; a key that is held is detected in each of its frames. Both tones
    together must carry 80 % of the power, and neither may be 10 dB above the other.
    """
    size = len(frame)
    if size < mulaw.FRAME_BYTES or mulaw.level(frame) < _AUDIBLE:
        return None
    samples = struct.unpack(f"<{size}h", mulaw.decode(frame))
    row, row_power = _strongest(samples, _ROWS_HZ)
    column, column_power = _strongest(samples, _COLUMNS_HZ)
    # A tone of amplitude a has the power a²/2 a sample; Goertzel's square is (a * size / 2)².
    total = sum(sample * sample for sample in samples) * size / 2
    if row_power + column_power < _SHARE * total:
        return None
    if not 1 / _TWIST < row_power / column_power < _TWIST:
        return None
    return _KEYS[row][column]


def _strongest(samples: tuple[int, ...], choices_hz: tuple[int, ...]) -> tuple[int, float]:
    powers = [_power(samples, hz) for hz in choices_hz]
    best = max(range(len(powers)), key=powers.__getitem__)
    return best, powers[best]


def _power(samples: tuple[int, ...], hz: int) -> float:
    """Goertzel's squared magnitude of the samples at one frequency."""
    turn = 2 * math.cos(2 * math.pi * hz / mulaw.SAMPLE_RATE_HZ)
    last = before = 0.0
    for sample in samples:
        last, before = sample + turn * last - before, last
    return last * last + before * before - turn * last * before
