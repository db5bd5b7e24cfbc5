"""The goal of a call, taken apart by plain rules: what to ask for, when, and in whose name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from patter.local.times import find_day, find_times, in_words, plain

__all__ = ["DEFAULT_NAME", "Goal"]

DEFAULT_NAME = "Maria Lopez"

_CALLING = re.compile(r"^(?:please\s+)?(?:(?:call|phone|ring)\b.*?\b(?:and|to)\s+)?(?:please\s+)?", re.I)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_VERBS = frozenset(
    "arrange ask book buy cancel change check confirm enquire find follow get hear inform inquire invite know "
    "learn leave let make move order place remind report request reschedule reserve schedule see set speak talk "
    "tell thank verify".split()
)
_NAME = re.compile(
    r"\b(?:under(?: the name)?(?: of)?|name(?: is|:)?|for|on behalf of)\s+([A-Z][a-z]+(?: [A-Z][a-z]+){0,2})"
)
_NO_NAMES = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday today tomorrow next january february march april "
    "may june july august september october november december".split()
)
_BIRTH = re.compile(r"\b(?:born(?: on)?|date of birth(?: is|:)?|birthday(?: is|:)?)\s+([^.;,]+)", re.I)
_REASON = re.compile(r"\b(?:because of|reason(?: is|:)?)\s+([^.;,]+)", re.I)
_VISIT = re.compile(r"\b(?:appointment|visit)\s+for\s+(an? [a-z]+|[a-z]+ pain)\b", re.I)
_THING = re.compile(r"\b(?:book|schedule|reserve|arrange|order|get|make)\s+(an? [a-z]+)\b", re.I)
_SMALL = frozenset("a an the to for at in on of my and is it this that with".split())


@dataclass(frozen=True, slots=True)
class Goal:
    """What the call is for. The texts are ready to be spoken.

    ``purpose`` follows "I am calling", such as "to book a haircut for tomorrow at three in the
    afternoon".
    """

    purpose: str
    name: str = DEFAULT_NAME
    when: str = ""
    reason: str = "a routine checkup"
    birth: str = ""

    @classmethod
    def of(cls, text: str) -> Goal:
        """Read a goal as a person or a model writes it."""
        text = " ".join(text.split())
        time = next(iter(find_times(text)), None)
        day = find_day(text)
        return cls(
            purpose=_purpose(text),
            name=next(_names(text), DEFAULT_NAME),
            when=" at ".join(str(part) for part in (day, time) if part),
            reason=_reason(text),
            birth=in_words(birth[1]) if (birth := _BIRTH.search(text)) else "",
        )

    @property
    def wish(self) -> str:
        """The purpose as a wish: follows "I would like"."""
        return self.purpose if self.purpose.startswith("to ") else f"to talk {self.purpose}"

    def is_in(self, text: str) -> bool:
        """True if the text tells most of the purpose."""
        wanted = set(plain(self.purpose).split()) - _SMALL
        return 2 * len(wanted & set(plain(text).split())) >= max(len(wanted), 1)


def _purpose(text: str) -> str:
    first = _SENTENCE_END.split(text, maxsplit=1)[0].strip(" .!?\"'")
    words = _CALLING.sub("", first).split()
    if not words:
        return "about a question"
    if words[0].lower() == "to" and len(words) > 1:
        words = words[1:]
    if words[0].lower() in _VERBS or len(words[0]) == 1 or not words[0].isupper():
        words[0] = words[0].lower()
    return f"{'to' if words[0] in _VERBS else 'about'} {in_words(' '.join(words))}"


def _names(text: str) -> Iterator[str]:
    for match in _NAME.finditer(text):
        if match[1].split()[0].lower() not in _NO_NAMES:
            yield match[1]


def _reason(text: str) -> str:
    for pattern in (_REASON, _VISIT):
        if found := pattern.search(text):
            return in_words(found[1].strip())
    found = _THING.search(text)
    if found and "appointment" not in text.lower() and not found[1].endswith(("call", "reservation", "booking")):
        return found[1].lower()
    return "a routine checkup"
