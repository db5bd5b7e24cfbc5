"""Music for a caller who waits: a short loop of soft notes, made here, so there is no file and no licence."""

from __future__ import annotations

import cmath
import math
import struct
from functools import lru_cache

from patter.audio import mulaw

__all__ = ["NOTES_HZ", "hold_music"]

_CHORDS = ("C5 E5 G5 C6", "A4 C5 E5 A5", "F4 A4 C5 F5", "G4 B4 D5 G5")
_FIGURE = (0, 1, 2, 3, 2, 1)
"""A chord is played note by note, up and down."""
NOTES_HZ = {
    "F4": 349,
    "G4": 392,
    "A4": 440,
    "B4": 494,
    "C5": 523,
    "D5": 587,
    "E5": 659,
    "F5": 698,
    "G5": 784,
    "A5": 880,
    "C6": 1047,
}
"""Where a telephone carries well; no two of them are taken for a key's tones."""

_NOTE_MS = 400
_RINGS_MS = 1600
_FADES_TO = 0.02
_RAMP_MS = 8
_OCTAVE = 0.4
_PEAK = 0.07 * 32767
"""Of one note; four of them sound at once, the older ones more softly. Speech peaks at about 0.5."""


@lru_cache(maxsize=1)
def hold_music() -> bytes:
    """The mu-law audio of the loop, 9.6 s: its end leads into its beginning. The first time it takes 50 ms."""
    played = [chord.split()[step] for chord in _CHORDS for step in _FIGURE]
    each = _NOTE_MS * mulaw.BYTES_PER_MS
    loop = [0.0] * (len(played) * each)
    for place, name in enumerate(played):
        begin = place * each
        note = _note(NOTES_HZ[name])
        room = min(len(loop) - begin, len(note))
        loop[begin : begin + room] = map(float.__add__, loop[begin : begin + room], note)
        loop[: len(note) - room] = map(float.__add__, loop, note[room:])
    return mulaw.encode(struct.pack(f"<{len(loop)}h", *map(round, loop)))


@lru_cache(maxsize=len(NOTES_HZ))
def _note(hz: int) -> list[float]:
    """A plucked string: a sine, and a little of its octave that fades sooner."""
    size, ramp = _RINGS_MS * mulaw.BYTES_PER_MS, _RAMP_MS * mulaw.BYTES_PER_MS
    step = cmath.rect(_FADES_TO ** (1 / size), 2 * math.pi * hz / mulaw.SAMPLE_RATE_HZ)
    turning, samples = complex(1.0), []
    for _ in range(size):
        samples.append(_PEAK * turning.imag * (1 + _OCTAVE * turning.real))
        turning *= step
    for at in range(ramp):
        samples[at] *= at / ramp
        samples[-1 - at] *= at / ramp
    return samples
