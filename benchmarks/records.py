"""What the carrier and the vendors have recorded, joined turn by turn and call by call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.talk import tag_of
from patter.call.clauses import Clauses
from patter.settings import Timing
from patter.testing.emulators.connection import Connection
from patter.testing.emulators.minds import TOKEN_CHARS
from patter.testing.rehearsal import Rehearsal

__all__ = ["gaps_ms", "lateness_ms", "media_of", "turns_of"]

_NEXT_UTTERANCE_MS = 150
"""A carrier that has been dry for so long is not waiting for the rest of an utterance."""


def turns_of(rehearsal: Rehearsal, spoken: Mapping[str, float]) -> list[dict[str, float | str]]:
    """For each turn of a callee the instants at which it passed each station, as far as it came.

    ``spoken``: its last frame went out; ``final``: Deepgram sent the end of the turn; ``asked``: OpenAI had
    the request; ``clause``: OpenAI sent the token that completes the first clause; ``text``: ElevenLabs
    had that clause; ``audio``: it sent its first audio; ``arrived``: the carrier had it.
    """
    finals, asked, said = _finals(rehearsal), _asked(rehearsal), _said(rehearsal)
    arrivals = {
        tag_of(call.dialed.to): [arrival.at_s for arrival in call.record.arrivals]
        for call in rehearsal.exchange.calls.values()
    }
    turns: list[dict[str, float | str]] = []
    for name, at in spoken.items():
        turn: dict[str, float | str] = {"name": name, "spoken": at}
        if name in finals:
            turn["final"] = finals[name]
        turn |= asked.get(name, {}) | said.get(name, {})
        # The callee is silent until it has heard the answer, so the next audio belongs to it.
        since = float(turn.get("audio", at))
        heard = next((arrived for arrived in arrivals[name.split()[0]] if arrived >= since), None)
        if heard is not None:
            turn["arrived"] = heard
        turns.append(turn)
    return turns


def media_of(rehearsal: Rehearsal) -> list[dict[str, list[tuple[float, ...]]]]:
    """For each call its media messages (when each came, what it brought, and what was left to play) and its marks
    (when each was sent back, and the audio before it). Instants in seconds, audio in milliseconds.
    """
    return [
        {
            "media": [(arrival.at_s, arrival.ms, arrival.ahead_ms) for arrival in call.record.arrivals],
            "marks": list(call.record.reached),
        }
        for call in rehearsal.exchange.calls.values()
    ]


def gaps_ms(call: Mapping[str, list[tuple[float, ...]]]) -> Iterator[float]:
    """How long the callee heard nothing in the middle of the agent's speech, each time."""
    for _, _, ahead_ms in call["media"][1:]:
        if -_NEXT_UTTERANCE_MS < ahead_ms < 0:
            yield -ahead_ms


def lateness_ms(call: Mapping[str, list[tuple[float, ...]]], lead_ms: float) -> Iterator[float]:
    """How late each media message came, but for those that fill the carrier's buffer at first.

    A message is due when, with it, the carrier has ``lead_ms`` of audio ahead of its playback, as far as
    its marks tell: from one mark to the next, playback goes on with the clock.
    """
    marks = iter(call["marks"])
    mark = next(marks, None)
    sent_ms = filled_ms = base_ms = base_s = 0.0
    for at_s, ms, _ in call["media"]:
        while mark is not None and mark[0] <= at_s:
            base_s, base_ms = mark
            mark = next(marks, None)
        ahead_ms = sent_ms - base_ms - (at_s - base_s) * 1000
        if ahead_ms <= 0:
            base_s, base_ms, filled_ms, ahead_ms = at_s, sent_ms, 0.0, 0.0
        if filled_ms + ms > lead_ms:
            yield max(lead_ms - ms - ahead_ms, 0.0)
        sent_ms += ms
        filled_ms += ms


def _finals(rehearsal: Rehearsal) -> dict[str, float]:
    return {
        _name(said): entry.at_s
        for connection in rehearsal.vendors.deepgram.connections
        for entry in connection.log
        if isinstance(message := entry.message, dict) and (said := _end_of_turn(message))
    }


def _end_of_turn(message: Mapping[str, Any]) -> str:
    """What was said, if this message ends it: Flux's end of the turn, or Nova's mark of a pause."""
    if message.get("event") == "EndOfTurn":
        return str(message["transcript"])
    return str(message["channel"]["alternatives"][0]["transcript"]) if message.get("speech_final") else ""


def _asked(rehearsal: Rehearsal) -> dict[str, dict[str, float]]:
    asked = {}
    for request in rehearsal.vendors.openai.requests:
        if not request.messages:
            continue
        name = _name(request.messages[-1].content)
        stations = {"asked": request.started_at}
        if (token := _token_of_first_clause(f"All right {name}, ")) < len(request.token_times):
            stations["clause"] = request.token_times[token]
        asked[name] = stations
    return asked


def _token_of_first_clause(text: str) -> int:
    clauses = Clauses(first_chars=Timing().first_clause_chars)
    for number, begin in enumerate(range(0, len(text), TOKEN_CHARS)):
        if clauses.feed(text[begin : begin + TOKEN_CHARS]):
            return number
    raise AssertionError("the text has no clause")


def _said(rehearsal: Rehearsal) -> dict[str, dict[str, float]]:
    said: dict[str, dict[str, float]] = {}
    for connection in rehearsal.vendors.elevenlabs.connections:
        said |= _said_on(connection)
    return said


def _said_on(connection: Connection) -> dict[str, dict[str, float]]:
    """One websocket with its contexts, or one request over HTTP, whose audio is entered by its size."""
    names: dict[str, str] = {}
    said: dict[str, dict[str, float]] = {}
    for entry in connection.log:
        message: Any = entry.message if isinstance(entry.message, dict) else {}
        if entry.by == "client":
            text, context = str(message.get("text") or ""), str(message.get("context_id"))
            if text.startswith("All right ") and context not in names:
                names[context] = _name(text.partition(",")[0])
                said[names[context]] = {"text": entry.at_s}
        elif message.get("audio") or isinstance(entry.message, int):
            if name := names.get(str(message.get("contextId"))):
                said[name].setdefault("audio", entry.at_s)
    return said


def _name(text: str) -> str:
    return " ".join(text.split()[-2:])
