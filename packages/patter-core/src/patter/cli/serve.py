"""``patter serve``: an agent answers calls, and its tools can be changed and carried out from outside."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from patter.cli.demo import VoiceName
from patter.cli.exit_codes import INTERRUPTED, OK
from patter.cli.loading import find
from patter.cli.options import reporting
from patter.cli.stopping import a_signal
from patter.cli.vendors import check_variables, choose_mind
from patter.errors import ConfigError
from patter.policy.numbers import mask_number
from patter.settings import MAX_CALL_S
from patter.tasks import first_error

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.envelope import CallResult
    from patter.phone import Patter

__all__ = ["serve"]

_KEY = "PATTER_API_KEY"
_IN_MEMORY = "sqlite://"

App = Annotated[
    str | None, typer.Argument(help="The agent: a patter.Agent, or a mapping of its parts.", metavar="MODULE:NAME")
]
Name = Annotated[
    str | None,
    typer.Option(
        "--agent",
        help="An agent of the store answers, with the vendors' ears, mind and voice; POST /v1/agents makes it. "
        "Beside MODULE:NAME, the name under which the API knows that agent.",
        metavar="NAME",
    ),
]
Lines = Annotated[
    list[str] | None,
    typer.Option(help="With --local: somebody calls and says this. Repeat it for a longer call.", metavar="TEXT"),
]
Voice = Annotated[VoiceName, typer.Option(help="With --local: speech, tones, or auto.", metavar="NAME")]
Tunnel = Annotated[bool, typer.Option("--tunnel", help="Open a cloudflared tunnel in place of PATTER_WEBHOOK_URL.")]
Store = Annotated[
    str,
    typer.Option(
        help="Where agents and tools are kept that the API makes: sqlite:// in memory, sqlite:///patter.db, "
        "or postgresql://...",
        metavar="URL",
        envvar="PATTER_STORE",
    ),
]
Limit = Annotated[str, typer.Option(help="How often one key may ask the API; 'none' does not count.", metavar="LIMIT")]
Hosts = Annotated[
    list[str] | None,
    typer.Option(help="A host with its port that tools may ask though it is not public.", metavar="HOST:PORT"),
]
Longest = Annotated[int, typer.Option(help="Hang up after so many seconds.", min=1, max=MAX_CALL_S, metavar="SECONDS")]


def serve(
    app: App = None,
    agent_name: Name = None,
    local: Annotated[bool, typer.Option("--local", help="Serve on the local network, without a carrier.")] = False,
    say: Lines = None,
    voice: Voice = VoiceName.AUTO,
    tunnel: Tunnel = False,
    host: Annotated[str, typer.Option(help="Where the server listens.", metavar="HOST")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.", min=0, max=65535)] = 8000,
    store: Store = _IN_MEMORY,
    rate_limit: Limit = "60/minute; 1000/hour",
    allow_host: Hosts = None,
    max_calls: Annotated[int, typer.Option(help="More callers at once hear the busy tone.", min=1)] = 10,
    max_duration: Longest = MAX_CALL_S,
    as_json: Annotated[bool, typer.Option("--json", help="Print each call's envelope, a line each.")] = False,
) -> None:
    """Answer calls with an agent of yours, and serve the API for its tools, until Ctrl-C.

    Without --local the calls are real: the environment is that of 'patter call', and the voice webhook of the number
    must be the address that is printed. The API takes the key in PATTER_API_KEY, or one that is made for this run.

    Exit codes: 0 stopped, 2 usage, 3 configuration, 4 carrier or provider failure, 130 interrupted.
    """
    if app is None and agent_name is None:
        raise typer.BadParameter("which agent? Pass MODULE:NAME, or --agent NAME for one of the store.")
    if say and not local:
        raise typer.BadParameter("--say is for --local, where nobody else calls.")
    if tunnel and local:
        raise typer.BadParameter("--tunnel is for a carrier, and --local has none.")
    with reporting():
        from patter.phone import Patter

        settings: dict[str, Any] = {
            "host": host,
            "port": port,
            "store": store,
            "rate_limit": None if rate_limit == "none" else rate_limit,
            "allow_hosts": allow_host or (),
        }
        found = {} if app is None else find(app)
        phone = Patter.local(voice=voice.value, **settings) if local else _real(found, {**settings, "tunnel": tunnel})
        agent = _agent(phone, found, app or "", agent_name)
        _prepare_key()
        if store == _IN_MEMORY:
            _note("what the API makes is kept in memory; --store sqlite:///patter.db keeps it")
        shown = partial(_show, as_json=as_json)
        limits: dict[str, Any] = {"max_concurrent_calls": max_calls, "max_duration_s": max_duration}
        raise typer.Exit(anyio.run(_until_signal, phone, agent, limits, say or [], shown))


def _prepare_key() -> None:
    """Without a key of the user's nobody could use the API, and everybody must not."""
    if not os.environ.get(_KEY):
        os.environ[_KEY] = f"pk_{secrets.token_urlsafe(24)}"
        _note(f"{_KEY} is not set; the key of this run is {os.environ[_KEY]}")


def _real(found: Any, settings: Mapping[str, Any]) -> Patter:
    from patter.carriers.twilio import Twilio
    from patter.phone import Patter

    if isinstance(found, Mapping) and not {"stt", "llm", "tts"} <= set(found):
        without = ("PATTER_WEBHOOK_URL",) if settings["tunnel"] else ()
        check_variables(choose_mind(None), is_chosen=False, without=without)
    return Patter(carrier=Twilio(), **settings)


def _agent(phone: Patter, found: Any, app: str, name: str | None) -> Agent:
    """The agent, with the name under which the API knows it."""
    from patter.agent import Agent

    if isinstance(found, Mapping):
        found = phone.agent(**found)
    if not isinstance(found, Agent):
        raise ConfigError(f"{app} must be a patter.Agent, or a mapping such as {{'system_prompt': ...}}.")
    return replace(found, name=name or found.name or app.rpartition(":")[2].rpartition(".")[2])


async def _until_signal(phone: Patter, agent: Agent, limits: Mapping[str, Any], lines: list[str], shown: Any) -> int:
    code = OK

    async def wait_for_signal() -> None:
        nonlocal code
        await a_signal()
        code = INTERRUPTED
        _note("stopping; live calls are hung up")
        await phone.stop()

    def on_event(event: dict[str, Any]) -> None:
        if event["type"] == "serving":
            _welcome(phone, agent, event)
            if lines:
                phone.engine.invoke(partial(_ring, phone, lines))
        elif event["type"] == "tool":
            _note(f"{event['call_id']} used {event['name']}: {event['reason'] or 'ok'}, {event['duration_ms']:.0f} ms")
        elif event["type"] == "answered":
            _note(f"{event['call_id']} answered")

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_signal)
            await phone.serve(agent, on_event=on_event, on_result=shown, **limits)
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first_error(group) from None
    return code


def _welcome(phone: Patter, agent: Agent, serving: Mapping[str, Any]) -> None:
    api_url = serving["api_url"]
    _note(f"{agent.name} answers {phone.phone_number}; voice webhook: {serving['voice_url']}")
    _note(f"API: {api_url}/agents/{agent.name}/tools, described at {api_url}/openapi.json")
    _note("Ctrl-C hangs up and stops")


def _ring(phone: Patter, lines: list[str]) -> None:
    from patter.local.dialogue import Listen, Say, scripted

    assert phone.network is not None
    steps = [step for line in lines for step in (Listen(), Say(line))]
    phone.network.call_in(scripted(*steps, Listen()))


def _show(result: CallResult, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result.to_dict(), ensure_ascii=False) + "\n")
        sys.stdout.flush()
    details = result.details
    who = mask_number(details.from_) if details is not None else "somebody"
    _note(f"{result.call_id} {result.status}, {result.duration_seconds:.0f} s, from {who}")


def _note(text: str) -> None:
    sys.stderr.write(f"patter: {text}\n")
    sys.stderr.flush()
