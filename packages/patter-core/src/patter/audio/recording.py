"""What both sides of a call sounded like, side by side on one time line."""

from __future__ import annotations

import os
from typing import Literal

from patter.audio import mulaw
from patter.audio.wav import write_stereo

__all__ = ["Lane", "Recording"]

Lane = Literal["callee", "agent"]

JITTER_MS = 60
"""The callee's frames join without a gap as long as they are late by no more than this."""


class Recording:
    """Records a call in memory: 16 bytes a millisecond, nothing is written until `save`.

    ``now`` is seconds on any steady clock. The time line begins with `begin`, or else with the
    first audio. One thread writes; others may read at any time, and see a state between two writes.
    """

    def __init__(self) -> None:
        self._begun: float | None = None
        self._callee = bytearray()
        self._agent = bytearray()

    def begin(self, now: float) -> None:
        """Begin the time line. Beginning again changes nothing."""
        if self._begun is None:
            self._begun = now

    def callee(self, audio: bytes, now: float) -> None:
        """The callee was heard. Small delays of arrival are evened out, longer gaps become silence."""
        at = self._place(now)
        if at - len(self._callee) > JITTER_MS * mulaw.BYTES_PER_MS:
            _pad(self._callee, at)
        self._callee += audio

    def agent(self, audio: bytes, now: float) -> None:
        """Audio was sent to the callee; it plays after what is still playing."""
        _pad(self._agent, self._place(now))
        self._agent += audio

    def clear(self, now: float) -> None:
        """Drop the agent's audio that is not yet played at this moment."""
        del self._agent[self._place(now) :]

    @property
    def left(self) -> bytes:
        """The callee's side, mu-law, as long as the agent's."""
        return self._sides()[0]

    @property
    def right(self) -> bytes:
        """The agent's side, mu-law, as long as the callee's."""
        return self._sides()[1]

    def levels(self, lane: Lane, step_ms: int) -> list[float]:
        """Loudness of each step from the beginning, 0 to 1, for drawing. The last step may be short."""
        if step_ms <= 0:
            raise ValueError(f"a step takes at least 1 ms, not {step_ms}")
        audio = bytes(self._callee if lane == "callee" else self._agent)
        step = step_ms * mulaw.BYTES_PER_MS
        return [mulaw.level(audio[at : at + step]) for at in range(0, len(audio), step)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a stereo WAV file, the callee left and the agent right."""
        write_stereo(path, *self._sides())

    def _sides(self) -> tuple[bytes, bytes]:
        callee, agent = bytes(self._callee), bytes(self._agent)
        size, pad = max(len(callee), len(agent)), bytes((mulaw.SILENCE,))
        return callee.ljust(size, pad), agent.ljust(size, pad)

    def _place(self, now: float) -> int:
        """The byte of a lane that plays at this moment."""
        if self._begun is None:
            self._begun = now
        return max(0, round((now - self._begun) * mulaw.SAMPLE_RATE_HZ))


def _pad(lane: bytearray, size: int) -> None:
    lane += bytes((mulaw.SILENCE,)) * (size - len(lane))
