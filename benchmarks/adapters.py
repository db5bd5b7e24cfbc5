"""What the adapters add: to their framework's import, and between its tool call and the request at the carrier."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from benchmarks.figures import spread
from patter import Patter, PatterTool
from patter.local.exchange import Timings

# Name, the class of the framework's that everybody imports, the adapter's module and class.
ADAPTERS = [
    ("LangChain", "langchain_core.tools:BaseTool", "patter_langchain", "PatterLangChainTool"),
    ("LlamaIndex", "llama_index.core.tools:FunctionTool", "patter_llamaindex", "PatterFunctionTool"),
    ("CrewAI", "crewai.tools:BaseTool", "patter_crewai", "PatterCrewAITool"),
]
IMPORTS = 5
CALLS = 25
ARGUMENTS = {"to": "+15550100199", "goal": "Ask for the opening hours."}

PROBE = """
import importlib, json, sys, time, warnings
warnings.simplefilter("ignore")
getattr(importlib.import_module({framework!r}), {base!r})
began = time.perf_counter()
getattr(importlib.import_module({adapter!r}), {tool!r})
print(json.dumps((time.perf_counter() - began) * 1000))
"""


def import_ms(framework: str, adapter: str, tool: str) -> float:
    """Median milliseconds of fresh interpreters."""
    module, _, base = framework.partition(":")
    probe = [sys.executable, "-c", PROBE.format(framework=module, base=base, adapter=adapter, tool=tool)]
    runs = [subprocess.run(probe, check=True, capture_output=True, text=True) for _ in range(IMPORTS + 1)]
    return statistics.median(json.loads(run.stdout.splitlines()[-1]) for run in runs[1:])  # the first writes bytecode


def caller(name: str, native: Any) -> Callable[[int], object]:
    """How the framework calls its tool."""
    if name == "LangChain":
        use = {"type": "tool_call", "name": native.name, "args": ARGUMENTS}
        return lambda number: native.invoke(use | {"id": f"call_{number}"})
    if name == "LlamaIndex":
        return lambda number: native.call(**ARGUMENTS)
    return lambda number: native.run(**ARGUMENTS)


def dial_ms(name: str, adapter: str, tool_class: str) -> list[float]:
    """From the framework's call of the tool to the carrier's receipt of the request to dial, of a phone that runs."""
    phone = Patter.local("busy", voice="tones", timings=Timings.quick())
    assert phone.network is not None
    exchange = phone.network.exchange
    native = getattr(import_module(adapter), tool_class)(tool=PatterTool(phone))
    call = caller(name, native)
    call(0)  # starts the phone
    taken = []
    for number in range(1, CALLS + 1):
        before = set(exchange.calls)
        began = time.time()
        call(number)
        (placed,) = set(exchange.calls) - before
        taken.append((exchange.calls[placed].created_at.timestamp() - began) * 1000)
    phone.engine.run_sync(lambda _: phone.stop())
    return taken


def main() -> None:
    os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true", "LANGSMITH_TRACING": "false"}
    warnings.simplefilter("ignore")
    for name, framework, adapter, tool in ADAPTERS:
        if find_spec(framework.partition(".")[0]) is None:
            print(f"  {name}: not installed")
            continue
        print(f"  {name}: import after the framework's own {import_ms(framework, adapter, tool):.0f} ms")
        print(f"    tool call -> request at the carrier  {spread(dial_ms(name, adapter, tool))}")


if __name__ == "__main__":
    main()
