"""When the callee's voice begins and ends, by loudness alone."""

from __future__ import annotations

from patter.audio.mulaw import duration_ms, level

__all__ = ["Onset"]

_FLOOR_START = 0.01
_ABOVE_FLOOR = 3.0
_HANGOVER_MS = 240.0
"""Gaps between words are shorter than this."""


class Onset:
    """An energy gate over an adaptive noise floor. Pure; feed it frames in order.

    Args:
        onset_ms: so much voice, with gaps shorter than a word's, is a beginning.
    """

    def __init__(self, *, onset_ms: float = 120.0) -> None:
        self._onset_ms = onset_ms
        self._noise = _FLOOR_START
        self._loud_ms = 0.0
        self._quiet_ms = 0.0
        self._on = False

    def feed(self, audio: bytes) -> bool | None:
        """Take a frame; True if the voice has begun with it, False if it has ended, None if nothing changed."""
        ms = duration_ms(audio)
        loudness = level(audio)
        if loudness > max(self._noise * _ABOVE_FLOOR, _FLOOR_START):
            self._quiet_ms = 0.0
            self._loud_ms += ms
            # A steady noise becomes the floor within seconds; speech has gaps and does not.
            self._noise += (loudness - self._noise) * min(ms / 10_000, 1.0)
            if not self._on and self._loud_ms >= self._onset_ms:
                self._on = True
                return True
            return None
        self._noise += (loudness - self._noise) * min(ms / 500, 1.0)
        self._quiet_ms += ms
        if self._quiet_ms < _HANGOVER_MS:
            return None
        self._loud_ms = 0.0
        if self._on:
            self._on = False
            return False
        return None

    @property
    def is_on(self) -> bool:
        """True while the voice is there, gaps between words included."""
        return self._on

    @property
    def is_loud(self) -> bool:
        """True if the last frame was voice."""
        return self._quiet_ms == 0.0 and self._loud_ms > 0.0
