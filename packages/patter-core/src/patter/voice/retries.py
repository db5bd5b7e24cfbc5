"""When a broken connection is tried again, and when it is given up."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Retries"]


class Retries:
    """Counts the failures that follow closely on each other. Pure.

    A connection that always dies right after its handshake uses up its tries as one does that is
    refused; one that has lived for a while has them all again.

    Args:
        waits_s: before each of the tries, in seconds.
        stable_s: a connection that has lived so long was a good one.
    """

    def __init__(self, waits_s: Sequence[float] = (0.2, 0.5, 1.0), stable_s: float = 5.0) -> None:
        self._waits_s = tuple(waits_s)
        self._stable_s = stable_s
        self._failures = 0

    def wait_s(self, lived_s: float) -> float | None:
        """How long to wait after a failure, or None to give up.

        Args:
            lived_s: how long the connection was there; 0 if it never was.
        """
        if lived_s >= self._stable_s:
            self._failures = 0
        self._failures += 1
        return self._waits_s[self._failures - 1] if self._failures <= len(self._waits_s) else None
