"""The envelope: its wire form, its mapping from endings, and what a host's model reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from patter.envelope import (
    CallError,
    CallResult,
    Cost,
    Details,
    Ending,
    EndReason,
    Metrics,
    TranscriptLine,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def envelope(lines: int = 2, **changes: object) -> CallResult:
    details = Details(
        outcome="answered",
        end_reason=EndReason.AGENT_HANGUP,
        ended_by="agent",
        to="+15550100199",
        from_="+15550100001",
        started_at=NOW,
        ended_at=NOW,
        carrier="local",
    )
    values: dict[str, object] = {
        "call_id": "CA1",
        "status": "completed",
        "duration_seconds": 12.5,
        "cost_usd": 0.014,
        "transcript": [
            TranscriptLine(role="user" if index % 2 else "agent", text=f"Línea {index} 你好 € «{index}»")
            for index in range(lines)
        ],
        "metrics": Metrics(p95_latency_ms=300.0, cost=Cost(telephony=0.014)),
        "details": details,
    }
    return CallResult.model_validate(values | changes)


def test_it_reads_by_attribute_by_key_and_as_a_mapping() -> None:
    result = envelope()
    assert result.status == result["status"] == dict(result)["status"] == "completed"
    assert dict(result) == result.to_dict()
    assert result["metrics"]["cost"] == {"stt": 0.0, "tts": 0.0, "llm": 0.0, "telephony": 0.014}
    assert result["details"]["from"] == result.details["from"] == "+15550100001"
    assert dict(result.details) == result["details"]


def test_the_strict_form_has_the_six_keys_of_the_contract_in_their_order() -> None:
    keys = ["call_id", "status", "duration_seconds", "cost_usd", "transcript", "metrics"]
    assert list(envelope().to_dict(strict=True)) == keys
    assert list(envelope().to_dict()) == [*keys, "details"]


def test_json_keeps_every_character_and_reads_back() -> None:
    result = envelope()
    assert "你好" in result.to_json()
    assert CallResult.model_validate_json(result.to_json()) == result


def test_it_is_frozen_and_takes_nothing_else() -> None:
    with pytest.raises(ValidationError):
        envelope().status = "busy"  # type: ignore[misc]
    for wrong in ({"status": "canceled"}, {"call_id": ""}, {"cost_usd": -1}, {"extra": 1}):
        with pytest.raises(ValidationError):
            envelope(**wrong)
    with pytest.raises(ValidationError):
        TranscriptLine(role="tool", text="x")  # type: ignore[arg-type]


def test_what_a_model_reads_is_compact_json_with_the_transcript_in_strings() -> None:
    brief = json.loads(envelope().to_llm())
    assert list(brief) == [
        "status",
        "outcome",
        "end_reason",
        "duration_seconds",
        "cost_usd",
        "transcript",
        "call_id",
    ]
    assert "transcript_omitted_turns" not in brief


def test_a_long_transcript_loses_whole_turns_from_its_middle() -> None:
    result = envelope(lines=200)
    text = result.to_llm(max_chars=2000)
    brief = json.loads(text)
    assert len(text) <= 2000
    assert brief["transcript_omitted_turns"] + len(brief["transcript"]) == 200
    assert brief["transcript"][0] == result.transcript[0].model_dump()
    assert brief["transcript"][-1] == result.transcript[-1].model_dump()


STATUSES = {
    EndReason.USER_HANGUP: ("completed", "answered"),
    EndReason.AGENT_HANGUP: ("completed", "answered"),
    EndReason.TRANSFERRED: ("completed", "answered"),
    EndReason.VOICEMAIL: ("completed", "voicemail"),
    EndReason.NO_ANSWER: ("no-answer", "no_answer"),
    EndReason.BUSY: ("busy", "busy"),
    EndReason.DECLINED: ("failed", "failed"),
    EndReason.INVALID_NUMBER: ("failed", "failed"),
    EndReason.CARRIER_ERROR: ("failed", "failed"),
    EndReason.MEDIA_ERROR: ("failed", "failed"),
    EndReason.PIPELINE_ERROR: ("failed", "failed"),
    EndReason.MAX_DURATION: ("timeout", "answered"),
    EndReason.CANCELED: ("failed", "failed"),
    EndReason.SHUTDOWN: ("failed", "failed"),
}


@pytest.mark.parametrize("reason", EndReason)
def test_every_reason_has_one_status_and_one_outcome(reason: EndReason) -> None:
    ending = Ending(reason, CallError(code="x", message="y"))
    assert (ending.status(), ending.outcome(answered=True, machine=False)) == STATUSES[reason]


def test_a_machine_and_an_unanswered_time_out_change_the_outcome_only() -> None:
    assert Ending(EndReason.USER_HANGUP).outcome(answered=True, machine=True) == "voicemail"
    assert Ending(EndReason.MAX_DURATION).outcome(answered=False, machine=False) == "no_answer"
    assert Ending(EndReason.MEDIA_ERROR).outcome(answered=True, machine=True) == "failed"
