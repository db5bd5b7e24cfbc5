"""Hands a live call over to somebody else: cold at once, warm and monitored by way of a second leg.

While a second leg rings and is briefed the caller stays on the line with the agent. Only the last step
takes the caller away, and with it the media connection. So a line that stops during that step may be a
caller who was moved: the step is shielded from cancellation, ends the call as transferred itself, and who
sees the line stop waits for `Transfers.decided` before it believes that the caller has hung up.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from patter.call.dial import Placing, look_for
from patter.call.leg import SecondLeg
from patter.call.report import CallFacts
from patter.call.request import CallRequest
from patter.carriers.addresses import Addresses
from patter.carriers.base import (
    CallUpdate,
    Carrier,
    DialOrder,
    Room,
    TransferMode,
    TransferOrder,
    TransferResult,
)
from patter.envelope import EndReason
from patter.errors import CarrierError, InvalidArguments
from patter.policy.numbers import check_number
from patter.settings import Timing

__all__ = ["Transfers"]

_log = logging.getLogger("patter")

_DIAL_GRACE_S = 2.0
_RING_GRACE_S = 5.0
"""The carrier's last word on a leg that nobody answers comes a little after the ringing has ended."""

_VERDICT_S = 6.0
"""A machine detection that takes longer than this after the answer does not hold a monitored transfer."""
_ENTER_S = 3.0
_SAY_S_PER_CHAR = 0.12
_KEY_S = 1.0
"""How long an announcement can take (a carrier's voice says about 15 characters a second), and a key."""

_MOVE_S = 5.0
_EVIDENCE_S = 2.0
"""How long the caller's arrival is waited for, which says whether a doubtful request was carried out."""
_DROP_S = 5.0
_DROP_WAIT_S = 1.0
_FETCH_S = 1.0
_KEYS = re.compile(r"[0-9*#wW]{1,32}", re.ASCII)


class Transfers:
    """The transfers of one call: one at a time, and none after one that succeeded.

    Args:
        on_moved: ends the call as transferred. Called at most once, while `run` has not returned.
        emit: takes the event ``transfer`` with ``mode`` and ``status`` ("started", and then the result's).
    """

    def __init__(
        self,
        carrier: Carrier,
        addresses: Addresses,
        request: CallRequest,
        facts: CallFacts,
        *,
        timing: Timing,
        on_moved: Callable[[], None],
        emit: Callable[..., None],
    ) -> None:
        self.doubtful: set[str] = set()
        """References of second legs that the carrier may hold, and that nobody wants any more."""
        self._carrier = carrier
        self._addresses = addresses
        self._request = request
        self._facts = facts
        self._timing = timing
        self._on_moved = on_moved
        self._emit = emit
        self._tasks: TaskGroup | None = None
        self._dial_lock: anyio.Lock | None = None
        self._scope: anyio.CancelScope | None = None
        self._decision: anyio.Event | None = None
        self._leg: SecondLeg | None = None
        self._count = 0
        self._is_busy = False

    def open(self, background: TaskGroup, dial_lock: anyio.Lock) -> None:
        """The call runs now.

        Args:
            background: where a dial or a hang-up that nobody waits for any more comes to its end.
            dial_lock: held while a second leg is being placed.
        """
        self._tasks = background
        self._dial_lock = dial_lock

    def stop(self) -> None:
        """The call has ended: a second leg that rings is hung up, and `run` returns."""
        if self._scope is not None:
            self._scope.cancel()

    async def decided(self) -> None:
        """Wait until it is certain whether the caller was moved, if that is just being done; a few seconds at most."""
        while self._decision is not None:
            await self._decision.wait()

    async def over(self) -> None:
        """After `stop`: wait a moment until the second leg is hung up, if there is one."""
        if self._leg is not None:
            with anyio.move_on_after(_DROP_WAIT_S):
                await self._leg.left.wait()

    async def run(
        self,
        to: str,
        *,
        mode: TransferMode = "cold",
        ring_timeout_s: float = 30,
        announce: str | None = None,
        language: str | None = None,
        post_dial_digits: str | None = None,
    ) -> TransferResult:
        """Transfer the call; see `patter.carriers.base.TransferOrder` for the arguments.

        Whether ``to`` is among the numbers that the agent may transfer to is asked before; here it must be a
        number that may be dialled at all, and neither the caller's nor our own. ``ring_timeout_s`` is 5 to 600,
        ``post_dial_digits`` are 0-9, *, # and w.

        Returns when the caller is with the target, and then the call has ended; or when it is certain that the
        agent keeps the caller. A cold transfer cannot find out whether the target answers. Nothing is raised.
        Cancelling it while the second leg rings hangs up that leg. Runs on the phone's loop.
        """
        facts = self._facts
        if self._is_busy or self._tasks is None or facts.answered is None or facts.ended:
            return TransferResult("failed", "not_possible")
        request = self._request
        ours, theirs = request.from_number, request.to
        if request.inbound:
            ours, theirs = theirs, ours
        try:
            number = check_number(to)
        except InvalidArguments:
            number = ""
        if number in ("", ours, theirs) or (post_dial_digits and not _KEYS.fullmatch(post_dial_digits)):
            return TransferResult("failed", "not_allowed")
        order = TransferOrder(
            to=number,
            mode=mode,
            from_number=ours,
            ring_timeout_s=min(max(round(ring_timeout_s), 5), 600),
            announce=announce,
            language=language,
            post_dial_digits=post_dial_digits,
        )
        self._count += 1
        leg = self._leg = SecondLeg(f"{request.ref}-{self._count}", caller_id=facts.carrier_id)
        scope = self._scope = anyio.CancelScope()
        self._is_busy = True
        # In a task of its own: who waits for it may be cancelled in ways that no shield holds off.
        self._tasks.start_soon(self._work, order, leg, scope, self._tasks)
        try:
            await leg.left.wait()
        finally:
            scope.cancel()
        return leg.result

    def report(self, ref: str, update: CallUpdate) -> None:
        """A verified fact of a second leg, or of the room where it waits."""
        if self._leg is not None and self._leg.ref == ref:
            self._leg.take(update)
        elif ref in self.doubtful and self._tasks is not None and not (update.status and update.status.final):
            # A dial that was given up has come to life after all.
            self.doubtful.remove(ref)
            self._tasks.start_soon(self._hang_up, update.carrier_id, ref, anyio.Event())

    async def _work(self, order: TransferOrder, leg: SecondLeg, scope: anyio.CancelScope, tasks: TaskGroup) -> None:
        """Carry out one transfer. Nothing is raised, for the task group is not the call's own."""
        self._note(order, leg.result)
        self._emit("transfer", mode=order.mode, status="started")
        try:
            with scope:
                leg.result = await (self._cold(order, leg) if order.mode == "cold" else self._warm(order, leg, tasks))
        except Exception as error:  # the boundary of a carrier's own mistakes: the agent keeps the caller
            _log.warning("A transfer failed with %s.", type(error).__name__)
            leg.result = TransferResult("failed", "refused")
        finally:
            self._leg = self._scope = None
            self._is_busy = leg.result.status == "transferred"
            self._note(order, leg.result)
            self._emit("transfer", mode=order.mode, status=leg.result.status)
            leg.left.set()

    async def _cold(self, order: TransferOrder, leg: SecondLeg) -> TransferResult:
        events_url = self._addresses.leg(leg.ref)
        return await self._take_away(
            lambda caller_id: self._carrier.hand_over(caller_id, order, events_url=events_url),
            is_done=lambda: leg.is_known,
            leg=leg,
        )

    def _note(self, order: TransferOrder, result: TransferResult) -> None:
        self._facts.transfer = {"to": order.to, "mode": order.mode, "status": result.status}

    # --- the second leg ------------------------------------------------------------------------

    async def _warm(self, order: TransferOrder, leg: SecondLeg, tasks: TaskGroup) -> TransferResult:
        events_url = self._addresses.leg(leg.ref)
        room = Room(
            name=secrets.token_urlsafe(18),
            events_url=events_url,
            announce=order.announce,
            language=order.language,
            digits=order.post_dial_digits,
            talk_limit_s=order.talk_limit_s,
        )
        dial = DialOrder(
            ref=leg.ref,
            to=order.to,
            from_number=order.from_number,
            token="",
            status_url=events_url,
            machine_url=events_url,
            media_url="",
            ring_timeout_s=order.ring_timeout_s,
            time_limit_s=order.talk_limit_s,
            detect_machine=order.mode == "monitored",
            room=room,
        )
        is_moved = False
        try:
            result = await self._dial(dial, leg, tasks) or await self._connect(dial, leg)
            if result is None:
                result = await self._take_away(
                    lambda caller_id: self._carrier.move(caller_id, room),
                    is_done=lambda: leg.has_caller,
                    leg=leg,
                    confirm=True,
                )
            is_moved = result.status == "transferred"
            return result
        finally:
            if leg.answered_at is not None:
                self._facts.legs_s.append(max(anyio.current_time() - leg.answered_at, 0.001))
            if not is_moved:
                await self._drop(leg, tasks)

    async def _dial(self, order: DialOrder, leg: SecondLeg, tasks: TaskGroup) -> TransferResult | None:
        """Place the second leg, once; why there is none."""
        assert self._dial_lock is not None
        async with self._dial_lock:
            placing = Placing(self._carrier, order)
            self.doubtful.add(leg.ref)
            tasks.start_soon(placing.run)
            try:
                await placing.over.wait()
            finally:
                with anyio.CancelScope(shield=True):
                    is_certain = await placing.settle(_DIAL_GRACE_S)
                if placing.carrier_id is not None:
                    leg.name(placing.carrier_id)
                if is_certain:
                    self.doubtful.discard(leg.ref)
            refusal = placing.error
            if refusal is not None and refusal.doubtful:
                found = await look_for(self._carrier, order, known=leg.known, within_s=self._timing.reconcile_s)
                if found is not None:
                    leg.name(found)
        if leg.is_known:
            self.doubtful.discard(leg.ref)
            return None
        return TransferResult("failed", _reason(refusal))

    async def _connect(self, order: DialOrder, leg: SecondLeg) -> TransferResult | None:
        """Wait until the second leg has answered, was briefed and is no machine; why it is not there."""
        await leg.until(lambda: leg.is_over or leg.is_answered, within_s=order.ring_timeout_s + _RING_GRACE_S)
        if not leg.is_over and not leg.is_answered:
            await self._ask(leg)  # its callbacks may have been lost
        if not leg.is_answered and not leg.is_over:
            return TransferResult("no-answer")
        assert order.room is not None
        briefing_s = _briefing_s(order.room.announce, order.room.digits)
        judge_until = anyio.current_time() + _VERDICT_S
        await leg.until(lambda: leg.is_over or leg.is_machine or leg.is_waiting, within_s=briefing_s)
        left_s = max(judge_until - anyio.current_time(), 0.0)
        if order.detect_machine:
            await leg.until(lambda: leg.is_over or leg.answered_by is not None, within_s=left_s)
        if not leg.is_over and not leg.is_waiting:
            await self._ask(leg)
        if leg.is_over or leg.is_machine:
            return leg.unreached()
        return None

    async def _ask(self, leg: SecondLeg) -> None:
        assert leg.carrier_id is not None
        try:
            with anyio.move_on_after(_FETCH_S):
                leg.take(await self._carrier.fetch(leg.carrier_id))
        except CarrierError:
            return

    async def _drop(self, leg: SecondLeg, tasks: TaskGroup) -> None:
        """Hang up a second leg that nobody wants; in the background, if it takes long."""
        if leg.carrier_id is None or leg.is_over:
            return
        dropped = anyio.Event()
        tasks.start_soon(self._hang_up, leg.carrier_id, leg.ref, dropped)
        with anyio.move_on_after(_DROP_WAIT_S, shield=True):
            await dropped.wait()

    async def _hang_up(self, carrier_id: str, ref: str, dropped: anyio.Event) -> None:
        self.doubtful.add(ref)
        try:
            with anyio.fail_after(_DROP_S, shield=True):
                await self._carrier.hang_up(carrier_id)
            self.doubtful.discard(ref)
        except Exception as error:  # its callbacks will say so, if it lives
            _log.warning("Hanging up a second leg failed with %s.", type(error).__name__)
        dropped.set()

    # --- the caller ----------------------------------------------------------------------------

    async def _take_away(
        self,
        order: Callable[[str], Awaitable[None]],
        *,
        is_done: Callable[[], bool],
        leg: SecondLeg,
        confirm: bool = False,
    ) -> TransferResult:
        """Let the carrier take the caller away from us. Decided when it returns, cancelled or not.

        Args:
            is_done: true when a callback has shown that it was carried out.
            confirm: wait a little for that, though the carrier has agreed: the target may hang up meanwhile.
        """
        caller_id = self._facts.carrier_id
        assert caller_id is not None
        await anyio.lowlevel.checkpoint_if_cancelled()
        decision = self._decision = anyio.Event()
        try:
            with anyio.CancelScope(shield=True):
                refusal = await _ask_to_take(order(caller_id))
                if confirm if refusal is None else refusal.doubtful:
                    await leg.until(lambda: is_done() or leg.is_over, within_s=_EVIDENCE_S)
                if refusal is not None and not is_done():
                    return TransferResult("failed", _reason(refusal))
                if confirm and leg.is_over and not is_done():
                    return leg.unreached()  # nobody is in the room; the line stops, and the call is hung up
                self._on_moved()
        finally:
            self._decision = None
            decision.set()
        if self._facts.ending.reason is not EndReason.TRANSFERRED:
            return TransferResult("failed", "hung_up")  # the call was ended otherwise, and is hung up
        return TransferResult("transferred")


async def _ask_to_take(request: Awaitable[None]) -> CarrierError | None:
    try:
        with anyio.fail_after(_MOVE_S):
            await request
    except TimeoutError:
        return CarrierError("The carrier did not answer.", doubtful=True)
    except CarrierError as error:
        return error
    return None


def _briefing_s(announce: str | None, digits: str | None) -> float:
    return _ENTER_S + _SAY_S_PER_CHAR * len(announce or "") + _KEY_S * len(digits or "")


def _reason(error: CarrierError | None) -> str:
    return "unreachable" if error is None or error.http_status is None else "refused"
