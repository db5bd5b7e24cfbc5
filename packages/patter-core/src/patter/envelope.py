"""The envelope: what a call answers, and the one mapping from how it ended to its status.

The first six fields are the contract; ``details`` is additive. Statuses are the five of the contract,
in the carriers' spelling (``no-answer`` with a hyphen).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

__all__ = [
    "CallError",
    "CallResult",
    "CallStatus",
    "Cost",
    "Details",
    "EndReason",
    "Ending",
    "Metrics",
    "Outcome",
    "Role",
    "ToolCallRecord",
    "TranscriptLine",
    "Turn",
]

Role = Literal["agent", "user"]
CallStatus = Literal["completed", "no-answer", "busy", "failed", "timeout"]
Outcome = Literal["answered", "voicemail", "no_answer", "busy", "failed"]
EndedBy = Literal["agent", "user", "carrier", "system"]


class EndReason(StrEnum):
    """How a call ended. The first reason wins; later ones are ignored."""

    USER_HANGUP = "user_hangup"
    AGENT_HANGUP = "agent_hangup"
    TRANSFERRED = "transferred"
    VOICEMAIL = "voicemail"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    DECLINED = "declined"
    INVALID_NUMBER = "invalid_number"
    CARRIER_ERROR = "carrier_error"
    MEDIA_ERROR = "media_error"
    PIPELINE_ERROR = "pipeline_error"
    MAX_DURATION = "max_duration"
    CANCELED = "canceled"
    SHUTDOWN = "shutdown"


_STATUS: dict[EndReason, tuple[CallStatus, Outcome, EndedBy]] = {
    EndReason.USER_HANGUP: ("completed", "answered", "user"),
    EndReason.AGENT_HANGUP: ("completed", "answered", "agent"),
    EndReason.TRANSFERRED: ("completed", "answered", "agent"),
    EndReason.VOICEMAIL: ("completed", "voicemail", "agent"),
    EndReason.NO_ANSWER: ("no-answer", "no_answer", "carrier"),
    EndReason.BUSY: ("busy", "busy", "user"),
    EndReason.DECLINED: ("failed", "failed", "user"),
    EndReason.INVALID_NUMBER: ("failed", "failed", "carrier"),
    EndReason.CARRIER_ERROR: ("failed", "failed", "carrier"),
    EndReason.MEDIA_ERROR: ("failed", "failed", "system"),
    EndReason.PIPELINE_ERROR: ("failed", "failed", "system"),
    EndReason.MAX_DURATION: ("timeout", "answered", "system"),
    EndReason.CANCELED: ("failed", "failed", "system"),
    EndReason.SHUTDOWN: ("failed", "failed", "system"),
}


class _Part(BaseModel):
    """A frozen part of the envelope that also reads like the mapping it becomes in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __getitem__(self, key: str) -> Any:
        return self.model_dump(mode="json")[key]

    def keys(self) -> Iterator[str]:
        """The names of the fields, so that ``dict(part)`` is its JSON form."""
        return iter(self.model_dump(mode="json"))


class TranscriptLine(_Part):
    """What one side said and the other side heard."""

    role: Role
    text: str


class Cost(_Part):
    """US dollars by part. An unknown price counts 0 and is named in ``details.unpriced``."""

    stt: float = 0.0
    tts: float = 0.0
    llm: float = 0.0
    telephony: float = 0.0


class Metrics(_Part):
    """The two measurements of the contract.

    ``p95_latency_ms`` runs from the end of the callee's speech to the first audio of the reply handed
    to the carrier, with the wait for the end of the turn in it and the phone network not in it.
    """

    p95_latency_ms: float = 0.0
    cost: Cost = Cost()


class CallError(_Part):
    """Why a call failed: a stable code, and a sentence for people without numbers or secrets."""

    code: str
    message: str


class Turn(_Part):
    """One line of the transcript with what was measured of it. Times are seconds from the answer.

    ``generated_text`` is what the mind wrote; ``text`` is what was heard. An agent's turn that was
    interrupted before its first audio has ``heard_ms`` 0 and is not in the transcript.
    """

    index: int
    role: Role
    text: str
    generated_text: str | None = None
    interrupted: bool = False
    started_at: float
    ended_at: float
    heard_ms: int | None = None
    latency_ms: float | None = None


class ToolCallRecord(_Part):
    """One run of an in-call tool, without what went in or came out."""

    name: str
    tool_call_id: str
    is_error: bool
    reason: str | None
    duration_ms: float


class Latency(_Part):
    """The distribution behind ``p95_latency_ms``, and the p95 of its stages, in milliseconds."""

    turns: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    max_ms: float = 0.0
    stt_p95_ms: float = 0.0
    llm_ttft_p95_ms: float = 0.0
    tts_p95_ms: float = 0.0


class CostNotes(_Part):
    """How far the cost may be trusted: parts that are estimates, and names without a price."""

    estimated: list[str] = []
    unpriced: list[str] = []


class Details(_Part):
    """Everything else. Consumers must not depend on a key being there."""

    outcome: Outcome
    end_reason: EndReason
    ended_by: EndedBy
    error: CallError | None = None
    goal: str | None = None
    to: str
    from_: str = Field(validation_alias=AliasChoices("from", "from_"), serialization_alias="from")
    started_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime
    ring_seconds: float = 0.0
    carrier: str
    carrier_status: str | None = None
    answered_by: str | None = None
    summary: str | None = None
    goal_achieved: bool | None = None
    variables: dict[str, Any] = {}
    tool_calls: list[ToolCallRecord] = []
    transfer: dict[str, str] | None = None
    dtmf_received: str = ""
    recording_url: str | None = None
    turns: list[Turn] = []
    latency: Latency = Latency()
    cost: CostNotes = CostNotes()

    model_config = ConfigDict(serialize_by_alias=True)


class CallResult(_Part):
    """The envelope of one call: frozen, reads by attribute (``result.status``) and by key (``result["status"]``)."""

    call_id: str = Field(min_length=1)
    status: CallStatus
    duration_seconds: float = Field(ge=0)
    cost_usd: float = Field(ge=0)
    transcript: list[TranscriptLine]
    metrics: Metrics
    details: Details | None = None

    def to_dict(self, *, strict: bool = False) -> dict[str, Any]:
        """The envelope as plain JSON values; with ``strict`` only the six fields of the contract."""
        plain = self.model_dump(mode="json")
        if strict or self.details is None:
            plain.pop("details")
        return plain

    def to_json(self, *, strict: bool = False, indent: int | None = None) -> str:
        """The envelope as JSON text; non-ASCII characters stand as themselves."""
        return json.dumps(self.to_dict(strict=strict), ensure_ascii=False, indent=indent)

    def to_llm(self, max_chars: int = 4000) -> str:
        """Compact JSON for the host's model, at most about ``max_chars`` long.

        What the callee said is untrusted input and stays inside JSON strings. A transcript that does
        not fit loses whole turns from its middle; ``transcript_omitted_turns`` counts them.
        """
        lines = [line.model_dump() for line in self.transcript]
        omitted = 0
        while True:
            text = json.dumps(self._brief(lines, omitted), ensure_ascii=False, separators=(",", ":"))
            if len(text) <= max_chars or not lines:
                return text
            del lines[len(lines) // 2]
            omitted += 1

    def _brief(self, lines: list[dict[str, Any]], omitted: int) -> dict[str, Any]:
        brief: dict[str, Any] = {"status": self.status}
        if self.details is not None:
            details = self.details.model_dump(mode="json")
            for key in ("outcome", "end_reason", "error", "summary", "goal_achieved", "variables", "transfer"):
                if details[key] not in (None, {}):
                    brief[key] = details[key]
        brief |= {"duration_seconds": self.duration_seconds, "cost_usd": self.cost_usd, "transcript": lines}
        if omitted:
            brief["transcript_omitted_turns"] = omitted
        return brief | {"call_id": self.call_id}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended, before the envelope is built."""

    reason: EndReason
    error: CallError | None = None
    by: EndedBy | None = None
    """Who ended it, if the reason does not say."""

    def status(self) -> CallStatus:
        return _STATUS[self.reason][0]

    def outcome(self, *, answered: bool, machine: bool) -> Outcome:
        """Who was reached. A machine that answered is ``voicemail`` however the call ended well."""
        status, outcome, _ = _STATUS[self.reason]
        if status == "completed" and machine:
            return "voicemail"
        if self.reason is EndReason.MAX_DURATION and not answered:
            return "no_answer"
        return outcome

    def ended_by(self) -> EndedBy:
        return self.by or _STATUS[self.reason][2]
