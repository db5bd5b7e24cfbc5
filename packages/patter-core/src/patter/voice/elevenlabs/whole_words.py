"""Speech word by word: the beginning of a word waits until the rest of its sound is there."""

from __future__ import annotations

from collections.abc import Iterable

from patter.voice.base import Speech

__all__ = ["WholeWords"]


class WholeWords:
    """Keeps back the last word as long as it is not whole. Pure.

    What a connection breaks off in the middle of a word can then be said again from that very word, and
    nobody has heard a part of it.
    """

    def __init__(self) -> None:
        self._held: list[Speech] = []

    @property
    def holds(self) -> bool:
        """True if the beginning of a word waits."""
        return bool(self._held)

    def take(self, speeches: Iterable[Speech], *, is_whole: bool) -> list[Speech]:
        """What can be spoken now that these have come.

        Args:
            is_whole: whether the sound of the last word is all there.
        """
        ready: list[Speech] = []
        for speech in speeches:
            if speech.text or speech.pause:
                ready += self.rest()
            self._held.append(speech)
        return ready + self.rest() if is_whole else ready

    def rest(self) -> list[Speech]:
        """All that waits: nothing more comes."""
        rest, self._held = self._held, []
        return rest
