"""A dated table of list prices in US dollars, each overridable with ``Patter(pricing=...)``.

Sources: the vendors' public price pages and articles of 2026-04 to 2026-10. Prices age: the table's
date stands in `PRICES_DATED`, and a model that is not in it costs 0 and is named in the envelope.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from patter.errors import ConfigError

__all__ = ["PRICES_DATED", "Prices"]

PRICES_DATED = "2026-10"

_PER_MINUTE = {
    "twilio": 0.014 + 0.004,
    "twilio-inbound": 0.0085 + 0.004,
    "telnyx": 0.007,
    "telnyx-inbound": 0.0035,
    "local": 0.0,
    "local-inbound": 0.0,
}
"""A minute of a US call, outbound and to a local number; for Twilio the call and its media stream."""

_STT_MINUTE = {
    "deepgram/nova-3": 0.0077,
    "deepgram/flux-general-en": 0.0065,
    "deepgram/flux-general-multi": 0.0078,
}
_TTS_1000_CHARS = {
    "elevenlabs/eleven_flash_v2_5": 0.05,
    "elevenlabs/eleven_turbo_v2_5": 0.05,
    "elevenlabs/eleven_multilingual_v2": 0.10,
    "elevenlabs/eleven_v3": 0.10,
}
_LLM_MILLION = {  # input, cached input, output
    "openai/gpt-5.4-mini": (0.75, 0.075, 4.50),
    "openai/gpt-5.4-nano": (0.20, 0.02, 1.25),
    "openai/gpt-5.6-luna": (1.00, 0.10, 6.00),
    "openai/gpt-5.4": (2.50, 0.25, 15.0),
    "openai/gpt-5.5": (5.00, 0.50, 30.0),
    "openai/gpt-4o-mini": (0.15, 0.075, 0.60),
    "openai/gpt-4.1-mini": (0.40, 0.10, 1.60),
    "anthropic/claude-haiku-5-5": (0.10, 0.01, 0.50),  # prompts of up to 100,000 tokens
    "anthropic/claude-sonnet-5-5": (2.00, 0.10, 10.0),
}


def _table() -> dict[str, float]:
    table = {f"minute:{name}": price for name, price in _PER_MINUTE.items()}
    table |= {f"stt_minute:{name}": price for name, price in _STT_MINUTE.items()}
    table |= {f"tts_char:{name}": price / 1000 for name, price in _TTS_1000_CHARS.items()}
    for name, (fresh, cached, output) in _LLM_MILLION.items():
        table[f"llm_input:{name}"] = fresh / 1e6
        table[f"llm_cached:{name}"] = cached / 1e6
        table[f"llm_output:{name}"] = output / 1e6
    return table


_KINDS = ("minute", "stt_minute", "tts_char", "llm_input", "llm_cached", "llm_output")


class Prices:
    """Unit prices by kind and name: ``minute`` of a carrier, ``stt_minute``, ``tts_char``, and per token
    ``llm_input``, ``llm_cached`` and ``llm_output``. Models whose name begins with ``local/`` are free.

    Args:
        overrides: such as ``{"minute:twilio": 0.02}``; they win over the table.

    Raises:
        ConfigError: an override has no such kind, or is no price.
    """

    def __init__(self, overrides: Mapping[str, float] | None = None) -> None:
        for name, price in (overrides or {}).items():
            if name.partition(":")[0] not in _KINDS or not name.partition(":")[2]:
                raise ConfigError(f"pricing key {name!r} is not KIND:NAME with KIND one of {', '.join(_KINDS)}.")
            if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < math.inf:
                raise ConfigError(f"pricing[{name!r}] must be US dollars per unit, 0 or more.")
        self._table = _table() | dict(overrides or {})

    def rate(self, kind: str, name: str) -> float | None:
        """The price of one unit, or None if it is not known."""
        if name.startswith("local/"):
            return 0.0
        return self._table.get(f"{kind}:{name}")
