"""All benchmarks, or those that are named: ``make bench`` or ``python -m benchmarks [NAME ...] [--full]``.

Figures depend on the machine; quote them with it. Each benchmark runs in a process of its own, so that none
warms up or fills the memory for the next. ``--full`` takes minutes longer and measures more.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

from benchmarks.figures import conditions

NAMES = (
    "import_cost",
    "adapters",
    "virtual_call",
    "barge_in",
    "line_cost",
    "own_delay",
    "thinking_ahead",
    "concurrent_calls",
    "many_calls",
    "tools",
    "tools_soak",
    "remote_tools",
    "memory",
    "api",
    "similar",
)


def main() -> int:
    """Run them; return the exit code."""
    named = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    if unknown := sorted(set(named) - set(NAMES)):
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
        return 2
    print(conditions())
    failed = 0
    for name in named or NAMES:
        print(f"\n{name}: {(import_module(f'benchmarks.{name}').__doc__ or '').splitlines()[0]}", flush=True)
        failed |= subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
