"""``patter call``: one real call through the configured carrier."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from patter.cli.exit_codes import NOT_COMPLETED
from patter.cli.options import FirstMessage, Json, MaxDuration, Plain, Record, reporting
from patter.cli.vendors import MindName, check_variables, choose_mind, demo_agent, twilio_phone, vendor_agent

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.cli.view import Facts
    from patter.phone import Patter

__all__ = ["call"]


def call(
    to: Annotated[str, typer.Argument(help="The number to call, E.164, such as +15551234567.", metavar="TO")],
    goal: Annotated[str, typer.Option(help="What the agent shall achieve.", metavar="TEXT")],
    first_message: FirstMessage = None,
    max_duration: MaxDuration = None,
    stt_model: Annotated[str | None, typer.Option(help="Deepgram's model, the ears.", metavar="NAME")] = None,
    llm: Annotated[
        MindName | None,
        typer.Option(help="openai or anthropic, the mind; else the one that has a key.", metavar="NAME"),
    ] = None,
    llm_model: Annotated[str | None, typer.Option(help="The mind's model.", metavar="NAME")] = None,
    voice: Annotated[str | None, typer.Option(help="ElevenLabs' voice, by name or id.", metavar="VOICE")] = None,
    local_agent: Annotated[
        bool, typer.Option("--local-agent", help="Speak with the demo's ears, mind and voice. The call is real.")
    ] = False,
    port: Annotated[
        int, typer.Option(help="Where the carrier's webhooks arrive on this machine.", min=0, max=65535)
    ] = 8000,
    record: Record = None,
    as_json: Json = False,
    plain: Plain = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before dialling.")] = False,
) -> None:
    """Place one real call with Twilio. It rings a real phone and costs money.

    Reads TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER,
    PATTER_WEBHOOK_URL (the public host name that leads to this machine),
    DEEPGRAM_API_KEY, OPENAI_API_KEY or ANTHROPIC_API_KEY, ELEVENLABS_API_KEY.
    'patter doctor' checks them. The exit codes are those of 'patter demo'.
    """
    if local_agent and (stt_model or llm or llm_model or voice):
        raise typer.BadParameter("--local-agent brings ears, mind and voice. Drop it, or --stt-model, --llm, --voice.")
    with reporting():
        from patter.cli import STARTED, session
        from patter.schema import check_arguments

        arguments = check_arguments(
            {"to": to, "goal": goal, "first_message": first_message, "max_duration_sec": max_duration}
        )
        session.check_record(record)
        mind = None if local_agent else choose_mind(llm)
        check_variables(mind, is_chosen=llm is not None)
        phone = twilio_phone(port)
        agent = demo_agent() if mind is None else vendor_agent(mind, stt_model, llm_model, voice)
        phone.engine.run_sync(lambda _: agent.start())  # an SDK that is not installed shows before anybody is asked
        if not (yes or _agreed(arguments.to, phone.phone_number)):
            sys.stderr.write("No call was placed.\n")
            raise typer.Exit(NOT_COMPLETED)
        output = session.Output(json=as_json, plain=plain, record=record, began=STARTED)
        facts = _facts(phone, agent, arguments.to, is_local=local_agent)
        raise typer.Exit(session.run(phone, arguments, facts, output, agent=agent))


def _agreed(to: str, from_number: str) -> bool:
    """Ask at a terminal. Where nobody can be asked, only --yes is consent."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise typer.BadParameter(
            "this is no terminal to ask at; pass --yes to dial without asking.", param_hint="--yes"
        )
    where = os.environ.get("TWILIO_BASE_URL") or "Twilio"
    question = f"Call {to} from {from_number} through {where}? It rings a real phone and costs money."
    return typer.confirm(question, default=False, err=True)


def _facts(phone: Patter, agent: Agent, to: str, *, is_local: bool) -> Facts:
    from patter.cli.view import Facts

    where = os.environ.get("TWILIO_BASE_URL", "").partition("://")[2]
    stt, llm, tts = (part.model for part in (agent.stt, agent.llm, agent.tts))
    notes = ["the demo's agent speaks: it knows a front desk's phrases and little else"] if is_local else []
    if tts == "local/tones":
        notes.append("data tones carry the words as sound: only a local network understands them")
    return Facts(
        command="patter call",
        from_number=phone.phone_number,
        to_number=to,
        title="",
        network=f"twilio{f' at {where}' if where else ''} · Media Streams 8 kHz µ-law",
        stt=stt,
        llm=llm,
        tts=tts,
        notes=tuple(notes),
    )
