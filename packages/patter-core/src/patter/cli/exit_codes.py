"""The exit codes of the command line, for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.envelope import CallResult

__all__ = ["CONFIG", "INTERRUPTED", "NOT_COMPLETED", "OK", "PROVIDER", "USAGE", "explain", "of_error", "of_result"]

OK = 0
NOT_COMPLETED = 1
"""The call was not completed; the envelope's status says why."""
USAGE = 2
"""An argument is wrong. Nothing was dialled."""
CONFIG = 3
"""A key, an address or a package is missing. Nothing was dialled."""
PROVIDER = 4
"""The carrier, the network, or the ears, mind or voice failed."""
INTERRUPTED = 130

_BROKEN = frozenset({"carrier_error", "media_error", "pipeline_error"})

_OPTIONS = {
    "to": "TO",
    "goal": "--goal",
    "first_message": "--first-message",
    "max_duration_sec": "--max-duration",
}


def of_result(result: CallResult) -> int:
    """The code of a call that was placed."""
    if result.status == "completed":
        return OK
    broken = result.status == "failed" and result.details is not None and result.details.end_reason in _BROKEN
    return PROVIDER if broken else NOT_COMPLETED


def of_error(error: Exception) -> int:
    """The code of an error that was raised before any dial."""
    from patter.errors import ConfigError, InvalidArguments, PhoneStopped

    if isinstance(error, InvalidArguments):
        return USAGE
    return CONFIG if isinstance(error, ConfigError | PhoneStopped) else PROVIDER


def explain(error: Exception) -> str:
    """One line for people: what was wrong and what to do, with arguments named as on the command line."""
    from patter.errors import InvalidArguments

    if isinstance(error, InvalidArguments):
        return f"{_OPTIONS.get(error.field, error.field)}: {error.problem}. {error.expected}"
    return str(error)
