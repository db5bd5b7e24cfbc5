"""Places a call once, and finds out whether it was placed when the carrier's answer leaves it open."""

from __future__ import annotations

from contextlib import suppress

import anyio

from patter.call.request import CallRequest
from patter.carriers.addresses import Addresses
from patter.carriers.base import Carrier, DialOrder
from patter.errors import CarrierError

__all__ = ["Placing", "look_for", "order_for"]

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


class Placing:
    """One dial, in a task of its own: a call may be given up while the carrier still works on it."""

    def __init__(self, carrier: Carrier, order: DialOrder) -> None:
        self.carrier_id: str | None = None
        self.error: CarrierError | None = None
        self.over = anyio.Event()
        self._carrier = carrier
        self._order = order
        self._is_given_up = False

    async def run(self) -> None:
        """Dial, once. If nobody waits for the answer any more, what was placed is hung up."""
        with anyio.CancelScope(shield=True):  # a request that was sent cannot be unsent; the carrier bounds it
            try:
                self.carrier_id = await self._carrier.dial(self._order)
            except CarrierError as error:
                self.error = error
            except Exception as error:  # a carrier's own mistake says nothing of what was placed
                message = f"The dial broke with an unexpected {type(error).__name__}."
                self.error = CarrierError(message, doubtful=True)
            finally:
                self.over.set()
            if self._is_given_up and self.carrier_id is not None:
                with suppress(CarrierError):
                    await self._carrier.hang_up(self.carrier_id)

    async def settle(self, within_s: float) -> bool:
        """Wait a little longer for the answer; False if it may yet come, and then nobody waits for it."""
        with anyio.move_on_after(within_s):
            await self.over.wait()
        self._is_given_up = not self.over.is_set()
        return self.over.is_set() and not (self.error is not None and self.error.doubtful)


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
