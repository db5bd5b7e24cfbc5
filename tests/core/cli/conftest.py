"""A call written down by hand: its progress events and its envelope."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from patter.cli.state import CallView, advance
from patter.cli.view import Facts
from patter.envelope import CallResult, Details, EndReason, Metrics, TranscriptLine

EVENTS = [
    {"type": "dialing", "at_s": 0.0, "to": "+15550101001"},
    {"type": "ringing", "at_s": 0.3},
    {"type": "answered", "at_s": 1.2},
    {"type": "hearing", "at_s": 1.5, "text": "hello"},
    {"type": "hearing", "at_s": 1.8, "text": "hello this is"},
    {"type": "user", "at_s": 6.5, "text": "hello this is the style studio how can i help you", "waited_ms": 500.0},
    {"type": "saying", "at_s": 6.6, "text": "Hi, I am calling to"},
    {"type": "speaking", "at_s": 6.7, "latency_ms": 765.0},
    {"type": "saying", "at_s": 6.7, "text": "book a haircut for tomorrow at three in the afternoon for Maria Lopez."},
    {"type": "answered_by", "at_s": 6.8, "answered_by": "human"},
    {
        "type": "agent",
        "at_s": 12.0,
        "text": "Hi, I am calling to book a haircut for tomorrow at three in the afternoon for Maria Lopez.",
        "interrupted": False,
        "latency_ms": 765.0,
    },
    {"type": "user", "at_s": 15.3, "text": "you are booked", "waited_ms": 300.0},
    {"type": "tool", "at_s": 15.4, "name": "end_call", "is_error": False, "reason": None, "duration_ms": 0.4},
    {"type": "speaking", "at_s": 15.5, "latency_ms": 1240.0},
    {"type": "agent", "at_s": 16.5, "text": "Thank you,", "interrupted": True, "latency_ms": 1240.0},
    {"type": "ended", "at_s": 17.2, "status": "completed", "end_reason": "agent_hangup"},
]


@pytest.fixture
def events() -> list[dict]:
    return [{"call_id": "CA1", **event} for event in EVENTS]


@pytest.fixture
def view(events) -> CallView:
    """The call when it is over."""
    state = CallView()
    for event in events:
        state = advance(state, event)
    return state


@pytest.fixture
def facts() -> Facts:
    return Facts(
        command="patter demo",
        from_number="+15550100001",
        to_number="+15550101001",
        title="Style Studio (local persona)",
        network="local · Twilio Media Streams 8 kHz µ-law",
        stt="pocketsphinx",
        llm="demo-brain",
        tts="flite",
        notes=("no keys, no network",),
    )


@pytest.fixture
def make_result():
    """A function that makes an envelope."""

    def make(status: str = "completed", reason: EndReason = EndReason.AGENT_HANGUP, **more) -> CallResult:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        details = Details(
            outcome="answered",
            end_reason=reason,
            ended_by="agent",
            to="+15550101001",
            from_="+15550100001",
            started_at=now,
            ended_at=now,
            carrier="local",
        )
        fields = {
            "call_id": "CA1",
            "status": status,
            "duration_seconds": 16.0,
            "cost_usd": 0.0,
            "transcript": [TranscriptLine(role="user", text="hello"), TranscriptLine(role="agent", text="hi")],
            "metrics": Metrics(p95_latency_ms=718.5),
            "details": details,
        }
        return CallResult(**(fields | more))

    return make
