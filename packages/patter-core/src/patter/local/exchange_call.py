"""One call of the local network, from the create request to the last callback."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup

from patter.carriers.base import CarrierStatus
from patter.local.callee import Callee
from patter.local.exchange_instructions import Instructions, Plant
from patter.local.exchange_posts import Postman
from patter.local.exchange_record import CallEvent, CallRecord
from patter.local.exchange_settings import Faults
from patter.local.exchange_wire import CreateRequest, Refusal, Verb, read_twiml
from patter.local.handset import DialedCall, Handset

__all__ = ["ExchangeCall"]

_log = logging.getLogger(__name__)

FLUSH_S = 1.5
"""After the end, the callee may finish understanding what it heard for this long."""

_EVENTS = {
    CarrierStatus.INITIATED: "initiated",
    CarrierStatus.RINGING: "ringing",
    CarrierStatus.IN_PROGRESS: "answered",
}


class ExchangeCall:
    """Plays one call to its end. Made by the exchange, which runs it.

    ``record`` has everything that happened. ``answered`` and ``ended`` are events; when ``ended`` is set,
    the callee has understood all it heard and every callback was posted.
    """

    def __init__(
        self,
        request: CreateRequest,
        dialed: DialedCall,
        callee: Callee,
        record: CallRecord,
        postman: Postman,
        *,
        plant: Plant,
        faults: Faults,
    ) -> None:
        self.request = request
        self.dialed = dialed
        self.record = record
        self.status = CarrierStatus.QUEUED
        self.answered_by: str | None = None
        self.sip_code: int | None = None
        self.ended_by = ""
        self.duration_s: int | None = None
        self.created_at = datetime.now(UTC)
        self.answered = anyio.Event()
        self.ended = anyio.Event()
        self._callee = callee
        self._handset = Handset(dialed, record)
        self._postman = postman
        self._account_sid = plant.account_sid
        self._timings = plant.timings
        self._faults = faults
        self._began = anyio.current_time()
        self._answered_at: float | None = None
        self._callbacks = 0
        self._live = CancelScope()
        self._limit = CancelScope()
        self._instructions = Instructions(
            dialed, self._handset, record, postman, plant=plant, faults=faults, log=self.log, form=self._form
        )
        self._callee_over = anyio.Event()

    @property
    def sid(self) -> str:
        """Twilio's name of the call."""
        return self.dialed.sid

    @property
    def talk_s(self) -> int:
        """Whole seconds since the answer, as Twilio counts them; 0 without one."""
        if self._answered_at is None:
            return 0
        return max(1, round(anyio.current_time() - self._answered_at))

    @property
    def heard(self) -> list[str]:
        """What the callee's ears understood, one text for each final hearing."""
        return self.record.heard

    @property
    def said(self) -> list[str]:
        """What the callee set out to say."""
        return self.record.said

    def log(self, kind: str, detail: str = "") -> float:
        """Enter an event, and return its time in seconds since the create request."""
        at_s = round(anyio.current_time() - self._began, 4)
        self.record.events.append(CallEvent(at_s, kind, detail))
        return at_s

    # --- what the REST interface may do -----------------------------------------------------------

    def end(self, by: str) -> None:
        """Hang up, whatever the call is doing. The first one who does it is remembered."""
        self.ended_by = self.ended_by or by
        self._live.cancel()

    def redirect(self, verbs: list[Verb]) -> None:
        """Drop the current instructions, with their stream, for these."""
        self._instructions.redirect(verbs)

    def limit(self, time_limit_s: int) -> None:
        """End the call so many seconds after its answer, whatever was said before."""
        if self._answered_at is not None:
            self._limit.deadline = self._answered_at + time_limit_s

    def resource(self) -> dict[str, Any]:
        """The call as Twilio's REST interface shows it."""
        over = self.status.final
        return {
            "sid": self.sid,
            "account_sid": self._account_sid,
            "to": self.dialed.to,
            "to_formatted": self.dialed.to,
            "from": self.dialed.from_number,
            "from_formatted": self.dialed.from_number,
            "status": str(self.status),
            "answered_by": self.answered_by,
            "direction": self.request.direction,
            "api_version": "2010-04-01",
            "date_created": format_datetime(self.created_at),
            "date_updated": format_datetime(self.created_at),
            "start_time": format_datetime(self.created_at) if self._answered_at is not None else None,
            "end_time": format_datetime(datetime.now(UTC)) if over else None,
            "duration": str(self.duration_s or 0) if over else None,
            "price": None,
            "price_unit": "USD",
            "queue_time": "0",
            "parent_call_sid": self.request.parent,
            "phone_number_sid": "",
            "forwarded_from": None,
            "group_sid": None,
            "caller_name": None,
            "trunk_sid": None,
            "uri": f"/2010-04-01/Accounts/{self._account_sid}/Calls/{self.sid}.json",
            "subresource_uris": {},
        }

    # --- the life of the call ---------------------------------------------------------------------

    async def run(self) -> None:
        """Live the whole life. Cancelling hangs up."""
        final = CarrierStatus.COMPLETED
        try:
            async with anyio.create_task_group() as posts:
                posts.start_soon(self._postman.run)
                async with anyio.create_task_group() as tasks:
                    with self._live:
                        final = await self._play(tasks)
                    if self._live.cancelled_caught and self._answered_at is None:
                        final = CarrierStatus.CANCELED
                    if self.record.errors:
                        final = CarrierStatus.FAILED
                    self._finish(final)
                    if self._answered_at is not None:
                        with anyio.move_on_after(FLUSH_S):
                            await self._callee_over.wait()
                    tasks.cancel_scope.cancel()
        finally:
            self._handset.dispose()
            self._finish(final)
            self.ended.set()

    async def _play(self, tasks: TaskGroup) -> CarrierStatus:
        """Everything until the end; the final status."""
        await anyio.sleep(self._timings.queue_s)
        self._set(CarrierStatus.INITIATED)
        await anyio.sleep(self._timings.dial_s)
        refused = await self._ring()
        if refused is not None:
            return refused
        self._answered_at = anyio.current_time()
        self.sip_code = 200
        self._set(CarrierStatus.IN_PROGRESS)
        self.answered.set()
        if self._faults.completed_without_media:
            self._callee_over.set()
            return CarrierStatus.COMPLETED
        tasks.start_soon(self._run_callee)
        tasks.start_soon(self._detect_machine)
        tasks.start_soon(self._watch_callee)
        with anyio.move_on_after(self.request.time_limit_s) as self._limit:
            if self.request.digits:
                await self._instructions.press(self.request.digits)
            await self._instructions.follow(await self._first_instructions())
        self.ended_by = self.ended_by or ("time limit" if self._limit.cancelled_caught else "agent")
        return CarrierStatus.COMPLETED

    async def _ring(self) -> CarrierStatus | None:
        """Ring until the callee answers (None) or does not (how)."""
        ring = self._callee.ring
        patience_s = min(self.request.timeout_s, self._timings.longest_ring_s)
        after_s = self._timings.answer_s if ring.after_s is None else ring.after_s
        if ring.outcome == "failed":
            await anyio.sleep(min(after_s, patience_s))
            self.sip_code = 404
            return CarrierStatus.FAILED
        self._set(CarrierStatus.RINGING)
        if ring.outcome == "no-answer" or after_s > patience_s:
            await anyio.sleep(patience_s)
            self.sip_code = 487
            return CarrierStatus.NO_ANSWER
        await anyio.sleep(after_s)
        match ring.outcome:
            case "busy":
                self.sip_code = 486
                return CarrierStatus.BUSY
            case "declined":
                self.sip_code = 603
                return CarrierStatus.FAILED
        return None

    async def _first_instructions(self) -> Sequence[Verb]:
        if self.request.verbs is not None:
            return self.request.verbs
        if self.request.waits_for_verdict:
            await anyio.sleep(self._timings.machine_s)
        if self.request.twiml is not None:
            return read_twiml(self.request.twiml)
        text = await self._postman.fetch(self.request.url or "", self._form())
        try:
            return read_twiml(text)
        except Refusal as refusal:
            self.log("twiml-error", f"{refusal.code} {refusal}")
            return []

    async def _run_callee(self) -> None:
        try:
            await self._callee.run(self._handset)
        except Exception as error:
            # One broken callee must not end the calls of the others.
            _log.exception("The callee of %s broke", self.sid)
            self.record.errors.append(error)
        finally:
            self._handset.hang_up()
            self._callee_over.set()

    async def _watch_callee(self) -> None:
        await self._handset.hung_up.wait()
        self.end("callee")

    async def _detect_machine(self) -> None:
        if not self.request.machine_detection:
            return
        await anyio.sleep(self._timings.machine_s)
        if self.status is not CarrierStatus.IN_PROGRESS:
            return
        self.answered_by = self._callee.ring.answered_by
        if self.request.machine_url:
            self._postman.post(
                self.request.machine_url,
                {
                    "CallSid": self.sid,
                    "AccountSid": self._account_sid,
                    "AnsweredBy": self.answered_by,
                    "MachineDetectionDuration": str(round(self._timings.machine_s * 1000)),
                },
            )

    def _finish(self, final: CarrierStatus) -> None:
        """Set the final status, once, and say so."""
        if self.status.final:
            return
        self.duration_s = self.talk_s
        self._set(final)
        self._handset.end()
        self._postman.close()

    def _set(self, status: CarrierStatus) -> None:
        self.status = status
        self.log("status", status)
        event = _EVENTS.get(status, "completed")
        if self.request.status_url and event in self.request.status_events:
            self._postman.post(self.request.status_url, self._form() | self._progress())

    def _form(self) -> dict[str, str]:
        """The fields that every webhook of a call has."""
        return {
            "CallSid": self.sid,
            "AccountSid": self._account_sid,
            "From": self.dialed.from_number,
            "To": self.dialed.to,
            "Caller": self.dialed.from_number,
            "Called": self.dialed.to,
            "CallStatus": str(self.status),
            "Direction": self.request.direction,
            "ApiVersion": "2010-04-01",
        } | ({"ParentCallSid": self.request.parent} if self.request.parent else {})

    def _progress(self) -> dict[str, str]:
        """The fields that a status callback has besides."""
        fields = {
            "Timestamp": format_datetime(datetime.now(UTC)),
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(self._callbacks),
        }
        self._callbacks += 1
        if self.sip_code is not None and self.status is not CarrierStatus.RINGING:
            fields["SipResponseCode"] = str(self.sip_code)
        if self.status.final:
            fields["CallDuration"] = str(self.duration_s)
            fields["Duration"] = str(math.ceil((self.duration_s or 0) / 60))
            if self.answered_by:
                fields["AnsweredBy"] = self.answered_by
        return fields
