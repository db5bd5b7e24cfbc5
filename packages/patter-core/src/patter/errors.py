"""Every error that Patter raises.

::

    PatterError
    ├── InvalidArguments (ValueError)     an argument of a call is wrong; nothing was dialled
    │   └── NotAllowed                    the number is valid, and policy forbids to call it
    ├── ConfigError (ValueError)          a key, an address or an agent is missing or contradictory
    │   └── PortInUse                     the server's port belongs to somebody else
    ├── PhoneStopped (RuntimeError)       the phone or the tool was stopped
    ├── CarrierError                      the carrier refused, failed, or did not answer
    ├── SignatureError                    a webhook or a media socket is not from the carrier
    ├── StoreError                        the store cannot be read or written now; nothing was changed
    │   ├── NameTaken                     an agent or a tool of that name is there already
    │   └── WriteUncertain                the store broke off; the change may have been made all the same
    ├── LineError                         the media connection of a call broke
    └── ProviderError                     ears, mind or voice failed (``stage`` says which)

Arguments and configuration raise before any dial. After the dial has started, every ending is an
envelope (`patter.envelope.CallResult`), and errors of the lower three kinds become its
``details.error``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

__all__ = [
    "CarrierError",
    "ConfigError",
    "InvalidArguments",
    "LineError",
    "NameTaken",
    "NotAllowed",
    "PatterError",
    "PhoneStopped",
    "PortInUse",
    "ProviderError",
    "SignatureError",
    "StoreError",
    "WriteUncertain",
]

Stage = Literal["stt", "llm", "tts"]


class PatterError(Exception):
    """Base of all errors of Patter."""


class InvalidArguments(PatterError, ValueError):
    """An argument of a call is wrong. Nothing was dialled.

    Args:
        field: the argument's name, as the model or the host wrote it.
        problem: what was wrong with the value.
        expected: the shape that is accepted, and what to do.
    """

    def __init__(self, field: str, problem: str, expected: str) -> None:
        super().__init__(f"{field}: {problem}. {expected}")
        self.field = field
        self.problem = problem
        self.expected = expected


class NotAllowed(InvalidArguments):
    """The number is well formed, and policy forbids to call it."""


class ConfigError(PatterError, ValueError):
    """A key, an address or an agent is missing or contradictory. The message names the remedy.

    Args:
        message: names what is wrong by its path.
        problems: of an object with several fields, each that is wrong with its path and what is wrong with it.
    """

    def __init__(self, message: str = "", *, problems: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class PortInUse(ConfigError):
    """Another program listens on the server's port."""


class PhoneStopped(PatterError, RuntimeError):
    """The phone or the tool was stopped; make a new one to call again."""


class CarrierError(PatterError):
    """The carrier refused a request, failed, or did not answer.

    Args:
        message: what happened, without secrets or numbers.
        code: the carrier's own code (for Twilio such as 21211), or None.
        http_status: the HTTP status of the answer, or None if there was none.
        doubtful: True if the request may have been carried out all the same (a time-out or a 5xx on
            create): it must be reconciled, never repeated.
    """

    def __init__(
        self, message: str, *, code: int | None = None, http_status: int | None = None, doubtful: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = http_status
        self.doubtful = doubtful


class SignatureError(PatterError):
    """A webhook or a media socket does not carry the carrier's signature."""


class StoreError(PatterError):
    """The store cannot be read or written now; the same request may succeed later. Nothing was changed, unless it is
    a `WriteUncertain`.
    """


class NameTaken(StoreError):
    """An agent, or a tool of the same agent, has that name already."""


class WriteUncertain(StoreError):
    """The store broke off in the middle of a change, which may have been made, may be made yet, or may be made in
    part. Read before you repeat it.
    """


class LineError(PatterError):
    """The media connection of a call broke, stalled, or did not follow the protocol."""


class ProviderError(PatterError):
    """Ears, mind or voice failed.

    Args:
        stage: "stt", "llm" or "tts".
        message: cause and remedy, without secrets.
        retryable: True if the same request may succeed later.
    """

    def __init__(self, stage: Stage, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.stage: Stage = stage
        self.retryable = retryable
