"""Places a call once, and finds out whether it was placed when the carrier's answer leaves it open."""

from __future__ import annotations

import anyio

from patter.call.request import CallRequest
from patter.carriers.addresses import Addresses
from patter.carriers.base import Carrier, DialOrder
from patter.errors import CarrierError

__all__ = ["look_for", "order_for", "place"]

_LOOK_EVERY_S = 0.5
_LIMIT_MARGIN_S = 30
"""The carrier's own time limit is the backstop, and must not be faster than ours."""


def order_for(request: CallRequest, addresses: Addresses, token: str, *, ring_s: int) -> DialOrder:
    """What the carrier is told of a call."""
    return DialOrder(
        ref=request.ref,
        to=request.to,
        from_number=request.from_number,
        token=token,
        status_url=addresses.status(request.ref),
        machine_url=addresses.machine(request.ref),
        media_url=addresses.media(),
        ring_timeout_s=ring_s,
        time_limit_s=request.max_duration_s + _LIMIT_MARGIN_S,
    )


async def place(carrier: Carrier, order: DialOrder) -> str:
    """Dial; the carrier's id of the call.

    Raises:
        CarrierError: refused, or ``doubtful``. A carrier's own mistake says nothing of what was placed.
    """
    try:
        return await carrier.dial(order)
    except CarrierError:
        raise
    except Exception as error:
        raise CarrierError(f"The dial broke with an unexpected {type(error).__name__}.", doubtful=True) from error


async def look_for(carrier: Carrier, order: DialOrder, *, known: anyio.Event, within_s: float) -> str | None:
    """Find the call of a doubtful dial, which is never repeated; its id, or None.

    Args:
        known: set when the call makes itself known, by a callback or its media socket.
    """
    with anyio.move_on_after(within_s):
        while not known.is_set():
            with anyio.move_on_after(_LOOK_EVERY_S):
                await known.wait()
                return None
            try:
                found = await carrier.find(order)
            except CarrierError:
                continue
            if found:
                return found
    return None
