"""Writes the envelope from the books of a finished call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from patter.call.meter import Meter
from patter.call.prices import Prices
from patter.call.request import CallRequest
from patter.call.transcript import Transcript
from patter.carriers.base import CarrierStatus
from patter.envelope import CallResult, Details, Ending, EndReason, Metrics, ToolCallRecord

__all__ = ["CallFacts", "build_result", "emergency_result"]


@dataclass(slots=True)
class CallFacts:
    """What happened when. Times are seconds of the call's clock; ``started_at`` is the wall time of ``dialled``."""

    started_at: datetime
    dialled: float
    answered: float | None = None
    ended: float = 0.0
    ending: Ending = field(default_factory=lambda: Ending(EndReason.CANCELED))
    carrier_id: str | None = None
    carrier_status: CarrierStatus | None = None
    answered_by: str | None = None
    flush_error: str | None = None

    @property
    def machine(self) -> bool:
        """True if the carrier says that a machine answered."""
        return (self.answered_by or "").startswith(("machine", "fax"))

    @property
    def talk_s(self) -> float:
        """Seconds from the answer to the end of our leg."""
        return 0.0 if self.answered is None else max(self.ended - self.answered, 0.0)

    def wall(self, at: float) -> datetime:
        return self.started_at + timedelta(seconds=at - self.dialled)


def emergency_result(call_id: str, facts: CallFacts) -> CallResult:
    """The envelope of a call whose books cannot be read: better a bare one than none."""
    return CallResult(
        call_id=call_id,
        status="failed",
        duration_seconds=round(facts.talk_s, 3),
        cost_usd=0.0,
        transcript=[],
        metrics=Metrics(),
    )


def build_result(
    request: CallRequest,
    *,
    call_id: str,
    carrier: str,
    facts: CallFacts,
    transcript: Transcript,
    meter: Meter,
    prices: Prices,
    tool_calls: Sequence[ToolCallRecord],
) -> CallResult:
    """The envelope of a call that has ended."""
    agent = request.agent
    cost, cost_notes = meter.cost(
        prices,
        stt=agent.stt.model,
        llm=agent.llm.model,
        tts=agent.tts.model,
        carrier=carrier,
        talk_s=facts.talk_s,
    )
    ending = facts.ending
    answered = facts.answered
    reached_machine = facts.machine and ending.status() == "completed"
    details = Details(
        outcome=ending.outcome(answered=answered is not None, machine=facts.machine),
        end_reason=EndReason.VOICEMAIL if reached_machine else ending.reason,
        ended_by=ending.ended_by(),
        error=ending.error,
        goal=request.goal,
        to=request.to,
        from_=request.from_number,
        started_at=facts.started_at,
        answered_at=None if answered is None else facts.wall(answered),
        ended_at=facts.wall(facts.ended),
        ring_seconds=round((facts.ended if answered is None else answered) - facts.dialled, 3),
        carrier=carrier,
        carrier_status=facts.carrier_status,
        answered_by=facts.answered_by,
        tool_calls=list(tool_calls),
        dtmf_received=transcript.digits,
        turns=transcript.turns(answered or facts.dialled),
        latency=meter.latency(),
        cost=cost_notes,
    )
    return CallResult(
        call_id=call_id,
        status=ending.status(),
        duration_seconds=round(facts.talk_s, 3),
        cost_usd=round(cost.stt + cost.tts + cost.llm + cost.telephony, 6),
        transcript=transcript.lines(),
        metrics=meter.metrics(cost),
        details=details,
    )
