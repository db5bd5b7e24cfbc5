"""Two lanes of sound as rows of block characters over an axis of seconds. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

__all__ = ["Waveform", "axis", "bars", "draw", "step_ms"]

Lane = Literal["callee", "agent"]
Levels = Callable[[Lane, int], Sequence[float]]
"""Loudness of a lane in steps of so many milliseconds, such as `patter.audio.recording.Recording.levels`."""

_BLOCKS = "▁▂▃▄▅▆▇█"
_STEPS_MS = (200, 250, 500, 1000, 2000, 2500, 5000, 10_000, 20_000)
_TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
_TICK_COLUMNS = 10
_SILENCE = 0.004
"""Full scale is 1; a telephone line hums below this."""
_QUIETEST_PEAK = 0.05


class Waveform(NamedTuple):
    """Three rows of text, each at most as wide as was asked for."""

    callee: str
    agent: str
    axis: str


def draw(levels: Levels, duration_s: float, columns: int) -> Waveform:
    """The whole call, as coarse as its length demands. Both lanes have the same scale."""
    step = step_ms(duration_s, columns)
    callee, agent = (list(levels(lane, step))[:columns] for lane in ("callee", "agent"))
    peak = max((*callee, *agent, _QUIETEST_PEAK))
    return Waveform(bars(callee, peak), bars(agent, peak), axis(columns, step))


def step_ms(duration_s: float, columns: int) -> int:
    """The finest step with which so many seconds fit into the columns."""
    return next((step for step in _STEPS_MS if duration_s * 1000 <= step * columns), _STEPS_MS[-1])


def bars(levels: Sequence[float], peak: float) -> str:
    """A block for each level. Half the loudness is more than half as high, as for the ear."""
    return "".join(_block(level, peak) for level in levels).rstrip()


def axis(columns: int, step: int) -> str:
    """Seconds under the columns, never so close that they touch."""
    tick_s = next((tick for tick in _TICKS_S if tick * 1000 / step >= _TICK_COLUMNS), _TICKS_S[-1])
    line = "0 s"
    for second in range(tick_s, columns * step // 1000 + 1, tick_s):
        label = str(second)
        begin = second * 1000 // step - len(label) // 2
        if begin + len(label) > columns:
            break
        line = line.ljust(begin) + label
    return line


def _block(level: float, peak: float) -> str:
    if level < _SILENCE:
        return " "
    height = min(level / peak, 1.0) ** 0.6
    return _BLOCKS[min(int(height * len(_BLOCKS)), len(_BLOCKS) - 1)]
