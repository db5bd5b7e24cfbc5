"""mu-law (G.711), the telephone's audio: 8 kHz, one channel, 8 bytes are one millisecond."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # Deprecated in the standard library since 3.11; on 3.13 the package audioop-lts supplies it.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = [
    "BYTES_PER_MS",
    "FRAME_BYTES",
    "FRAME_MS",
    "SAMPLE_RATE_HZ",
    "SILENCE",
    "decode",
    "duration_ms",
    "encode",
    "level",
    "silence",
    "upsample",
]

SAMPLE_RATE_HZ = 8000
BYTES_PER_MS = 8
FRAME_MS = 20
"""The length of one frame, as carriers send it."""
FRAME_BYTES = FRAME_MS * BYTES_PER_MS

SILENCE = 0xFF
"""The byte of a sample of value zero."""

_FULL_SCALE = 32768


def encode(pcm16: bytes) -> bytes:
    """Compress signed 16-bit little-endian samples at 8 kHz. Half of a sample is a `ValueError`."""
    if len(pcm16) % 2:
        raise ValueError(f"16-bit audio has an even number of bytes, not {len(pcm16)}")
    return audioop.lin2ulaw(pcm16, 2)


def decode(mulaw: bytes) -> bytes:
    """Expand to signed 16-bit little-endian samples at 8 kHz. `encode` restores every code but 0x7F."""
    return audioop.ulaw2lin(mulaw, 2)


def level(mulaw: bytes) -> float:
    """Root mean square of the samples, where 1 is full scale and 0 is silence or no audio."""
    return audioop.rms(audioop.ulaw2lin(mulaw, 2), 2) / _FULL_SCALE


def duration_ms(mulaw: bytes) -> float:
    """Length of the audio in milliseconds."""
    return len(mulaw) / BYTES_PER_MS


def silence(ms: int) -> bytes:
    """Silence of this many milliseconds."""
    return bytes((SILENCE,)) * (ms * BYTES_PER_MS)


def upsample(pcm16: bytes) -> bytes:
    """Linear 8 kHz samples as 16 kHz ones, by repetition: what a recogniser of wideband speech takes.

    Finer interpolation made no difference to the words that were recognised.
    """
    doubled = bytearray(2 * len(pcm16))
    for place in range(4):
        doubled[place::4] = pcm16[place % 2 :: 2]
    return bytes(doubled)
