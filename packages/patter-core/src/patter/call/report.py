"""Writes the envelope from the books of a finished call."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from patter.call.meter import Meter
from patter.call.prices import Prices
from patter.call.request import CallRequest
from patter.call.transcript import Transcript
from patter.carriers.base import CarrierStatus
from patter.envelope import CallResult, CostNotes, Details, Ending, EndReason, Metrics, ToolCallRecord

__all__ = ["Books", "CallFacts"]

_log = logging.getLogger("patter")


@dataclass(slots=True)
class CallFacts:
    """What happened when. Times are seconds of the call's clock; ``started_at`` is the wall time of ``dialled``."""

    started_at: datetime
    dialled: float
    is_dialled: bool = False
    is_doubtful: bool = False
    """True if the carrier may hold a call that we know nothing of."""
    has_rung: bool = False
    answered: float | None = None
    ended: float = 0.0
    ending: Ending = field(default_factory=lambda: Ending(EndReason.CANCELED))
    carrier_id: str | None = None
    carrier_status: CarrierStatus | None = None
    answered_by: str | None = None
    transfer: dict[str, str] | None = None
    """``to``, ``mode`` and ``status`` of the last transfer that was tried."""
    legs_s: list[float] = field(default_factory=list)
    """How long second legs were connected, as far as we were there. The carrier bills them like calls."""

    @property
    def machine(self) -> bool:
        """True if the carrier says that a machine answered."""
        return (self.answered_by or "").startswith(("machine", "fax"))

    @property
    def ring_s(self) -> float:
        """Seconds from the dial to the answer, or to the end if nobody answered; 0.0 if it never rang."""
        if self.answered is None and not self.has_rung:
            return 0.0
        return round(max((self.ended if self.answered is None else self.answered) - self.dialled, 0.0), 3)

    @property
    def talk_s(self) -> float:
        """Seconds from the answer to the end of our leg."""
        return 0.0 if self.answered is None else max(self.ended - self.answered, 0.0)

    def wall(self, at: float) -> datetime:
        return self.started_at + timedelta(seconds=at - self.dialled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Everything that is noted of a call. Its parts are written while the call goes on."""

    request: CallRequest
    carrier: str
    facts: CallFacts
    transcript: Transcript
    meter: Meter
    prices: Prices
    tool_calls: Sequence[ToolCallRecord]
    variables: Mapping[str, Any]

    @property
    def call_id(self) -> str:
        """The carrier's id once it is known, and before that a name of our own."""
        return self.facts.carrier_id or f"local_{self.request.ref}"

    def envelope(self) -> CallResult:
        """The envelope. There is always one: if the books cannot be read, a bare one."""
        try:
            return self._full()
        except Exception as error:  # the boundary of a call
            _log.error("The envelope of a call could not be written: %s", type(error).__name__)
            return self._bare()

    def _full(self) -> CallResult:
        facts = self.facts
        line = f"{self.carrier}-inbound" if self.request.inbound else self.carrier
        cost, notes = self.meter.cost(self.prices, carrier=line, talk_s=facts.talk_s)
        legs = sum(math.ceil(leg_s / 60) for leg_s in facts.legs_s) * (self.prices.rate("minute", self.carrier) or 0.0)
        cost = cost.model_copy(update={"telephony": round(cost.telephony + legs, 6)})
        return CallResult(
            call_id=self.call_id,
            status=facts.ending.status(),
            duration_seconds=round(facts.talk_s, 3),
            cost_usd=round(cost.stt + cost.tts + cost.llm + cost.telephony, 6),
            transcript=self.transcript.lines(),
            metrics=self.meter.metrics(cost),
            details=self._details(notes),
        )

    def _details(self, notes: CostNotes) -> Details:
        request, facts, ending, answered = self.request, self.facts, self.facts.ending, self.facts.answered
        reached_machine = facts.machine and ending.status() == "completed"
        return Details(
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
            ring_seconds=facts.ring_s,
            carrier=self.carrier,
            carrier_status=facts.carrier_status,
            answered_by=facts.answered_by,
            tool_calls=list(self.tool_calls),
            transfer=facts.transfer,
            variables=dict(self.variables),
            dtmf_received=self.transcript.digits,
            turns=self.transcript.turns(answered or facts.dialled),
            latency=self.meter.latency(),
            cost=notes,
        )

    def _bare(self) -> CallResult:
        return CallResult(
            call_id=self.call_id,
            status="failed",
            duration_seconds=round(self.facts.talk_s, 3),
            cost_usd=0.0,
            transcript=[],
            metrics=Metrics(),
        )
