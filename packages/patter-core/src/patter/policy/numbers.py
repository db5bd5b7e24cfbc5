"""Which telephone numbers may be dialled at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from patter.errors import ConfigError, InvalidArguments, NotAllowed

__all__ = ["AllowedNumbers", "check_allowed", "check_number", "mask_number", "read_allowed"]

AllowedNumbers = Sequence[str] | Callable[[str], bool]
"""Prefixes such as ``+1555``, or a function that is asked."""

_EXPECTED = "Expected an E.164 number: '+', country code, subscriber number, such as +15551234567"
_SEPARATORS = re.compile(r"[ .\-()/\u00a0\u2010-\u2015]+")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}", re.ASCII)
_SHORT = re.compile(r"\+?[0-9]{1,6}", re.ASCII)


def check_number(value: object, *, field: str = "to") -> str:
    """The number in E.164 form. Spaces, dots, dashes, slashes and parentheses are taken out.

    Fictional numbers such as +1 555 0100 pass: a number need be possible, not assigned.

    Raises:
        InvalidArguments: it is no number of this form; the message says what to change.
        NotAllowed: it is an emergency or a short number.
    """
    if not isinstance(value, str):
        raise InvalidArguments(field, f"{type(value).__name__} is not a string", f"{_EXPECTED}.")
    number = _SEPARATORS.sub("", value.strip().removeprefix("tel:"))
    if not number:
        raise InvalidArguments(field, "it is empty", f"{_EXPECTED}.")
    if _SHORT.fullmatch(number):
        problem = f"{number!r} is an emergency or short number"
        raise NotAllowed(field, problem, "These are never dialled; only full E.164 numbers are.")
    if number.startswith("00"):
        raise InvalidArguments(field, f"{value!r} begins with 00", f"{_EXPECTED}; write + in place of 00.")
    if not _DIGITS.fullmatch(number.removeprefix("+")):
        raise InvalidArguments(field, f"{value!r} is not a telephone number", f"{_EXPECTED}.")
    if not number.startswith("+"):
        raise InvalidArguments(field, f"{value!r} has no country code", f"{_EXPECTED}; add '+' and the country code.")
    if not _E164.fullmatch(number):
        raise InvalidArguments(field, f"{value!r} is not 7 to 15 digits after the '+'", f"{_EXPECTED}.")
    return _check_possible(number, field)


def _check_possible(number: str, field: str) -> str:
    import phonenumbers  # 35 ms, and not needed to import the package

    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        raise InvalidArguments(field, f"{number!r} has no known country code", f"{_EXPECTED}.") from None
    reason = phonenumbers.is_possible_number_with_reason(parsed)
    if reason == phonenumbers.ValidationResult.IS_POSSIBLE:
        if phonenumbers.number_type(parsed) == phonenumbers.PhoneNumberType.PREMIUM_RATE:
            raise NotAllowed(field, f"{number!r} is a premium-rate number", "These are never dialled.")
        return number
    problem = {
        phonenumbers.ValidationResult.TOO_SHORT: "is too short",
        phonenumbers.ValidationResult.TOO_LONG: "is too long",
        phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "lacks its area code",
    }.get(reason, "has an impossible length")
    raise InvalidArguments(field, f"{number!r} {problem} for country code +{parsed.country_code}", f"{_EXPECTED}.")


def read_allowed(allowed: AllowedNumbers | None) -> AllowedNumbers | None:
    """The owner's list, checked: prefixes with '+' and country code, or a function. None allows every number.

    Raises:
        ConfigError: it is no such list, or a prefix in it would allow everything or nothing.
    """
    if allowed is None or callable(allowed):
        return allowed
    if isinstance(allowed, str) or not isinstance(allowed, Sequence):
        raise ConfigError("allowed_numbers must be a list of prefixes, such as ['+1555'], or a function.")
    prefixes = [_SEPARATORS.sub("", prefix) if isinstance(prefix, str) else prefix for prefix in allowed]
    for prefix in prefixes:
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise ConfigError(
                f"allowed_numbers: {prefix!r} is no prefix. Write '+' and the country code first: '+1555'."
            )
    return prefixes


def check_allowed(number: str, allowed: AllowedNumbers | None, *, field: str = "to") -> None:
    """Ask the owner's list, as `read_allowed` gives it.

    Raises:
        NotAllowed: the list does not hold the number.
    """
    if allowed is None:
        return
    try:
        found = allowed(number) if callable(allowed) else number.startswith(tuple(allowed))
    except Exception as error:  # the boundary to the owner's function: in doubt nobody is dialled
        problem = f"allowed_numbers raised {type(error).__name__}"
        raise NotAllowed(field, problem, "Nothing was dialled. Mend the function.") from error
    if not found:
        problem = f"{mask_number(number)} is not among the allowed numbers"
        raise NotAllowed(field, problem, "Ask the owner of the phone.")


def mask_number(number: str) -> str:
    """A number for logs and pictures: +15551234567 becomes +1555***4567."""
    return f"{number[:5]}***{number[-4:]}" if len(number) > 9 else "***"
