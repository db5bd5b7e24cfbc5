"""The commands as a user runs them. The calls are real calls on the local network, all at the same time."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import wave
from concurrent.futures import ThreadPoolExecutor

import pytest
from anyio.from_thread import start_blocking_portal
from typer.testing import CliRunner

from patter.cli import run
from patter.cli.app import app
from patter.cli.demo import PersonaName, VoiceName
from patter.cli.display import is_live
from patter.envelope import CallResult
from patter.local.dialogue import Say, scripted
from patter.local.diary import DIARY, ENTRY, FILLER
from patter.local.exchange import Exchange, Timings
from patter.local.personas import PERSONAS
from patter.local.voices import pick
from patter.server.listener import bind
from patter.testing.emulators.vendors import Vendors

PATTER = [sys.executable, "-c", "from patter.cli import main; main()"]
ACCOUNT = {
    "TWILIO_ACCOUNT_SID": "AC" + 32 * "0",
    "TWILIO_AUTH_TOKEN": "token",
    "TWILIO_PHONE_NUMBER": "+15550100001",
    "PATTER_WEBHOOK_URL": "https://phone.example.com",
}
NO_KEYS = dict.fromkeys(("DEEPGRAM_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ELEVENLABS_API_KEY"))
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def start(*arguments, stdin=subprocess.DEVNULL, env=None):
    return subprocess.Popen(
        [*PATTER, *arguments], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def finish(process, typed=None):
    """Exit code, standard output, standard error."""
    try:
        out, err = process.communicate(typed, timeout=40)
    finally:
        process.kill()
    return process.returncode, out, err


def on_terminal(*arguments, columns=104, rows=40, env=None):
    """The command on a terminal of its own: its exit code, and what was drawn until the end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    env = clean | {"TERM": "xterm-256color"} | (env or {})
    process = subprocess.Popen([*PATTER, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    drawn = b""
    try:
        while chunk := _read(ours):
            drawn += chunk
        return process.wait(20), _ESCAPES.sub("", drawn.decode())
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def interrupted():
    """A call in which nobody speaks, stopped by a signal and, at once, another."""
    process = start("demo", "--persona", "silent", "--voice", "tones", "--json")
    assert process.stderr is not None
    while "in-progress" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    return finish(process)


def _read(fd):
    try:
        return os.read(fd, 65536)
    except OSError:  # the other side has closed the terminal
        return b""


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Calls that are all placed at the same time, by name: what `finish` or `on_terminal` returns."""
    path = tmp_path_factory.mktemp("recordings") / "call.wav"

    def typed():
        process = start("demo", "--you", "--voice", "tones", "--record", str(path), stdin=subprocess.PIPE)
        return *finish(process, "Style Studio, hello?\nYou are booked, goodbye.\n"), path

    def with_tools():
        process = start("demo", "--you", "--tools", "--voice", "tones", "--json", stdin=subprocess.PIPE)
        return finish(process, "Hello, I have four thirty, would that work?\nYou are booked, goodbye.\n")

    busy, failed = (("demo", "--voice", "tones", "--persona", name) for name in ("busy", "failed"))
    jobs = {
        "json": lambda: finish(start(*busy, "--json")),
        "typed": typed,
        "tools": with_tools,
        "interrupted": interrupted,
        "terminal": lambda: on_terminal(*busy),
        "terminal json": lambda: on_terminal(*busy, "--json", columns=80),
        "terminal without colour": lambda: on_terminal(*failed, env={"NO_COLOR": "1"}),
    }
    with ThreadPoolExecutor(len(jobs)) as pool:
        yield {name: pool.submit(job) for name, job in jobs.items()}


@pytest.fixture
def invoke():
    def invoke(*arguments, env=None):
        return CliRunner().invoke(app, list(arguments), env=env)

    return invoke


def test_json_is_the_envelope_and_nothing_else(calls):
    code, out, err = calls["json"].result()
    assert code == 1
    assert out.count("\n") == 1
    result = CallResult.model_validate_json(out)
    assert result.status == "busy" and result.details is not None
    assert "carrier  busy (the line is busy)" in err


def test_you_can_answer_from_a_pipe_and_record_it(calls):
    code, out, err, path = calls["typed"].result()
    assert code == 0
    said = [line["text"] for line in json.loads(out)["transcript"] if line["role"] == "user"]
    assert said == ["Style Studio, hello?", "You are booked, goodbye."]
    assert "you, at this keyboard" in err and f"recording: {path}" in err
    with wave.open(str(path)) as file:
        frames = file.readframes(file.getnframes())
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)
    for side in (0, 2):
        assert set(frames[side::4]) != {0}


def test_a_tool_is_used_in_the_demo_and_its_result_spoken(calls):
    code, out, err = calls["tools"].result()
    assert code == 0
    said = [line["text"] for line in json.loads(out)["transcript"] if line["role"] == "agent"]
    assert said[0] == f"{FILLER} I am sorry, there is {ENTRY} at four thirty, would five thirty work?"
    assert [use["name"] for use in json.loads(out)["details"]["tool_calls"]] == [DIARY, "end_call"]
    assert "in-call tool: look_in_diary" in err and "look_in_diary()  → done" in err


def test_an_interrupt_hangs_up_and_leaves_the_envelope(calls):
    code, out, err = calls["interrupted"].result()
    assert code == 130
    assert json.loads(out)["details"]["end_reason"] == "agent_hangup"
    assert "(you hung up)" in err and "Traceback" not in err


def test_a_terminal_gets_the_picture(calls):
    code, drawn = calls["terminal"].result()
    assert code == 1
    assert "RINGING" in drawn and "BUSY" in drawn
    assert "envelope returned to your agent" in drawn and "0 turns" in drawn
    assert "next: patter demo" in drawn.splitlines()[-1]
    assert '"to": "+15550101003"' not in drawn


def test_json_on_a_terminal_follows_the_picture(calls):
    code, drawn = calls["terminal json"].result()
    assert code == 1
    assert "envelope returned to your agent" not in drawn
    assert json.loads(drawn[drawn.rindex("\n{") :])["status"] == "busy"


def test_a_terminal_without_colour_gets_plain_lines_and_the_envelope(calls):
    code, drawn = calls["terminal without colour"].result()
    assert code == 4
    assert "carrier  queued" in drawn and "╭" not in drawn
    assert json.loads(drawn[drawn.rindex("\n{") :])["details"]["error"]["code"] == "carrier_rejected"


@pytest.mark.parametrize(
    ("plain", "terminal", "env", "live"),
    [
        (False, True, {}, True),
        (True, True, {}, False),
        (False, False, {}, False),
        (False, True, {"NO_COLOR": "1"}, False),
        (False, True, {"NO_COLOR": ""}, True),
        (False, True, {"TERM": "dumb"}, False),
    ],
)
def test_who_gets_the_live_view(monkeypatch, plain, terminal, env, live):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert is_live(plain=plain) is live


@pytest.fixture
def carrier():
    """A carrier on this machine whose every number is answered, as the environment of a command, and its port."""
    guest = scripted(Say("Hello, wrong number."))
    exchange = Exchange(callee=guest, voice=pick("tones", role="callee", phrases=()), timings=Timings.quick())
    sock = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    sock.close()
    with start_blocking_portal() as portal:
        running, origin = portal.start_task(exchange.serve)
        env = {
            "TWILIO_BASE_URL": origin,
            "TWILIO_ACCOUNT_SID": exchange.account_sid,
            "TWILIO_AUTH_TOKEN": exchange.auth_token,
            "TWILIO_PHONE_NUMBER": "+15550100001",
            "PATTER_WEBHOOK_URL": f"http://127.0.0.1:{port}",
        }
        yield os.environ | env, str(port)
        running.cancel()


def test_a_call_through_a_carriers_address(carrier):
    env, port = carrier
    arguments = ("+15550101001", "--goal", "Say hello.", "--local-agent", "--yes", "--port", port)
    code, out, err = finish(start("call", *arguments, env=env))
    assert code == 0, err
    assert json.loads(out)["details"]["carrier"] == "twilio"
    assert "the demo's agent speaks" in err


def test_a_call_with_the_vendors_of_the_environment(carrier):
    env, port = carrier
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Vendors()) as vendors:
        for name in ("DEEPGRAM", "ANTHROPIC", "ELEVENLABS"):
            emulator = getattr(vendors, name.lower())
            env |= {f"{name}_API_KEY": emulator.api_key, f"{name}_BASE_URL": emulator.base_url}
        env.pop("OPENAI_API_KEY", None)
        models = ("--stt-model", "nova-2", "--llm-model", "claude-mine", "--voice", "adam")
        code, out, err = finish(start("call", "+15550101001", "--goal", "x", "--yes", "--port", port, *models, env=env))
    assert code == 0, err
    assert json.loads(out)["transcript"][0] == {"role": "user", "text": "Hello, wrong number."}
    assert "stt deepgram/nova-2, llm anthropic/claude-mine, tts elevenlabs/" in err and "demo" not in err


# --- without a call -------------------------------------------------------------------------------


def test_the_version(invoke):
    import patter

    assert invoke("--version").output == f"patter {patter.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["call", "-h"]])
def test_help(invoke, arguments):
    result = invoke(*arguments)
    assert result.exit_code == 0 and "Usage: patter" in result.output


def test_the_personas_and_voices_are_those_of_the_local_network():
    assert {*PersonaName} == {*PERSONAS}
    assert [*VoiceName] == ["auto", "speech", "tones"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["demo", "--max-duration", "0"], 2, "--max-duration: 0 is out of range. Expected a whole number"),
        (["demo", "--max-duration", "1801"], 2, "--max-duration: 1801 is out of range"),
        (["demo", "--goal", "x" * 4001], 2, "--goal: it has 4001 characters"),
        (["demo", "--first-message", "x" * 1001], 2, "--first-message: it has 1001 characters"),
        (["demo", "--persona", "nobody"], 2, "'salon'"),
        (["demo", "--you", "--persona", "ivr"], 2, "--you"),
        (["demo", "--tools", "--persona", "rude"], 2, "--tools"),
        (["demo", "--record", "no/such/folder/call.wav"], 2, "--record: 'no/such/folder/call.wav' cannot be written"),
        (["demo", "--record", "."], 2, "--record: '.' cannot be written"),
        (["call", "911", "--goal", "x"], 2, "TO: '911' is an emergency or short number"),
        (["call", "15551234567", "--goal", "x"], 2, "TO: '15551234567' has no country code"),
        (["call", "+15551234567"], 2, "--goal"),
        (["call", "+15551234567", "--goal", "x", "--local-agent", "--voice", "rachel"], 2, "--local-agent brings"),
        (["call", "+15551234567", "--goal", "x", "--llm", "nobody"], 2, "'openai'"),
        (["call", "+15551234567", "--goal", "x", "--local-agent"], 3, "TWILIO_ACCOUNT_SID"),
    ],
)
def test_mistakes_are_told_in_one_line(invoke, arguments, code, words):
    result = invoke(*arguments)
    assert result.exit_code == code
    assert words in result.stderr and "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("options", "env", "missing"),
    [
        ([], {}, [*ACCOUNT, "DEEPGRAM_API_KEY", "OPENAI_API_KEY (or ANTHROPIC_API_KEY)", "ELEVENLABS_API_KEY"]),
        ([], ACCOUNT, ["DEEPGRAM_API_KEY", "OPENAI_API_KEY (or ANTHROPIC_API_KEY)", "ELEVENLABS_API_KEY"]),
        ([], {"ANTHROPIC_API_KEY": "x"}, [*ACCOUNT, "DEEPGRAM_API_KEY", "ELEVENLABS_API_KEY"]),
        (["--llm", "openai"], ACCOUNT, ["DEEPGRAM_API_KEY", "OPENAI_API_KEY", "ELEVENLABS_API_KEY"]),
        (["--llm", "anthropic"], ACCOUNT, ["DEEPGRAM_API_KEY", "ANTHROPIC_API_KEY", "ELEVENLABS_API_KEY"]),
        (["--local-agent"], {}, [*ACCOUNT]),
    ],
)
def test_all_missing_keys_are_told_at_once(invoke, options, env, missing):
    result = invoke("call", "+15551234567", "--goal", "x", *options, env=NO_KEYS | env)
    assert result.exit_code == 3 and result.stdout == ""
    assert result.stderr.startswith(f"patter: not set: {', '.join(missing)}. 'patter doctor' says")
    assert result.stderr.count("\n") == 1


def test_a_missing_sdk_is_told_before_anything_is_dialled():
    keys = ACCOUNT | dict.fromkeys(NO_KEYS, "key")
    program = "import sys; sys.modules['deepgram'] = None; from patter.cli import main; main()"
    arguments = ["call", "+15551234567", "--goal", "x", "--yes"]
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=os.environ | keys, capture_output=True, text=True, timeout=30)
    assert done.returncode == 3 and done.stdout == ""
    assert "pip install 'patter-core[deepgram]'" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("missing", ["TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER", "PATTER_WEBHOOK_URL"])
def test_a_missing_setting_is_named(invoke, missing):
    result = invoke("call", "+15551234567", "--goal", "x", "--local-agent", env=ACCOUNT | {missing: None})
    assert result.exit_code == 3 and missing in result.stderr


def test_nothing_is_dialled_unless_a_terminal_agrees():
    ours, theirs = pty.openpty()
    arguments = ["call", "+15551234567", "--goal", "x", "--local-agent"]
    process = subprocess.Popen(
        [*PATTER, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | ACCOUNT
    )
    os.close(theirs)
    try:
        os.write(ours, b"n\n")
        shown = b""
        while chunk := _read(ours):
            shown += chunk
        assert process.wait(20) == 1
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"It rings a real phone and costs money" in shown and b"No call was placed." in shown


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ModuleNotFoundError("no typer", name="typer"), 3, "pip install 'patter-core[cli]'"),
        (ModuleNotFoundError("no rich", name="rich.console"), 3, "pip install 'patter-core[cli]'"),
    ],
)
def test_a_missing_extra_is_told_in_one_line(capsys, error, code, words):
    def load():
        raise error

    assert run(load) == code
    assert words in capsys.readouterr().err


def test_another_missing_module_is_not_taken_for_the_extra():
    def load():
        raise ModuleNotFoundError("no ssl", name="ssl")

    with pytest.raises(ModuleNotFoundError):
        run(load)


@pytest.mark.parametrize(
    ("error", "code"), [(SystemExit(2), 2), (KeyboardInterrupt(), 130), (RuntimeError("secret"), 1), (None, 0)]
)
def test_no_traceback_reaches_the_terminal(capsys, error, code):
    def app():
        if error is not None:
            raise error

    assert run(lambda: app) == code
    assert "secret" not in capsys.readouterr().err
