"""What every benchmark prints alike: percentiles, and the conditions under which they were measured."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["Kept", "conditions", "pin", "rss_mib", "spread"]


def spread(values: Sequence[float], unit: str = "ms") -> str:
    """Median, 95th and 99th percentile, and the largest value."""
    if not values:
        return "no values"
    shown = "  ".join(f"p{percent} {_percentile(values, percent):.1f}" for percent in (50, 95, 99))
    return f"{shown}  max {max(values):.1f} {unit}  (n={len(values)})"


def conditions() -> str:
    """Python, cores, loop, and how busy the machine is."""
    loop = "uvloop" if find_spec("uvloop") else "asyncio"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {os.cpu_count()} cores, {platform.machine()}, {loop}, load {os.getloadavg()[0]:.1f}"


def pin(core: int) -> str:
    """Keep this process, and what it starts, on one core, as far as the machine lets it; what came of it."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned"
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[core % len(cores)]})
    return f"core {cores[core % len(cores)]}"


def rss_mib() -> float:
    """Resident memory of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Kept:
    """How long other programs have kept this process from its core, since this was made."""

    def __init__(self) -> None:
        self._began = (time.monotonic(), self._waited_s())

    def __str__(self) -> str:
        wall, waited = self._began
        share = (self._waited_s() - waited) / (time.monotonic() - wall)
        return f"kept from its core by others for {share:.1%} of the time"

    @staticmethod
    def _waited_s() -> float:
        if not os.path.exists("/proc/self/schedstat"):
            return math.nan
        waited = 0
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/schedstat") as stat:
                waited += int(stat.read().split()[1])
        return waited / 1e9


def _percentile(values: Sequence[float], percent: int) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) * percent // 100, len(ranked) - 1)]
