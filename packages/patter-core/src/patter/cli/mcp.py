"""``patter mcp``: the phone as an MCP server, for the programs that speak the protocol."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from patter.cli.demo import PersonaName
from patter.cli.exit_codes import INTERRUPTED, OK
from patter.cli.options import MaxDuration, reporting
from patter.cli.stopping import a_signal
from patter.cli.vendors import MindName, check_variables, choose_mind, twilio_phone, vendor_agent

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.phone import Patter
    from patter.tool import PatterTool

__all__ = ["mcp"]

_ANSWER_S = 0.2
"""The envelopes of calls that a signal has ended reach their clients in this time."""


PrefixList = Annotated[
    list[str] | None,
    typer.Option(help="Only numbers that begin so may be called, such as +1555. Repeat it.", metavar="PREFIX"),
]
HostList = Annotated[
    list[str] | None,
    typer.Option(
        help="A name under which other machines reach the HTTP server. Whoever does can place calls.", metavar="NAME"
    ),
]


def mcp(
    persona: Annotated[
        PersonaName | None,
        typer.Option(help=f"Call on the local network, without keys: {', '.join(PersonaName)}.", metavar="NAME"),
    ] = None,
    allow_number: PrefixList = None,
    max_duration: MaxDuration = None,
    max_calls: Annotated[int, typer.Option(help="More calls at once than this wait for their turn.")] = 10,
    http: Annotated[bool, typer.Option("--http", help="Serve HTTP in place of standard input and output.")] = False,
    http_host: Annotated[str, typer.Option(help="Where HTTP is served.", metavar="HOST")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(help="0 takes any free one.", min=0, max=65535)] = 8765,
    allow_host: HostList = None,
    stt_model: Annotated[str | None, typer.Option(help="Deepgram's model, the ears.", metavar="NAME")] = None,
    llm: Annotated[
        MindName | None,
        typer.Option(help="openai or anthropic, the mind; else the one that has a key.", metavar="NAME"),
    ] = None,
    llm_model: Annotated[str | None, typer.Option(help="The mind's model.", metavar="NAME")] = None,
    voice: Annotated[str | None, typer.Option(help="ElevenLabs' voice, by name or id.", metavar="VOICE")] = None,
    port: Annotated[
        int, typer.Option(help="Where the carrier's webhooks arrive on this machine.", min=0, max=65535)
    ] = 8000,
) -> None:
    """Offer the phone to programs that speak MCP, over standard input and output or over HTTP.

    Without --persona the calls are real, and the environment is that of 'patter call'.
    Standard output carries the protocol alone. Ctrl-C and the end of the input hang up.

    Exit codes: 0 the client has left, 2 usage, 3 configuration, 130 interrupted.
    """
    chosen = (stt_model, llm_model, voice)
    if persona and (llm or any(chosen)):
        raise typer.BadParameter("--persona brings ears, mind and voice. Drop it, or --stt-model, --llm, --voice.")
    with reporting():
        from patter.settings import DEFAULT_CALL_S
        from patter.tool import PatterTool

        phone, agent = _local_phone(persona.value) if persona else _real_phone(port, llm, chosen)
        tool = PatterTool(
            phone,
            agent,
            max_duration_sec=DEFAULT_CALL_S if max_duration is None else max_duration,
            max_concurrent_calls=max_calls,
            allowed_numbers=allow_number or None,
        )
        server = tool.to_mcp()
        if not (persona or allow_number):
            _note("any number may be called, and the calls are real; --allow-number PREFIX keeps them to yours")
        serve = partial(_serve_http, host=http_host, port=http_port, hosts=allow_host or []) if http else _serve
        raise typer.Exit(serve(tool, server))


def _real_phone(port: int, llm: MindName | None, chosen: tuple[str | None, ...]) -> tuple[Patter, Agent | None]:
    stt_model, llm_model, voice = chosen
    mind = choose_mind(llm)
    check_variables(mind, is_chosen=llm is not None)
    return twilio_phone(port), vendor_agent(mind, stt_model, llm_model, voice)


def _local_phone(persona: str) -> tuple[Patter, Agent | None]:
    from patter.phone import Patter

    return Patter.local(persona), None


def _serve(tool: PatterTool, server: Any) -> int:
    from patter.exports.mcp_stdio import StandardWire, serve_stdio

    with StandardWire() as wire:
        return anyio.run(_until_signal, tool, partial(serve_stdio, server, wire), wire.close)


def _serve_http(tool: PatterTool, server: Any, *, host: str, port: int, hosts: list[str]) -> int:
    from patter.exports.mcp_http import PATH, listen, serve_http

    sock = listen(host, port, hosts)
    address = f"[{host}]" if ":" in host else host
    _note(f"serving MCP at http://{address}:{sock.getsockname()[1]}{PATH}")
    return anyio.run(_until_signal, tool, partial(serve_http, server, sock, hosts), None)


async def _until_signal(tool: PatterTool, serve: Callable[[], Awaitable[None]], end: Callable[[], None] | None) -> int:
    """Serve until the client leaves or a signal comes; then no call goes on.

    Args:
        end: makes ``serve`` return; without it, ``serve`` is cancelled.
    """
    code = OK

    async def wait_for_signal() -> None:
        nonlocal code
        await a_signal()
        code = INTERRUPTED
        await tool.stop()
        await anyio.sleep(_ANSWER_S)
        if end is None:
            serving.cancel()
        else:
            end()

    async with tool, anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_signal)
        with anyio.CancelScope() as serving:
            await serve()
        tasks.cancel_scope.cancel()
    return code


def _note(text: str) -> None:
    sys.stderr.write(f"patter: {text}\n")
    sys.stderr.flush()
