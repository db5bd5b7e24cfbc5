"""``patter tools``: an agent's tools as they stand in a module, and one of them tried out."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from patter.cli.app import app

MODULE = '''
from patter import Agent, Patter
from patter.store.knowledge import Passage
from patter.testing import ScriptedMind


class Provider:
    model = "test/none"

    def open(self):
        """Never used."""

    stream = open


class Shelf:
    async def search(self, query, *, top_k):
        return [Passage(query.upper(), "shelf", 0.9)]


@Patter.tool(priority=5)
def opening_hours(day: str) -> dict:
    """Tell when the shop is open.

    Args:
        day: its English name
    """
    if day == "never":
        raise ValueError("no such day")
    return {"day": day, "hours": "nine to five"}


def learn(arguments, context):
    return [context.call_id, context.caller, context.callee]


hook = {"name": "ask", "description": "Asks the server of the shop.", "webhook_url": "http://127.0.0.1:PORT/{{plan}}"}
tools = [
    opening_hours,
    {"name": "learn", "description": "Tells what a handler learns.", "handler": learn},
    {"name": "bye", "description": "Ends the call.", "tool_type": "end_call", "config": {}},
    {"name": "look_up", "description": "Looks it up.", "tool_type": "knowledge_base", "config": {}},
    {"name": "gone", "description": "Is not there any more.", "handler": learn, "is_enabled": False},
    hook,
    {"name": "n" * 70, "description": "Has a name that models do not take.", "handler": learn},
]
agent = Agent(
    stt=Provider(), llm=Provider(), tts=Provider(), tools=tools, variables={"plan": "gold"},
    webhook_secret="shared", knowledge=Shelf(),
)
mapping = {"tools": tools}
number = 5
'''

Use = Callable[..., Any]


class Shop(BaseHTTPRequestHandler):
    """Says which path was asked, and whether the request was signed."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        answer = json.dumps({"path": self.path, "signed": "x-patter-signature" in self.headers}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Shop) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> Iterator[Use]:
    (tmp_path / "shop_phone.py").write_text(MODULE.replace("PORT", str(port)))
    (tmp_path / "shop_broken.py").write_text("{}['key of a secret']")
    (tmp_path / "shop_lacking.py").write_text("import shop_nowhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield lambda *arguments: CliRunner().invoke(app, ["tools", *arguments])
    for name in ("shop_phone", "shop_broken", "shop_lacking"):
        sys.modules.pop(name, None)


def test_the_tools_are_listed_in_the_order_of_the_offer(use: Use) -> None:
    result = use("list", "shop_phone:agent")
    rows = [line.split(None, 3) for line in result.stdout.splitlines()]
    names = ["ask", "bye", "gone", "learn", "look_up", "n" * 70, "opening_hours"]
    assert [row[0] for row in rows] == names
    assert rows[2][1:] == ["handler", "0", "off  Is not there any more."]
    assert rows[6][1:] == ["handler", "5", "Tell when the shop is open."]
    assert result.exit_code == 0


@pytest.mark.parametrize("name", ["mapping", "tools"])
def test_a_mapping_and_a_list_have_tools_too(use: Use, name: str) -> None:
    assert use("list", f"shop_phone:{name}").stdout == use("list", "shop_phone:agent").stdout


@pytest.mark.parametrize(
    ("vendor", "path", "keys"),
    [
        ((), ("function", "parameters"), {"type", "function"}),
        (("--for", "openai"), ("function", "parameters"), {"type", "function"}),
        (("--for", "anthropic"), ("input_schema",), {"name", "description", "input_schema"}),
        (("--for", "hermes"), ("parameters",), {"name", "description", "parameters"}),
    ],
)
def test_the_schema_is_that_of_the_vendor(
    use: Use, vendor: tuple[str, ...], path: tuple[str, ...], keys: set[str]
) -> None:
    told = json.loads(use("schema", "shop_phone:agent", *vendor).stdout)
    assert len(told) == 6  # all but the one that is off
    last = told[-1]
    assert set(last) == keys
    for key in path:
        last = last[key]
    assert last["properties"] == {"day": {"type": "string", "description": "its English name"}}


def test_a_tool_is_carried_out_as_in_a_call(use: Use) -> None:
    result = use("run", "shop_phone:agent", "opening_hours", '{"day": "Monday"}')
    assert result.stdout == '{"day": "Monday", "hours": "nine to five"}\n'
    assert result.stderr.startswith("opening_hours: ok, ")
    assert result.stderr.endswith(" ms\n")
    assert result.exit_code == 0


def test_the_other_types_that_need_no_call(use: Use, port: int) -> None:
    assert json.loads(use("run", "shop_phone:agent", "learn").stdout) == ["none", "+15550100001", "+15550100199"]
    assert use("run", "shop_phone:agent", "n" * 70).exit_code == 0
    found = use("run", "shop_phone:agent", "look_up", '{"query": "hair"}')
    assert json.loads(found.stdout) == {"results": [{"text": "HAIR", "source": "shelf", "score": 0.9}]}
    asked = use("run", "shop_phone:agent", "ask", "{}", "--allow-host", f"127.0.0.1:{port}")
    assert json.loads(asked.stdout) == {"path": "/gold", "signed": True}


def test_what_the_mind_would_be_told_of_a_failure(use: Use) -> None:
    raised = use("run", "shop_phone:agent", "opening_hours", '{"day": "never"}')
    assert (raised.exit_code, raised.stdout) == (1, '{"error": "handler_error"}\n')
    assert "ValueError: no such day" in raised.stderr  # for whoever tries it
    assert "opening_hours: handler_error, " in raised.stderr
    wrong = use("run", "shop_phone:agent", "opening_hours", "{}")
    assert (wrong.exit_code, json.loads(wrong.stdout)["details"]) == (1, ["missing: day"])
    off = use("run", "shop_phone:agent", "gone")
    assert (off.exit_code, off.stdout) == (1, '{"error": "unknown_tool"}\n')
    private = use("run", "shop_phone:agent", "ask")
    assert (private.exit_code, private.stdout) == (1, '{"error": "handler_error"}\n')
    assert "allow_hosts" in private.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("list", "shop_phone"), 2, "MODULE:NAME"),
        (("list", "shop_phone:"), 2, "MODULE:NAME"),
        (("run", "shop_phone:agent", "other"), 2, "has no tool other"),
        (("schema", "shop_phone:agent", "--for", "other"), 2, "other"),
        (("list", "shop_phone:nothing"), 3, "shop_phone has no nothing"),
        (("list", "shop_phone:number"), 3, "must be a patter.Agent"),
        (("list", "shop_nowhere:agent"), 3, "No module named 'shop_nowhere'"),
        (("list", "shop_lacking:agent"), 3, "No module named 'shop_nowhere'"),
        (("list", "shop_broken:agent"), 3, "KeyError in "),
        (("run", "shop_phone:agent", "bye"), 3, "bye acts on a call"),
    ],
)
def test_mistakes_are_told_in_one_line(use: Use, arguments: tuple[str, ...], code: int, said: str) -> None:
    result = use(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr
    assert "key of a secret" not in result.stderr


def test_modules_are_found_where_the_command_is_run(use: Use, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from patter.cli import main; main()", "tools", "list", "shop_phone:tools"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert (told.stdout, told.stderr) == (use("list", "shop_phone:tools").stdout, "")
