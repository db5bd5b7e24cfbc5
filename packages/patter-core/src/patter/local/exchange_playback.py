"""The carrier's buffer of the audio that is to be played to the callee. Pure."""

from __future__ import annotations

from patter.audio import mulaw

__all__ = ["Playback"]

SILENT_FRAME = mulaw.silence(mulaw.FRAME_MS)


class Playback:
    """Plays queued audio in frames of 20 ms, and knows which marks have been reached.

    A mark is reached when all audio that was queued before it has been played to its end, which shows
    at the tick after its last frame.
    """

    def __init__(self) -> None:
        self._audio = bytearray()
        self._marks: list[tuple[int, str]] = []
        self._played = 0
        self._due: list[str] = []

    @property
    def pending_s(self) -> float:
        """Seconds of audio that are still to be played."""
        return len(self._audio) / mulaw.SAMPLE_RATE_HZ

    def queue(self, audio: bytes) -> None:
        """Append audio of any length."""
        self._audio += audio

    def mark(self, name: str) -> None:
        """Set a mark behind all that is queued."""
        self._marks.append((self._played + len(self._audio), name))

    def clear(self) -> float:
        """Drop what was not played, in seconds. All pending marks come back with the next tick."""
        dropped = self.pending_s
        self._audio.clear()
        self._due += [name for _, name in self._marks]
        self._marks.clear()
        return dropped

    def tick(self) -> tuple[bytes, list[str]]:
        """Begin the next 20 ms: the frame that is played in them, and the marks that are reached now."""
        due, self._due = self._due, []
        while self._marks and self._marks[0][0] <= self._played:
            due.append(self._marks.pop(0)[1])
        if not self._audio:
            return SILENT_FRAME, due
        frame = bytes(self._audio[: mulaw.FRAME_BYTES])
        del self._audio[: mulaw.FRAME_BYTES]
        self._played += len(frame)
        return frame.ljust(mulaw.FRAME_BYTES, SILENT_FRAME[:1]), due
