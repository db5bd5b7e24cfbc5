"""Times of day and days, found in plain English and written as people say them. Pure.

Speech recognition gives lower-case text without punctuation and without digits; people who type a goal
write "3 pm". Both are read here, and what is written can be spoken and recognised again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from patter.local import spoken

__all__ = ["ClockTime", "find_day", "find_times", "in_words", "plain"]


def _spell(number: int) -> str:
    return " ".join(spoken.words(str(number)))


def plain(text: str) -> str:
    """The text as a recogniser would write it: lower case, no digits, no punctuation, single spaces."""
    return " ".join(re.sub(r"[^\w' ]+", " ", in_words(_lower(text))).split())


def _lower(text: str) -> str:
    return text.lower().replace("’", "'")


_HOURS = {_spell(hour): hour for hour in range(1, 13)}
_MINUTES = {_spell(minute): minute for minute in range(10, 60)} | {"oh five": 5}
_PARTS = ("in the morning", "in the afternoon", "in the evening", "at night")


@dataclass(frozen=True, slots=True)
class ClockTime:
    """A time of day on a twelve-hour clock, as it is said: "three in the afternoon", "four thirty"."""

    hour: int
    minute: int = 0
    part: str = ""

    def __str__(self) -> str:
        minute = "oh five" if self.minute == 5 else _spell(self.minute) if self.minute else ""
        return " ".join(filter(None, (_spell(self.hour), minute, self.part)))

    def same(self, other: ClockTime) -> bool:
        """True if both stand at the same place of the clock, whatever the part of the day."""
        return (self.hour, self.minute) == (other.hour, other.minute)

    def later(self, hours: int, minute: int) -> ClockTime:
        """The time some hours later at this minute, without the part of the day."""
        return ClockTime((self.hour + hours - 1) % 12 + 1, minute)


_HOUR = "|".join(sorted(_HOURS, key=len, reverse=True))
_MINUTE = "|".join(sorted(_MINUTES, key=len, reverse=True))
_PART = "|".join((*_PARTS, r"a\.?\s?m\b\.?", r"p\.?\s?m\b\.?"))
_CUE = r"(?:\b(?P<cue>at|around|about|by|before|after|have|make it|do)\s+)?"
_END = rf"(?P<clock>\s*o'?\s?clock\b)?(?:\s*(?P<part>{_PART}))?"
_SPOKEN = re.compile(
    rf"{_CUE}\b(?:(?P<shift>half past|quarter past|quarter to)\s+)?"
    rf"(?P<hour>{_HOUR})\b(?:\s+(?P<minute>{_MINUTE})\b)?{_END}"
)
_WRITTEN = re.compile(rf"{_CUE}\b(?P<hour>\d{{1,2}})(?::(?P<minute>\d{{2}}))?(?!\d){_END}")
_NOON = re.compile(r"\b(?:noon|midday)\b")
_SHIFTS = {"half past": (0, 30), "quarter past": (0, 15), "quarter to": (-1, 45)}


def _part(text: str, hour: int) -> str:
    letters = re.sub(r"[^a-z]", "", text)
    if letters == "am":
        return "in the morning"
    if letters == "pm":
        return "in the evening" if 6 <= hour < 12 else "in the afternoon"
    return text


def _times(text: str) -> list[tuple[int, int, ClockTime]]:
    """Every time of the lower-case text, with the places where it begins and ends."""
    found = [*_spoken_times(text), *_written_times(text)]
    found += [(noon.start(), noon.end(), ClockTime(12, 0, "in the afternoon")) for noon in _NOON.finditer(text)]
    return sorted(found, key=lambda entry: entry[0])


def _spoken_times(text: str) -> Iterator[tuple[int, int, ClockTime]]:
    for match in _SPOKEN.finditer(text):
        hour, minute, shift = _HOURS[match["hour"]], _MINUTES.get(match["minute"] or "", 0), match["shift"]
        if shift:
            hours, minute = _SHIFTS[shift]
            hour = (hour + hours - 1) % 12 + 1
        if any(match[cue] for cue in ("shift", "minute", "clock", "part", "cue")):
            start = match.start("shift" if shift else "hour")
            yield start, match.end(), ClockTime(hour, minute, _part(match["part"] or "", hour))


def _written_times(text: str) -> Iterator[tuple[int, int, ClockTime]]:
    for match in _WRITTEN.finditer(text):
        hour, minute = int(match["hour"]), int(match["minute"] or 0)
        told = any(match[cue] for cue in ("minute", "clock", "part", "cue"))
        if told and hour < 24 and minute < 60:
            part = match["part"] or ("pm" if hour > 12 else "")
            hour = (hour - 1) % 12 + 1
            yield match.start("hour"), match.end(), ClockTime(hour, minute, _part(part, hour))


def find_times(text: str) -> list[ClockTime]:
    """The times of day of a text, in their order. A bare "three" counts only after a word like "at"."""
    return [time for _, _, time in _times(_lower(text))]


_WEEKDAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_DAY = re.compile(
    rf"\b(today|tonight|the day after tomorrow|tomorrow|(?:(?:next|this) )?(?:{_WEEKDAYS}|week)"
    rf"|(?:{_MONTHS}) (?:\d{{1,2}}(?:st|nd|rd|th)?|(?:twenty |thirty )?[a-z]+(?:st|nd|rd|th))\b)"
)


def find_day(text: str) -> str | None:
    """The first day that the text names, such as "tomorrow", "next friday" or "march third"."""
    found = _DAY.search(plain(text))
    return in_words(found[1]) if found else None


def in_words(text: str) -> str:
    """The text with its times, ordinals and numbers in words, as it would be read aloud."""
    done = 0
    pieces = []
    for start, end, time in _times(_lower(text)):
        if start < done or not re.search(r"\d", text[start:end]):
            continue
        if not time.part and not time.minute:
            time = replace(time, part="o'clock")
        pieces += [text[done:start], str(time)]
        done = end
    words = "".join((*pieces, text[done:]))
    return re.sub(r"[+\w-]*\d[\w-]*", lambda found: " ".join(spoken.words(found[0])), words)
