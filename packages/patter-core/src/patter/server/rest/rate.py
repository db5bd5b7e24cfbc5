"""How often a key may ask, and how often somebody may guess."""

from __future__ import annotations

import time
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from patter.errors import ConfigError

__all__ = ["DEFAULT_LIMIT", "GUESSES", "RateLimit", "Standing", "network_of"]

DEFAULT_LIMIT = "60/minute; 1000/hour"
"""Of each key."""

GUESSES = "20/minute"
"""Requests without a key that is known, of each address."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands against the window that is closest to its end."""

    is_over: bool
    limit: int
    remaining: int
    resets_at: float
    """When there is room again, seconds since the epoch."""

    @property
    def headers(self) -> dict[str, str]:
        """What every answer says of it."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(ceil(self.resets_at)),
        }

    @property
    def retry_after_s(self) -> int:
        """How long to wait, in whole seconds."""
        return max(1, ceil(self.resets_at - time.time()))


class RateLimit:
    """Windows that move with the time, in the memory of this process.

    Args:
        limit: one or more of them, such as ``60/minute; 1000/hour``.

    Raises:
        ConfigError: it cannot be read.
    """

    def __init__(self, limit: str) -> None:
        try:
            self._windows: list[RateLimitItem] = parse_many(limit)
        except (ValueError, TypeError):
            raise ConfigError("rate_limit must be a text such as '60/minute; 1000/hour', or None.") from None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def hit(self, who: str) -> Standing:
        """Count one more, unless there is no room for it."""
        for window in self._windows:
            if not self._limiter.hit(window, who):
                return self._standing(window, who, is_over=True)
        return min((self._standing(one, who) for one in self._windows), key=lambda one: one.remaining)

    def look(self, who: str) -> Standing:
        """The same without counting."""
        over = [one for one in self._windows if not self._limiter.test(one, who)]
        standings = [self._standing(one, who, is_over=one in over) for one in over or self._windows]
        return min(standings, key=lambda one: one.remaining)

    def _standing(self, window: RateLimitItem, who: str, *, is_over: bool = False) -> Standing:
        reset, remaining = self._limiter.get_window_stats(window, who)
        return Standing(is_over, window.amount, remaining, reset)


def network_of(host: str) -> str:
    """Who is counted as one: an IPv4 address, or the network that an IPv6 customer has."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else host
