"""The API of a phone elsewhere, and what is told when it is none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from patter.cli import elsewhere
from patter.cli.elsewhere import tools_at, try_at
from patter.errors import ConfigError

OUTCOME = {"output": "fine", "is_error": False, "reason": None, "duration_ms": 1.0}


class Server(HTTPServer):
    """Gives one answer to every request, when it is let."""

    status = 200
    body = b""
    may_answer: threading.Event


class Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        server: Any = self.server
        server.may_answer.wait(10)
        self.send_response(server.status)
        self.send_header("content-length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("PATTER_API_KEY", "k")
    with Server(("127.0.0.1", 0), Answers) as server:
        server.may_answer = threading.Event()
        server.may_answer.set()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.may_answer.set()
        server.shutdown()
        thread.join()


def at(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/v1/agents/shop"


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, b"{}", "does not answer as a phone does"),
        (200, b"[5]", "does not answer as a phone does"),
        (200, b"<html>", "does not answer as a phone does"),
        (200, b'"\xe4"', "does not answer as a phone does"),
        (502, b'{"error": "\xe4"}', "does not answer as a phone does"),
        (502, b'{"error": {"message": "x", "details": [{"message": "y"}]}}', "refuses (502)"),
        (502, b'{"error": "bad gateway"}', "refuses (502)"),
        (502, b'["bad"]', "refuses (502)"),
        (
            400,
            b'{"error": {"message": "It is wrong.", "details": [{"field": "a", "message": "it is missing"}]}}',
            "refuses (400): It is wrong. a: it is missing.",
        ),
    ],
)
def test_answers_that_are_none_are_told_in_one_line(server: Server, status: int, body: bytes, told: str) -> None:
    server.status, server.body = status, body
    for ask in (lambda: try_at(at(server), "look_up", {}), lambda: tools_at(at(server))):
        with pytest.raises(ConfigError) as refused:
            ask()
        assert told in str(refused.value)


def test_a_tool_is_waited_for_longer_than_a_list(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "_TIMEOUT_S", 0.2)
    server.body = json.dumps(OUTCOME).encode()
    server.may_answer.clear()
    later = threading.Timer(0.5, server.may_answer.set)
    later.start()
    assert try_at(at(server), "slow", {}) == OUTCOME
    later.join()
