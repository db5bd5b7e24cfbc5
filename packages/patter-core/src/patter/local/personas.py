"""The people and machines that can be called on the local network: pure reply logic.

They understand text as a recogniser writes it, lower case and without punctuation, and speak plain
words that a recogniser can understand in turn.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

from patter.errors import ConfigError
from patter.local.dialogue import Act, Beep, Dialogue, Heard, Listen, Persona, Ring, Say
from patter.local.times import ClockTime, find_day, find_times, plain

__all__ = ["PERSONAS", "persona"]

_STILL_THERE = "Hello, are you still there?"
_UNCLEAR = "Sorry, I did not get that."
_GOODBYE = "Goodbye."
_FAREWELL = re.compile(r"\b(good ?bye|bye)\b")
_PATIENCE = re.compile(
    r"(?:one moment|just a moment|hold on|let me (?:see|look))(?: please| i will look in the diary)?"
)
_REFUSAL = re.compile(r"\b(no|not|don't|doesn't|can't|instead|another|other|different)\b")

Asking = Generator[Act, Heard, str]


def _ask(text: str, timeout_s: float = 8.0) -> Asking:
    """Say something and return the answer, plain; "" if the other side is gone or says goodbye."""
    yield Say(text)
    for _ in range(3):
        heard = yield Listen(timeout_s)
        while _PATIENCE.fullmatch(plain(heard.text)):
            heard = yield Listen(timeout_s)
        if heard.text:
            answer = plain(heard.text)
            return "" if _FAREWELL.search(answer) else answer
        yield Say(_UNCLEAR if heard.unclear else _STILL_THERE)
    return ""


def _part() -> Dialogue:
    """Say goodbye, and leave the other side a few seconds to hang up first."""
    yield Say(_GOODBYE)
    yield Listen(timeout_s=3)


# --- Style Studio ---------------------------------------------------------------------------------


def _salon() -> Dialogue:
    yield from _salon_talk()
    yield from _part()


_ANSWERS = {
    r"\b(?:opening|open|hours|close)\b": "We are open from nine in the morning to six in the evening.",
    r"\b(?:price|prices|cost|costs|how much)\b": "A haircut is forty dollars.",
}
_ELSE = "Anything else?"


def _question(text: str) -> str:
    """The answer to a question that is no booking, or ""."""
    return next((f"{answer} {_ELSE}" for asked, answer in _ANSWERS.items() if re.search(asked, text)), "")


def _salon_talk() -> Generator[Act, Heard, None]:
    answer = yield from _ask("Hello, Style Studio.")
    if question := _question(answer):
        yield from _ask(question)
        return
    if answer and not find_times(answer):
        day = find_day(answer)
        answer = yield from _ask("Sure, which day and time would you like?")
        answer = f"{day} {answer}" if answer and day else answer
    if not answer:
        return
    times, day = find_times(answer), find_day(answer)
    offer = times[0].later(1, 30) if times else ClockTime(4, 30)
    answer = yield from _ask(
        f"I am sorry, {times[0]} is taken, would {offer} work?" if times else f"I have {offer}, would that work?"
    )
    wish = [time for time in find_times(answer) if not time.same(offer)]
    if wish:
        offer = wish[0]
        answer = yield from _ask(f"All right, {offer} is free. Shall I book it?")
    elif _REFUSAL.search(answer):
        offer = offer.later(1, 15)
        answer = yield from _ask(f"I also have {offer}, would that be better?")
    if not answer:
        return
    answer = yield from _ask("Great, what is your name?")
    if answer:
        when = f"{day} at {offer}" if day else str(offer)
        yield from _ask(f"You are booked for {when}. {_ELSE}")


_HOURS = range(1, 13)
_DAYS = ("today", "tomorrow", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_PARTS = {
    "in the morning": (8, 9, 10, 11),
    "in the afternoon": (12, 1, 2, 3, 4, 5),
    "in the evening": (6, 7, 8),
}
_COMMON = (_STILL_THERE, _UNCLEAR, _GOODBYE)


def _asked_times() -> Iterator[ClockTime]:
    for part, hours in _DAY_PARTS.items():
        for hour in hours:
            for minute in (0, 30):
                yield ClockTime(hour, minute, part)


def _salon_phrases() -> Iterator[str]:
    yield from _COMMON
    yield "Hello, Style Studio."
    yield "Sure, which day and time would you like?"
    yield "Great, what is your name?"
    yield from (*_ANSWERS.values(), _ELSE)
    for time in _asked_times():
        yield f"I am sorry, {time} is taken, would {time.later(1, 30)} work?"
    for hour in _HOURS:
        yield f"I have {ClockTime(hour, 30)}, would that work?"
        yield f"I also have {ClockTime(hour, 15)}, would that be better?"
        yield f"All right, {ClockTime(hour)} is free. Shall I book it?"
        yield f"You are booked for {ClockTime(hour, 30)}. {_ELSE}"
        yield f"All right, {ClockTime(hour, 30)} is free. Shall I book it?"
        yield f"You are booked for tomorrow at {ClockTime(hour, 30)}. {_ELSE}"
    for day in _DAYS:
        yield f"You are booked for {day} at {ClockTime(4, 30)}. {_ELSE}"


# --- Oak Street Clinic ----------------------------------------------------------------------------


def _doctor() -> Dialogue:
    yield from _doctor_talk()
    yield from _part()


def _doctor_talk() -> Generator[Act, Heard, None]:
    answer = yield from _ask("Good morning, Oak Street Clinic, what can I do for you?")
    if not answer:
        return
    day, times = find_day(answer), find_times(answer)
    questions = ["What is the reason for the visit?", "What is the name of the patient?"]
    questions.append("And what is the date of birth?")
    for question in questions:
        if not (yield from _ask(question)):
            return
    offer = times[0].later(1, 15) if times else ClockTime(11, 15)
    when = f"{day} at {offer}" if day else f"tomorrow at {offer}"
    answer = yield from _ask(f"Thank you. The doctor can see you {when}. Would that work?")
    if answer and _REFUSAL.search(answer):
        offer = offer.later(2, 45)
        answer = yield from _ask(f"The doctor can also see you at {offer}. Would that be better?")
    if answer:
        yield from _ask(f"Good, {offer} is reserved for you. Please bring your insurance card.")


def _doctor_phrases() -> Iterator[str]:
    yield from _COMMON
    yield "Good morning, Oak Street Clinic, what can I do for you?"
    yield "What is the reason for the visit?"
    yield "What is the name of the patient?"
    yield "And what is the date of birth?"
    for hour in _HOURS:
        yield f"The doctor can also see you at {ClockTime(hour, 45)}. Would that be better?"
        yield f"Good, {ClockTime(hour, 15)} is reserved for you. Please bring your insurance card."
    for day in _DAYS:
        for hour in _HOURS:
            yield f"Thank you. The doctor can see you {day} at {ClockTime(hour, 15)}. Would that work?"


# --- machines -------------------------------------------------------------------------------------

_GREETING = (
    "You have reached the voicemail of Alex Morgan, I cannot come to the phone right now, please leave your "
    "name and a short message after the tone, and I will call you back."
)


def _voicemail() -> Dialogue:
    yield Say(_GREETING)
    yield Beep()
    while (yield Listen(timeout_s=10)) != Heard():
        pass


_MENU = (
    "Thank you for calling City Health. For appointments, press one or say appointments. "
    "For opening hours, press two or say opening hours."
)
_HOURS_TEXT = "We are open from nine in the morning to five in the afternoon."
_DESK = "Appointments, how can I help you?"


def _ivr() -> Dialogue:
    for _ in range(4):
        yield Say(_MENU, until_key=True)
        heard = yield Listen(timeout_s=6)
        answer = plain(heard.text)
        if heard.digits.startswith("1") or "appointment" in answer:
            yield from _desk()
            break
        if heard.digits.startswith("2") or "opening" in answer or "hours" in answer:
            yield Say(_HOURS_TEXT, until_key=True)
        elif _FAREWELL.search(answer):
            break
    yield from _part()


def _desk() -> Generator[Act, Heard, None]:
    answer = yield from _ask(_DESK)
    if answer and not find_times(answer):
        answer = yield from _ask("Certainly, which day and time would you like?")
    if not answer:
        return
    times = find_times(answer)
    when = times[0] if times else ClockTime(4, 30)
    if (yield from _ask(f"Yes, {when} is free. What is your name, please?")):
        yield from _ask(f"Thank you. {str(when).capitalize()} is reserved for you. Is there anything else?")


def _ivr_phrases() -> Iterator[str]:
    yield from _COMMON
    yield from (_MENU, _HOURS_TEXT, _DESK)
    yield "Certainly, which day and time would you like?"
    for time in _asked_times():
        yield f"Yes, {time} is free. What is your name, please?"
        yield f"Thank you. {time} is reserved for you. Is there anything else?"


# --- difficult people -----------------------------------------------------------------------------

_RUDE = ("Yeah?", "Wait, who is this?", "I have no time for this. What do you want?")


def _rude() -> Dialogue:
    hello, interruption, complaint = _RUDE
    yield Say(hello)
    yield Listen(after_words=3)
    yield Say(interruption)
    heard = yield Listen()
    if _FAREWELL.search(plain(heard.text)):
        return
    yield Say(complaint)
    # Hangs up in the middle of the explanation.
    yield Listen(after_words=4)


def _silent() -> Dialogue:
    while True:
        yield Listen(timeout_s=None)


def _absent() -> Dialogue:
    yield from ()


def persona(name: str) -> Persona:
    """The persona of this name.

    Raises:
        ConfigError: there is none; the message lists those that there are.
    """
    try:
        return PERSONAS[name]
    except KeyError:
        raise ConfigError(f"There is no persona {name!r}. There are {', '.join(PERSONAS)}.") from None


PERSONAS: dict[str, Persona] = {
    one.name: one
    for one in (
        Persona("salon", "Style Studio", "+15550101001", _salon, tuple(_salon_phrases())),
        Persona("doctor", "Oak Street Clinic", "+15550101002", _doctor, tuple(_doctor_phrases())),
        Persona("busy", "A line that is busy", "+15550101003", _absent, ring=Ring("busy")),
        Persona("no-answer", "Nobody at home", "+15550101004", _absent, ring=Ring("no-answer")),
        Persona("failed", "A number out of service", "+15550101005", _absent, ring=Ring("failed")),
        Persona("declined", "Somebody who declines", "+15550101006", _absent, ring=Ring("declined")),
        Persona(
            "voicemail",
            "Alex Morgan's voicemail",
            "+15550101007",
            _voicemail,
            (_GREETING,),
            Ring(answered_by="machine_start"),
        ),
        Persona("ivr", "City Health", "+15550101008", _ivr, tuple(_ivr_phrases()), hears_keys=True),
        Persona("rude", "Somebody in a hurry", "+15550101009", _rude, _RUDE),
        Persona("silent", "A silent line", "+15550101010", _silent, ring=Ring(answered_by="unknown")),
    )
}
"""The personas by name. Their numbers are fictional."""
