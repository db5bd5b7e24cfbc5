"""Deepgram's protocols as values: the address of a session, and what its messages say.

Times are seconds on the connection's own clock. Messages are those of the SDK's socket clients, which
check nothing: any field may be missing or of another type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from patter.errors import ProviderError
from patter.voice.base import EndOfSpeech
from patter.voice.refusal import refusal

__all__ = ["VARIABLE", "Event", "Heard", "Paused", "Word", "address", "closed", "join", "read_flux", "read_nova"]

VARIABLE = "DEEPGRAM_API_KEY"

_ABOUT_THE_REQUEST = re.compile("INVALID|UNPARS|UNSUPPORTED|SCHEMA|BAD_|AUTH|FORBIDDEN|CREDIT", re.IGNORECASE)
_UNDECODABLE = "DATA-"
_ENDS = {
    "StartOfTurn": EndOfSpeech.NONE,
    "Update": EndOfSpeech.NONE,
    "TurnResumed": EndOfSpeech.NONE,
    "EagerEndOfTurn": EndOfSpeech.EAGER,
    "EndOfTurn": EndOfSpeech.TURN,
}
_LONGEST_REASON = 80


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What was understood of a piece of the audio."""

    text: str
    is_final: bool
    end: EndOfSpeech = EndOfSpeech.NONE
    words: tuple[Word, ...] = ()
    timed: bool = False
    """False if the times of the words are guessed."""
    until_s: float | None = None
    """For a final: all that was said until then is in it or in the finals before it."""
    turn: int | None = None
    is_update: bool = False
    """True if the state of the turn has not changed since the report before."""

    def moved(self, clock: Callable[[float], float]) -> Heard:
        """The same on another clock."""
        words = tuple(Word(word.text, clock(word.begin_s), clock(word.end_s)) for word in self.words)
        return replace(self, words=words, until_s=None if self.until_s is None else clock(self.until_s))

    def since(self, start_s: float) -> Heard:
        """The same without the words that were said before, as far as their times are known."""
        if not self.timed:
            return self
        words = tuple(word for word in self.words if (word.begin_s + word.end_s) / 2 >= start_s)
        return self if len(words) == len(self.words) else replace(self, words=words, text=join(words))


@dataclass(frozen=True, slots=True)
class Paused:
    """Nothing was said for a while after the last word (``UtteranceEnd``)."""


Event = Heard | Paused | ProviderError
"""What a message says. A `ProviderError` is an error that Deepgram reports."""


def join(words: Sequence[Word]) -> str:
    """The words as a text."""
    return " ".join(word.text for word in words)


def address(base_url: str, version: str, options: Sequence[tuple[str, object]]) -> str:
    """Where a session is opened. Options that are None are left out, lists repeat their name."""
    pairs: list[tuple[str, str]] = []
    for name, value in options:
        many = value if isinstance(value, list | tuple) else [value]
        pairs += [(name, _written(one)) for one in many if one is not None]
    return f"{base_url}/{version}/listen?{urlencode(pairs)}"


def read_nova(message: Any) -> Event | None:
    """A message of version 1; None if it says nothing about the speech."""
    match getattr(message, "type", None):
        case "Results":
            return _results(message)
        case "UtteranceEnd":
            return Paused()
        # The answer to a text message that it does not understand; it goes on hearing.
        case "Error" if getattr(message, "variant", None) != "SchemaError":
            return _reported(getattr(message, "code", None) or getattr(message, "variant", None), message)
    return None


def read_flux(message: Any) -> Event | None:
    """A message of version 2 (Flux); None if it says nothing about the speech."""
    match getattr(message, "type", None):
        case "TurnInfo":
            return _turn(message)
        case "Error":
            return _reported(getattr(message, "code", None), message)
    return None


def closed(code: int | None, reason: str | None) -> ProviderError:
    """The error for a connection that Deepgram has closed, or that broke."""
    told = " ".join(f"{code or ''} {reason or ''}".split())[:_LONGEST_REASON]
    if reason and _UNDECODABLE in reason:
        return refusal("stt", "Deepgram", None, variable=VARIABLE, detail=told)
    message = f"The connection to Deepgram broke ({told or 'without a reason'}); try again later."
    return ProviderError("stt", message, retryable=True)


def _results(message: Any) -> Heard | None:
    alternatives = getattr(getattr(message, "channel", None), "alternatives", None)
    best = alternatives[0] if isinstance(alternatives, list) and alternatives else None
    begin, length = _seconds(getattr(message, "start", None)), _seconds(getattr(message, "duration", None))
    until = None if begin is None or length is None else begin + length
    is_final = getattr(message, "is_final", None) is True
    # What is flushed at the end has no speech_final, and nothing follows it.
    ends = getattr(message, "speech_final", None) is True or getattr(message, "from_finalize", None) is True
    text = _text(best)
    words, timed = _words(best, text, begin or 0.0, until)
    if not is_final:
        return Heard(text, False, words=words, timed=timed) if text else None
    return Heard(text, True, EndOfSpeech.PAUSE if ends else EndOfSpeech.NONE, words, timed, until)


def _turn(message: Any) -> Heard | None:
    event = getattr(message, "event", None)
    end = _ENDS.get(event) if isinstance(event, str) else None
    text = _text(message)
    is_final = end is EndOfSpeech.TURN
    if end is None or not (text or is_final):
        return None
    begin, until = (_seconds(getattr(message, f"audio_window_{edge}", None)) for edge in ("start", "end"))
    words, timed = _words(message, text, begin or 0.0, until)
    index = getattr(message, "turn_index", None)
    return Heard(
        text,
        is_final,
        end,
        words,
        timed,
        until_s=until if is_final else None,
        turn=index if isinstance(index, int) else None,
        is_update=event == "Update",
    )


def _reported(code: object, message: Any) -> ProviderError:
    name = code if isinstance(code, str) and code else "without a code"
    if _ABOUT_THE_REQUEST.search(name):
        description = getattr(message, "description", None)
        return refusal("stt", "Deepgram", None, variable=VARIABLE, detail=f"{name} {description or ''}")
    problem = f"Deepgram reported an error ({name[:_LONGEST_REASON]})"
    return ProviderError("stt", f"{problem}; try again later, or add a fallback provider.", retryable=True)


def _text(source: Any) -> str:
    transcript = getattr(source, "transcript", None)
    return transcript.strip() if isinstance(transcript, str) else ""


def _words(source: Any, text: str, begin_s: float, until_s: float | None) -> tuple[tuple[Word, ...], bool]:
    """The words and whether their times are Deepgram's; if one has none, they are spread over the audio."""
    items = getattr(source, "words", None)
    found: list[Word] = []
    for item in items if isinstance(items, list) else ():
        written = getattr(item, "punctuated_word", None) or getattr(item, "word", None)
        begin, end = _seconds(getattr(item, "start", None)), _seconds(getattr(item, "end", None))
        if not isinstance(written, str) or begin is None or end is None:
            break
        found.append(Word(written, begin, max(begin, end)))
    else:
        if found and text:
            return tuple(found), True
    texts = text.split()
    step = (max(until_s - begin_s, 0.0) if until_s is not None else 0.0) / max(len(texts), 1)
    spread = (Word(one, begin_s + place * step, begin_s + (place + 1) * step) for place, one in enumerate(texts))
    return tuple(spread), False


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
