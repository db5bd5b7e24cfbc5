"""What was understood, each word once, though it came over several connections."""

from __future__ import annotations

from dataclasses import replace

from patter.voice.base import EndOfSpeech, Hearing
from patter.voice.deepgram.wire import Heard, join
from patter.voice.replay import Replay

__all__ = ["Hearings", "settle"]

_LEAD_MS = 200
"""A new connection hears so much of what is known already, because recognisers need a run-up."""
_MARGIN_S = 0.5
"""A word may have begun so long before the end of audio in which nothing was understood yet."""


class Hearings:
    """Makes hearings of what the connections report. Pure; all times are on the session's clock."""

    def __init__(self) -> None:
        self._guess: Heard | None = None
        """The interim whose final is still to come."""
        self._unmarked = False
        """True if a final came and no end of speech after it."""
        self._since_s = 0.0
        """Words that were said before were delivered as finals over another connection."""
        self._turns_over = -1
        """The last turn that has ended on this connection."""

    def take(self, heard: Heard) -> Hearing | None:
        """The hearing that a report makes, if it says anything new."""
        if heard.turn is not None and heard.turn <= self._turns_over:
            return None
        if heard.is_final and heard.turn is not None:
            self._turns_over = heard.turn
        reported, heard = heard, heard.since(self._since_s)
        if reported.text and not heard.text:
            return self.pause() if heard.is_final and heard.end is not EndOfSpeech.NONE else None
        if not heard.is_final:
            return self._interim(heard)
        # Without text it still tells that there was nothing in the interim, or that the speech has ended.
        ends = self._unmarked and heard.end is not EndOfSpeech.NONE
        if not heard.text and self._guess is None and not ends:
            return None
        self._guess = None
        self._unmarked = bool(heard.text or self._unmarked) and heard.end is EndOfSpeech.NONE
        return _hearing(heard)

    def pause(self) -> Hearing | None:
        """Nothing was said for a while: marks the end of speech, if the finals have not."""
        if not self._unmarked or self._guess is not None:
            return None
        self._unmarked = False
        return Hearing("", True, EndOfSpeech.PAUSE)

    def reconnect(self, begin_s: float, settled_s: float) -> Hearing | None:
        """A new connection hears the audio from ``begin_s``; until ``settled_s`` the finals were delivered.

        Returns:
            A final of the words that were only guessed so far and are in none of the audio it hears.
        """
        self._turns_over = -1
        self._since_s = max(self._since_s, settled_s)
        if self._guess is None or begin_s <= settled_s:
            return None
        cut = tuple(word for word in self._guess.words if word.begin_s < begin_s)
        if not cut:
            return None
        rest = self._guess.words[len(cut) :]
        lost = replace(self._guess, words=cut, text=join(cut), is_final=True, end=EndOfSpeech.NONE)
        self._guess = replace(self._guess, words=rest, text=join(rest)) if rest else None
        self._since_s = max(self._since_s, begin_s, cut[-1].end_s)
        self._unmarked = True
        return _hearing(lost)

    def rest(self) -> Hearing | None:
        """At the end: what was guessed and no final has confirmed, as a final."""
        guess, self._guess = self._guess, None
        return None if guess is None else _hearing(replace(guess, is_final=True, end=EndOfSpeech.TURN))

    def _interim(self, heard: Heard) -> Hearing | None:
        if not heard.text or (heard.is_update and self._guess is not None and heard.text == self._guess.text):
            return None
        self._guess = heard
        return _hearing(heard)


def settle(heard: Heard, audio: Replay) -> None:
    """What a final covers need not be sent again. Its times are on the session's clock."""
    if heard.timed:
        # The audio of a final may reach into the next word. The words of the run-up are left out again.
        audio.settle(heard.words[-1].end_s, lead_ms=_LEAD_MS)
    elif heard.until_s is not None:
        audio.settle(heard.until_s if heard.text else heard.until_s - _MARGIN_S)


def _hearing(heard: Heard) -> Hearing:
    ended_at_s = heard.words[-1].end_s if heard.timed and heard.words else None
    return Hearing(heard.text, heard.is_final, heard.end, ended_at_s)
