"""Every Python block of the package's README runs, one after another, as a reader would type them.

``llm`` is a scripted model, and the network's people are quick. The first block runs as it is printed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("crewai")

from crewai.events.event_bus import crewai_event_bus
from tests.crewai.conftest import BRIEF, Mind
from tests.crewai.scripted import DONE, ScriptedLLM

from patter import Patter
from patter.engine import Engine
from patter.local.exchange import Timings

# CrewAI reads fields of its own that it has given up.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:crewai")

README = Path(__file__).parents[2] / "packages" / "patter-crewai" / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
ACCOUNT = {
    "TWILIO_ACCOUNT_SID": "AC00000000000000000000000000000000",
    "TWILIO_AUTH_TOKEN": "made-up",
    "TWILIO_PHONE_NUMBER": "+15550001234",
    "PATTER_WEBHOOK_URL": "api.example.com",
    "DEEPGRAM_API_KEY": "made-up",
    "OPENAI_API_KEY": "made-up",
    "ELEVENLABS_API_KEY": "made-up",
}


@pytest.fixture
def quick_phone() -> Iterator[Callable[[str], Patter]]:
    phones: list[Patter] = []
    local = Patter.local

    def make(persona: str) -> Patter:
        phones.append(local(BRIEF, voice="tones", timings=Timings.quick(), llm=Mind()))
        return phones[-1]

    yield make
    for phone in phones:
        Engine.shared().run_sync(lambda _, phone=phone: phone.stop())


def test_the_blocks_run_in_their_order(
    quick_phone: Callable[[str], Patter], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Patter, "local", quick_phone)
    for name, value in ACCOUNT.items():
        monkeypatch.setenv(name, value)
    call = {"to": "+15550100199", "goal": "Tea"}
    names: dict[str, Any] = {"llm": ScriptedLLM(model="scripted", turns=[[("make_phone_call", "call_1", call)]])}
    printed = []
    with crewai_event_bus.scoped_handlers():
        for number, block in enumerate(BLOCKS, 1):
            exec(compile(block, f"{README.name} {number}", "exec"), names)
            printed.append(capsys.readouterr().out)
    direct, crew, real, progress, approval, stopping, in_call = printed
    assert direct.startswith("completed\n")
    assert f"{DONE}\n" in crew
    assert real == ""
    assert " dialing\n" in progress
    assert " ended\n" in progress
    assert "May I call +15550100199 ?\n" in approval
    assert " ended\n" in stopping  # the handler of the block before shows that it has called
    assert in_call.endswith("completed\n")


def test_the_first_block_runs_as_it_is_printed(tmp_path: Path) -> None:
    environment = {"PATH": os.path.dirname(sys.executable), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", BLOCKS[0]], capture_output=True, text=True, timeout=50, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("completed\n")
