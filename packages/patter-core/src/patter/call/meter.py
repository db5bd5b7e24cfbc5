"""What a call used and how fast it was: latencies per turn, usage per provider, cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from patter.call.prices import Prices
from patter.envelope import Cost, CostNotes, Latency, Metrics
from patter.voice.base import Usage

__all__ = ["Meter", "TurnClock", "percentile"]


@dataclass(slots=True)
class TurnClock:
    """The anchors of one answered turn, in seconds of the call's clock."""

    speech_ended: float
    committed: float | None = None
    first_token: float | None = None
    first_clause: float | None = None
    first_audio: float | None = None


@dataclass(slots=True)
class Meter:
    """Collects while the call goes on. Pure; every number is handed in."""

    stt_ms: float = 0.0
    tts_chars: int = 0
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    _turns: list[TurnClock] = field(default_factory=list)

    def heard(self, ms: float) -> None:
        """Audio that was streamed to the ears, silence included: vendors bill it."""
        self.stt_ms += ms

    def synthesised(self, text: str) -> None:
        """Text that was handed to the voice, also if it was interrupted: vendors bill it."""
        self.tts_chars += len(text)

    def used(self, usage: Usage) -> None:
        """Tokens of one request to the mind."""
        self.usage = Usage(
            self.usage.input_tokens + usage.input_tokens,
            self.usage.output_tokens + usage.output_tokens,
            self.usage.cached_tokens + usage.cached_tokens,
            self.usage.estimated or usage.estimated,
        )

    def answered(self, turn: TurnClock) -> float | None:
        """Enter a turn whose first audio went to the carrier; returns its latency in milliseconds."""
        if turn.first_audio is None:
            return None
        self._turns.append(turn)
        return _ms(turn.speech_ended, turn.first_audio)

    def latency(self) -> Latency:
        """The distribution over all answered turns."""
        totals = [_ms(turn.speech_ended, turn.first_audio) for turn in self._turns]
        values = [value for value in totals if value is not None]
        return Latency(
            turns=len(values),
            p50_ms=percentile(values, 50),
            p95_ms=percentile(values, 95),
            max_ms=max(values, default=0.0),
            stt_p95_ms=self._stage("speech_ended", "committed"),
            llm_ttft_p95_ms=self._stage("committed", "first_token"),
            tts_p95_ms=self._stage("first_clause", "first_audio"),
        )

    def cost(
        self, prices: Prices, *, stt: str, llm: str, tts: str, carrier: str, talk_s: float
    ) -> tuple[Cost, CostNotes]:
        """US dollars by part, rounded to 6 decimals; unknown models count 0 and are named."""
        unpriced: list[str] = []

        def price(kind: str, model: str, used: float) -> float:
            found = prices.rate(kind, model)
            if found is None and used and f"{kind}:{model}" not in unpriced:
                unpriced.append(f"{kind}:{model}")
            return found or 0.0

        usage = self.usage
        fresh = max(usage.input_tokens - usage.cached_tokens, 0)
        # Carriers bill whole minutes of an answered call.
        minutes = math.ceil(talk_s / 60) if talk_s > 0 else 0
        cost = Cost(
            stt=round(self.stt_ms / 60_000 * price("stt_minute", stt, self.stt_ms), 6),
            tts=round(self.tts_chars * price("tts_char", tts, self.tts_chars), 6),
            llm=round(
                fresh * price("llm_input", llm, fresh)
                + usage.cached_tokens * price("llm_cached", llm, usage.cached_tokens)
                + usage.output_tokens * price("llm_output", llm, usage.output_tokens),
                6,
            ),
            telephony=round(minutes * price("minute", carrier, minutes), 6),
        )
        estimated = ["telephony"] if cost.telephony else []
        if usage.estimated and cost.llm:
            estimated.append("llm")
        return cost, CostNotes(estimated=estimated, unpriced=unpriced)

    def metrics(self, cost: Cost) -> Metrics:
        return Metrics(p95_latency_ms=self.latency().p95_ms, cost=cost)

    def _stage(self, start: str, end: str) -> float:
        values = [_ms(getattr(turn, start), getattr(turn, end)) for turn in self._turns]
        return percentile([value for value in values if value is not None], 95)


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile by linear interpolation between order statistics, rounded to 0.1; 0.0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = math.ceil(place)
    return round(ordered[low] + (ordered[high] - ordered[low]) * (place - low), 1)


def _ms(start: float | None, end: float | None) -> float | None:
    if start is None or end is None or end < start:
        return None  # an anchor is missing or of another turn: no number is better than a wrong one
    return round((end - start) * 1000, 1)
