"""Every Python block of the README and the docs runs, and so does every example. No speech here: it takes its time.

What is written for a real carrier and real vendors runs in a rehearsal.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from patter.testing.rehearsal import Rehearsal

TOP = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)

EXCERPTS = ("result = await tool.execute(",)  # names from the block before
REAL_NAMES = ("Twilio()", "DeepgramSTT(", "OpenAILLM(", "AnthropicLLM(", "ElevenLabsTTS(")


EXAMPLES = sorted((TOP / "examples").glob("*.py"))


def blocks() -> list[tuple[str, str]]:
    found = []
    for page in [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]:
        for number, block in enumerate(BLOCK.findall(page.read_text()), 1):
            found.append((f"{page.name} {number}", block))
    return found


BLOCKS = blocks()


def start(code: str, rehearsal: Rehearsal) -> subprocess.Popen[str]:
    """Run a program as a reader would, without keys and without the speech programs."""
    is_offline = "Patter.local(" in code  # with real names, it takes them only where their keys are
    account = rehearsal.env if any(name in code for name in REAL_NAMES) and not is_offline else {}
    environment = {"PATH": os.path.dirname(sys.executable), "HOME": os.environ.get("HOME", "/")} | account
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All of them at once: a call takes its ten seconds, and next to no work."""
    codes = {where: code for where, code in BLOCKS if not code.startswith(EXCERPTS)}
    codes |= {example.stem: example.read_text() for example in EXAMPLES}
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(Rehearsal()) as rehearsal:
            running = {name: start(code, rehearsal) for name, code in codes.items()}
            yield running
            for program in running.values():
                program.kill()
                program.communicate()


def finish(program: subprocess.Popen[str]) -> str:
    output, errors = program.communicate(timeout=50)
    assert program.returncode == 0, errors
    return output


@pytest.mark.parametrize(("where", "code"), BLOCKS, ids=[where for where, _ in BLOCKS])
def test_a_block_of_the_docs_runs(where: str, code: str, programs: dict[str, subprocess.Popen[str]]) -> None:
    if code.startswith(EXCERPTS):
        compile("async def excerpt():\n    " + code.replace("\n", "\n    "), where, "exec")
    else:
        finish(programs[where])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path, programs: dict[str, subprocess.Popen[str]]) -> None:
    assert "completed" in finish(programs[example.stem])


def test_the_readme_shows_the_first_example_unchanged() -> None:
    first = (TOP / "examples" / "first_call.py").read_text().split('"""\n\n', 1)[1]
    assert first in (TOP / "README.md").read_text()
