"""The README of the package and the example run as a reader would run them, without keys."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("llama_index.core")

import llama_index.core.llms.mock as mock

TOP = Path(__file__).parent.parent.parent
README = (TOP / "packages" / "patter-llamaindex" / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
EXAMPLE = (TOP / "examples" / "llamaindex_agent.py").read_text(encoding="utf-8")
PROGRAMS = {"first block": BLOCKS[0], "whole page": "\n".join(BLOCKS), "example": EXAMPLE}

pytestmark = pytest.mark.skipif(
    not hasattr(mock, "MockFunctionCallingLLM") or "response_generator" not in dir(mock.MockFunctionCallingLLM),
    reason="this llama-index-core has no LLM that can be scripted",
)


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All of them at once: a call takes its ten seconds, and next to no work. Without the speech programs."""
    environment = {"PATH": os.path.dirname(sys.executable), "HOME": os.environ.get("HOME", "/")}
    running = {
        name: subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        for name, code in PROGRAMS.items()
    }
    yield running
    for program in running.values():
        program.kill()
        program.communicate()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("first block", ['"status":"completed"']),
        (
            "whole page",
            [
                '"status":"completed"',
                "busy False",
                "['make_phone_call']",
                "s dialing {",
                "May I call +15550100199? (yes/no)  Book a haircut",
                "The call was not approved.",
                "Sorry, wrong number. Goodbye.",
                '"status":"busy"',
            ],
        ),
        ("example", ["agent: ", "The call was completed."]),
    ],
)
def test_it_runs_and_shows(name: str, shown: list[str], programs: dict[str, subprocess.Popen[str]]) -> None:
    output, errors = programs[name].communicate(timeout=55)
    assert programs[name].returncode == 0, errors
    rest = output
    for text in shown:
        assert text in rest, output
        rest = rest.partition(text)[2]
