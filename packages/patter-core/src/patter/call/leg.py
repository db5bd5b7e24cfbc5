"""What is known of the second leg of a transfer. It does nothing itself."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from patter.carriers.base import CallUpdate, CarrierStatus, TransferResult, TransferStatus

__all__ = ["SecondLeg"]

_UNREACHED: dict[CarrierStatus, TransferStatus] = {
    CarrierStatus.BUSY: "busy",
    CarrierStatus.NO_ANSWER: "no-answer",
    CarrierStatus.CANCELED: "no-answer",
}
_SIP_BUSY = frozenset({486, 600})


class SecondLeg:
    """One second leg, from before it is dialled. Facts may come late, twice, and out of order.

    Args:
        ref: our name of it, which stands in its callback address.
        caller_id: the carrier's id of the call that is to be transferred.
    """

    def __init__(self, ref: str, *, caller_id: str | None) -> None:
        self.ref = ref
        self.carrier_id: str | None = None
        self.known = anyio.Event()
        """Set when the carrier's id of it is known."""
        self.left = anyio.Event()
        """Set when nobody has to do with it any more; `result` is final then."""
        self.result = TransferResult("failed", "hung_up")
        self.answered_at: float | None = None
        """When that was reported, in seconds of the loop's clock."""
        self.answered_by: str | None = None
        self.is_waiting = False
        """True once it has heard the announcement and is in the room."""
        self.has_caller = False
        """True once the caller is in the room."""
        self._caller_id = caller_id
        self._status: CarrierStatus | None = None
        self._sip_code: int | None = None
        self._news = anyio.Event()

    @property
    def is_known(self) -> bool:
        return self.carrier_id is not None

    @property
    def is_answered(self) -> bool:
        """True if it has answered and was not reported as over."""
        return not self.is_over and (self._status is CarrierStatus.IN_PROGRESS or self.is_waiting)

    @property
    def is_over(self) -> bool:
        return self._status is not None and self._status.final

    @property
    def is_machine(self) -> bool:
        """True if the carrier says that a machine has answered."""
        return (self.answered_by or "").startswith(("machine", "fax"))

    def name(self, carrier_id: str) -> None:
        """The carrier's id is known now. The first one counts."""
        if self.carrier_id is None and carrier_id:
            self.carrier_id = carrier_id
            self.known.set()
            self._tell()

    def take(self, update: CallUpdate) -> None:
        """A fact of this leg, or of the caller in its room."""
        if update.carrier_id == self._caller_id:
            self.has_caller = self.has_caller or update.room == "join"
            self._tell()
            return
        self.name(update.carrier_id)
        if update.carrier_id != self.carrier_id:
            return
        self.answered_by = self.answered_by or update.answered_by
        self.is_waiting = self.is_waiting or update.room == "join"
        if update.status is not None and update.status.follows(self._status):
            self._status, self._sip_code = update.status, update.sip_code
        if self.answered_at is None and self.is_answered:
            self.answered_at = anyio.current_time()
        self._tell()

    async def until(self, condition: Callable[[], bool], *, within_s: float) -> None:
        """Wait until a fact has made the condition true, or the time is over."""
        with anyio.move_on_after(within_s):
            while not condition():
                await self._news.wait()

    def unreached(self) -> TransferResult:
        """Why the target is not there, after it has not answered, was a machine, or is gone."""
        if self.is_machine:
            return TransferResult("no-answer", "machine")
        if self._status is CarrierStatus.COMPLETED:
            return TransferResult("failed", "hung_up")
        if self._sip_code in _SIP_BUSY:
            return TransferResult("busy")
        return TransferResult(_UNREACHED.get(self._status or CarrierStatus.FAILED, "failed"))

    def _tell(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()
