"""When to leave a message on an answering machine: after its beep, or when its greeting is over."""

from __future__ import annotations

import math

from patter.settings import Timing

__all__ = ["Voicemail"]


class Voicemail:
    """Waits from the time it is known that a machine has answered. Pure; ``now`` is in seconds of one clock.

    Args:
        is_speaking: True if the machine speaks now.
    """

    def __init__(self, timing: Timing, now: float, *, is_speaking: bool) -> None:
        self._quiet_s = timing.machine_quiet_s
        self._latest = now + timing.machine_wait_s
        self._due_at = now + self._quiet_s
        self.voice(is_speaking, now)

    def voice(self, on: bool, now: float) -> None:
        """The machine's voice has begun or ended."""
        self._due_at = math.inf if on else now + self._quiet_s

    def beeped(self, now: float) -> None:
        """It has beeped."""
        self._due_at = now

    def wake_at(self) -> float:
        """When to leave the message, if nothing happens before."""
        return min(self._due_at, self._latest)
