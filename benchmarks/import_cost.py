"""What importing costs over bare Python: milliseconds, and MiB of resident memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

STATEMENTS = ["pass", "import patter", "from patter import Patter, PatterTool"]
RUNS = 9
HEAVY = ["twilio", "starlette", "uvicorn", "phonenumbers", "pydantic", "openai", "langchain_core"]

PROBE = """
import json, sys, time
begun = time.perf_counter()
{statement}
took = (time.perf_counter() - begun) * 1000
heavy = [name for name in {heavy} if name in sys.modules]
rss = int(open("/proc/self/statm").read().split()[1]) * 4 / 1024
print(json.dumps([took, rss, len(sys.modules), heavy]))
"""


def measure(statement: str) -> tuple[float, float, int, list[str]]:
    """Median milliseconds and MiB of fresh interpreters; modules and heavy ones of the last."""
    rows = []
    for _ in range(RUNS + 1):
        probe = [sys.executable, "-c", PROBE.format(statement=statement, heavy=HEAVY)]
        rows.append(json.loads(subprocess.run(probe, check=True, capture_output=True, text=True).stdout))
    rows = rows[1:]  # the first one writes the bytecode
    return (
        statistics.median(row[0] for row in rows),
        statistics.median(row[1] for row in rows),
        rows[-1][2],
        rows[-1][3],
    )


def main() -> None:
    bare = measure(STATEMENTS[0])
    for statement in STATEMENTS[1:]:
        ms, mib, modules, heavy = measure(statement)
        print(
            f"{statement}: {ms:.0f} ms, +{mib - bare[1]:.1f} MiB, {modules - bare[2]} modules, heavy: {heavy or 'none'}"
        )


if __name__ == "__main__":
    main()
