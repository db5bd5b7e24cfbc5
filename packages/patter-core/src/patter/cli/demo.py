"""``patter demo``: a whole call on this machine, without keys."""

from __future__ import annotations

import queue
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from patter.cli.keyboard import Lines, Prompt, listen
from patter.cli.options import FirstMessage, Json, MaxDuration, Plain, Record, reporting

if TYPE_CHECKING:
    from patter.cli.view import Facts
    from patter.phone import Patter
    from patter.tools.model import Tool

__all__ = ["PersonaName", "VoiceName", "demo"]

_NETWORK = "local · Twilio Media Streams 8 kHz µ-law"
_HAIRCUT = "Book a haircut for tomorrow at three in the afternoon for Maria Lopez."
_GOALS = {
    "doctor": (
        "Make an appointment for Monday at ten in the morning for Maria Lopez, because of back pain. "
        "She was born on the second of May nineteen ninety."
    ),
    "ivr": "Make an appointment for tomorrow at ten in the morning for Maria Lopez.",
    "voicemail": "Remind Alex Morgan of the meeting on Friday at nine in the morning.",
}
_NEXT = {
    "salon": "patter demo --you (you answer)",
    "doctor": "patter demo --persona voicemail",
    "voicemail": "patter demo --persona ivr",
    "ivr": "patter demo --persona rude",
    "rude": "patter demo --persona busy",
}


class PersonaName(StrEnum):
    """Who can be called; the names of `patter.local.personas.PERSONAS`."""

    SALON = "salon"
    DOCTOR = "doctor"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    DECLINED = "declined"
    VOICEMAIL = "voicemail"
    IVR = "ivr"
    RUDE = "rude"
    SILENT = "silent"


class VoiceName(StrEnum):
    """How both ends talk."""

    AUTO = "auto"
    SPEECH = "speech"
    TONES = "tones"


def demo(
    persona: Annotated[
        PersonaName | None,
        typer.Option(help=f"Who answers: {', '.join(PersonaName)}.", metavar="NAME", show_default="salon"),
    ] = None,
    you: Annotated[
        bool, typer.Option("--you", help="Answer yourself: type lines, the agent hears them spoken.")
    ] = False,
    voice: Annotated[
        VoiceName,
        typer.Option(
            help="speech (flite and pocketsphinx), tones (text as data tones, exact), or auto.", metavar="NAME"
        ),
    ] = VoiceName.AUTO,
    tools: Annotated[
        bool, typer.Option("--tools", help="Let the agent look a proposed time up in a diary, during the call.")
    ] = False,
    goal: Annotated[str | None, typer.Option(help="What the agent shall achieve.", metavar="TEXT")] = None,
    first_message: FirstMessage = None,
    max_duration: MaxDuration = None,
    record: Record = None,
    as_json: Json = False,
    plain: Plain = False,
) -> None:
    """Watch an agent make a phone call on this machine: no keys, no account, no cost.

    The call runs through a telephone network in a box that speaks Twilio's own protocol.

    Exit codes: 0 completed, 1 not completed (the envelope says why), 2 usage, 3 configuration,
    4 carrier or provider failure, 130 interrupted.
    """
    _check(persona, you=you, tools=tools)
    with reporting():
        from patter.cli import STARTED, session
        from patter.schema import check_arguments

        session.check_record(record)
        name = (persona or PersonaName.SALON).value
        lines: Lines = queue.SimpleQueue()
        phone = _phone_of_yours(voice, lines, tools=tools) if you else _phone(name, voice.value, tools=tools)
        assert phone.network is not None
        arguments = check_arguments(
            {
                "to": phone.network.number,
                "goal": goal or _GOALS.get(name, _HAIRCUT),
                "first_message": first_message,
                "max_duration_sec": max_duration,
            }
        )
        follow = "patter demo --persona doctor" if you or tools else _NEXT.get(name, "patter demo")
        output = session.Output(json=as_json, plain=plain, record=record, next=follow, began=STARTED)
        facts = _facts(phone, you=you)
        prompt = None
        if you:
            prompt = Prompt()
            listen(prompt, lines)
        raise typer.Exit(session.run(phone, arguments, facts, output, prompt=prompt))


def _check(persona: PersonaName | None, *, you: bool, tools: bool) -> None:
    if you and persona is not None:
        raise typer.BadParameter("--you answers in place of a persona. Drop one of the two.")
    if tools and persona not in (None, PersonaName.SALON):
        raise typer.BadParameter(
            f"--tools needs somebody who proposes a time and agrees on another one, and {persona} does not. "
            "Take --persona salon, or --you and propose one yourself."
        )


def _phone(persona: str, voice: str, *, tools: bool) -> Patter:
    from patter.phone import Patter

    return Patter.local(persona, voice=voice, tools=_tools() if tools else ())


def _tools() -> list[Tool]:
    from patter.local.diary import diary

    return [diary()]


def _phone_of_yours(voice: VoiceName, lines: Lines, *, tools: bool) -> Patter:
    """A phone whose calls are answered at this keyboard. Its agent's ears know English at large."""
    from patter.cli.typed import TypedCallee
    from patter.local.voices import pick
    from patter.phone import Patter

    # The agent's voice is the one that the stock recogniser understands best.
    _, tts = pick(voice.value, role="agent", phrases=())
    callee = TypedCallee(tts, lines, takes_turns=not sys.stdin.isatty())
    return Patter.local(voice=voice.value, callee=lambda _: callee, tools=_tools() if tools else ())


def _facts(phone: Patter, *, you: bool) -> Facts:
    from patter.cli.view import Facts

    network = phone.network
    assert network is not None
    notes = ["no keys, no network"]
    if network.voice == "tones":
        notes.append("data tones carry the words as sound; nobody speaks")
    if network.voice_note:
        notes.append(network.voice_note)
    if network.agent.tools:
        notes.append(f"in-call tool: {', '.join(tool.name for tool in network.agent.tools)}")
    stt, llm, tts = (
        part.model.removeprefix("local/") for part in (network.agent.stt, network.agent.llm, network.agent.tts)
    )
    return Facts(
        command="patter demo",
        from_number=phone.phone_number,
        to_number=network.number,
        title="you, at this keyboard" if you else f"{network.persona.title} (local persona)",
        network=_NETWORK,
        stt=stt,
        llm=llm,
        tts=tts,
        notes=tuple(notes),
    )
