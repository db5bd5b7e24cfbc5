"""Every Python block of the README and the docs runs, and so does every example. No speech here: it takes its time.

What is written for a real carrier and real vendors runs in a rehearsal.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from patter.testing.rehearsal import Rehearsal

TOP = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)

EXCERPTS = ("result = await tool.execute(",)  # names from the block before
REAL_NAMES = ("Twilio()", "DeepgramSTT(", "OpenAILLM(", "AnthropicLLM(", "ElevenLabsTTS(")

AT_ONCE = 5
MAKE_WAY = [nice, "-n", "3"] if (nice := shutil.which("nice")) else []
"""Calls of other tests, which run meanwhile, need their processor in time; these programs have time."""
TIME_S = 150

pytestmark = pytest.mark.timeout(TIME_S + 20)

TRIED_ELSEWHERE = ("crewai_agent", "llamaindex_agent")
"""By the tests of their adapters, which look closer."""
EXAMPLES = [path for path in sorted((TOP / "examples").glob("*.py")) if path.stem not in TRIED_ELSEWHERE]

Programs = dict[str, Future[subprocess.CompletedProcess[str]]]


def blocks() -> list[tuple[str, str]]:
    found = []
    for page in [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]:
        for number, block in enumerate(BLOCK.findall(page.read_text()), 1):
            found.append((f"{page.name} {number}", block))
    return found


BLOCKS = blocks()


def run(code: str, rehearsal: Rehearsal) -> subprocess.CompletedProcess[str]:
    """Run a program as a reader would, without keys and without the speech programs."""
    is_offline = "Patter.local(" in code  # with real names, it takes them only where their keys are
    account = rehearsal.env if any(name in code for name in REAL_NAMES) and not is_offline else {}
    environment = {"PATH": os.path.dirname(sys.executable), "HOME": os.environ.get("HOME", "/")} | account
    return subprocess.run(
        [*MAKE_WAY, sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=TIME_S
    )


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    """Some at once: a call takes its ten seconds, and next to no work; but a program's start is work."""
    codes = {where: code for where, code in BLOCKS if not code.startswith(EXCERPTS)}
    codes |= {example.stem: example.read_text() for example in EXAMPLES}
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Rehearsal()) as rehearsal:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield {name: pool.submit(run, code, rehearsal) for name, code in codes.items()}
            pool.shutdown(cancel_futures=True)


def finish(program: Future[subprocess.CompletedProcess[str]]) -> str:
    done = program.result()
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("where", "code"), BLOCKS, ids=[where for where, _ in BLOCKS])
def test_a_block_of_the_docs_runs(where: str, code: str, programs: Programs) -> None:
    if code.startswith(EXCERPTS):
        compile("async def excerpt():\n    " + code.replace("\n", "\n    "), where, "exec")
    else:
        finish(programs[where])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path, programs: Programs) -> None:
    assert "completed" in finish(programs[example.stem])


def test_the_readme_shows_the_first_example_unchanged() -> None:
    first = (TOP / "examples" / "first_call.py").read_text().split('"""\n\n', 1)[1]
    assert first in (TOP / "README.md").read_text()
