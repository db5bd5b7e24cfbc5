"""The beep after which an answering machine records: heard in a stream of mu-law audio. Pure.

A sine of the frequency w is the one sound for which ``x[n+k] + x[n-k]`` is ``2 cos(kw) x[n]`` at every
n. How well the best factor fits, at a short and at a long lag k, tells a single tone from two tones,
noise and speech without a spectrum, and the factor itself tells the frequency.
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

with warnings.catch_warnings():
    # As in `patter.audio.mulaw`.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

from patter.audio import mulaw

__all__ = ["MAX_HZ", "MAX_MS", "MIN_HZ", "MIN_MS", "QUIET_MS", "Beep"]

MIN_HZ, MAX_HZ = 400, 2500
MIN_MS, MAX_MS = 150, 2000
QUIET_MS = 100
"""Silence that must follow; it is counted in whole frames of 20 ms behind the tone's last one."""

_WIDTH = 2
_AUDIBLE = 164
"""Root mean square of 16-bit samples: 46 dB below full scale."""
_SLACK_MS = 5
"""Lengths are measured by the energy of the frames at both ends."""
_MISFIT = 0.02
"""The power that the best factor may leave over; white noise 17 dB below a tone leaves about that much."""
_STEADY = 0.75
"""The least level of a quarter of a frame, relative to the loudest: two close tones beat, one does not."""
_DRIFT_HZ, _DRIFT = 12.0, 0.01
_SWELL = 1.25
_QUIET = 0.2
"""The level of silence after a tone, relative to the tone: 14 dB below it."""
_FADE_FRAMES = 2
"""A tone may take so many frames to die away."""

_NOTE_FRAMES = 5
"""From this length on a tone is a note, and a tone that follows a note within the cadence is no beep."""
_CADENCE_FRAMES = 60
_PROGRESS_HZ = (390, 460)
"""Most countries' ringing and busy tones are single tones of 400, 425 or 450 Hz."""
_PROGRESS_QUIET_MS = 600
"""They come again within this time, if they tell that the line is busy."""
_TALK_FRAMES = 10
_TALK_MEMORY_FRAMES = 150


class Beep:
    """Listens for a beep: one steady tone of 400 to 2500 Hz, 150 ms to 2 s long, with silence behind it.

    The tone must be 17 dB above the noise, and no other tone may end within 1.2 s before it: what
    comes in series is a melody, a busy tone or an announcement. From 390 to 460 Hz, where networks
    ring, a beep must also follow something else (a greeting) within 3 s, and 600 ms of silence it.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._is_over = False
        self._run: _Run | None = None
        self._ended: _Run | None = None
        self._since_note = _CADENCE_FRAMES
        self._since_talk = _TALK_MEMORY_FRAMES
        self._talk = 0
        self._level = 0

    def feed(self, audio: bytes) -> bool:
        """Take the next audio, in chunks of any size. True exactly once: when a beep has ended.

        A frame of 20 ms takes some 5 µs.
        """
        if self._is_over:
            return False
        audio = self._rest + audio
        whole = len(audio) - len(audio) % mulaw.FRAME_BYTES
        self._rest = audio[whole:]
        for at in range(0, whole, mulaw.FRAME_BYTES):
            frame = _look(audio[at : at + mulaw.FRAME_BYTES])
            if self._take(frame):
                self._is_over = True
                return True
            self._level = frame.level
        return False

    def _take(self, frame: _Frame) -> bool:
        if self._run is not None:
            if self._run.goes_on(frame):
                return False
            self._end_run(self._run)
        self._since_note += 1
        self._since_talk += 1
        if self._ended is not None:
            outcome = self._ended.follow(frame)
            if outcome is not None:
                self._ended = None
            if outcome:
                return True
        if frame.hz:
            in_series = self._since_note < _CADENCE_FRAMES
            self._run = _Run(frame, self._level, in_series=in_series, after_talk=self._talked())
        elif frame.level >= _AUDIBLE:
            self._talk = self._talk + 1 if self._since_talk < _TALK_MEMORY_FRAMES else 1
            self._since_talk = 0
        return False

    def _end_run(self, run: _Run) -> None:
        self._run = None
        if run.frames >= _NOTE_FRAMES:
            self._since_note = 0
            self._since_talk += run.frames
        self._ended = run if run.may_be_beep() else None

    def _talked(self) -> bool:
        return self._talk >= _TALK_FRAMES and self._since_talk < _TALK_MEMORY_FRAMES


class _Frame(NamedTuple):
    """``level`` is a root mean square; ``hz`` is 0 if the frame is no steady tone."""

    level: int
    hz: float


class _Run:
    """Frames of the same tone, and the silence behind them. ``before`` is the level of the frame before it."""

    def __init__(self, first: _Frame, before: int, *, in_series: bool, after_talk: bool) -> None:
        self.frames = 1
        self._in_series = in_series
        self._after_talk = after_talk
        self._first = first
        self._sum_hz = first.hz
        self._fade = 0
        self._edges = _share(before, first.level)
        self._quiet = 0

    @property
    def hz(self) -> float:
        return self._sum_hz / self.frames

    def goes_on(self, frame: _Frame) -> bool:
        """Take in a frame of the same tone; False if it is something else."""
        if abs(frame.hz - self.hz) > _DRIFT_HZ + _DRIFT * self.hz:
            return False
        if not self._first.level / _SWELL <= frame.level <= self._first.level * _SWELL:
            return False
        self.frames += 1
        self._sum_hz += frame.hz
        return True

    def may_be_beep(self) -> bool:
        """False if silence cannot make a beep of it any more."""
        if self._in_series or self._ms() > MAX_MS + _SLACK_MS:
            return False
        return MIN_HZ - _DRIFT_HZ <= self.hz <= MAX_HZ + _DRIFT_HZ and (self._after_talk or not self._is_progress())

    def follow(self, frame: _Frame) -> bool | None:
        """Take in a frame behind the tone. True: it was a beep. False: it was none. None: not known yet."""
        if frame.level > _QUIET * self._first.level:
            self._fade += 1
            self._edges += _share(frame.level, self._first.level)
            return False if self._quiet or self._fade > _FADE_FRAMES or frame.hz else None
        self._quiet += 1
        wanted_ms = _PROGRESS_QUIET_MS if self._is_progress() else QUIET_MS
        if self._quiet * mulaw.FRAME_MS < wanted_ms:
            return None
        return MIN_MS - _SLACK_MS <= self._ms() <= MAX_MS + _SLACK_MS

    def _ms(self) -> float:
        return (self.frames + self._edges) * mulaw.FRAME_MS

    def _is_progress(self) -> bool:
        low, high = _PROGRESS_HZ
        return low <= self.hz <= high


def _share(level: int, tone: int) -> float:
    """How much of a frame a tone fills, if nothing else sounds in it."""
    return min(1.0, (level / tone) ** 2)


def _look(audio: bytes) -> _Frame:
    """What one frame of mu-law audio is."""
    samples = mulaw.decode(audio)
    level = audioop.rms(samples, _WIDTH)
    if level < _AUDIBLE:
        return _Frame(level, 0.0)
    # Half a crossing is a quarter of a period too many or too few: 25 Hz in 20 ms.
    lags = _LAGS.get(audioop.cross(samples, _WIDTH))
    if lags is None:
        return _Frame(level, 0.0)
    quarter = len(samples) // 4
    quarters = [audioop.rms(samples[at : at + quarter], _WIDTH) for at in range(0, len(samples), quarter)]
    if min(quarters) < _STEADY * max(quarters):
        return _Frame(level, 0.0)
    most = _MISFIT * level * level
    for lag in lags:
        factor, misfit = _fit(samples, lag)
        if misfit * misfit > most:
            return _Frame(level, 0.0)
        if lag == lags[0]:
            hz = math.acos(max(-1.0, min(1.0, factor))) / lag * mulaw.SAMPLE_RATE_HZ / (2 * math.pi)
    return _Frame(level, hz)


def _fit(samples: bytes, lag: int) -> tuple[float, int]:
    """The factor by which a sample predicts the mean of those ``lag`` before and behind, and what is left over."""
    skip = lag * _WIDTH
    half = audioop.mul(samples, _WIDTH, 0.5)
    mean = audioop.add(half[2 * skip :], half[: -2 * skip], _WIDTH)
    middle = samples[skip:-skip]
    factor = audioop.findfactor(mean, middle)
    left = audioop.add(mean, audioop.mul(middle, _WIDTH, -factor), _WIDTH)
    return factor, audioop.rms(left, _WIDTH)


def _lag(hz: float, least: float, most: float) -> int:
    """The lag, in samples, whose phase lies between these radians and is nearest to a quarter period off.

    There the factor is near zero: noise does not bend it, and it changes fastest with the frequency.
    """
    turn = 2 * math.pi * hz / mulaw.SAMPLE_RATE_HZ
    lags = range(math.ceil(least / turn), math.floor(most / turn) + 1)
    return min(lags, key=lambda lag: abs(math.cos(lag * turn)))


def _lags() -> dict[int, tuple[int, int]]:
    """The short and the long lag for each number of zero crossings in a frame."""
    frame_s = mulaw.FRAME_MS / 1000
    slack = 4
    crossings = range(round(2 * MIN_HZ * frame_s) - slack, round(2 * MAX_HZ * frame_s) + slack + 1)
    return {count: (_lag(count / 2 / frame_s, 0.9, 2.3), _lag(count / 2 / frame_s, 3.5, 9.0)) for count in crossings}


_LAGS = _lags()
