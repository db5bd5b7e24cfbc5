"""The same conversation with getpatter 0.7.0, if it is installed, and with Patter; both with their own defaults.

It wants an environment of its own, because it pins other versions of what both need::

    uv venv similar && uv pip install --python similar/bin/python getpatter==0.7.0
    GETPATTER_PYTHON=similar/bin/python python -m benchmarks similar

One call in a process of its own, with Nova, chat completions and ElevenLabs; vendors as slow as in life.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import spread
from benchmarks.talk import GREETING, Plan, number_of
from benchmarks.world import World, world

HERE = Path(__file__).parent
LONGEST_S = 300
STAGES = {
    "speech ended -> first audio at the carrier": ("spoken", "arrived"),
    "speech ended -> ears mark the pause": ("spoken", "final"),
    "pause marked -> request at the mind": ("final", "asked"),
    "first clause -> text at the voice": ("clause", "text"),
    "first audio -> media at the carrier": ("audio", "arrived"),
}


def plan(turns: int) -> Plan:
    """Vendors as slow as in life."""
    answer = "here you are. Is there anything else?"
    return Plan(turns=turns, answer=answer, pause_ms=300, first_token_ms=300, first_byte_ms=150, realtime_factor=10)


def measure(there: World, program: list[str], turns: int) -> None:
    """Run a program that makes the call, and print what came of it."""
    there.plan(plan(turns))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*program, number_of(1), GREETING],
        env={**os.environ, **there.env},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = there.report()["turns"]
    if done.returncode or not report:
        print(f"  no call came about: {done.stderr.strip().splitlines()[-1:]}")
        return
    for name, (begin, end) in STAGES.items():
        took = [(turn[end] - turn[begin]) * 1000 for turn in report if {begin, end} <= turn.keys()]
        print(f"  {name:43} {spread(took)}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"  processor, with the start of the program    {cpu_s:.1f} s")


def main() -> None:
    theirs = os.environ.get("GETPATTER_PYTHON", sys.executable)
    found = subprocess.run([theirs, "-c", "import getpatter"], capture_output=True, check=False)
    if found.returncode:
        print("  skipped: getpatter is not installed; benchmarks/similar.py says how")
        return
    turns = 24 if "--full" in sys.argv else 4
    with world() as there:
        print(" getpatter 0.7.0")
        measure(there, [theirs, str(HERE / "similar_program.py")], turns)
        print(" Patter")
        measure(there, [sys.executable, "-m", "benchmarks.phone"], turns)


if __name__ == "__main__":
    main()
