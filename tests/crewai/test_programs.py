"""Whole programs: Ctrl-C during a kickoff, and what a crew leaves behind on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("crewai")

TOP = Path(__file__).parent.parent.parent

KICKOFF = """
import sys
from crewai.events.event_bus import crewai_event_bus
from patter import Patter, PatterTool
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.local.exchange import Timings
from patter.signals import hang_up_on_signals
from patter_crewai import PatterCrewAITool, PhoneCallEvent
from tests.crewai.scripted import ScriptedLLM, crew_of, uses

phone = Patter.local(scripted(Say("Hello?"), Listen(), Wait(600)), voice="tones", timings=Timings.quick())
tool = PatterCrewAITool(phone=phone)
exchange = phone.network.exchange

@crewai_event_bus.on(PhoneCallEvent)
def tell(source, event):
    if event.event["type"] == "answered":
        print("answered", flush=True)

call = {"to": "+15550100199", "goal": "Book a table."}
crew = crew_of(tool, ScriptedLLM(model="scripted", turns=uses(tool, [call], [call])))
try:
    with hang_up_on_signals(tool):
        crew.kickoff()
except KeyboardInterrupt:
    hung_up = [call.ended_by for call in exchange.calls.values()]
    ends = [request.form.get("Status") for request in exchange.requests[1:]]
    print("interrupted", hung_up, ["completed"] in ends, phone.live_calls, flush=True)
    raise
"""

WATCH = """
import json, os, runpy, sys
asked, written = set(), set()

def watch(event, arguments):
    if event == "socket.getaddrinfo":
        asked.add(str(arguments[0]))
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        asked.add(str(arguments[1][0]))
    elif event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        written.add(os.path.abspath(arguments[0]))
    elif event in ("os.mkdir", "sqlite3.connect"):
        written.add(os.path.abspath(os.fsdecode(arguments[0])))

sys.addaudithook(watch)
runpy.run_path(sys.argv[1], run_name="__main__")
print(json.dumps({"asked": sorted(asked), "written": sorted(written)}))
"""


def environment(home: Path) -> dict[str, str]:
    """A reader's own: no keys, none of the switches that the tests have."""
    return {
        "HOME": str(home),
        "PATH": os.path.dirname(sys.executable),
        "PYTHONPATH": str(TOP),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(home),
    }


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals between processes")
def test_an_interrupt_of_a_kickoff_hangs_up_first(tmp_path: Path) -> None:
    switches = {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false", "CREWAI_TESTING": "true"}
    program = subprocess.Popen(
        [sys.executable, "-c", KICKOFF],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path) | switches,
    )
    try:
        assert program.stdout is not None
        while (line := program.stdout.readline()) != "answered\n":
            assert line, program.communicate()
        program.send_signal(signal.SIGINT)
        output, errors = program.communicate(timeout=30)
    finally:
        program.kill()
    assert "interrupted ['agent'] True []" in output, errors
    assert program.returncode == -signal.SIGINT


def test_the_example_tells_nobody_and_writes_only_where_crewai_does(tmp_path: Path) -> None:
    home, cwd = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    cwd.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WATCH, str(TOP / "examples" / "crewai_agent.py")],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=cwd,
        env=environment(home),
    )
    assert done.returncode == 0, done.stderr
    assert "The call was completed." in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith('{"asked"')]
    seen = json.loads(line)
    assert set(seen["asked"]) <= {"127.0.0.1", "localhost"}
    elsewhere = [path for path in seen["written"] if not path.startswith((str(home), "/dev/", ":"))]
    assert not elsewhere
    assert not list(cwd.iterdir())
