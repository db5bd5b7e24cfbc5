"""A carrier that does what its script says, and the way to run one call on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import anyio
import anyio.lowlevel

from patter.agent import Agent
from patter.call.call import Call
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
    Stopped,
)
from patter.envelope import CallResult
from patter.errors import CarrierError, LineError, SignatureError
from patter.testing.line import ScriptedLine

__all__ = ["ScriptedCarrier"]

CARRIER_ID = "CA00000000000000000000000000000001"


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
        final_s: float | None = 0.1,
    ) -> None:
        self.name = name
        self.dials: list[DialOrder] = []
        self.hang_ups: list[str] = []
        self.finds: list[DialOrder] = []
        self.refused: list[str] = []
        """Why media sockets were turned away."""
        self._dial_s = dial_s
        self._dial_error = dial_error
        self._found = list(found)
        self._hang_up_error = hang_up_error
        self._final_s = final_s
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
            on_event=on_event,
            tap=tap,
        )

    async def run(self, call: Call) -> CallResult:
        """Run a call, playing this carrier's script against it. Cancelling it cancels the call's host."""
        result: CallResult | None = None
        async with anyio.create_task_group() as tasks:
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
        if await line.wait_hung_up():
            self._ended.set()

    async def _report_end(self, call: Call) -> None:
        """Somebody has hung up: report it, in time."""
        await self._ended.wait()
        if self._final_s is not None:
            await anyio.sleep(self._final_s)
            if self._over is None:
                self._over = CarrierStatus.COMPLETED if self._answered else CarrierStatus.CANCELED
                call.report(CallUpdate(CARRIER_ID, self._over))

    def _hang_up_lines(self) -> None:
        for line in self._lines:
            line.bring(Stopped(clean=True, reason="hung up"))

    # --- the seam ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Nothing needs to be started."""

    async def dial(self, order: DialOrder) -> str:
        """Record the order; answer as told."""
        self.dials.append(order)
        self._dialled.set()
        await anyio.sleep(self._dial_s)
        if self._dial_error is not None:
            raise self._dial_error
        return CARRIER_ID

    async def hang_up(self, carrier_id: str) -> None:
        """Record it; the media connection ends, and the last status follows."""
        self.hang_ups.append(carrier_id)
        await anyio.lowlevel.checkpoint()
        if self._hang_up_error is not None:
            raise self._hang_up_error
        self._hang_up_lines()
        self._ended.set()

    async def fetch(self, carrier_id: str) -> CallUpdate:
        """How the call stands: over as reported, in progress, or ringing."""
        await anyio.lowlevel.checkpoint()
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
