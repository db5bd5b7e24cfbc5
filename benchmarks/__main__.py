"""All benchmarks: ``make bench`` or ``python -m benchmarks``. Figures depend on the machine; quote them with it."""

from __future__ import annotations

import os
import platform

from benchmarks import barge_in, import_cost, line_cost, virtual_call

print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
for benchmark in (import_cost, virtual_call, barge_in, line_cost):
    print(f"\n{benchmark.__name__.partition('.')[2]}: {(benchmark.__doc__ or '').splitlines()[0]}")
    benchmark.main()
