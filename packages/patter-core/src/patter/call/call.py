"""One telephone call, from the dial to the envelope: owns the deadline, the outcome and the teardown."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime
from typing import Any

import anyio

from patter.call.conversation import Conversation
from patter.call.dial import Placing, look_for, order_for
from patter.call.gear import PhoneGear, call_gear, filled_in
from patter.call.greeting import Greeting
from patter.call.meter import Meter
from patter.call.mouth import Tap
from patter.call.outcome import ending_of_dial, ending_of_error, ending_of_status
from patter.call.prices import Prices
from patter.call.prompt import MACHINE, NOBODY_SPEAKS, SOMEBODY_CALLS, system_prompt
from patter.call.report import Books, CallFacts
from patter.call.request import CallRequest, EventSink
from patter.call.sessions import ModelNames, Sessions
from patter.call.teardown import Teardown
from patter.call.toolbox import CallTools
from patter.call.transcript import Transcript
from patter.call.transfer import Transfers
from patter.call.turn import Recital
from patter.carriers.addresses import Addresses
from patter.carriers.base import CallUpdate, Carrier, CarrierStatus, DialOrder, Line, LineStart
from patter.envelope import CallError, CallResult, Ending, EndReason
from patter.errors import CarrierError, LineError
from patter.voice.base import CallContext, Voice

__all__ = ["Call"]

_log = logging.getLogger("patter")

_DIAL_GRACE_S = 4.0
_STOP_GRACE_S = 1.0
"""The line's own goodbye may come a little after the carrier's status."""
_RING_GRACE_S = 5.0


class Call:
    """Runs once. `report` and `join` bring facts from outside; `end` asks it to stop."""

    def __init__(
        self,
        request: CallRequest,
        *,
        carrier: Carrier,
        addresses: Addresses,
        prices: Prices,
        dial_lock: anyio.Lock,
        gear: PhoneGear,
        on_event: EventSink | None = None,
        tap: Tap | None = None,
    ) -> None:
        self.request = request
        self.result: CallResult | None = None
        self.over = anyio.Event()
        """Set when the envelope is there."""
        self._timing = request.agent.timing
        self._carrier = carrier
        self._addresses = addresses
        self._dial_lock = dial_lock
        self._on_event = on_event
        self._tap = tap
        self._token: str | None = secrets.token_urlsafe(24)
        self._facts = CallFacts(
            started_at=datetime.now(UTC), dialled=anyio.current_time(), carrier_id=request.carrier_id
        )
        self._meter = Meter(models=ModelNames(request.agent))
        self._transcript = Transcript()
        tool_gear = call_gear(request, gear, self._transcript, self._play, lambda: self.call_id)
        self._agent = filled_in(request.agent, tool_gear.variables)
        self._tools = CallTools(
            request.agent.tools,
            gear=tool_gear,
            transcript=self._transcript,
            timeout_s=self._timing.tool_timeout_s,
            context=self._context,
            emit=self.emit,
        )
        self._books = Books(
            request=request,
            carrier=carrier.name,
            facts=self._facts,
            transcript=self._transcript,
            meter=self._meter,
            prices=prices,
            tool_calls=self._tools.records,
            variables=tool_gear.variables.found,
        )
        self.transfers = Transfers(
            carrier, addresses, request, self._facts, timing=self._timing, on_moved=self._moved, emit=self.emit
        )
        self.conversation: Conversation | None = None
        self._line: Line | None = None
        self._waiting: anyio.CancelScope | None = None
        """What `end` interrupts: a wait that has nothing to clean up."""
        self._known, self._answered, self._joined = (anyio.Event() for _ in range(3))
        self._final, self._ended, self._released = (anyio.Event() for _ in range(3))
        self._teardown = Teardown(carrier, self._facts, self._timing, final=self._final, report=self.report)

    @property
    def token(self) -> str:
        """What a media socket must hold to become this call's line, once; empty when it was used."""
        return self._token or ""

    @property
    def is_dialled(self) -> bool:
        """True if the carrier was asked to place it."""
        return self._facts.is_dialled

    @property
    def is_doubtful(self) -> bool:
        """True if the carrier may hold a call that we know nothing of."""
        return self._facts.is_doubtful

    def goes_by(self, call_id: str) -> bool:
        """True if this is the call's id, or the one it had before the carrier gave it one."""
        return call_id in (self.call_id, f"local_{self.request.ref}")

    @property
    def call_id(self) -> str:
        """The carrier's id once it is known, and before that a name of our own."""
        return self._books.call_id

    async def run(self, background: anyio.abc.TaskGroup) -> CallResult:
        """Place the call and stay until it is over. Cancelling hangs up and settles, then re-raises.

        A dial that is given up while the carrier works on it comes to its end in the owner's ``background``.
        """
        self.transfers.open(background, self._dial_lock)
        try:
            async with anyio.create_task_group() as watchers:
                watchers.start_soon(self._watch_final)
                if self.request.inbound:
                    self._begin(watchers)
                else:
                    await self._dial(watchers, background)
                if not self._ended.is_set():
                    await self._live()
                watchers.cancel_scope.cancel()
        except Exception as error:  # the boundary of a call: whatever broke, the host gets an envelope
            self.end(ending_of_error(error))
        finally:
            self.end(Ending(EndReason.CANCELED))
            with anyio.CancelScope(shield=True):
                await self._settle()
            self.result = self._books.envelope()
            self.over.set()
            ending = self._facts.ending
            why = ending.error and ending.error.message
            self.emit("ended", status=self.result.status, end_reason=str(ending.reason), error=why)
        return self.result

    # --- facts from outside --------------------------------------------------------------------

    def report(self, update: CallUpdate) -> None:
        """The carrier reports. Facts of another call, and anything after the last word, change nothing."""
        facts = self._facts
        if not self._knows(update.carrier_id):
            return
        if update.answered_by and facts.answered_by is None:
            facts.answered_by = update.answered_by
            self.emit("answered_by", answered_by=update.answered_by)
            if facts.machine:
                self._machine_answered()
        status = update.status
        if status is None or not status.follows(facts.carrier_status):
            return
        facts.carrier_status = status
        if status is CarrierStatus.RINGING:
            facts.has_rung = True
            self.emit("ringing")
        elif status is CarrierStatus.IN_PROGRESS:
            self._answer()
        elif status.final:
            self._final.set()
            talking = self._joined.is_set() and status is CarrierStatus.COMPLETED
            if not talking:
                self.end(ending_of_status(status, sip_code=update.sip_code))

    async def join(self, start: LineStart, line: Line) -> None:
        """A media socket wants to be this call's line; returns when the call needs it no more.

        Raises:
            LineError: it does not hold the call's token, which serves once.
        """
        token = start.parameters.get("token", "")
        known = self._token is not None and secrets.compare_digest(token.encode(), self._token.encode())
        if not known or self._ended.is_set() or not self._knows(start.carrier_id):
            raise LineError("the media socket does not hold this call's token")
        self._token = None
        self._line = line
        self._answer()
        self._joined.set()
        await self._released.wait()

    def end(self, ending: Ending) -> None:
        """End the call. The first ending counts."""
        if self._ended.is_set():
            return
        self._facts.ending = ending
        self._facts.ended = anyio.current_time()
        self._ended.set()
        self.transfers.stop()
        if self._waiting is not None:
            self._waiting.cancel()

    def hang_up(self) -> None:
        """The host ends the call."""
        reason = EndReason.NO_ANSWER if self._facts.answered is None else EndReason.AGENT_HANGUP
        self.end(Ending(reason, by="system"))

    def _moved(self) -> None:
        self.end(Ending(EndReason.TRANSFERRED))

    def emit(self, type_: str, **data: Any) -> None:
        """Send a progress event. What the host's callback raises does not reach the call."""
        if self._on_event is None:
            return
        at_s = round(anyio.current_time() - self._facts.dialled, 3)
        try:
            self._on_event({"type": type_, "call_id": self.call_id, "at_s": at_s} | data)
        except Exception as error:  # the boundary to the host's code
            _log.warning("on_event raised %s; the call goes on.", type(error).__name__)

    def _knows(self, carrier_id: str) -> bool:
        if self._facts.carrier_id is None:
            self._facts.carrier_id = carrier_id
            self._known.set()
        return self._facts.carrier_id == carrier_id

    def _answer(self) -> None:
        if self._facts.answered is None and not self._ended.is_set():
            self._facts.answered = anyio.current_time()
            self._answered.set()
            self.emit("answered")

    # --- dialling ------------------------------------------------------------------------------

    async def _dial(self, watchers: anyio.abc.TaskGroup, background: anyio.abc.TaskGroup) -> None:
        refusal: CarrierError | None = None
        with anyio.CancelScope() as self._waiting:
            async with self._dial_lock:
                if self._ended.is_set():
                    return
                self._begin(watchers)
                self.emit("dialing", to=self.request.to)
                order = order_for(self.request, self._addresses, self.token, ring_s=self._timing.ring_s)
                placing = Placing(self._carrier, order)
                background.start_soon(placing.run)
                try:
                    await placing.over.wait()
                finally:
                    # The answer says what there is to hang up, so it is worth a wait.
                    with anyio.CancelScope(shield=True):
                        self._facts.is_doubtful = not await placing.settle(_DIAL_GRACE_S)
                    if placing.carrier_id is not None:
                        self._knows(placing.carrier_id)
                refusal = placing.error
            if refusal is not None:
                with anyio.CancelScope(shield=True):
                    await self._refused(refusal, order)
        self._waiting = None

    def _begin(self, watchers: anyio.abc.TaskGroup) -> None:
        """The call begins now: with its dial, or because it has come in."""
        self._facts.dialled, self._facts.started_at = anyio.current_time(), datetime.now(UTC)
        self._facts.is_dialled = True
        for watcher in (self._watch_deadline, self._watch_media, self._tools.start):
            watchers.start_soon(watcher)
        if not self.request.inbound:
            watchers.start_soon(self._watch_ringing)

    async def _refused(self, refusal: CarrierError, order: DialOrder) -> None:
        if refusal.doubtful:
            within_s = self._timing.reconcile_s
            if found := await look_for(self._carrier, order, known=self._known, within_s=within_s):
                self._knows(found)
        self._facts.is_doubtful = refusal.doubtful and not self._known.is_set()
        if not self._known.is_set():
            self.end(ending_of_dial(refusal))

    # --- the live call -------------------------------------------------------------------------

    async def _live(self) -> None:
        with anyio.CancelScope() as opening:
            self._waiting = opening
            async with Sessions(
                self._agent,
                self._context(),
                open_s=self._timing.open_s,
                on_failure=lambda error: self.end(ending_of_error(error)),
            ) as sessions:
                self._waiting = None
                self._meter.models = sessions
                await self._hold(sessions)
        self._waiting = None

    async def _hold(self, sessions: Sessions) -> None:
        """Wait for the line and talk, until the call has ended and is settled."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._talk, sessions, self._prepare_opening(tasks, sessions.voice))
                await self._ended.wait()
                tasks.cancel_scope.cancel()
        except Exception as error:  # the boundary of what the providers do beside the conversation
            self.end(ending_of_error(error))
        finally:
            self.end(Ending(EndReason.CANCELED))
            with anyio.CancelScope(shield=True):
                await self._settle()

    def _prepare_opening(self, tasks: anyio.abc.TaskGroup, voice: Voice) -> Recital | None:
        text = self.request.first_message or self._agent.first_message
        if not text:
            return None
        greeting = Greeting(text)
        tasks.start_soon(greeting.synthesise, voice, self._meter)
        return Recital(text=text, meter=self._meter, timing=self._timing, speech=greeting)

    async def _talk(self, sessions: Sessions, opening: Recital | None) -> None:
        await self._joined.wait()
        assert self._line is not None
        request = self.request
        self.conversation = Conversation(
            agent=self._agent,
            system=system_prompt(instructions=self._agent.system_prompt, goal=request.goal, inbound=request.inbound),
            line=self._line,
            sessions=sessions,
            tools=self._tools,
            transcript=self._transcript,
            meter=self._meter,
            opening=opening,
            first_note=SOMEBODY_CALLS if request.inbound else NOBODY_SPEAKS,
            emit=self.emit,
            hand_over=self.transfers.run,
            tap=self._tap,
        )
        if self._facts.machine:
            self._machine_answered()
        try:
            ending = await self.conversation.run()
        except Exception as error:  # the boundary of the conversation
            ending = ending_of_error(error)
        await self.transfers.decided()  # a line that has stopped may be a caller who was moved
        self.end(ending)

    def _machine_answered(self) -> None:
        if self.conversation is None or self._ended.is_set():
            return
        if self._agent.voicemail_message:
            self.conversation.machine_answered()
        else:
            self._transcript.note(MACHINE)

    async def _play(self, audio: bytes) -> None:
        if self.conversation is not None:
            await self.conversation.play(audio)

    def _context(self) -> CallContext:
        return {"call_id": self.call_id, "caller": self.request.from_number, "callee": self.request.to}

    # --- time ----------------------------------------------------------------------------------

    async def _watch_deadline(self) -> None:
        await anyio.sleep_until(self._facts.dialled + self.request.max_duration_s)
        self.end(Ending(EndReason.MAX_DURATION))

    async def _watch_ringing(self) -> None:
        with anyio.move_on_after(self._timing.ring_s + _RING_GRACE_S):
            await self._answered.wait()
            return
        await self._teardown.ask_carrier()  # its last word may have been lost
        self.end(Ending(EndReason.NO_ANSWER))

    async def _watch_media(self) -> None:
        if not self.request.inbound:  # it is answered by its media socket
            await self._answered.wait()
        with anyio.move_on_after(self._timing.media_wait_s):
            await self._joined.wait()
            return
        message = "The carrier's media connection never came; websockets to webhook_url must reach the phone."
        error = CallError(code="media_error", message=message)
        self.end(Ending(EndReason.MEDIA_ERROR, error))

    async def _watch_final(self) -> None:
        await self._final.wait()
        await anyio.sleep(_STOP_GRACE_S)
        self.end(Ending(EndReason.USER_HANGUP))

    async def _settle(self) -> None:
        await self._teardown.run(self._line, self.conversation)
        await self.transfers.over()
        self._released.set()
