"""What a call used and how fast it was: latencies per turn, usage per provider, cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from patter.call.prices import Prices
from patter.envelope import Cost, CostNotes, Latency, Metrics
from patter.voice.base import Usage

__all__ = ["Meter", "Models", "TurnClock", "percentile"]


class Models(Protocol):
    """Which models do the work now, as the price table names them."""

    @property
    def stt(self) -> str: ...
    @property
    def llm(self) -> str: ...
    @property
    def tts(self) -> str: ...


@dataclass(slots=True)
class TurnClock:
    """The anchors of one answered turn, in seconds of the call's clock.

    The mind may be asked before the turn is committed, and what it wrote waits for that.
    """

    speech_ended: float | None = None
    committed: float | None = None
    asked: float | None = None
    first_token: float | None = None
    first_clause: float | None = None
    first_speech: float | None = None
    """The voice has given the first piece of speech."""
    first_audio: float | None = None
    """The carrier was given the first audio."""


@dataclass(slots=True)
class Meter:
    """Collects while the call goes on. Pure; every number is handed in.

    Args:
        models: whose work is counted; it may change while the call goes on.
    """

    models: Models
    stt_ms: dict[str, float] = field(default_factory=dict)
    tts_chars: Counter[str] = field(default_factory=Counter)
    usage: dict[str, Usage] = field(default_factory=dict)
    _turns: list[TurnClock] = field(default_factory=list)

    def heard(self, ms: float) -> None:
        """Audio that was streamed to the ears, silence included: vendors bill it."""
        model = self.models.stt
        self.stt_ms[model] = self.stt_ms.get(model, 0.0) + ms

    def synthesised(self, text: str) -> None:
        """Text that was handed to the voice, also if it was interrupted: vendors bill it."""
        self.tts_chars[self.models.tts] += len(text)

    def used(self, usage: Usage) -> None:
        """Tokens of one request to the mind."""
        model = usage.model or self.models.llm
        before = self.usage.get(model, Usage(0, 0))
        self.usage[model] = Usage(
            before.input_tokens + usage.input_tokens,
            before.output_tokens + usage.output_tokens,
            before.cached_tokens + usage.cached_tokens,
            before.estimated or usage.estimated,
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
            llm_ttft_p95_ms=self._stage("asked", "first_token"),
            tts_p95_ms=self._stage("first_clause", "first_speech"),
        )

    def cost(self, prices: Prices, *, carrier: str, talk_s: float) -> tuple[Cost, CostNotes]:
        """US dollars by part, rounded to 6 decimals; unknown models count 0 and are named."""
        unpriced: list[str] = []

        def price(kind: str, model: str, used: float) -> float:
            found = prices.rate(kind, model)
            if found is None and used and f"{kind}:{model}" not in unpriced:
                unpriced.append(f"{kind}:{model}")
            return (found or 0.0) * used

        def tokens(model: str, usage: Usage) -> float:
            return (
                price("llm_input", model, max(usage.input_tokens - usage.cached_tokens, 0))
                + price("llm_cached", model, usage.cached_tokens)
                + price("llm_output", model, usage.output_tokens)
            )

        # Carriers bill whole minutes of an answered call.
        minutes = math.ceil(talk_s / 60) if talk_s > 0 else 0
        cost = Cost(
            stt=round(sum(price("stt_minute", model, ms / 60_000) for model, ms in self.stt_ms.items()), 6),
            tts=round(sum(price("tts_char", model, chars) for model, chars in self.tts_chars.items()), 6),
            llm=round(sum(tokens(model, usage) for model, usage in self.usage.items()), 6),
            telephony=round(price("minute", carrier, minutes), 6),
        )
        estimated = ["telephony"] if cost.telephony else []
        if cost.llm and any(usage.estimated for usage in self.usage.values()):
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
