"""A carrier that does what its script says, and the way to run one call on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import anyio
import anyio.lowlevel

from patter.agent import Agent
from patter.call.call import Call
from patter.call.gear import PhoneGear
from patter.call.mouth import Tap
from patter.call.prices import Prices
from patter.call.request import CallRequest, EventSink
from patter.carriers.addresses import Addresses
from patter.carriers.base import (
    CallUpdate,
    CarrierStatus,
    DialOrder,
    IncomingCall,
    Line,
    LineStart,
    MediaSocket,
    Room,
    RoomEvent,
    Stopped,
    TransferOrder,
)
from patter.envelope import CallResult
from patter.errors import CarrierError, LineError, SignatureError
from patter.testing.line import ScriptedLine

__all__ = ["ScriptedCarrier"]

CARRIER_ID = "CA00000000000000000000000000000001"
LEG_ID = "CA00000000000000000000000000000002"


@dataclass(frozen=True, slots=True)
class _Join:
    line: Line
    token: str | None


_Step = CallUpdate | _Join


class ScriptedCarrier:
    """A `patter.carriers.base.Carrier` for one call. Times are seconds from the dial request.

    ::

        carrier = ScriptedCarrier().rings(0.5).answers(2.0, line)
        result = await carrier.place(agent, goal="Book a haircut")

    Args:
        dial_s: how long the dial request takes.
        dial_error: raised by it, when that time is over.
        found: what each search for a doubtful dial finds, in order: an id, nothing, or an error.
            Once they are used up, nothing is found.
        hang_up_error: raised by hanging up.
        leg_error: raised by the dial of a transfer's second leg.
        transfer_error: raised by the request that takes the caller away.
        transfer_done: carry that request out, though it raises.
        final_s: the last status comes so long after a hang-up of either side; None if it never does.
    """

    def __init__(
        self,
        *,
        name: str = "local",
        dial_s: float = 0.1,
        dial_error: CarrierError | None = None,
        found: Iterable[str | CarrierError | None] = (),
        hang_up_error: CarrierError | None = None,
        leg_error: CarrierError | None = None,
        transfer_error: CarrierError | None = None,
        transfer_done: bool = False,
        final_s: float | None = 0.1,
    ) -> None:
        self.name = name
        self.dials: list[DialOrder] = []
        self.hang_ups: list[str] = []
        self.finds: list[DialOrder] = []
        self.legs: list[DialOrder] = []
        """Second legs that were dialled."""
        self.hand_overs: list[TransferOrder] = []
        self.moves: list[Room] = []
        self.refused: list[str] = []
        """Why media sockets were turned away."""
        self._dial_s = dial_s
        self._dial_error = dial_error
        self._found = list(found)
        self._hang_up_error = hang_up_error
        self._leg_error = leg_error
        self._transfer_error = transfer_error
        self._transfer_done = transfer_done
        self._final_s = final_s
        self._leg_steps: list[tuple[float, CallUpdate]] = []
        self._leg_status: CarrierStatus | None = None
        self._tell_leg: Callable[[CallUpdate], None] = lambda update: None
        self._leg_ref = ""
        self._is_moved = False
        self._tasks: anyio.abc.TaskGroup | None = None
        self._steps: list[tuple[float, _Step]] = []
        self._over: CarrierStatus | None = None
        self._answered = False
        self._dialled = anyio.Event()
        self._ended = anyio.Event()
        self._lines: list[ScriptedLine] = []

    # --- the script ----------------------------------------------------------------------------

    def reports(
        self,
        at: float,
        status: CarrierStatus | str | None = None,
        *,
        answered_by: str | None = None,
        sip_code: int | None = None,
        duration_s: int | None = None,
        carrier_id: str = CARRIER_ID,
    ) -> Self:
        """Report a status, or the other facts of a `CallUpdate`."""
        told = None if status is None else CarrierStatus(status)
        self._steps.append((at, CallUpdate(carrier_id, told, answered_by, sip_code, duration_s)))
        return self

    def rings(self, at: float) -> Self:
        """Report that the callee's phone rings."""
        return self.reports(at, CarrierStatus.RINGING)

    def answers(self, at: float, line: Line | None = None) -> Self:
        """Report that the callee has answered; bring the media connection at the same time, if there is one."""
        self.reports(at, CarrierStatus.IN_PROGRESS)
        return self if line is None else self.joins(at, line)

    def joins(self, at: float, line: Line, *, token: str | None = None) -> Self:
        """Bring a media connection, with the call's own token unless another is given."""
        self._steps.append((at, _Join(line, token)))
        return self

    def leg(
        self,
        at: float,
        status: CarrierStatus | str | None = None,
        *,
        answered_by: str | None = None,
        sip_code: int | None = None,
        room: RoomEvent | None = None,
        carrier_id: str = LEG_ID,
    ) -> Self:
        """Report something of a transfer's second leg, so many seconds after its dial."""
        told = None if status is None else CarrierStatus(status)
        self._leg_steps.append((at, CallUpdate(carrier_id, told, answered_by, sip_code, room=room)))
        return self

    # --- running a call ------------------------------------------------------------------------

    async def place(
        self,
        agent: Agent,
        *,
        goal: str | None = "Find out the opening hours.",
        first_message: str | None = None,
        max_duration_s: int = 180,
        to: str = "+15550100199",
        on_event: EventSink | None = None,
        tap: Tap | None = None,
    ) -> CallResult:
        """Place one call on this carrier and return its envelope."""
        call = self.call(
            agent,
            goal=goal,
            first_message=first_message,
            max_duration_s=max_duration_s,
            to=to,
            on_event=on_event,
            tap=tap,
        )
        return await self.run(call)

    def call(
        self,
        agent: Agent,
        *,
        goal: str | None = "Find out the opening hours.",
        first_message: str | None = None,
        max_duration_s: int = 180,
        to: str = "+15550100199",
        on_event: EventSink | None = None,
        tap: Tap | None = None,
    ) -> Call:
        """A call on this carrier that was not placed yet, for tests that act on it while it runs."""
        request = CallRequest(
            ref="00000000000000000000000000000001",
            to=to,
            from_number="+15550100100",
            agent=agent,
            goal=goal,
            first_message=first_message,
            max_duration_s=max_duration_s,
        )
        return Call(
            request,
            carrier=self,
            addresses=Addresses("https://patter.test", self.name),
            prices=Prices(),
            dial_lock=anyio.Lock(),
            gear=PhoneGear(),
            on_event=on_event,
            tap=tap,
        )

    async def run(self, call: Call) -> CallResult:
        """Run a call, playing this carrier's script against it. Cancelling it cancels the call's host."""
        result: CallResult | None = None
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            self._tell_leg = lambda update: call.transfers.report(self._leg_ref, update)
            tasks.start_soon(self._play, call, tasks)
            try:
                result = await call.run(tasks)
            finally:
                tasks.cancel_scope.cancel()
        assert result is not None
        return result

    async def _play(self, call: Call, tasks: anyio.abc.TaskGroup) -> None:
        await self._dialled.wait()
        start = anyio.current_time()
        tasks.start_soon(self._report_end, call)
        for at_s, step in sorted(self._steps, key=lambda entry: entry[0]):
            await anyio.sleep_until(start + at_s)
            if self._over is not None:
                return
            if isinstance(step, _Join):
                tasks.start_soon(self._join, call, step, tasks)
            else:
                self._note(step)
                call.report(step)

    def _note(self, update: CallUpdate) -> None:
        if update.carrier_id != CARRIER_ID:
            return
        if update.status is CarrierStatus.IN_PROGRESS:
            self._answered = True
        elif update.status is not None and update.status.final:
            self._over = update.status
            self._hang_up_lines()

    async def _join(self, call: Call, step: _Join, tasks: anyio.abc.TaskGroup) -> None:
        token = self.dials[-1].token if step.token is None else step.token
        if isinstance(step.line, ScriptedLine):
            step.line.answer()
            self._lines.append(step.line)
            tasks.start_soon(self._watch, step.line)
        try:
            await call.join(LineStart(CARRIER_ID, {"token": token, "ref": self.dials[-1].ref}), step.line)
        except LineError as error:
            self.refused.append(str(error))

    async def _watch(self, line: ScriptedLine) -> None:
        if await line.wait_hung_up() and not self._is_moved:
            self._ended.set()

    async def _play_leg(self) -> None:
        start = anyio.current_time()
        for at_s, update in sorted(self._leg_steps, key=lambda entry: entry[0]):
            await anyio.sleep_until(start + at_s)
            self._say_of_leg(update)

    def _say_of_leg(self, update: CallUpdate) -> None:
        if self._leg_status is None or not self._leg_status.final:
            if update.carrier_id == LEG_ID:
                self._leg_status = update.status or self._leg_status
            self._tell_leg(update)

    async def _report_end(self, call: Call) -> None:
        """Somebody has hung up: report it, in time."""
        await self._ended.wait()
        if self._final_s is not None:
            await anyio.sleep(self._final_s)
            if self._over is None:
                self._over = CarrierStatus.COMPLETED if self._answered else CarrierStatus.CANCELED
                call.report(CallUpdate(CARRIER_ID, self._over))

    def _hang_up_lines(self, reason: str = "hung up") -> None:
        for line in self._lines:
            line.bring(Stopped(clean=True, reason=reason))

    # --- the seam ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Nothing needs to be started."""

    async def dial(self, order: DialOrder) -> str:
        """Record the order; answer as told."""
        if order.room is not None:
            return await self._dial_leg(order)
        self.dials.append(order)
        self._dialled.set()
        await anyio.sleep(self._dial_s)
        if self._dial_error is not None:
            raise self._dial_error
        return CARRIER_ID

    async def _dial_leg(self, order: DialOrder) -> str:
        self.legs.append(order)
        self._leg_ref = order.ref
        assert self._tasks is not None, "a transfer needs a call that runs"
        self._leg_status = None
        if self._leg_error is None or self._leg_error.doubtful:
            self._tasks.start_soon(self._play_leg)
        await anyio.sleep(self._dial_s)
        if self._leg_error is not None:
            raise self._leg_error
        return LEG_ID

    async def hand_over(self, carrier_id: str, order: TransferOrder, *, events_url: str) -> None:
        """Record it; the media connection ends."""
        self.hand_overs.append(order)
        self._leg_ref = events_url.rpartition("/")[2]
        await self._take_away(CallUpdate(LEG_ID, CarrierStatus.INITIATED))

    async def move(self, carrier_id: str, room: Room) -> None:
        """Record it; the media connection ends, and the caller joins the room."""
        self.moves.append(room)
        await self._take_away(CallUpdate(CARRIER_ID, room="join"))

    async def _take_away(self, evidence: CallUpdate) -> None:
        await anyio.sleep(self._dial_s)
        if self._transfer_error is None or self._transfer_done:
            self._is_moved = True
            self._hang_up_lines("transferred")
            self._tell_leg(evidence)
        if self._transfer_error is not None:
            raise self._transfer_error

    async def hang_up(self, carrier_id: str) -> None:
        """Record it; the media connection ends, and the last status follows."""
        self.hang_ups.append(carrier_id)
        await anyio.lowlevel.checkpoint()
        if self._hang_up_error is not None:
            raise self._hang_up_error
        if carrier_id == LEG_ID:
            talking = self._leg_status is CarrierStatus.IN_PROGRESS
            self._say_of_leg(CallUpdate(LEG_ID, CarrierStatus.COMPLETED if talking else CarrierStatus.CANCELED))
            return
        self._hang_up_lines()
        self._ended.set()

    async def fetch(self, carrier_id: str) -> CallUpdate:
        """How the call stands: over as reported, in progress, or ringing."""
        await anyio.lowlevel.checkpoint()
        if carrier_id == LEG_ID:
            return CallUpdate(LEG_ID, self._leg_status)
        alive = CarrierStatus.IN_PROGRESS if self._answered else CarrierStatus.RINGING
        return CallUpdate(carrier_id, self._over or alive)

    async def find(self, order: DialOrder) -> str | None:
        """Record the search; answer as told."""
        self.finds.append(order)
        await anyio.lowlevel.checkpoint()
        found = self._found.pop(0) if self._found else None
        if isinstance(found, CarrierError):
            raise found
        return found

    def read_webhook(self, url: str, headers: Mapping[str, str], body: bytes) -> CallUpdate:
        """This carrier sends no webhooks."""
        raise SignatureError("the scripted carrier sends no webhooks")

    def read_call(self, url: str, headers: Mapping[str, str], body: bytes) -> IncomingCall | None:
        """This carrier sends no webhooks."""
        raise SignatureError("the scripted carrier sends no webhooks")

    def accept(self, *, media_url: str, token: str, ref: str) -> str:
        """This carrier brings its lines with `joins`."""
        return ""

    def decline(self) -> str:
        """This carrier brings no calls."""
        return ""

    def check_upgrade(self, url: str, headers: Mapping[str, str]) -> bool:
        """This carrier signs nothing."""
        return False

    async def open_line(self, socket: MediaSocket) -> tuple[LineStart, Line]:
        """This carrier brings its lines with `joins`."""
        raise LineError("the scripted carrier has no media sockets")
