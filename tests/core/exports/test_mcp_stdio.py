"""Standard input and output as a wire: what else a process prints and reads stays off it, and all of it arrives."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = "import sys; print('of a child', len(sys.stdin.read()))"
ECHO = f"""
import os, subprocess, sys
from patter.exports.mcp_stdio import StandardWire

with StandardWire() as wire:
    print("of a program")
    os.write(1, b"of a library\\n")
    subprocess.run([sys.executable, "-c", {CHILD!r}])
    for line in wire.reader:
        wire.writer.write(line.upper())
        wire.writer.flush()
print("after it")
"""

# More than a pipe holds, less than a pipe and a socket.
MUCH = 120_000
TALK = f"""
import sys
from patter.exports.mcp_stdio import StandardWire

with StandardWire() as wire:
    wire.writer.write("x" * {MUCH})
    wire.writer.flush()
    print("written", file=sys.stderr, flush=True)
"""


def test_nothing_but_the_protocol_is_on_the_wire() -> None:
    text = "".join(f"line {number}: ü\n" for number in range(20_000))
    done = subprocess.run([sys.executable, "-c", ECHO], input=text, capture_output=True, text=True, timeout=50)
    assert done.stdout == text.upper() + "after it\n"
    assert set(done.stderr.splitlines()) == {"of a program", "of a library", "of a child 0"}


def test_what_was_written_last_arrives_at_a_slow_reader() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TALK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stderr.readline() == "written\n"
        with pytest.raises(subprocess.TimeoutExpired):  # it waits for its reader, a while
            process.wait(0.5)
        assert len(process.stdout.read()) == MUCH
    assert process.returncode == 0
