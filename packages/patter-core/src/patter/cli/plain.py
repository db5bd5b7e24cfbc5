"""A call as plain lines, as they happen: for pipes, logs and terminals without colour."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from patter.cli.state import CallView, Row, advance

if TYPE_CHECKING:
    from patter.cli.view import Facts
    from patter.envelope import CallResult

__all__ = ["PlainDisplay", "head_lines", "new_lines"]


class PlainDisplay:
    """Writes lines; nothing that was written changes any more."""

    def __init__(self, *, opening: str = "", stream: TextIO | None = None) -> None:
        self._view = CallView(opening=opening)
        self._stream = stream
        self._is_over = False

    def begin(self, facts: Facts) -> None:
        """Say who calls whom over what."""
        self._write(head_lines(facts))

    def event(self, event: Mapping[str, Any]) -> None:
        """Say what is new and final."""
        before, self._view = self._view, advance(self._view, event)
        self._write(new_lines(before, self._view))

    def end(self, result: CallResult | None, farewell: Sequence[str] = ()) -> None:
        """Say goodbye. The envelope is for standard output."""
        if not self._is_over:
            self._is_over = True
            self._write([" · ".join(farewell)] if farewell else [])

    def _write(self, lines: Iterable[str]) -> None:
        stream = self._stream or sys.stderr
        for line in lines:
            stream.write(line + "\n")
        stream.flush()


def head_lines(facts: Facts) -> list[str]:
    """What stands above the first event."""
    return [
        f"{facts.command}: {facts.from_number} -> {facts.to_number}, {facts.title}",
        f"network {facts.network}, stt {facts.stt}, llm {facts.llm}, tts {facts.tts}",
        *facts.notes,
    ]


def new_lines(before: CallView, after: CallView) -> Iterator[str]:
    """The lines that an event adds. A step of the carrier and a finished row are one line each."""
    for step in after.steps[len(before.steps) :]:
        waited = f" (answered after {after.answered_at_s:.1f} s)" if step == "in-progress" else ""
        yield _line("", "carrier", step + waited)
    if len(after.rows) < len(before.rows):
        yield _line("", "callee", "(goes on; the last line is taken back)")
    for row in after.rows[len(before.rows) :]:
        yield _line(f"{after.since_answer(row.at_s):.1f}", row.who, _words(row))
    if after.phase == "hanging up" != before.phase:
        yield "hanging up; press Ctrl-C again to stop at once"


def _words(row: Row) -> str:
    badge = "" if row.latency_ms is None else f"[{row.latency_ms:.0f} ms]"
    return "  ".join(filter(None, (row.text, row.note, badge)))


def _line(at: str, who: str, text: str) -> str:
    return f"{at:>6}  {who:<7}  {text}"
