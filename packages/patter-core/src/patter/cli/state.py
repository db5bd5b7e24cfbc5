"""What a terminal shows of a call: a value, and the pure step from one progress event to the next value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

__all__ = ["CallView", "Phase", "Row", "Who", "advance", "ending_words"]

Who = Literal["carrier", "callee", "agent", "tool"]

Phase = Literal[
    "starting", "dialing", "ringing", "on call", "hanging up", "completed", "busy", "no-answer", "failed", "timeout"
]

_ENDINGS = {
    "user_hangup": "the callee hung up",
    "agent_hangup": "the agent hung up",
    "transferred": "the call was transferred",
    "voicemail": "the agent left a message and hung up",
    "no_answer": "nobody answered",
    "busy": "the line is busy",
    "declined": "the callee declined",
    "invalid_number": "the carrier does not know the number",
    "carrier_error": "the carrier could not complete the call",
    "media_error": "the media connection failed",
    "pipeline_error": "ears, mind or voice failed",
    "max_duration": "the time was up",
    "canceled": "given up before the answer",
    "shutdown": "the phone was stopped",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the transcript. ``at_s`` counts from the dial; a row that is not final still changes."""

    at_s: float
    who: Who
    text: str
    note: str = ""
    latency_ms: float | None = None
    final: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """The call as far as it is known. Times are seconds from the dial.

    ``steps`` is what the carrier has reported. ``hearing`` is what the callee is saying, ``saying`` what
    the agent is: both are guesses until the call says what was heard. ``opening`` is the text of an
    agent's turn that is spoken without having been announced.
    """

    phase: Phase = "starting"
    steps: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    hearing: Row | None = None
    saying: Row | None = None
    answered_at_s: float | None = None
    answered_by: str | None = None
    ended_at_s: float | None = None
    opening: str = ""

    @property
    def is_over(self) -> bool:
        return self.ended_at_s is not None

    def since_answer(self, at_s: float) -> float:
        """A time as the transcript shows it: seconds from the answer, 0 before it."""
        return 0.0 if self.answered_at_s is None else max(at_s - self.answered_at_s, 0.0)

    def carrier_row(self) -> Row | None:
        """The carrier's reports up to the answer, or up to the end if nobody answered."""
        if not self.steps:
            return None
        if self.answered_at_s is None:
            return Row(0.0, "carrier", " → ".join(self.steps))
        after = f"answered after {self.answered_at_s:.1f} s"
        by = f", {self.answered_by}" if self.answered_by else ""
        return Row(0.0, "carrier", " → ".join(self.steps), f"({after}{by})")

    def all_rows(self) -> list[Row]:
        """Every line that is to be shown, in its order; those that still change stand last."""
        changing = sorted(filter(None, (self.hearing, self.saying)), key=lambda row: row.at_s)
        return [row for row in (self.carrier_row(), *self.rows, *changing) if row is not None]


def ending_words(reason: str) -> str:
    """An end reason of the envelope, in words."""
    return _ENDINGS.get(reason, reason.replace("_", " "))


def advance(view: CallView, event: Mapping[str, Any]) -> CallView:
    """The view after an event. Events of unknown type change nothing."""
    step = _STEPS.get(event["type"])
    return view if step is None else step(view, event)


def _dialing(view: CallView, event: Mapping[str, Any]) -> CallView:
    return replace(view, phase="dialing", steps=("queued",))


def _ringing(view: CallView, event: Mapping[str, Any]) -> CallView:
    if "ringing" in view.steps or view.answered_at_s is not None:
        return view
    return replace(view, phase="ringing", steps=(*view.steps, "ringing"))


def _answered(view: CallView, event: Mapping[str, Any]) -> CallView:
    return replace(view, phase="on call", steps=(*view.steps, "in-progress"), answered_at_s=event["at_s"])


def _answered_by(view: CallView, event: Mapping[str, Any]) -> CallView:
    who = str(event["answered_by"]).partition("_")[0]
    return replace(view, answered_by=None if who == "unknown" else who)


def _hearing(view: CallView, event: Mapping[str, Any]) -> CallView:
    began = event["at_s"] if view.hearing is None else view.hearing.at_s
    return replace(view, hearing=Row(began, "callee", event["text"], final=False))


def _user(view: CallView, event: Mapping[str, Any]) -> CallView:
    began = event["at_s"] - event.get("waited_ms", 0) / 1000
    if view.hearing is not None:
        began = min(began, view.hearing.at_s)
    return _add(replace(view, hearing=None), Row(began, "callee", event["text"]))


def _retract(view: CallView, event: Mapping[str, Any]) -> CallView:
    for index in range(len(view.rows) - 1, -1, -1):
        row = view.rows[index]
        if row.who == "callee":
            rest = view.rows[:index] + view.rows[index + 1 :]
            return replace(view, rows=rest, hearing=view.hearing or replace(row, final=False))
    return view


def _saying(view: CallView, event: Mapping[str, Any]) -> CallView:
    row = view.saying or Row(event["at_s"], "agent", "", final=False)
    return replace(view, saying=replace(row, text=f"{row.text} {event['text']}".strip()))


def _speaking(view: CallView, event: Mapping[str, Any]) -> CallView:
    unheard = view.opening if not any(row.who == "agent" for row in view.rows) else ""
    row = view.saying or Row(event["at_s"], "agent", unheard or "…", final=False)
    return replace(view, saying=replace(row, at_s=event["at_s"], latency_ms=event.get("latency_ms")))


def _agent(view: CallView, event: Mapping[str, Any]) -> CallView:
    began = event["at_s"] if view.saying is None else view.saying.at_s
    text, note = event["text"], "— interrupted" if event.get("interrupted") else ""
    if not text:
        note = "interrupted before a word was heard"
    return _add(replace(view, saying=None), Row(began, "agent", text, note, event.get("latency_ms")))


def _tool(view: CallView, event: Mapping[str, Any]) -> CallView:
    note = f"→ failed: {event.get('reason') or 'error'}" if event.get("is_error") else "→ done"
    if event["name"] == "end_call" and not event.get("is_error"):
        note = "→ says goodbye and hangs up"
    began = event["at_s"] - event["duration_ms"] / 1000
    return _add(view, Row(began, "tool", f"{event['name']}()", f"{note}  {event['duration_ms']:.0f} ms"))


def _digits(view: CallView, event: Mapping[str, Any]) -> CallView:
    return _add(view, Row(event["at_s"], "callee", "", f"pressed {event['digits']}"))


def _interrupt(view: CallView, event: Mapping[str, Any]) -> CallView:
    return view if view.is_over else replace(view, phase="hanging up")


def _ended(view: CallView, event: Mapping[str, Any]) -> CallView:
    status, words = event["status"], event.get("error") or ending_words(event["end_reason"])
    if view.phase == "hanging up":
        words = "you hung up"
    over = replace(view, phase=status, ended_at_s=event["at_s"], hearing=None, saying=None)
    if view.answered_at_s is None:
        return replace(over, steps=(*view.steps, f"{status} ({words})"))
    return _add(over, Row(event["at_s"], "carrier", status, f"({words})"))


def _add(view: CallView, row: Row) -> CallView:
    return replace(view, rows=(*view.rows, row))


_STEPS = {
    "dialing": _dialing,
    "ringing": _ringing,
    "answered": _answered,
    "answered_by": _answered_by,
    "hearing": _hearing,
    "user": _user,
    "retract": _retract,
    "saying": _saying,
    "speaking": _speaking,
    "agent": _agent,
    "tool": _tool,
    "digits": _digits,
    "interrupt": _interrupt,
    "ended": _ended,
}
