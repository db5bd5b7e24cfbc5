"""Written text as it is spoken: numbers, times, dates and money in words, symbols named or dropped.

The local voice says these words, and the local recogniser is taught them, so both agree on what
"3:30 pm" sounds like. English only, as the voices are; a text in another script has no sound.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Spoken", "say", "words"]


@dataclass(frozen=True, slots=True)
class Spoken:
    """One token of the text, the words it is spoken as, and the pause after it: ",", "." , "?" or none."""

    token: str
    words: tuple[str, ...]
    pause: str = ""


_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_MONTHS = ("january february march april may june july august september october november december").split()
_MONEY = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny")}
_SYMBOLS = {"&": "and", "@": "at", "%": "percent", "+": "plus", "=": "equals", "°": "degrees"} | {
    sign: name + "s" for sign, (name, _) in _MONEY.items()
}
_ABBREVIATIONS = {"dr": "doctor", "st": "street", "ave": "avenue", "vs": "versus"}

_ASCII = str.maketrans({"’": "'", "‘": "'", "–": "-", "—": ", ", "…": ".", "₂": "2", "×": " by "})
_NOON = r"(?P<noon>[ap])\.?m\b\.?"
_FORMS = re.compile(
    rf"""
      (?P<year>\d{{4}})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])\b
    | (?P<hour>[01]?\d|2[0-3])(?: :(?P<minute>[0-5]\d)(?:{_NOON})? | {_NOON.replace("noon", "noon2")})
    | (?P<noon3>[ap])\.m\b\.?
    | (?P<sign>[$€£])(?P<sum>\d[\d,]{{0,14}})(?:\.(?P<cents>\d\d)(?!\d))?
    | (?P<nth>\d{{1,6}})(?:st|nd|rd|th)\b
    | (?P<phone>\+\d[\d-]*|\d+(?:-\d+)+|0\d+|\d{{7,}})
    | (?P<whole>\d{{1,3}}(?:,\d{{3}}){{1,4}}|\d+)(?:\.(?P<fraction>\d+))?
    | (?P<letters>(?:[a-z]\.)+[a-z]\b\.?)
    | (?P<word>[a-z]+(?:'[a-z]+)*)
    | (?P<dot>\.)(?=[a-z0-9])
    | (?P<symbol>[{re.escape("".join(_SYMBOLS))}])
    """,
    re.VERBOSE,
)
_NUMBER = re.compile(r"[\d:.]*\d")
_DOTTED = re.compile(r"(?:[a-z]\.){2,}|(?:" + "|".join(_ABBREVIATIONS) + r")\.")


def words(text: str) -> list[str]:
    """The words of the text in lower case, as they are spoken."""
    return [word for spoken in say(text) for word in spoken.words]


def say(text: str) -> list[Spoken]:
    """Every token of the text that has a sound. A pause after one that has none stays with the one before."""
    heard: list[Spoken] = []
    before = ""
    for token in text.split():
        plain = _plain(token)
        pause = _pause(plain)
        if plain.strip(".,;!?") == "am" and _NUMBER.fullmatch(before):
            plain = "a.m."
        elif plain.strip(".,;!?") == "pm":
            plain = "p.m."
        spoken = tuple(word for match in _FORMS.finditer(plain) for word in _form(match))
        before = plain
        if spoken:
            heard.append(Spoken(token, spoken, pause))
        elif heard and pause:
            heard[-1] = Spoken(heard[-1].token, heard[-1].words, pause)
    return heard


def _plain(token: str) -> str:
    """Lower case ASCII, and the signs that are spoken."""
    decomposed = unicodedata.normalize("NFKD", token.translate(_ASCII))
    return "".join(char for char in decomposed if char.isascii() or char in _SYMBOLS).lower()


def _pause(plain: str) -> str:
    bare = plain.rstrip("\"')]*_")
    if _DOTTED.fullmatch(bare):
        return ""
    end = bare[-1:]
    if end in ("?", ".", "!"):
        return "?" if end == "?" else "."
    return "," if end in (",", ";", ":", "-") else ""


def _form(match: re.Match[str]) -> Iterator[str]:
    part = match.groupdict()
    if part["year"]:
        yield _MONTHS[int(part["month"]) - 1]
        yield from _ordinal(int(part["day"]))
        yield from _year(int(part["year"]))
    elif part["hour"]:
        yield from _time(int(part["hour"]), part["minute"], part["noon"] or part["noon2"])
    elif part["noon3"]:
        yield part["noon3"] + ".m."
    elif part["sign"]:
        yield from _money(part["sign"], int(part["sum"].replace(",", "")), int(part["cents"] or 0))
    elif part["nth"]:
        yield from _ordinal(int(part["nth"]))
    elif part["phone"]:
        yield from _digits(part["phone"])
    elif part["whole"]:
        yield from _number(part["whole"], part["fraction"])
    elif part["letters"]:
        yield from part["letters"].replace(".", "")
    elif part["word"]:
        yield _ABBREVIATIONS.get(part["word"], part["word"])
    else:
        yield "dot" if part["dot"] else _SYMBOLS[part["symbol"]]


def _time(hour: int, minute: str | None, noon: str | None) -> Iterator[str]:
    yield from _cardinal(hour)
    if minute and minute != "00":
        if minute[0] == "0":
            yield "oh"
        yield from _cardinal(int(minute))
    elif minute and not noon:
        yield "o'clock" if 0 < hour <= 12 else "hundred"
    if noon:
        yield noon + ".m."


def _money(sign: str, whole: int, cents: int) -> Iterator[str]:
    name, part = _MONEY[sign]
    if whole or not cents:
        yield from _cardinal(whole)
        yield name if whole == 1 else name + "s"
    if whole and cents:
        yield "and"
    if cents:
        yield from _cardinal(cents)
        yield part if cents == 1 else "pence" if part == "penny" else part + "s"


def _number(whole: str, fraction: str | None) -> Iterator[str]:
    value = int(whole.replace(",", ""))
    if fraction:
        yield from _cardinal(value)
        yield "point"
        yield from _digits(fraction)
    elif len(whole) == 4 and 1100 <= value < 2100:
        yield from _year(value)
    else:
        yield from _cardinal(value)


def _digits(text: str) -> Iterator[str]:
    return (_UNITS[int(digit)] for digit in text if digit.isdigit())


def _year(value: int) -> Iterator[str]:
    century, rest = divmod(value, 100)
    if 2000 <= value < 2010 or century < 10 or (century % 10 == 0 and rest == 0):
        yield from _cardinal(value)
        return
    yield from _cardinal(century)
    if rest < 10:
        yield "oh" if rest else "hundred"
    if rest:
        yield from _cardinal(rest)


def _ordinal(value: int) -> Iterator[str]:
    *front, last = _cardinal(value)
    yield from front
    yield _ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")


def _cardinal(value: int) -> Iterator[str]:
    for size, name in _SCALES:
        if value >= size:
            yield from _cardinal(value // size)
            yield name
            value %= size
            if not value:
                return
    if value < 20:
        yield _UNITS[value]
        return
    yield _TENS[value // 10]
    if value % 10:
        yield _UNITS[value % 10]
