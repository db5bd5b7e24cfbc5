"""The package: what it exports, and what it costs to import."""

from __future__ import annotations

import subprocess
import sys

import patter_langchain

_MEASURE = """
import sys, time
from langchain_core.tools import BaseTool
known = set(sys.modules)
began = time.perf_counter()
from patter_langchain import PatterLangChainTool
assert "langgraph" not in sys.modules
print(time.perf_counter() - began)
"""


def test_every_public_name_is_there() -> None:
    for name in patter_langchain.__all__:
        assert getattr(patter_langchain, name).__doc__ or name == "end_call"
    assert set(patter_langchain.__all__) <= set(dir(patter_langchain))


def test_the_import_adds_next_to_nothing_to_langchains() -> None:
    costs = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", _MEASURE], capture_output=True, text=True, check=True, timeout=50)
        costs.append(float(done.stdout))
    # 50 ms on an idle machine; a busy one is given the benefit of the doubt.
    assert min(costs) < 0.15
