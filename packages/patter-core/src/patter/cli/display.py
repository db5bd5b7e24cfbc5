"""Who shows a call to people, and which of the two ways this terminal gets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from patter.cli.view import Facts
    from patter.envelope import CallResult

__all__ = ["Display", "is_live", "write_json"]


class Display(Protocol):
    """Shows one call on standard error. Events arrive in the thread that waits for the call."""

    def begin(self, facts: Facts) -> None:
        """The call is about to be placed."""

    def event(self, event: Mapping[str, Any]) -> None:
        """A progress event, or ``{"type": "interrupt"}``."""

    def end(self, result: CallResult | None, farewell: Sequence[str] = ()) -> None:
        """The call is over, or (None) it was never placed. Calling it again does nothing."""


def is_live(*, plain: bool) -> bool:
    """True if standard error is a terminal that can be drawn on, and nobody asked for plain lines."""
    if plain or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stderr.isatty()


def write_json(result: CallResult) -> None:
    """The envelope and nothing else, as UTF-8: one line for programs, indented for people."""
    text = result.to_json(indent=2 if sys.stdout.isatty() else None)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
