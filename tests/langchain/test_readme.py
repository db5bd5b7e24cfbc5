"""Every Python block of the package's README runs, one after another, as a reader would type them.

``model`` is a scripted chat model, and the network's people are quick. The first block runs as it is printed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from tests.langchain.conftest import MakeTool
from tests.langchain.scripted import TO, ScriptedModel, brief, use, uses

from patter import Patter

README = Path(__file__).parents[2] / "packages" / "patter-langchain" / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


class Everybody(ScriptedModel):
    """The host's model, which calls once and reports, and the mind, which says goodbye."""

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        if messages[0].type == "system":
            return uses(("t1", {}), name="end_call", text="A haircut, please. Goodbye.")
        if messages[-1].type == "tool":
            return AIMessage("It is booked.")
        return use(to=TO, goal="Tea")


def test_the_blocks_run_in_their_order(
    make_tool: MakeTool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Patter, "local", lambda persona, **options: make_tool(brief(), **options).phone)
    names: dict[str, Any] = {"model": Everybody(script=[])}
    printed = []
    for number, block in enumerate(BLOCKS, 1):
        exec(compile(block, f"{README.name} {number}", "exec"), names)
        printed.append(capsys.readouterr().out)
    assert "completed" in printed[0]
    assert printed[2].startswith("completed [{")
    assert "\nto: " in printed[2]
    assert printed[3].startswith("success completed")
    assert printed[4] == "It is booked.\n"
    assert "patter.call call_1 ended\n" in printed[5]
    assert printed[6].endswith("It is booked.\n")
    for mind in printed[7:]:
        assert '"end_reason":"agent_hangup"' in mind
        assert "A haircut, please. Goodbye." in mind


def test_the_first_block_runs_as_it_is_printed() -> None:
    environment = {"PATH": os.path.dirname(sys.executable), "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(
        [sys.executable, "-c", BLOCKS[0]], capture_output=True, text=True, timeout=50, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"status":"completed"' in done.stdout
