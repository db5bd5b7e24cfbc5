"""Both sides of a call as a WAV file that any player opens."""

from __future__ import annotations

import os
import wave

from patter.audio import mulaw

__all__ = ["write_stereo"]


def write_stereo(path: str | os.PathLike[str], left_mulaw: bytes, right_mulaw: bytes) -> None:
    """Write 16-bit stereo PCM at 8 kHz. The shorter side ends in silence."""
    size = max(len(left_mulaw), len(right_mulaw))
    pad = bytes((mulaw.SILENCE,))
    left = mulaw.decode(left_mulaw.ljust(size, pad))
    right = mulaw.decode(right_mulaw.ljust(size, pad))
    frames = bytearray(4 * size)
    for place, side, byte in ((0, left, 0), (1, left, 1), (2, right, 0), (3, right, 1)):
        frames[place::4] = side[byte::2]
    with wave.open(os.fspath(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(mulaw.SAMPLE_RATE_HZ)
        file.writeframes(bytes(frames))
