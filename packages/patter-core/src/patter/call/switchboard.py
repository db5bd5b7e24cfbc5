"""The live calls of one running phone: places them, and takes what the carrier has to say to them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio
from anyio.abc import TaskGroup

from patter.agent import Agent
from patter.call.call import Call
from patter.call.gear import PhoneGear
from patter.call.live import LiveCall
from patter.call.mouth import Tap
from patter.call.prices import Prices
from patter.call.request import CallRequest, EventSink
from patter.carriers.addresses import Addresses
from patter.carriers.base import CallUpdate, Carrier, IncomingCall, Line, LineStart
from patter.envelope import CallError, CallResult, Ending, EndReason
from patter.errors import CarrierError, LineError
from patter.schema import CallArguments, check_purpose
from patter.settings import DEFAULT_CALL_S, MAX_CALL_S
from patter.store.calls import MemoryCallStore

if TYPE_CHECKING:
    from patter.workspace import Workspace

__all__ = ["Service", "Switchboard"]

_log = logging.getLogger("patter")

_END_CALLS_S = 8.0
_DOUBTFUL = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Who answers incoming calls.

    Args:
        max_calls: more callers than this at once are turned away as busy.
        on_event: takes the progress events of every call.
        on_result: takes the envelope of every call.
    """

    agent: Agent
    max_duration_s: int = MAX_CALL_S
    max_calls: int = 10
    on_event: EventSink | None = None
    on_result: Callable[[CallResult], None] | None = None
    context: Context = field(default_factory=copy_context)
    """The host's context, in which the calls run, though a carrier's webhook begins them."""


class Switchboard:
    """Lives on the phone's loop, from the start of its service to the end.

    Args:
        carrier: places the calls.
        public_url: where the carrier reaches us.
        store: remembers which calls were asked for under which key.
        tasks: the service's task group.
        allow_hosts: hosts with their ports that requests of tools may reach though they are not public.
        workspace: what others own of the phone's agents.
    """

    def __init__(
        self,
        carrier: Carrier,
        public_url: str,
        *,
        store: MemoryCallStore,
        prices: Prices,
        tasks: TaskGroup,
        allow_hosts: Collection[str] = (),
        workspace: Workspace | None = None,
    ) -> None:
        self.public_url = public_url
        self.service: Service | None = None
        """Who answers incoming calls; without a service they are turned away as busy."""
        self._carrier = carrier
        self._addresses = Addresses(public_url, carrier.name)
        self._store = store
        self._prices = prices
        self._tasks = tasks
        self._dial_lock = anyio.Lock()
        self._workspace = workspace
        self._gear = PhoneGear(tasks, allow_hosts=allow_hosts, workspace=workspace)
        self._calls: dict[str, Call] = {}
        self._doubtful: deque[str] = deque(maxlen=_DOUBTFUL)

    @property
    def voice_url(self) -> str:
        """Where the carrier reports incoming calls."""
        return self._addresses.voice()

    @property
    def live_calls(self) -> list[str]:
        """The ids of the calls that are going on."""
        return [call.call_id for call in list(self._calls.values())]

    def call(self, call_id: str) -> Call | None:
        """The live call of this id."""
        return next((call for call in self._calls.values() if call.goes_by(call_id)), None)

    def live(self, call_id: str) -> LiveCall | None:
        """What may be done from outside in the live call of this id."""
        call = self.call(call_id)
        return None if call is None else LiveCall(call)

    async def place(
        self,
        arguments: CallArguments,
        *,
        agent: Agent,
        from_number: str,
        on_event: EventSink | None = None,
        tap: Tap | None = None,
        idempotency_key: str | None = None,
    ) -> CallResult:
        """Place the call, or wait for the envelope of the call that has the same key.

        Raises:
            InvalidArguments: neither the arguments nor the agent say what it is about; or the key is another call's.
        """
        agent = self._dressed(agent)
        check_purpose(arguments, agent)
        request = CallRequest(
            ref=uuid4().hex,
            to=arguments.to,
            from_number=from_number,
            agent=agent,
            goal=arguments.goal,
            first_message=arguments.first_message,
            max_duration_s=arguments.max_duration_sec or DEFAULT_CALL_S,
        )
        if idempotency_key is None:
            return await self._run(self._call(request, on_event, tap))
        while True:
            entry, first = self._store.open(idempotency_key, arguments)
            if first:
                call = self._call(request, on_event, tap)
                try:
                    return await self._run(call)
                finally:
                    entry.close(call.result if call.is_dialled else None)
            if (known := await entry.wait()) is not None:
                return known

    def serve(self, service: Service) -> None:
        """From now on the service answers incoming calls."""
        self.service = service
        self.introduce(service.agent)

    def introduce(self, agent: Agent) -> None:
        """Let people and programs outside find an agent by its name."""
        if self._workspace is not None:
            self._workspace.introduce(agent)

    def answer(self, incoming: IncomingCall) -> str:
        """Let the service take an incoming call; what the carrier is told. A repeated webhook is the same call."""
        callers = [call for call in self._calls.values() if call.request.inbound]
        call = next((call for call in callers if call.request.carrier_id == incoming.carrier_id), None)
        if call is None:
            if self.service is None or len(callers) >= self.service.max_calls:
                return self._carrier.decline()
            call = self._take(incoming, self.service)
        return self._carrier.accept(media_url=self._addresses.media(), token=call.token, ref=call.request.ref)

    def _take(self, incoming: IncomingCall, service: Service) -> Call:
        agent = self._dressed(service.agent)
        request = CallRequest(
            ref=uuid4().hex,
            to=incoming.callee,
            from_number=incoming.caller,
            # Who calls waits to be greeted.
            agent=replace(agent, timing=replace(agent.timing, hello_wait_s=0.0)),
            max_duration_s=service.max_duration_s,
            carrier_id=incoming.carrier_id,
        )
        call = self._call(request, service.on_event, None)
        self._calls[request.ref] = call
        service.context.copy().run(self._tasks.start_soon, self._serve, call, service.on_result)
        return call

    async def _serve(self, call: Call, on_result: Callable[[CallResult], None] | None) -> None:
        result = await self._run(call)
        if on_result is None:
            return
        try:
            on_result(result)
        except Exception as error:  # the boundary to the host's code
            _log.warning("on_result raised %s; the phone goes on.", type(error).__name__)

    def hang_up(self, call_id: str | None) -> int:
        """Hang up the call of this id, or all; how many there were."""
        calls = [call for call in self._calls.values() if call_id is None or call.goes_by(call_id)]
        for call in calls:
            call.hang_up()
        return len(calls)

    async def close(self, *, incoming_only: bool = False) -> None:
        """End every call, or those that have come in, and wait for their envelopes.

        Without ``incoming_only`` it is for good.
        """
        calls = [call for call in self._calls.values() if call.request.inbound or not incoming_only]
        with anyio.move_on_after(_END_CALLS_S):
            for call in calls:
                error = CallError(code="shutdown", message="The phone was stopped while the call went on.")
                call.end(Ending(EndReason.SHUTDOWN, error))
            for call in calls:
                await call.over.wait()
        if not incoming_only:
            await self._gear.aclose()

    def report(self, ref: str, update: CallUpdate) -> None:
        """A verified fact from the carrier. A second leg's ``ref`` is that of its call, a dash, and a number."""
        main_ref, _, is_leg = ref.partition("-")
        call = self._calls.get(main_ref) if ref else self.call(update.carrier_id)
        if call is not None and is_leg:
            call.transfers.report(ref, update)
        elif call is not None:
            call.report(update)
        elif ref in self._doubtful and not (update.status and update.status.final):
            # A dial that was given up has come to life after all.
            self._doubtful.remove(ref)
            self._tasks.start_soon(self._drop, update.carrier_id)

    async def join(self, start: LineStart, line: Line) -> None:
        """A media socket asks for its call; returns when the call needs it no more.

        Raises:
            LineError: there is no such call, or its token is wrong or used.
        """
        call = self._calls.get(start.parameters.get("ref", ""))
        if call is None:
            raise LineError("no call waits for this media socket")
        await call.join(start, line)

    def _dressed(self, agent: Agent) -> Agent:
        """The agent with what others have said of it."""
        self.introduce(agent)
        return agent if self._workspace is None else self._workspace.dressed(agent)

    def _call(self, request: CallRequest, on_event: EventSink | None, tap: Tap | None) -> Call:
        if self._workspace is not None:
            on_event = self._workspace.overheard(request.agent, on_event)
        return Call(
            request,
            carrier=self._carrier,
            addresses=self._addresses,
            prices=self._prices,
            dial_lock=self._dial_lock,
            gear=self._gear,
            on_event=on_event,
            tap=tap,
        )

    async def _run(self, call: Call) -> CallResult:
        ref = call.request.ref
        self._calls[ref] = call
        try:
            return await call.run(self._tasks)
        finally:
            del self._calls[ref]
            if call.is_doubtful:
                self._doubtful.append(ref)
            self._doubtful += call.transfers.doubtful

    async def _drop(self, carrier_id: str) -> None:
        try:
            await self._carrier.hang_up(carrier_id)
        except CarrierError:
            return  # its media socket is refused, and its time limit ends it
