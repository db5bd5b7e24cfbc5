"""The event log of a call as canonical JSON, and what must be true of every call."""

from __future__ import annotations

import json
from typing import Any

import anyio

from patter.envelope import CallResult
from patter.settings import Timing
from patter.testing.line import ScriptedLine
from patter.testing.providers import ScriptedMind

__all__ = ["EventLog", "check_invariants"]

_STATUSES = ("completed", "no-answer", "busy", "failed", "timeout")
_PLACES = 6


class EventLog:
    """Collects the progress events of calls: pass it, or its `on_event`, where a callback is taken.

    Two runs of the same script under virtual time give the same `json`.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.times: list[float] = []
        """When each event came, in seconds of the loop's clock."""

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event."""
        self.on_event(event)

    def on_event(self, event: dict[str, Any]) -> None:
        """Take an event."""
        self.times.append(anyio.current_time())
        self.events.append(dict(event))

    def kinds(self) -> list[str]:
        """The types of the events, in order."""
        return [str(event["type"]) for event in self.events]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one type."""
        return [event for event in self.events if event["type"] == kind]

    def json(self) -> str:
        """One line of JSON per event: sorted keys, rounded numbers, ids of calls by order of appearance."""
        names: dict[str, str] = {}
        lines = []
        for event in self.events:
            plain = dict(event)
            if "call_id" in plain:
                plain["call_id"] = names.setdefault(str(plain["call_id"]), f"call-{len(names) + 1}")
            lines.append(json.dumps(_rounded(plain), sort_keys=True, separators=(",", ":"), ensure_ascii=False))
        return "\n".join(lines)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _PLACES) + 0.0
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return value


def check_invariants(
    result: CallResult,
    line: ScriptedLine | None = None,
    log: EventLog | None = None,
    *,
    mind: ScriptedMind | None = None,
    max_duration_s: float = 180,
    settle_s: float = Timing().settle_s,
) -> None:
    """Check what must be true of every call, however it went.

    Raises:
        AssertionError: a sentence on what is not.
    """
    _check_envelope(result, max_duration_s + settle_s)
    _check_turns(result)
    _check_tools(result)
    if line is not None:
        _check_line(line)
    if log is not None:
        _check_log(log)
    if mind is not None:
        _check_histories(mind)


def _check_envelope(result: CallResult, longest_s: float) -> None:
    assert result.status in _STATUSES, f"The status {result.status!r} is none of the five."
    assert result.duration_seconds <= longest_s + 1e-3, (
        f"The call took {result.duration_seconds:g} s, which is more than {longest_s:g} s."
    )
    for line in result.transcript:
        assert line.role in ("agent", "user"), f"The transcript has the role {line.role!r}."
        assert line.text.strip(), "The transcript has an empty text."


def _check_turns(result: CallResult) -> None:
    turns = result.details.turns if result.details is not None else []
    began = 0.0
    for turn in turns:
        assert turn.started_at <= turn.ended_at, (
            f"Turn {turn.index} begins at {turn.started_at:g} s and ends before, at {turn.ended_at:g} s."
        )
        if turn.text:  # what nobody heard has no place among what was heard
            assert began <= turn.started_at, (
                f"Turn {turn.index} begins at {turn.started_at:g} s, before the one above it, at {began:g} s."
            )
            began = turn.started_at
        if turn.role == "agent":
            generated = turn.generated_text or ""
            whole = generated.startswith(turn.text) and generated[len(turn.text) :][:1] in ("", " ")
            assert whole or not turn.text, f"{turn.text!r} was heard, and is not how {generated!r} begins."
    if result.details is not None:
        told = [(line.role, line.text) for line in result.transcript]
        heard = [(turn.role, turn.text) for turn in turns if turn.text]
        assert told == heard, f"The transcript {told!r} is not what the turns say, {heard!r}."


def _check_tools(result: CallResult) -> None:
    calls = [call.tool_call_id for call in result.details.tool_calls] if result.details is not None else []
    for call in calls:
        assert calls.count(call) == 1, f"The tool call {call!r} has {calls.count(call)} results."


def _check_line(line: ScriptedLine) -> None:
    """Whatever follows a clear belongs to a later utterance."""
    cleared = newest = -1
    fresh = True
    for sent in line.sent:
        if sent.kind == "clear":
            cleared, fresh = newest, True
        elif sent.kind == "mark":
            epoch = int(sent.name.partition(":")[0])
            assert epoch >= newest and epoch > cleared, (
                f"The mark {sent.name!r} at {sent.at_s:.3f} s belongs to audio that was cleared before."
            )
            newest = epoch
        elif fresh:
            assert sent.audio[:1] == b"\x02" or b"\x02" not in sent.audio, (
                f"The audio at {sent.at_s:.3f} s goes on with a word that was cleared before."
            )
            fresh = False


def _check_log(log: EventLog) -> None:
    assert log.times == sorted(log.times), "The events are not in the order of their times."
    stamps = [event["at_s"] for event in log.events if "at_s" in event]
    assert stamps == sorted(stamps), f"The events' times decrease: {stamps}."
    kinds = log.kinds()
    assert kinds.count("ended") <= 1 and (not kinds.count("ended") or kinds[-1] == "ended"), (
        f"The call does not end once, at the end: {kinds}."
    )


def _check_histories(mind: ScriptedMind) -> None:
    for number, request in enumerate(mind.requests, start=1):
        called = [call.id for message in request.messages for call in message.tool_calls]
        answered = [message.tool_call_id for message in request.messages if message.role == "tool"]
        for call in called:
            results = answered.count(call)
            assert results == 1, f"In request {number} the tool call {call!r} has {results} results."
        strays = [answer for answer in answered if answer not in called]
        assert not strays, f"In request {number} there are results of calls that are not there: {strays}."
