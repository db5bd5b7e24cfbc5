"""The script of a callee: what somebody who is called says, hears and does. Pure.

A dialogue is a generator: it yields the next act, and is resumed when the act is done. `Listen` is
resumed with what was heard, every other act with an empty `Heard`. When the generator ends, the callee
hangs up::

    def hurried() -> Dialogue:
        yield Say("Yes, hello?")
        heard = yield Listen()
        yield Say("Call me back later." if "book" in heard.text else "Goodbye.")
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Act",
    "Beep",
    "Dialogue",
    "Heard",
    "Listen",
    "Persona",
    "Press",
    "Ring",
    "RingOutcome",
    "Say",
    "Wait",
    "scripted",
]

RingOutcome = Literal["answer", "busy", "no-answer", "failed", "declined"]


@dataclass(frozen=True, slots=True)
class Ring:
    """What happens at the callee's end when it rings.

    ``after_s`` is the time until then; None leaves it to the exchange's timings. ``answered_by`` is
    what the carrier's machine detection will say.
    """

    outcome: RingOutcome = "answer"
    after_s: float | None = None
    answered_by: str = "human"


@dataclass(frozen=True, slots=True)
class Say:
    """Speak, to the end. With ``until_key``, a key that the other side presses cuts it short."""

    text: str
    until_key: bool = False


@dataclass(frozen=True, slots=True)
class Listen:
    """Let the other side speak, until its turn is over.

    Ends early after ``after_words`` words, so that the next `Say` interrupts; ends with nothing heard
    after ``timeout_s`` of silence (None: never).
    """

    timeout_s: float | None = 8.0
    after_words: int | None = None


@dataclass(frozen=True, slots=True)
class Press:
    """Press keys, which reach the other side as DTMF."""

    digits: str


@dataclass(frozen=True, slots=True)
class Beep:
    """Sound a tone, as an answering machine does."""

    hz: int = 1000
    seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for a while. What the other side says is kept for the next `Listen`."""

    seconds: float


Act = Say | Listen | Press | Beep | Wait


@dataclass(frozen=True, slots=True)
class Heard:
    """What a `Listen` heard. Nothing at all means silence; ``unclear`` means sound without words."""

    text: str = ""
    digits: str = ""
    unclear: bool = False


Dialogue = Generator[Act, Heard, None]


@dataclass(frozen=True, slots=True)
class Persona:
    """Somebody who can be called.

    ``number`` is E.164. ``phrases`` are all sentences that it may say: they are the language model of
    the recogniser that listens to it. With ``hears_keys`` it understands keys by their tones.
    """

    name: str
    title: str
    number: str
    script: Callable[[], Dialogue]
    phrases: tuple[str, ...] = ()
    ring: Ring = Ring()
    hears_keys: bool = False


def scripted(
    *acts: Act,
    name: str = "scripted",
    number: str = "+15550100999",
    ring: Ring | None = None,
    hears_keys: bool = False,
) -> Persona:
    """A persona that does these acts in turn, whatever it hears, and hangs up."""

    def script() -> Dialogue:
        # A tuple's iterator takes no values, so ``yield from`` would fail.
        for act in acts:  # noqa: UP028
            yield act

    phrases = tuple(act.text for act in acts if isinstance(act, Say))
    return Persona(name, name.title(), number, script, phrases, ring or Ring(), hears_keys)
