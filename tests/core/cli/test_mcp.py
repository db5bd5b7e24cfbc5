"""``patter mcp`` as a client starts it: a process, its standard streams, its HTTP, and its end."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from patter.cli.app import app

pytest.importorskip("mcp")

# Without the speech programs in the path, the local network talks in tones.
ENVIRONMENT = {name: os.environ[name] for name in ("HOME", "PYTHONPATH") if name in os.environ}
ENVIRONMENT["PATH"] = os.path.dirname(sys.executable)
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
TEA = {"to": "+15550100199", "goal": "Book a table for tea."}


class Server:
    """The running command, and a client that writes and reads the protocol's lines."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from patter.cli import main; main()", "mcp", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        self.lines: list[str] = []

    def send(self, method: str, params: dict[str, Any], id: int | None = None) -> None:
        assert self.process.stdin is not None
        message = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if id is None else {"id": id})
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        self.lines.append(self.process.stdout.readline())
        message: dict[str, Any] = json.loads(self.lines[-1])
        return message

    def hello(self) -> None:
        self.send("initialize", HELLO, id=1)
        assert self.read()["id"] == 1
        self.send("notifications/initialized", {})

    def call(self) -> None:
        """Begin a call with progress reports, and wait until it is answered or over."""
        self.send("tools/call", {"name": "make_phone_call", "arguments": TEA, "_meta": {"progressToken": "p"}}, id=2)

    def wait_for(self, message: str) -> None:
        while self.read()["params"]["message"] != message:
            pass

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=25)
        return self.process.returncode, out, err


@contextmanager
def started(*arguments: str) -> Iterator[Server]:
    server = Server(*arguments)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


def test_a_client_calls_over_standard_input_and_output_and_leaves() -> None:
    with started("--persona", "busy") as server:
        server.hello()
        server.call()
        while "result" not in (message := server.read()):
            pass
        code, rest, errors = server.finish()
    assert message["result"]["structuredContent"]["status"] == "busy"
    assert json.loads(message["result"]["content"][0]["text"])["status"] == "busy"
    assert (code, rest, errors) == (0, "", "")


def test_the_end_of_the_input_hangs_up_and_ends_the_server() -> None:
    with started("--persona", "silent") as server:
        server.hello()
        server.call()
        server.wait_for("Answered.")
        code, _, errors = server.finish()
    assert (code, errors) == (0, "")


def test_a_client_that_is_gone_ends_the_server() -> None:
    with started("--persona", "silent") as server:
        server.hello()
        server.call()
        server.wait_for("Answered.")
        assert server.process.stdout is not None
        server.process.stdout.close()
        server.send("ping", {}, id=3)
        server.process.wait(25)
        assert server.process.stdin is not None
        server.process.stdin.close()
        server.process.stdin = None
        assert server.process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_hangs_up_and_the_client_still_gets_the_envelope(number: int) -> None:
    with started("--persona", "silent") as server:
        server.hello()
        server.call()
        server.wait_for("Answered.")
        server.process.send_signal(number)
        while "result" not in (message := server.read()):
            pass
        server.process.wait(25)  # the input is still open
        code, rest, errors = server.finish()
    assert message["result"]["structuredContent"]["details"]["ended_by"] in ("agent", "system")
    assert (code, rest, errors) == (130, "", "")


def test_a_number_that_is_not_allowed_is_refused() -> None:
    with started("--persona", "busy", "--allow-number", "+1650") as server:
        server.hello()
        server.call()
        refused = server.read()["result"]
        server.finish()
    assert refused["isError"] and "not among the allowed numbers" in refused["content"][0]["text"]


class Http:
    """A client of the HTTP server, as far as the tests need one."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session: dict[str, str] = {}

    def post(self, message: dict[str, Any], **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self._address, timeout=20)
        usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        connection.request("POST", "/mcp", json.dumps(message), usual | self._session | headers)
        reply = connection.getresponse()
        if session := reply.getheader("mcp-session-id"):
            self._session = {"mcp-session-id": session}
        body = reply.read().decode()
        connection.close()
        return reply.status, body

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        _, body = self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        (data,) = re.findall(r"^data: (.*\"id\":\s*1.*)$", body, re.MULTILINE)
        result: dict[str, Any] = json.loads(data)["result"]
        return result


@contextmanager
def started_http(*arguments: str) -> Iterator[tuple[Server, Http]]:
    with started(*arguments, "--http", "--http-port", "0") as server:
        assert server.process.stderr is not None
        told = re.search(r"http://([^/]*)/mcp", server.process.stderr.readline())
        assert told is not None
        yield server, Http(told[1])


def test_http_serves_clients_of_this_machine_and_no_other_page() -> None:
    with started_http("--persona", "busy") as (server, client):
        hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
        assert client.post(hello, Host="evil.example.com")[0] == 421
        assert client.post(hello, Origin="http://evil.example.com")[0] == 403
        assert client.ask("initialize", HELLO)["serverInfo"]["name"] == "patter"
        assert client.post({"jsonrpc": "2.0", "method": "notifications/initialized", "params": {}})[0] == 202
        answer = client.ask("tools/call", {"name": "make_phone_call", "arguments": TEA})
        server.process.send_signal(signal.SIGINT)
        code, out, errors = server.finish()
    assert answer["structuredContent"]["status"] == "busy"
    assert (code, out, errors) == (130, "", "")


def invoke(*arguments: str, **env: str | None) -> Any:
    return CliRunner().invoke(app, ["mcp", *arguments], env=env)


def test_other_machines_are_let_in_by_name_only() -> None:
    refused = invoke("--persona", "busy", "--http", "--http-host", "0.0.0.0")
    assert refused.exit_code == 3 and "--allow-host NAME" in refused.stderr
    malformed = invoke("--persona", "busy", "--http", "--allow-host", "http://phone.example.com")
    assert malformed.exit_code == 3 and "without http://" in malformed.stderr


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "mcp"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "mcp", None)
    result = invoke("--persona", "busy")
    assert result.exit_code == 3 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and "pip install 'patter-core[mcp]'" in result.stderr


def test_a_real_phone_needs_its_account() -> None:
    result = invoke()
    assert result.exit_code == 3 and "TWILIO_ACCOUNT_SID" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--persona", "busy", "--voice", "rachel"], 2),
        (["--persona", "nobody"], 2),
        (["--persona", "busy", "--max-duration", "0"], 3),
        (["--persona", "busy", "--allow-number", "+"], 3),
    ],
)
def test_wrong_options_start_nothing(arguments: list[str], code: int) -> None:
    assert invoke(*arguments).exit_code == code
