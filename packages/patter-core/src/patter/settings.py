"""Names of environment variables, defaults, and the timings of a conversation.

Every number a conversation depends on is a field of `Timing` with its unit in its name. The defaults
come from the published defaults of the well-known voice engines and from measurements on the local
network; `benchmarks/` shows their effect.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from patter.errors import ConfigError

__all__ = ["DEFAULT_CALL_S", "MAX_CALL_S", "MIN_CALL_S", "Timing", "is_loopback", "require_env", "vendor_url"]

DEFAULT_CALL_S = 180
"""Length of a call if the host does not say otherwise, seconds from the dial."""

MIN_CALL_S = 1
MAX_CALL_S = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When to speak, wait, yield and give up."""

    end_of_turn_s: float = 0.5
    """Silence after the last word that ends the callee's turn."""
    end_of_turn_marked_s: float = 0.3
    """The same when the ears have marked the end of the speech."""
    end_of_turn_max_s: float = 2.5
    """A turn ends this long after its last word, even if the line is noisy or a final is missing."""

    hold_after_ms: int = 120
    """Voice of the callee that makes the agent stop feeding audio."""
    yield_words: int = 2
    """Words of the callee that make the agent give up the floor; one of stop, wait, no is enough."""
    resume_after_s: float = 0.8
    """Time without words after which a held agent goes on."""

    first_clause_chars: int = 12
    """The first clause that goes to synthesis has at least this many characters."""
    lead_ms: int = 300
    """Audio at the carrier ahead of playback."""
    mark_every_ms: int = 200
    """Distance of the marks by which the carrier tells what was played."""

    hello_wait_s: float = 1.5
    """On an outbound call, wait this long for the callee's hello before speaking."""
    nudge_after_s: float = 8.0
    """Silence of both sides after which the agent asks whether the callee is there."""
    nudges: int = 2
    """After so many unanswered nudges the agent says goodbye."""

    tool_timeout_s: float = 10.0
    tool_rounds: int = 4
    """After so many rounds of tool calls in one turn the mind must answer without tools."""
    open_s: float = 5.0
    """The longest wait for ears and voice to open their sessions."""
    voice_timeout_s: float = 8.0
    """The longest wait for the first audio of a turn, from its first text."""
    mind_timeout_s: float = 10.0
    """The longest wait for the next piece of the mind's answer."""
    mind_filler_s: float = 2.5
    """If the mind has written nothing for so long, the callee is asked for a moment."""
    early_starts: int = 3
    """How often the mind may begin to answer a turn that is probably over; 0 waits until it is certain."""

    machine_quiet_s: float = 2.5
    """Silence after which an answering machine's greeting is taken for over, if it does not beep."""
    machine_wait_s: float = 30.0
    """The longest wait for an answering machine's beep."""

    ring_s: int = 45
    """Ringing ends with no-answer after this time."""
    media_wait_s: float = 10.0
    """The media socket must have joined this long after the answer."""
    reconcile_s: float = 4.0
    """How long a dial of unknown outcome is looked for at the carrier."""
    settle_s: float = 5.0
    """The longest time between a call's end and its envelope."""
    final_status_s: float = 2.0
    """How much of it may be spent waiting for the carrier's last word."""


def require_env(value: str | None, *, argument: str, variable: str) -> str:
    """The value of an argument, or else of its environment variable.

    Raises:
        ConfigError: neither is set; names both.
    """
    found = value or os.environ.get(variable)
    if not found:
        raise ConfigError(f"{argument} is missing. Pass {argument}=... or set {variable}.")
    return found


def vendor_url(base_url: str | None, *, variable: str, default: str) -> str:
    """The http(s) address of a vendor: an argument, or else its environment variable, or else the vendor's own.

    Returns:
        Scheme, host, port and path, with no slash at the end. Websocket addresses follow from it: http
        becomes ws, https becomes wss.

    Raises:
        ConfigError: it is no http(s) address.
    """
    address = (base_url or os.environ.get(variable) or default).strip()
    parts = urlsplit(address)
    try:
        is_address = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        is_address = False
    if not is_address or parts.query or parts.fragment or parts.username:
        raise ConfigError(
            f"base_url ({variable}) must be an address such as {default}, without a query or credentials."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def is_loopback(address: str) -> bool:
    """True if an address of any scheme leads to this machine alone."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
