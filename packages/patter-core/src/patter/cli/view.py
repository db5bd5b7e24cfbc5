"""The picture of a call in a terminal: from the state to panels. Pure; `patter.cli.live` moves it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.align import Align
from rich.box import ROUNDED
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.highlighter import JSONHighlighter
from rich.measure import Measurement
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from patter.cli.state import CallView, Row
from patter.cli.waveform import Waveform

if TYPE_CHECKING:
    from patter.envelope import CallResult

__all__ = [
    "MAX_WIDTH",
    "THEME",
    "WIDE",
    "Facts",
    "Tail",
    "brief",
    "envelope",
    "farewell",
    "header",
    "line",
    "prompt",
    "transcript",
]

MAX_WIDTH = 112
WIDE = 90
"""From this many columns on, the latency stands beside the text, below it under the text."""
LABEL = 8
"""Columns that name the lanes of the waveform."""
PURPLE = "#9d65ff"

THEME = Theme(
    {
        "json.key": "magenta",
        "json.str": "yellow",
        "json.number": PURPLE,
        "json.bool_true": PURPLE,
        "json.bool_false": PURPLE,
        "json.null": PURPLE,
        "json.brace": "default",
    }
)

_PILLS = {"completed": "green", "on call": "cyan", "failed": "red"}
_VOICES = {"carrier": "bright_black", "callee": "cyan", "agent": "magenta", "tool": "bright_black"}
_GOOD_MS, _FAIR_MS = 700, 1100


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a call before it begins. ``notes`` are things that people should know."""

    command: str
    from_number: str
    to_number: str
    title: str
    network: str
    stt: str
    llm: str
    tts: str
    notes: tuple[str, ...] = ()


class Tail:
    """The last lines of something that is higher than the room for it."""

    def __init__(self, inner: RenderableType, height: int) -> None:
        self._inner = inner
        self._height = max(height, 2)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._inner, options.update(height=None), pad=False)
        if len(lines) > self._height:
            hidden = len(lines) - self._height + 1
            yield Text(f"   ↑  {hidden} earlier lines", style="bright_black", end="\n")
            lines = lines[hidden:]
        for line in lines:
            yield from line
            yield Text("\n", end="")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)


def header(facts: Facts, view: CallView, clock_s: float, width: int) -> Panel:
    """Who calls whom over what, how far it is, and how long it has lasted."""
    first = [
        Text(f"☎  {_spaced(facts.from_number)} → {_spaced(facts.to_number)}", style="bold"),
        Text(facts.title),
        Text.assemble(_pill(view.phase), "  ", (_clock(clock_s), "bright_black")),
    ]
    parts = (("network", facts.network), ("stt", facts.stt), ("llm", facts.llm), ("tts", facts.tts))
    second = [Text.assemble((f"{name} ", "bright_black"), value) for name, value in parts]
    lines = [*_flow(first, width - 4), *_flow_whole(second, width - 4)]
    lines += _flow([Text(note, style="bright_black") for note in facts.notes], width - 4)
    return _panel(Group(*lines), facts.command, border=PURPLE, title_style=PURPLE, width=width)


def transcript(view: CallView, width: int, height: int | None = None) -> Panel:
    """What was said and done, a line each: seconds from the answer, who, what, and how fast.

    Args:
        height: the lines that there is room for, borders included; the last ones are shown.
    """
    wide = width >= WIDE
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(justify="right", min_width=5, style="bright_black")
    table.add_column(min_width=7)
    table.add_column(ratio=1)
    if wide:
        table.add_column(no_wrap=True, min_width=9)
    for row in view.all_rows():
        badge = None if row.latency_ms is None else _badge(row.latency_ms)
        cells: list[RenderableType] = [
            Text(f"{view.since_answer(row.at_s):.1f}"),
            Text(row.who, style=_VOICES[row.who]),
            _words(row),
        ]
        if wide:
            cells.append("" if badge is None else Align.right(badge))
        elif badge is not None:
            cells[2] = Group(_words(row), badge)
        table.add_row(*cells)
    timed = any(row.latency_ms is not None for row in view.all_rows())
    legend = "badge = callee stopped → first audio of the agent" if timed else None
    body = table if height is None else Tail(table, height - 2)
    return _panel(body, "transcript", subtitle=legend, width=width)


def line(waveform: Waveform, width: int) -> Panel:
    """Both sides of the line over time."""
    rows = (
        Text.assemble(("callee".ljust(LABEL), "bright_black"), (waveform.callee, "cyan")),
        Text.assemble(("agent".ljust(LABEL), "bright_black"), (waveform.agent, "magenta")),
        Text.assemble(" " * LABEL, (waveform.axis, "bright_black")),
    )
    for row in rows:
        row.no_wrap = True
    return _panel(Group(*rows), "line", width=width)


def prompt(typed: str, spoken: str, width: int) -> Panel:
    """Where the callee's words are typed."""
    words = Text.assemble(("▸ ", "bold cyan"), typed, ("▏", "bold cyan"))
    hint = "Enter speaks it · an empty line or /hangup hangs up"
    last = Text(f"spoken: {spoken}" if spoken else "you are the callee: say hello", style="bright_black", no_wrap=True)
    last.truncate(width - 4, overflow="ellipsis")
    return _panel(Group(last, words), "you", subtitle=hint, border="cyan", title_style="cyan", width=width)


def envelope(result: CallResult, width: int) -> Panel:
    """The envelope as JSON; long lists are counted, not shown."""
    text = Text(pretty(brief(result), width - 4))
    JSONHighlighter().highlight(text)
    color = {"completed": "green", "failed": "red"}.get(result.status, "yellow")
    return _panel(
        text,
        "envelope returned to your agent",
        subtitle="the whole of it: --json",
        border=color,
        title_style=color,
        width=width,
    )


def farewell(parts: Sequence[str], width: int) -> Group:
    """The last words, side by side where they fit."""
    return Group(*_flow([Text(f" {part}", style="bright_black") for part in parts], width))


def brief(result: CallResult) -> dict[str, Any]:
    """The envelope without its long parts. Only for people; `CallResult.to_json` has all of it."""
    plain = result.to_dict(strict=True)
    turns = len(plain["transcript"])
    plain["transcript"] = f"{turns} turn{'' if turns == 1 else 's'}"
    if result.details is not None:
        details = result.details.model_dump(mode="json")
        shown = ("outcome", "end_reason", "ended_by", "error", "goal_achieved", "dtmf_received")
        plain["details"] = {name: details[name] for name in shown if details[name] not in (None, "")}
    return plain


def pretty(value: Any, width: int, indent: int = 0, before: int = 0) -> str:
    """JSON text in which an object without objects stands on one line, if the line is not too long.

    Args:
        indent: columns before a closing brace.
        before: columns that are taken already on the first line.
    """
    line = json.dumps(value, ensure_ascii=False)
    nested = isinstance(value, dict) and (indent == 0 or any(isinstance(part, dict) for part in value.values()))
    if not isinstance(value, dict) or not (nested or indent + before + len(line) + 1 > width):
        return line
    inner = indent + 2
    names = [json.dumps(name) + ": " for name in value]
    parts = (pretty(part, width, inner, len(name)) for name, part in zip(names, value.values(), strict=True))
    body = ",\n".join(f"{' ' * inner}{name}{part}" for name, part in zip(names, parts, strict=True))
    return f"{{\n{body}\n{' ' * indent}}}"


def _panel(
    body: RenderableType,
    title: str,
    *,
    width: int,
    subtitle: str | None = None,
    border: str = "bright_black",
    title_style: str = "bright_black",
) -> Panel:
    return Panel(
        body,
        title=Text(title, style=title_style),
        title_align="left",
        subtitle=None if subtitle is None else Text(subtitle, style="bright_black"),
        subtitle_align="right",
        box=ROUNDED,
        border_style=border,
        width=width,
    )


def _words(row: Row) -> Text:
    if not row.final:
        return Text(row.text, style="dim italic")
    style = {"agent": "bold", "carrier": "bright_black", "tool": "yellow"}.get(row.who, "")
    text = Text(row.text, style=style)
    if row.note:
        text.append(f"{' ' if row.text else ''}{row.note}", style="not bold bright_black")
    return text


def _badge(latency_ms: float) -> Padding:
    color = "green" if latency_ms <= _GOOD_MS else "yellow" if latency_ms <= _FAIR_MS else "red"
    return Padding(Text(f"{latency_ms:.0f} ms"), (0, 1), style=f"black on {color}", expand=False)


def _pill(phase: str) -> Text:
    return Text(f" {phase.upper()} ", style=f"bold black on {_PILLS.get(phase, 'yellow')}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"


def _spaced(number: str) -> str:
    """A number as people write it: +1 555 010 0001."""
    if number.startswith("+1") and len(number) == 12:
        return f"+1 {number[2:5]} {number[5:8]} {number[8:]}"
    return number


def _flow_whole(parts: Sequence[Text], width: int) -> Sequence[Text]:
    """The parts on one line if they fit, else the first on a line of its own."""
    lines = _flow(parts, width)
    return lines if len(lines) == 1 else [parts[0], *_flow(parts[1:], width)]


def _flow(parts: Iterable[Text], width: int) -> Sequence[Text]:
    """The parts side by side, three columns apart, on as many lines as they need."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + 3 + part.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], "   ", part)
        else:
            lines.append(part)
    return lines
