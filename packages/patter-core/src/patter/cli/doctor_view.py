"""The doctor's report: as lines for people, and as data. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from patter.cli.checks import Check
from patter.cli.exit_codes import CONFIG, OK, PROVIDER

__all__ = ["Report"]

_STYLES = {"ok": "green", "note": "cyan", "missing": "yellow", "problem": "red"}
_NAME = 19
"""The longest name of an environment variable."""
_QUIET = "bright_black"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, and what follows from it."""

    checks: Sequence[Check]
    online: bool = False

    @property
    def ready(self) -> bool:
        """True if everything that a real call needs is there."""
        return not any(check.blocks for check in self.checks)

    @property
    def exit_code(self) -> int:
        """The code of the command: what is wrong here counts for more than what is wrong elsewhere."""
        blocking = [check for check in self.checks if check.blocks]
        if not blocking:
            return OK
        return PROVIDER if all(check.is_passing for check in blocking) else CONFIG

    @property
    def next(self) -> str:
        """What to do now."""
        missing = [check for check in self.checks if check.state == "missing" and check.blocks]
        wrong = [check for check in self.checks if check.state == "problem" and check.blocks]
        if not missing and not wrong:
            call = 'patter call +15551234567 --goal "..." places a real call, which costs money.'
            return call if self.online else f"patter doctor --online asks the vendors whether it works. Then {call}"
        if wrong and all(check.is_passing for check in wrong) and not missing:
            return "everything here is in order, and somebody out there did not answer as expected; try again."
        steps = []
        if missing:
            steps.append("set what is missing above")
        if wrong:
            steps.append(f"mend {_listed([check.name for check in wrong])}")
        return f"patter demo works now, without keys. For a real call {', and '.join(steps)}; then run this again."

    def data(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "ready": self.ready,
            "online": self.online,
            "checks": [
                {
                    "section": check.section,
                    "name": check.name,
                    "state": check.state,
                    "message": check.message,
                    "remedy": check.remedy,
                    "needed": check.is_needed,
                }
                for check in self.checks
            ],
            "next": self.next,
        }

    def lines(self) -> Iterator[Table | Text | Padding]:
        """The same for people, to be printed one after the other."""
        for section, checks in groupby(self.checks, key=lambda check: check.section):
            yield Text(section, style="bold")
            yield _table(checks)
            yield Text()
        yield _next(self.next)


def _table(checks: Iterator[Check]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(min_width=8, no_wrap=True)
    table.add_column(min_width=_NAME, no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        table.add_row(Text(f" {check.state}", style=_STYLES[check.state]), Text(check.name), _words(check))
    return table


def _words(check: Check) -> Text:
    text = Text(check.message, style=_QUIET if check.state in ("ok", "note") else "")
    if not check.message:
        return Text(check.remedy)
    if check.remedy:
        text.append(f"\n→ {check.remedy}", style="default")
    return text


def _next(words: str) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row(Text("Next:", style="bold"), Text(words))
    return table


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
