"""The live view: draws the state of the call ten times a second, and once more in full at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live

from patter.cli import view as draw
from patter.cli.keyboard import Prompt
from patter.cli.state import CallView, advance
from patter.cli.waveform import Waveform
from patter.cli.waveform import draw as draw_waveform

if TYPE_CHECKING:
    from patter.audio.recording import Recording
    from patter.cli.view import Facts
    from patter.envelope import CallResult

__all__ = ["LiveDisplay"]

_FRAMES_PER_S = 10
_WAVEFORM_SHARE = 0.1
"""The waveform may take this part of the time, however long the call is."""
_LINE_HEIGHT = 5
_SMALLEST = 20
"""Terminals with fewer rows do without the waveform while the call is going on."""


class LiveDisplay:
    """Draws on standard error.

    Args:
        recording: what is being heard; written by another thread.
        show_envelope: False if standard output gets it.
        prompt: what is being typed, if the callee sits at the keyboard.
    """

    def __init__(
        self,
        console: Console,
        recording: Recording,
        *,
        opening: str = "",
        show_envelope: bool = True,
        prompt: Prompt | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._recording = recording
        self._show_envelope = show_envelope
        self._prompt = prompt
        self._clock = clock
        self._state = CallView(opening=opening)
        self._facts: Facts | None = None
        self._live: Live | None = None
        self._dialled_at = clock()
        self._waveform = Waveform("", "", "")
        self._next_waveform_at = 0.0

    def begin(self, facts: Facts) -> None:
        """Start drawing."""
        self._facts = facts
        self._live = Live(
            console=self._console,
            get_renderable=self.screen,
            refresh_per_second=_FRAMES_PER_S,
            transient=True,
        )
        self._live.start()

    def event(self, event: Mapping[str, Any]) -> None:
        """Take in an event; the next frame shows it."""
        if "at_s" in event:
            self._dialled_at = self._clock() - event["at_s"]
        self._state = advance(self._state, event)

    def end(self, result: CallResult | None, farewell: Sequence[str] = ()) -> None:
        """Stop drawing, and leave the whole picture in the scrollback."""
        if self._live is None:
            return
        self._live.stop()
        self._live = None
        if result is not None:
            self._next_waveform_at = 0.0
            self._console.print(self._picture(result))
        if farewell:
            self._console.print(draw.farewell(farewell, self._size()[0]))

    def screen(self) -> RenderableType:
        """What fits on the screen now."""
        assert self._facts is not None
        width, height = self._size()
        head = draw.header(self._facts, self._state, self._seconds(), width)
        below: list[RenderableType] = []
        room = height - len(self._console.render_lines(head)) - 1
        if height >= _SMALLEST:
            below.append(draw.line(self._wave(width), width))
            room -= _LINE_HEIGHT
        if self._prompt is not None:
            below.append(draw.prompt(self._prompt.text, self._prompt.spoken, width))
            room -= 4
        return Group(head, draw.transcript(self._state, width, room), *below)

    def _picture(self, result: CallResult) -> RenderableType:
        assert self._facts is not None
        width, _ = self._size()
        parts: list[RenderableType] = [
            draw.header(self._facts, self._state, result.duration_seconds, width),
            draw.transcript(self._state, width),
        ]
        if self._state.answered_at_s is not None:
            parts.append(draw.line(self._wave(width), width))
        if self._show_envelope:
            parts.append(draw.envelope(result, width))
        return Group(*parts)

    def _size(self) -> tuple[int, int]:
        return min(self._console.width, draw.MAX_WIDTH), self._console.height

    def _seconds(self) -> float:
        """What the clock shows: since the answer, and before it since the dial."""
        if self._state.phase == "starting":
            return 0.0
        now_s = self._clock() - self._dialled_at
        if self._state.ended_at_s is not None:
            now_s = self._state.ended_at_s
        return now_s if self._state.answered_at_s is None else self._state.since_answer(now_s)

    def _wave(self, width: int) -> Waveform:
        began = self._clock()
        if began >= self._next_waveform_at:
            columns = width - 4 - draw.LABEL
            duration_s = self._seconds() if self._state.answered_at_s is not None else 0.0
            self._waveform = draw_waveform(self._recording.levels, duration_s, columns)
            now = self._clock()
            self._next_waveform_at = now + (now - began) * (1 / _WAVEFORM_SHARE - 1)
        return self._waveform
