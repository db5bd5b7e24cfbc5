"""``patter serve`` as a program of its own, and ``patter tools`` against it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.documents import LOOKUP_CUSTOMER
from typer.testing import CliRunner

from patter.cli.app import app

SHOP = """
agent = {"system_prompt": "You help the customers of a shop.", "first_message": "Hello, how can I help?"}
nothing = 3
"""


class Running:
    """The program, and what it has said."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [
            str(Path(sys.executable).with_name("patter")),
            "serve",
            "shop:agent",
            "--local",
            "--port",
            "0",
            *options,
        ]
        environment = {**os.environ, "PATTER_API_KEY": ""}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said = ""
        self.url, self.key = "", ""

    def read_until(self, words: str) -> None:
        assert self.process.stderr is not None
        while words not in self.said:
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line
        if found := re.search(r"API: (\S+)/agents/agent/tools", self.said):
            self.url = found[1]
        if found := re.search(r"the key of this run is (\S+)", self.said):
            self.key = found[1]

    def post(self, path: str, body: Any) -> httpx2.Response:
        return httpx2.post(self.url + path, json=body, headers={"X-API-Key": self.key}, trust_env=False)

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGINT)
        out, rest = self.process.communicate(timeout=20)
        self.said += rest
        return self.process.returncode, out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


@pytest.fixture
def running(folder: Path) -> Iterator[Running]:
    program = Running(folder, "--json", "--say", "Thank you, goodbye.", "--store", "sqlite:///patter.db")
    try:
        program.read_until("Ctrl-C")
        yield program
    finally:
        program.process.kill()
        program.process.communicate()


def test_c31_c32_c35_a_tool_is_created_once_and_is_there_after_a_restart(
    running: Running, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [running.post("/agents/agent/tools", LOOKUP_CUSTOMER).status_code for _ in range(2)] == [201, 409]
    running.read_until("completed")  # the call that --say asks for
    code, out = running.stop()
    assert code == 130
    assert json.loads(out)["status"] == "completed"
    assert "+1555***" in running.said and "Traceback" not in running.said

    again = Running(folder, "--store", "sqlite:///patter.db")
    again.read_until("Ctrl-C")
    monkeypatch.setenv("PATTER_API_KEY", again.key)
    where = f"{again.url}/agents/agent"
    try:
        listed = CliRunner().invoke(app, ["tools", "list", where])
        shown = CliRunner().invoke(app, ["tools", "schema", where])
        tried = CliRunner().invoke(app, ["tools", "run", where, "lookup_customer"])
        unknown = CliRunner().invoke(app, ["tools", "list", where + "s"])
    finally:
        again.stop()
    assert listed.exit_code == 0 and listed.output.startswith("lookup_customer  http_request")
    assert json.loads(shown.output)[0]["function"]["name"] == "lookup_customer"
    assert (tried.exit_code, json.loads(tried.output.splitlines()[0])["error"]) == (1, "handler_error")
    assert unknown.exit_code == 3 and "404" in unknown.output


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["nope:agent", "--local"], 3, "cannot be imported"),
        (["shop:missing", "--local"], 3, "has no missing"),
        (["shop:nothing", "--local"], 3, "must be a patter.Agent"),
        (["shop", "--local"], 2, "MODULE:NAME"),
        (["./desk/shop.py:agent", "--local"], 2, "such as desk.shop:agent"),
        (["--local"], 2, "which agent?"),
        (["shop:agent"], 3, "TWILIO_ACCOUNT_SID"),
        (["shop:agent", "--say", "Hello"], 2, "--local"),
        (["shop:agent", "--local", "--tunnel"], 2, "--local has none"),
        (["shop:agent", "--local", "--store", "mysql://x"], 3, "sqlite:///patter.db"),
        (["shop:agent", "--local", "--port", "0", "--store", "sqlite:////no/such/folder/x.db"], 4, "Create its folder"),
        (["shop:agent", "--local", "--port", "0", "--rate-limit", "often"], 3, "60/minute"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATTER_API_KEY", "key-of-the-test")
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    done = CliRunner().invoke(app, ["serve", *options])
    assert done.exit_code == code
    assert words in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("http://phone.example.com/v1/agents/shop", "readable on the way"),
        ("http://127.0.0.1:9/v1/agents/shop", "Does the phone run there"),
    ],
)
def test_an_address_that_cannot_be_asked_is_told(where: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTER_API_KEY", "key-of-the-test")
    done = CliRunner().invoke(app, ["tools", "list", where])
    assert done.exit_code == 3 and words in " ".join(done.output.split())
