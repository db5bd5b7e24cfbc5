"""A tunnel for development; a script stands for cloudflared, which reaches its own company's machines."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import anyio
import pytest

from patter import ConfigError, Patter, Twilio
from patter.server.tunnel import tunnel

pytestmark = pytest.mark.anyio

LOG = """
INF Requesting new quick Tunnel on trycloudflare.com...
INF +--------------------------------------------------------+
INF |  https://four-plain-words-here.trycloudflare.com       |
INF +--------------------------------------------------------+
"""
TWILIO = {"carrier": Twilio("AC" + "0" * 32, "token"), "phone_number": "+15550001234"}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a cloudflared on the path that runs this Python code; its arguments and its end are written down."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(code: str) -> Path:
        program = tmp_path / "cloudflared"
        program.write_text(
            f"#!{sys.executable}\nimport sys, time, pathlib\nhere = pathlib.Path({str(tmp_path)!r})\n{code}"
        )
        program.chmod(0o755)
        return tmp_path

    return put


TALKS_ON = f"""
import signal
def end(*_):
    (here / "ended").touch()
    sys.exit()
signal.signal(signal.SIGTERM, end)
(here / "arguments").write_text(" ".join(sys.argv[1:]))
sys.stderr.write({LOG!r})
sys.stderr.flush()
while True:
    sys.stderr.write("INF a line of the log " + "x" * 1000 + "\\n")
    sys.stderr.flush()
    time.sleep(0.001)
"""


async def test_a28_the_address_is_told_and_the_program_ends_with_its_owner(install) -> None:
    folder = install(TALKS_ON)
    async with anyio.create_task_group() as tasks:
        assert await tasks.start(tunnel, 8123) == "https://four-plain-words-here.trycloudflare.com"
        tasks.cancel_scope.cancel()
    assert (folder / "arguments").read_text() == "tunnel --no-autoupdate --url http://127.0.0.1:8123"
    assert (folder / "ended").exists()


async def test_a_phone_is_reached_through_its_tunnel(install, caplog: pytest.LogCaptureFixture) -> None:
    folder = install(TALKS_ON)
    events: list[str] = []
    phone = Patter(**TWILIO, tunnel=True, port=0)
    agent = Patter.local(voice="tones").default_agent
    async with anyio.create_task_group() as tasks:
        served = anyio.Event()

        def on_event(event: dict[str, str]) -> None:
            events.append(event["voice_url"])
            served.set()

        async def serve() -> None:
            await phone.serve(agent, on_event=on_event)

        tasks.start_soon(serve)
        with anyio.fail_after(20):
            await served.wait()
        await phone.stop()
    assert events == ["https://four-plain-words-here.trycloudflare.com/twilio/voice"]
    assert (folder / "ended").exists()
    assert any("pass webhook_url" in record.message for record in caplog.records if record.levelno == logging.WARNING)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "not installed"),
        ("sys.stderr.write('ERR no route to the edge')\nsys.exit(1)", "no route to the edge"),
        ("sys.exit(1)", "nothing"),
    ],
)
async def test_without_a_tunnel_the_phone_does_not_start(install, code: str | None, words: str) -> None:
    if code is None:
        (install("") / "cloudflared").unlink()
    else:
        install(code)
    with pytest.raises(ConfigError, match=words):
        await Patter(**TWILIO, tunnel=True, port=0).start()


def test_x26_a_name_and_a_tunnel_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="not both"):
        Patter(**TWILIO, webhook_url="api.example.com", tunnel=True)
