"""How a command that serves is told to stop."""

from __future__ import annotations

import signal

import anyio

__all__ = ["a_signal"]

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


async def a_signal() -> None:
    """Wait until the user, the terminal or the system wants the command to stop. A second signal ends it at once."""
    with anyio.open_signal_receiver(*_SIGNALS) as signals:
        async for _ in signals:
            return
