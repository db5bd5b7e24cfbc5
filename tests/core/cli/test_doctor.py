"""The doctor's report: what it finds on this machine, in vendors on this machine, and through a proxy."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from patter.cli.app import app
from patter.cli.checks import Surroundings, local_checks, mind_of, missing_variables
from patter.cli.checks_online import ask
from patter.server.listener import bind

SID = "AC" + 32 * "1"
KEYS = {
    "TWILIO_ACCOUNT_SID": SID,
    "TWILIO_AUTH_TOKEN": "the-token",
    "TWILIO_PHONE_NUMBER": "+15550100001",
    "PATTER_WEBHOOK_URL": "api.example.com",
    "DEEPGRAM_API_KEY": "the-deepgram-key",
    "OPENAI_API_KEY": "sk-the-openai-key",
    "ELEVENLABS_API_KEY": "the-elevenlabs-key",
}
OTHERS = (
    "ANTHROPIC_API_KEY",
    *(f"{vendor}_BASE_URL" for vendor in "TWILIO DEEPGRAM OPENAI ANTHROPIC ELEVENLABS".split()),
)
PATTER = [sys.executable, "-c", "from patter.cli import main; main()"]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in (*KEYS, *OTHERS, "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def port() -> int:
    """A port that is free."""
    sock = bind("127.0.0.1", 0)
    with sock:
        return sock.getsockname()[1]


@pytest.fixture
def doctor(port):
    """Runs the command; its exit code and report as data."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, dict]:
        result = CliRunner().invoke(app, ["doctor", "--json", "--port", str(port), *arguments], env=env)
        assert result.stderr == ""
        assert result.stdout.count("\n") == 1
        return result.exit_code, json.loads(result.stdout)

    return run


def line(report: dict, name: str, section: str | None = None) -> tuple[str, str, str]:
    """State, message and remedy of a check."""
    found = [check for check in report["checks"] if check["name"] == name and section in (None, check["section"])]
    assert len(found) == 1, [check["name"] for check in report["checks"]]
    return found[0]["state"], found[0]["message"], found[0]["remedy"]


# --- the screen -----------------------------------------------------------------------------------


def test_without_keys_it_fits_on_one_screen_and_says_what_to_do(port):
    result = CliRunner().invoke(app, ["doctor", "--port", str(port)])
    lines = result.stdout.splitlines()
    assert result.exit_code == 3 and result.stderr == ""
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    for name in KEYS:
        assert f" missing  {name}" in result.stdout
    assert "Next: patter demo works now, without keys. For a real call set what is missing" in result.stdout


def on_terminal(port: int, **env: str) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **env}
    process = subprocess.Popen(
        [*PATTER, "doctor", "--port", str(port)], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    drawn = b""
    try:
        while True:
            drawn += os.read(ours, 65536)
    except OSError:  # the other side has closed the terminal
        assert process.wait(20) == 3
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return drawn.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colour_unless_it_wants_none(port):
    coloured, plain = on_terminal(port), on_terminal(port, NO_COLOR="1")
    assert "\x1b[33m missing" in coloured
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured).split() == re.sub(r"\x1b\[[0-9;]*m", "", plain).split()
    assert plain.count("\n") <= 24


def test_keys_are_never_shown(doctor):
    code, report = doctor(env=KEYS)
    shown = json.dumps(report)
    assert code == 0 and report["ready"] is True
    for value in ("the-", SID, "+15550100001"):
        assert value not in shown
    assert line(report, "TWILIO_PHONE_NUMBER") == ("ok", "+1555***0001", "")
    assert "patter doctor --online" in report["next"] and "costs money" in report["next"]


# --- this machine ---------------------------------------------------------------------------------


def around(env: dict[str, str] | None = None, **more) -> Surroundings:
    fields = {
        "env": {} if env is None else env,
        "now": datetime(2026, 11, 21, 3, 4, tzinfo=UTC),
        "python": "3.11.7",
        "version_of": lambda name: "1.2.3",
        "speech_problem": "",
        "host": "127.0.0.1",
        "port": 8000,
        "port_problem": None,
    }
    return Surroundings(**(fields | more))


def check(name: str, surroundings: Surroundings):
    return next(check for check in local_checks(surroundings) if check.name == name)


@pytest.mark.parametrize(
    ("missing", "env", "state", "blocks"),
    [
        ((), {}, "ok", False),
        (("anthropic",), {}, "note", False),
        (("elevenlabs",), {}, "note", False),
        (("openai",), {}, "missing", True),
        (("deepgram-sdk", "openai"), {}, "missing", True),
        (("openai",), {"ANTHROPIC_API_KEY": "x"}, "note", False),
        (("anthropic",), {"ANTHROPIC_API_KEY": "x"}, "missing", True),
        (("twilio",), {}, "missing", True),
    ],
)
def test_packages(missing, env, state, blocks):
    found = check("packages", around(env, version_of=lambda name: None if name in missing else "1.2.3"))
    assert (found.state, found.blocks) == (state, blocks)
    if missing:
        assert found.remedy == "pip install 'patter-core[voice]'" and all(name in found.message for name in missing)


@pytest.mark.parametrize(("year", "state"), [(1970, "problem"), (2025, "problem"), (2026, "ok"), (2100, "problem")])
def test_the_clock(year, state):
    assert check("clock", around(now=datetime(year, 1, 2, tzinfo=UTC))).state == state


def test_what_the_demo_lacks_keeps_nobody_from_calling():
    found = check("demo", around(speech_problem="no speech: flite is not installed"))
    assert (found.state, found.blocks) == ("note", False)


def test_a_port_that_is_in_use(doctor, port):
    with bind("127.0.0.1", port):
        code, report = doctor(env=KEYS)
    assert code == 3
    assert line(report, "port") == ("problem", f"{port} on 127.0.0.1 is in use", "stop that program, or pass --port")
    assert "mend port" in report["next"]


# --- the variables --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TWILIO_ACCOUNT_SID", "SK" + 32 * "1", "an API key (SK...)"),
        ("TWILIO_ACCOUNT_SID", "AC" + 31 * "1", "no account SID"),
        ("TWILIO_ACCOUNT_SID", "AC" + 32 * "g", "no account SID"),
        ("TWILIO_AUTH_TOKEN", SID, "this is an account SID"),
        ("TWILIO_AUTH_TOKEN", "token\n", "a blank or a line break"),
        ("DEEPGRAM_API_KEY", " key", "a blank or a line break"),
        ("DEEPGRAM_API_KEY", '"key"', "quotes"),
        ("ELEVENLABS_API_KEY", "‘key’", "a character"),
        ("ELEVENLABS_API_KEY", "ke\ty", "a character"),
        ("ELEVENLABS_API_KEY", "your-key-here", "a placeholder"),
        ("OPENAI_API_KEY", "<key>", "a placeholder"),
        ("OPENAI_API_KEY", "sk-ant-x", "this is a key of Anthropic"),
        ("TWILIO_PHONE_NUMBER", "15550100001", "it has no country code"),
        ("TWILIO_PHONE_NUMBER", "911", "it is an emergency or short number"),
        ("TWILIO_PHONE_NUMBER", "+1 555", "it is an emergency or short number"),
        ("PATTER_WEBHOOK_URL", "http://api.example.com", "carriers call https only"),
        ("PATTER_WEBHOOK_URL", "user:secret@api.example.com", "no host name"),
        ("PATTER_WEBHOOK_URL", "localserver", "no host name"),
        ("TWILIO_BASE_URL", "https://api.twilio.com/2010", "no http address"),
        ("OPENAI_BASE_URL", "https://user:secret@api.openai.com", "no http address"),
        ("DEEPGRAM_BASE_URL", "api.deepgram.com", "no http address"),
    ],
)
def test_a_value_that_cannot_work(doctor, name, value, message):
    code, report = doctor(env=KEYS | {name: value})
    state, said, remedy = line(report, name)
    assert code == 3 and state == "problem"
    assert said.startswith(message) and remedy
    assert value.strip() not in json.dumps([said, remedy]) and "secret" not in json.dumps(report)


@pytest.mark.parametrize("name", KEYS)
def test_a_blank_value_is_missing(doctor, name):
    code, report = doctor(env=KEYS | {name: " "})
    assert code == 3 and line(report, name)[0] == "missing"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TWILIO_BASE_URL", "http://127.0.0.1:4010/", "traffic goes to http://127.0.0.1:4010"),
        ("OPENAI_BASE_URL", "http://model.lan:11434/v1", "traffic goes to http://model.lan:11434, unencrypted"),
        ("ANTHROPIC_BASE_URL", "https://proxy.example.com", "traffic goes to https://proxy.example.com"),
        ("PATTER_WEBHOOK_URL", "abc.trycloudflare.com", "https://abc.trycloudflare.com, a tunnel: its name changes"),
    ],
)
def test_what_one_should_know(doctor, name, value, message):
    code, report = doctor(env=KEYS | {name: value})
    assert code == 0 and line(report, name)[:2] == ("note", message)


def test_where_incoming_calls_must_go(doctor):
    _, report = doctor(env=KEYS)
    assert line(report, "voice webhook")[1] == "POST https://api.example.com/twilio/voice"


@pytest.mark.parametrize(
    ("env", "mind", "missing"),
    [
        ({}, "openai", [*KEYS]),
        ({"ANTHROPIC_API_KEY": "x"}, "anthropic", [name for name in KEYS if name != "OPENAI_API_KEY"]),
        ({**KEYS, "ANTHROPIC_API_KEY": "x"}, "openai", []),
    ],
)
def test_whose_mind_it_is_and_what_it_needs(env, mind, missing):
    assert mind_of(env) == mind
    assert missing_variables(env, mind) == missing
    assert set(missing_variables(env, None)) == set(missing) & {*list(KEYS)[:4]}


# --- online: vendors on this machine --------------------------------------------------------------

NUMBERS = f"/2010-04-01/Accounts/{SID}/IncomingPhoneNumbers.json"
CALLER_IDS = f"/2010-04-01/Accounts/{SID}/OutgoingCallerIds.json"
ACCOUNT = f"/2010-04-01/Accounts/{SID}.json"
OWN = {"phone_number": "+15550100001", "capabilities": {"voice": True}}
GOOD = {
    ACCOUNT: (200, {"sid": SID, "status": "active", "type": "Full"}),
    NUMBERS: (200, {"incoming_phone_numbers": [OWN]}),
    CALLER_IDS: (200, {"outgoing_caller_ids": []}),
    "/v1/auth/token": (200, {"scopes": ["usage:write"]}),
    "/openai/v1/models": (200, {"data": []}),
    "/v1/models": (200, {"data": []}),
    "/v1/user": (200, {"subscription": {}}),
}


class Vendors(ThreadingHTTPServer):
    """All vendors on one port. ``answers`` are a status and a body by path; ``asked`` are the headers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _VendorHandler)
        self.answers = dict(GOOD)
        self.asked: dict[str, dict[str, str]] = {}
        self.date = None
        self.silence = threading.Event()
        self.silent: set[str] = set()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def env(self) -> dict[str, str]:
        names = ("TWILIO_BASE_URL", "DEEPGRAM_BASE_URL", "ANTHROPIC_BASE_URL", "ELEVENLABS_BASE_URL")
        return dict.fromkeys(names, self.origin) | {"OPENAI_BASE_URL": f"{self.origin}/openai/v1"}


class _VendorHandler(BaseHTTPRequestHandler):
    server: Vendors

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked[path] = {name.lower(): value for name, value in self.headers.items()}
        if path in self.server.silent:
            self.server.silence.wait(10)
        status, body = self.server.answers.get(path, (404, {}))
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.server.date or super().date_time_string(timestamp)

    def log_message(self, format: str, *args: object) -> None:
        pass


def serving(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def vendors():
    yield from serving(Vendors())


def test_online_everybody_knows_the_keys_and_the_webhook_leads_here(doctor, vendors, port):
    code, report = doctor("--online", env=KEYS | vendors.env | {"PATTER_WEBHOOK_URL": f"http://127.0.0.1:{port}"})
    online = [(one["name"], one["state"], one["message"]) for one in report["checks"] if one["section"] == "Online"]
    assert online == [
        ("Twilio", "ok", "the account is active"),
        ("number", "ok", "belongs to the account"),
        ("clock", "ok", "agrees with Twilio's"),
        ("Deepgram", "ok", "knows the key"),
        ("OpenAI", "ok", "knows the key"),
        ("ElevenLabs", "ok", "knows the key"),
        ("webhook", "ok", f"http://127.0.0.1:{port} leads here"),
        ("signature", "ok", "unsigned callbacks are refused, signed ones pass"),
        ("media", "ok", "a websocket opens"),
    ]
    assert code == 0 and report["online"] is True and report["next"].startswith("patter call")
    assert vendors.asked["/v1/auth/token"]["authorization"] == "Token the-deepgram-key"
    assert vendors.asked["/openai/v1/models"]["authorization"] == "Bearer sk-the-openai-key"
    assert vendors.asked["/v1/user"]["xi-api-key"] == "the-elevenlabs-key"


@pytest.mark.parametrize(
    ("path", "answer", "name", "state", "words", "code"),
    [
        ("/v1/auth/token", (401, {}), "Deepgram", "problem", "does not accept the key → check DEEPGRAM_API_KEY", 3),
        ("/openai/v1/models", (401, {"error": {}}), "OpenAI", "problem", "check OPENAI_API_KEY (HTTP 401)", 3),
        ("/openai/v1/models", (403, {"error": "Missing scopes: api.model.read"}), "OpenAI", "ok", "a call need not", 0),
        ("/openai/v1/models", (403, {"error": "country"}), "OpenAI", "problem", "may not use this", 3),
        ("/openai/v1/models", (503, "busy"), "OpenAI", "problem", "OpenAI failed", 4),
        ("/openai/v1/models", (200, "<html>"), "OpenAI", "problem", "something else answered", 4),
        ("/v1/user", (401, {"detail": {"status": "missing_permissions"}}), "ElevenLabs", "ok", "a call need not", 0),
        ("/v1/user", (401, {"detail": {"status": "invalid_api_key"}}), "ElevenLabs", "problem", "check ELEVENLABS", 3),
        ("/v1/user", (404, {}), "ElevenLabs", "problem", "check ELEVENLABS_BASE_URL", 3),
        (ACCOUNT, (401, {"code": 20003, "message": "x"}), "Twilio", "problem", "does not accept the credentials", 3),
        (ACCOUNT, (500, {}), "Twilio", "problem", "Twilio failed", 4),
        (ACCOUNT, (200, {"status": "suspended", "type": "Full"}), "Twilio", "problem", "the account is suspended", 3),
        (ACCOUNT, (200, {"status": "active", "type": "Trial"}), "Twilio", "note", "a trial account", 0),
        (NUMBERS, (200, {"incoming_phone_numbers": []}), "number", "problem", "not of this account", 3),
        (
            NUMBERS,
            (200, {"incoming_phone_numbers": [OWN | {"capabilities": {"voice": False}}]}),
            "number",
            "problem",
            "it cannot make voice calls",
            3,
        ),
    ],
)
def test_online_what_a_vendor_may_say(doctor, vendors, port, path, answer, name, state, words, code):
    vendors.answers[path] = answer
    env = KEYS | vendors.env | {"PATTER_WEBHOOK_URL": f"http://127.0.0.1:{port}"}
    found, report = doctor("--online", env=env)
    said = line(report, name, "Online")
    assert said[0] == state and words in f"{said[1]} → {said[2]}"
    assert found == code


def test_online_a_verified_caller_id_can_call(doctor, vendors):
    vendors.answers[NUMBERS] = (200, {"incoming_phone_numbers": []})
    vendors.answers[CALLER_IDS] = (200, {"outgoing_caller_ids": [{"phone_number": "+15550100001"}]})
    _, report = doctor("--online", env=_without_webhook(vendors))
    assert line(report, "number")[:2] == ("note", "a verified caller ID: it can call, and calls to it do not come here")


@pytest.mark.parametrize(("ahead_s", "words"), [(-3600, "s ahead of Twilio's"), (3600, "s behind Twilio's")])
def test_online_a_clock_that_is_wrong_keeps_nobody_from_calling(doctor, vendors, ahead_s, words):
    vendors.date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead_s), usegmt=True)
    _, report = doctor("--online", env=_without_webhook(vendors))
    state, message, _ = line(report, "clock", "Online")
    assert state == "problem" and words in message and "clock" not in report["next"]


def test_online_nobody_is_asked_with_a_key_that_is_missing_or_flawed(doctor, vendors):
    env = _without_webhook(vendors) | {"DEEPGRAM_API_KEY": "key\n", "OPENAI_BASE_URL": "nowhere"}
    del env["TWILIO_AUTH_TOKEN"]
    code, report = doctor("--online", env=env)
    assert [one["name"] for one in report["checks"] if one["section"] == "Online"] == ["ElevenLabs"]
    assert code == 3 and [*vendors.asked] == ["/v1/user"]


def test_online_the_mind_that_is_asked_is_the_one_of_a_call(doctor, vendors):
    env = _without_webhook(vendors) | {"ANTHROPIC_API_KEY": "the-anthropic-key"}
    del env["OPENAI_API_KEY"]
    _, report = doctor("--online", env=env)
    assert line(report, "Anthropic") == ("ok", "knows the key", "")
    assert vendors.asked["/v1/models"]["x-api-key"] == "the-anthropic-key"


@pytest.mark.anyio
async def test_online_a_vendor_that_does_not_answer_is_not_waited_for(vendors, port):
    vendors.silent = {"/v1/user"}
    env = {"ELEVENLABS_API_KEY": "x", "DEEPGRAM_API_KEY": "x"} | vendors.env
    found = await ask(env, local_checks(around(env)), host="127.0.0.1", port=port, answer_s=0.5)
    vendors.silence.set()
    assert [(one.name, one.state, one.message) for one in found] == [
        ("Deepgram", "ok", "knows the key"),
        ("ElevenLabs", "problem", "no answer within 0.5 s"),
    ]
    assert found[1].is_passing


def _without_webhook(vendors: Vendors) -> dict[str, str]:
    return {name: value for name, value in (KEYS | vendors.env).items() if name != "PATTER_WEBHOOK_URL"}


# --- online: the webhook --------------------------------------------------------------------------


class Proxy(ThreadingHTTPServer):
    """What stands between the carrier and this machine, with a fault. It knows no websockets."""

    def __init__(self, port: int, fault: str) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.behind = port
        self.fault = fault


class _ProxyHandler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._forward(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.fault == "no POST":
            self._answer(405, b"")
        else:
            self._forward(body)

    def _forward(self, body: bytes) -> None:
        if self.server.fault == "redirect":
            self._answer(301, b"", {"Location": "https://www.example.com/"})
            return
        if "Upgrade" in self.headers:
            self._answer(400, b"")
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=5)
        query = "?via=proxy" if self.server.fault == "adds a query" else ""
        kept = {name: self.headers[name] for name in ("Content-Type", "X-Twilio-Signature") if name in self.headers}
        connection.request(self.command, self.path + query, body, kept)
        response = connection.getresponse()
        is_hidden = self.server.fault == "hides refusals" and self.command == "POST"
        self._answer(200 if is_hidden else response.status, response.read())
        connection.close()

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("fault", "path", "name", "words"),
    [
        ("no websockets", "", "media", "websockets do not get through (HTTP 400)"),
        ("no POST", "", "signature", "callbacks are stopped on the way (HTTP 405)"),
        ("hides refusals", "", "signature", "an unsigned callback was answered with HTTP 200"),
        ("adds a query", "", "signature", "a signed callback was refused (HTTP 403)"),
        ("redirect", "", "webhook", "redirects to www.example.com"),
        ("keeps the path", "/phone", "webhook", "requests arrive under /phone"),
    ],
)
def test_online_a_proxy_with_a_fault(doctor, port, fault, path, name, words):
    for proxy in serving(Proxy(port, fault)):
        env = {
            "PATTER_WEBHOOK_URL": f"http://127.0.0.1:{proxy.server_port}{path}",
            "TWILIO_AUTH_TOKEN": "the-token",
        }
        code, report = doctor("--online", env=env)
    state, message, remedy = line(report, name, "Online")
    assert code == 3 and state == "problem" and words in message and remedy


def test_online_somebody_else_answers(doctor, vendors):
    _, report = doctor("--online", env={"PATTER_WEBHOOK_URL": vendors.origin})
    state, message, remedy = line(report, "webhook")
    assert (state, message) == ("problem", f"somebody else answers at {vendors.origin} (HTTP 404)")
    assert "point it to 127.0.0.1" in remedy


def test_online_nobody_answers(doctor, vendors):
    with bind("127.0.0.1", 0) as sock:
        nobody = f"http://127.0.0.1:{sock.getsockname()[1]}"
    code, report = doctor("--online", env=KEYS | vendors.env | {"PATTER_WEBHOOK_URL": nobody})
    state, message, _ = line(report, "webhook")
    assert state == "problem" and message.startswith(f"{nobody} cannot be reached")
    assert code == 4 and "try again" in report["next"]


@pytest.mark.parametrize("name", ["x" * 70 + ".example", "a..example.com"])
def test_online_a_name_that_cannot_be_one(doctor, name):
    code, report = doctor(
        "--online", env={"PATTER_WEBHOOK_URL": name, "DEEPGRAM_API_KEY": "x", "DEEPGRAM_BASE_URL": f"https://{name}"}
    )
    assert code == 3
    for asked in ("webhook", "Deepgram"):
        assert line(report, asked)[0] == "problem" and "cannot be reached" in line(report, asked)[1]


@pytest.mark.parametrize(
    ("health", "state", "words"),
    [
        ((200, {"status": "ok"}), "note", "leads to a phone that runs already"),
        ((404, {}), "problem", "leads to no phone"),
    ],
)
def test_online_the_port_is_in_use(doctor, vendors, port, health, state, words):
    vendors.answers["/health"] = health
    with bind("127.0.0.1", port):
        code, report = doctor("--online", env={"PATTER_WEBHOOK_URL": vendors.origin})
    assert code == 3
    assert line(report, "webhook")[0] == state and words in line(report, "webhook")[1]


def test_online_without_a_token_only_the_refusal_is_tried(doctor, port):
    _, report = doctor("--online", env={"PATTER_WEBHOOK_URL": f"http://127.0.0.1:{port}"})
    assert line(report, "signature") == ("ok", "unsigned callbacks are refused", "")
