"""What counts as an e-mail address, a number, a date, and so on, and the one form in which each is kept."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from datetime import date
from typing import Literal

__all__ = ["Value", "VariableType", "normalise"]

VariableType = Literal["email", "phone", "name", "number", "date", "custom"]

Value = str | int | float

_NAME_CHARS = 120
_CUSTOM_CHARS = 1000
_EMAIL_CHARS = 254
_NUMBER_CHARS = 40

_LOCAL_PART = re.compile(r"[^\s@\"(),:;<>\[\]\\]{1,64}")
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_SEPARATORS = re.compile(r"[\s.\-()/\u2010-\u2015]+")
_TRUNK = re.compile(r"^(\+|00)([0-9\s]{1,5})\(0\)")
_INTERNATIONAL = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_NATIONAL = re.compile(r"[0-9]{4,15}", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}", re.ASCII)
_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
_DOTTED_DATE = re.compile(r"([0-9]{1,2})\. ?([0-9]{1,2})\. ?([0-9]{4})", re.ASCII)


def normalise(kind: VariableType, text: str, *, home: str | None = None) -> Value | None:
    """The value that a text states, in the form in which it is kept; None if it states none of this kind.

    Args:
        kind: ``email`` (the domain in lower case), ``phone`` (E.164), ``name`` (1 to 120 characters), ``number`` (an
            int or a float; the decimal mark may be a comma), ``date`` (ISO; ``dd.mm.yyyy`` is read too), or
            ``custom`` (1 to 1,000 characters).
        text: what the caller has said, as the mind wrote it.
        home: an E.164 number. A phone number without a country code is read as one of its country; without it,
            such a number is none.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if not text or _is_broken(text):
        return None
    if kind == "phone":
        return _phone(text, home)
    return _READERS[kind](text)


def _is_broken(text: str) -> bool:
    """Whether it holds control characters other than white space, or halves of characters, which nothing can store."""
    return any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n\r" for char in text)


def _email(text: str) -> str | None:
    local, at, domain = text.partition("@")
    domain = unicodedata.normalize("NFC", domain.lower())
    if not at or len(text) > _EMAIL_CHARS or not _LOCAL_PART.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        return None
    return f"{local}@{domain}"


def _phone(text: str, home: str | None) -> str | None:
    digits = _ascii_digits(text.removeprefix("tel:"))
    digits = _SEPARATORS.sub("", _TRUNK.sub(r"\1\2", digits))
    if digits.startswith("00"):
        digits = f"+{digits[2:]}"
    if digits.startswith("+"):
        return digits if _INTERNATIONAL.fullmatch(digits) else None
    return _of_country(digits, home) if home is not None and _NATIONAL.fullmatch(digits) else None


def _of_country(digits: str, home: str) -> str | None:
    import phonenumbers  # 35 ms, and not needed to import the package

    try:
        own = phonenumbers.parse(home, None)
        # Fictional numbers have a country code, and no region of their own.
        region = phonenumbers.region_code_for_number(own)
        parsed = phonenumbers.parse(digits, region or phonenumbers.region_code_for_country_code(own.country_code or 0))
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    number = str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
    return number if _INTERNATIONAL.fullmatch(number) else None


def _name(text: str) -> str | None:
    name = " ".join(text.split())
    return name if len(name) <= _NAME_CHARS else None


def _number(text: str) -> int | float | None:
    digits = _ascii_digits(text)
    # "1,250" is 1250 to some and 1.25 to others; whoever writes it is asked again.
    if len(digits) > _NUMBER_CHARS or not _NUMBER.fullmatch(digits) or _THOUSANDS.fullmatch(digits):
        return None
    try:
        return int(digits)
    except ValueError:
        value = float(digits.replace(",", "."))
    return value if math.isfinite(value) else None


def _date(text: str) -> str | None:
    digits = _ascii_digits(text)
    if (iso := _ISO_DATE.fullmatch(digits)) is not None:
        year, month, day = iso.groups()
    elif (dotted := _DOTTED_DATE.fullmatch(digits)) is not None:
        day, month, year = dotted.groups()
    else:
        return None
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None


def _custom(text: str) -> str | None:
    return text if len(text) <= _CUSTOM_CHARS else None


def _ascii_digits(text: str) -> str:
    """The digits of other scripts as 0 to 9, and full-width signs as plain ones."""
    text = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


_READERS: dict[VariableType, Callable[[str], Value | None]] = {
    "email": _email,
    "name": _name,
    "number": _number,
    "date": _date,
    "custom": _custom,
}
