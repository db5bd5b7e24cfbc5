"""Transfers on the local network: the real SDK, real sockets, and a second telephone that is heard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from anyio.abc import TaskGroup
from twilio.request_validator import RequestValidator

from patter.agent import Agent
from patter.call.call import Call
from patter.call.prices import Prices
from patter.call.switchboard import Switchboard
from patter.carriers.base import TransferResult
from patter.envelope import CallResult
from patter.local.dialogue import Dialogue, Heard, Listen, Persona, Ring, Say, Wait, scripted
from patter.local.exchange import ExchangeCall, Faults, Timings
from patter.local.network import LocalNetwork
from patter.schema import CallArguments
from patter.server.app import build_app
from patter.server.listener import bind, serve
from patter.settings import Timing
from patter.store.calls import MemoryCallStore
from patter.tools.model import Tool, ToolContext
from patter.voice.base import Delta, Message, ToolCall, ToolSpec

pytestmark = pytest.mark.anyio

TARGET = "+15550100777"


def caller_talks() -> Dialogue:
    """Speaks up once the target is there, or the agent has said how the transfer ended."""
    yield Say("Hello?")
    heard = Heard()
    while "Target here." not in heard.text and "stay with you." not in heard.text:
        heard = yield Listen(timeout_s=None)
    yield Say("I am the caller.")
    yield Listen()


def target_talks() -> Dialogue:
    """Says that it is there until somebody speaks to it."""
    heard = Heard()
    while "I am the caller." not in heard.text:
        yield Say("Target here.")
        heard = yield Listen(timeout_s=0.8)
    yield Say("Leave it to me.")
    yield Wait(0.4)


CALLER = Persona("caller", "Caller", "+15550100199", caller_talks)
HUMAN = Persona("target", "Target", TARGET, target_talks)
PATIENT = scripted(Say("Somebody?"), Listen(timeout_s=None), name="target", number=TARGET)

TIMING = Timing(end_of_turn_s=0.2, end_of_turn_marked_s=0.1, final_status_s=0.5, reconcile_s=1, mind_filler_s=20)


class Mind:
    """Transfers the call in its first answer, and tells the caller what came of it in the next."""

    model = "local/transfers"

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        results = [message.content for message in messages if message.role == "tool"]
        asked = messages[-1].role == "user"

        async def deltas() -> AsyncIterator[Delta]:
            if not results:
                yield ToolCall("t1", "transfer_call", "{}")
            elif asked:
                yield "I am still here."
            else:
                yield f"It was {results[0]}, and I stay with you."

        yield deltas()


class Desk:
    """A phone on the local network, and what became of its one call."""

    def __init__(
        self,
        target: Persona | None = HUMAN,
        *,
        caller: Persona = CALLER,
        during: Callable[[Desk, Call], Any] | None = None,
        faults: Faults | None = None,
        to: str = TARGET,
        max_duration_s: int = 60,
        **transfer: Any,
    ) -> None:
        self.network = LocalNetwork(
            caller, voice="tones", others={TARGET: target} if target else {}, timings=Timings.quick()
        )
        self.tool = Tool(
            name="transfer_call",
            description="Transfers.",
            handler=self.transfer,
            timeout_s=50,
            speech={"during": False},
        )
        self.agent = Agent(
            stt=self.network.agent.stt,
            llm=Mind(),
            tts=self.network.agent.tts,
            tools=[self.tool],
            timing=TIMING,
            system_prompt="Transfer.",
        )
        self.order = {"to": to, **transfer}
        self.during = during
        self.faults = faults
        self.max_duration_s = max_duration_s
        self.outcome: TransferResult | None = None
        self.events: list[Mapping[str, Any]] = []
        self.started = anyio.Event()

    async def transfer(self, arguments: dict[str, Any], context: ToolContext) -> str:
        call = self.board.call(context.call_id)
        assert call is not None
        if self.faults is not None:
            self.network.exchange.faults = self.faults
        self.started.set()
        self.outcome = await call.transfers.run(**self.order)
        return self.outcome.status

    async def run(self) -> CallResult:
        """Place the call; its envelope, once both calls are over."""
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                await self._open(tasks)
                if self.during is not None:
                    tasks.start_soon(self._during)
                result = await self.board.place(
                    CallArguments(to="+15550100199", goal=None, max_duration_sec=self.max_duration_s),
                    agent=self.agent,
                    from_number=self.network.phone_number,
                    on_event=self.events.append,
                )
                self.left = [call for call in self.legs() if not call.status.final]
                for leg in self.legs():
                    await leg.ended.wait()
                tasks.cancel_scope.cancel()
        return result

    async def _open(self, tasks: TaskGroup) -> None:
        carrier = await tasks.start(self.network.serve)
        sock = bind("127.0.0.1", 0)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        self.board = Switchboard(carrier, url, store=MemoryCallStore(), prices=Prices(), tasks=tasks)
        await tasks.start(serve, build_app(self.board, carrier), sock)

    async def _during(self) -> None:
        await self.started.wait()
        (call_id,) = self.board.live_calls
        call = self.board.call(call_id)
        assert call is not None and self.during is not None
        await self.during(self, call)

    def legs(self) -> list[ExchangeCall]:
        return list(self.network.exchange.calls.values())

    @property
    def caller(self) -> ExchangeCall:
        return self.legs()[0]

    @property
    def target(self) -> ExchangeCall:
        return self.legs()[1]

    @property
    def redirects(self) -> int:
        return sum("Twiml" in request.form and "/Calls/" in request.path for request in self.network.exchange.requests)

    def check_handed_over(self, result: CallResult, mode: str) -> None:
        assert result.details is not None
        assert self.outcome in (None, TransferResult("transferred"))
        assert (result.status, result.details.end_reason) == ("completed", "transferred")
        assert result.details.error is None
        assert result.details.transfer == {"to": TARGET, "mode": mode, "status": "transferred"}
        assert result.to_dict()["details"]["transfer"]["status"] == "transferred"
        assert self.redirects == 1
        assert len(self.legs()) == 2
        assert all("Status" not in request.form for request in self.network.exchange.requests)

    def check_kept(self, result: CallResult, status: str, reason: str = "") -> None:
        assert self.outcome == TransferResult(status, reason)  # type: ignore[arg-type]
        assert result.details is not None
        assert (result.status, result.details.end_reason) == ("completed", "user_hangup")
        assert result.details.transfer is not None
        assert result.details.transfer["status"] == status
        assert f"It was {status}, and I stay with you." in self.caller.heard
        assert "I am the caller." in [line.text for line in result.transcript]


async def together(desks: Sequence[Desk]) -> list[CallResult]:
    """Run several at once; each has a network of its own."""
    results: dict[int, CallResult] = {}

    async def one(place: int) -> None:
        results[place] = await desks[place].run()

    async with anyio.create_task_group() as tasks:
        for place in range(len(desks)):
            tasks.start_soon(one, place)
    return [results[place] for place in range(len(desks))]


# --- heard ---------------------------------------------------------------------------------------


async def test_a_cold_transfer_is_heard_at_both_ends() -> None:
    desk = Desk(mode="cold")
    result = await desk.run()
    desk.check_handed_over(result, "cold")
    assert desk.target.heard == ["I am the caller."]
    assert "Target here." in " ".join(desk.caller.heard)
    assert desk.target.dialed.from_number == desk.network.phone_number
    assert desk.network.exchange.creates == 1  # the carrier has dialled the target, not we


async def test_a_warm_transfer_briefs_the_target_while_the_caller_stays() -> None:
    desk = Desk(mode="warm", announce="A caller wants a haircut.")
    result = await desk.run()
    desk.check_handed_over(result, "warm")
    assert desk.network.exchange.creates == 2
    # The target hears the briefing, the caller does not.
    assert desk.target.heard[0] == "A caller wants a haircut."
    assert "I am the caller." in desk.target.heard
    assert "haircut" not in " ".join(desk.caller.heard)
    assert "Leave it to me." in desk.caller.heard
    # The caller's stream lives until the target is in the room.
    joined = next(event for event in desk.target.record.events if event.kind == "room")
    stopped = next(event for event in desk.caller.record.events if event.kind == "stop")
    apart_s = (desk.target.created_at - desk.caller.created_at).total_seconds()
    assert stopped.at_s > joined.at_s + apart_s
    for leg in desk.legs():
        assert len(leg.record.played) == len(leg.record.spoken) > 0


async def test_a_monitored_transfer_connects_a_person() -> None:
    desk = Desk(mode="monitored")
    result = await desk.run()
    desk.check_handed_over(result, "monitored")
    assert desk.target.request.machine_detection
    assert desk.target.answered_by == "human"
    assert "I am the caller." in desk.target.heard
    assert "Leave it to me." in desk.caller.heard


async def test_keys_are_pressed_for_an_extension_before_the_briefing() -> None:
    clerk = scripted(*[Listen(timeout_s=1)] * 3, number=TARGET, hears_keys=True)
    caller = scripted(Say("Hello?"), Listen(timeout_s=None), number="+15550100199")
    desk = Desk(clerk, caller=caller, mode="warm", post_dial_digits="12", announce="Briefing.")
    await desk.run()
    assert desk.target.record.digits_heard == "12"
    assert desk.target.heard[0] == "Briefing."


# --- either side hangs up ------------------------------------------------------------------------


async def test_when_either_side_hangs_up_so_does_the_other() -> None:
    patient = scripted(Say("Hello?"), Listen(timeout_s=None), Listen(timeout_s=None), number="+15550100199")
    hurried = scripted(Say("Hello?"), Wait(2), number="+15550100199")
    brief = scripted(Say("Wrong number."), Wait(0.6), number=TARGET)
    target_first = [Desk(brief, caller=patient, mode=mode) for mode in ("cold", "warm")]
    caller_first = [Desk(PATIENT, caller=hurried, mode=mode) for mode in ("cold", "monitored")]
    desks = [*target_first, *caller_first]
    for desk, result in zip(desks, await together(desks), strict=True):
        desk.check_handed_over(result, desk.order["mode"])
    assert [(desk.caller.ended_by == "callee", desk.target.ended_by == "callee") for desk in desks] == [
        (False, True),
        (False, True),
        (True, False),
        (True, False),
    ]


async def test_the_transferred_call_outlives_the_agents_time_limit() -> None:
    caller = scripted(Say("Hello?"), Listen(timeout_s=None), number="+15550100199")
    desk = Desk(scripted(Wait(2.5), number=TARGET), caller=caller, mode="warm", max_duration_s=2)
    desk.check_handed_over(await desk.run(), "warm")
    assert desk.target.ended_by == "callee"


# --- not reached ---------------------------------------------------------------------------------


NOT_REACHED = [
    (Ring("busy"), "busy"),
    (Ring("no-answer"), "no-answer"),
    (Ring("failed"), "failed"),
    (Ring("declined"), "failed"),
]


@pytest.mark.parametrize("mode", ["warm", "monitored"])
async def test_a_target_that_is_not_reached_leaves_the_caller_with_the_agent(mode: str) -> None:
    desks = [Desk(scripted(ring=ring, number=TARGET), mode=mode) for ring, _ in NOT_REACHED]
    for desk, (_, status), result in zip(desks, NOT_REACHED, await together(desks), strict=True):
        desk.check_kept(result, status)
        assert desk.redirects == 0
        assert desk.network.exchange.creates == 2


async def test_a_machine_is_nobody_to_a_monitored_transfer() -> None:
    machine = scripted(Wait(30), ring=Ring(answered_by="machine_start"), number=TARGET)
    desk = Desk(machine, mode="monitored")
    desk.check_kept(await desk.run(), "no-answer", "machine")
    assert desk.target.ended_by == "agent"


async def test_a_target_that_hangs_up_during_the_briefing_is_not_connected() -> None:
    desk = Desk(scripted(Wait(0.1), number=TARGET), mode="warm", announce="A long story that nobody waits for.")
    desk.check_kept(await desk.run(), "failed", "hung_up")
    assert desk.redirects == 0


async def test_the_caller_hangs_up_while_the_target_rings() -> None:
    caller = scripted(Say("Hello?"), Wait(1.5), number="+15550100199")
    ringing = scripted(ring=Ring("no-answer"), number=TARGET)
    desk = Desk(ringing, caller=caller, mode="warm")
    desk.network.exchange.timings = Timings(queue_s=0, dial_s=0, answer_s=0.05, longest_ring_s=30, machine_s=0.05)
    result = await desk.run()
    assert result.details is not None
    assert (result.status, result.details.end_reason) == ("completed", "user_hangup")
    assert desk.target.status == "canceled"
    assert desk.left == []


async def test_the_host_hangs_up_while_the_target_rings() -> None:
    async def hang_up(desk: Desk, call: Call) -> None:
        await desk.network.exchange.nth_call(2)
        call.hang_up()

    caller = scripted(Say("Hello?"), Listen(timeout_s=None), number="+15550100199")
    desk = Desk(scripted(ring=Ring("no-answer"), number=TARGET), caller=caller, mode="monitored", during=hang_up)
    desk.network.exchange.timings = Timings(queue_s=0, dial_s=0, answer_s=0.05, longest_ring_s=30, machine_s=0.05)
    result = await desk.run()
    assert result.details is not None
    assert result.details.end_reason == "agent_hangup"
    assert desk.target.status == "canceled"
    assert desk.left == []


# --- not allowed ---------------------------------------------------------------------------------


async def test_a_second_transfer_beside_the_first_is_refused() -> None:
    refused: list[TransferResult] = []

    async def again(desk: Desk, call: Call) -> None:
        refused.append(await call.transfers.run("+15550100778", mode="cold"))
        refused.append(await call.transfers.run(TARGET, mode="warm"))

    desk = Desk(mode="warm", announce="Briefing.", during=again)
    result = await desk.run()
    assert refused == [TransferResult("failed", "not_possible")] * 2
    desk.check_handed_over(result, "warm")


NEVER_DIALLED = ["911", "555", "+19005550100", "sip:x@y", "+15550100199", "+15550100001"]
"""The last two are the caller and the phone itself."""


async def test_a_number_that_is_never_dialled_is_not_transferred_to() -> None:
    desks = [Desk(mode="warm", to=to) for to in NEVER_DIALLED]
    for desk, result in zip(desks, await together(desks), strict=True):
        assert desk.outcome == TransferResult("failed", "not_allowed")
        assert result.details is not None
        assert result.details.transfer is None
        assert len(desk.legs()) == 1
        assert "It was failed, and I stay with you." in desk.caller.heard


async def test_a_forged_callback_moves_nobody() -> None:
    answers: list[int] = []

    async def forge(desk: Desk, call: Call) -> None:
        leg = await desk.network.exchange.nth_call(2)
        url = str(leg.request.status_url)
        form = {"CallSid": leg.sid, "CallStatus": "in-progress", "StatusCallbackEvent": "participant-join"}
        wrong = RequestValidator("guess").compute_signature(url, form)
        async with httpx2.AsyncClient(trust_env=False) as client:
            unsigned = await client.post(url, data=form)
            forged = await client.post(url, data=form, headers={"X-Twilio-Signature": wrong})
            answers.extend([unsigned.status_code, forged.status_code])

    desk = Desk(scripted(ring=Ring("no-answer"), number=TARGET), mode="warm", during=forge)
    result = await desk.run()
    assert answers == [403, 403]
    desk.check_kept(result, "no-answer")
    assert desk.redirects == 0


# --- the carrier fails ---------------------------------------------------------------------------


async def test_a_second_leg_that_cannot_be_dialled_leaves_the_caller_with_the_agent() -> None:
    refused = Desk(mode="warm", faults=Faults(create_status=400, create_code=21215))
    lost = Desk(mode="monitored", faults=Faults(create_status=500))
    for desk, result in zip([refused, lost], await together([refused, lost]), strict=True):
        desk.check_kept(result, "failed", "refused")
        assert (desk.network.exchange.creates, len(desk.legs())) == (2, 1)


async def test_a_second_leg_of_unknown_outcome_is_found_and_not_dialled_again() -> None:
    desk = Desk(mode="warm", faults=Faults(create_status=500, create_placed=True))
    desk.check_handed_over(await desk.run(), "warm")
    assert desk.network.exchange.creates == 2


async def test_a_redirect_that_fails_leaves_the_caller_with_the_agent() -> None:
    desks = [
        Desk(PATIENT, mode=mode, faults=Faults(redirect_status=status))
        for mode in ("cold", "warm")
        for status in (400, 500)
    ]
    for desk, result in zip(desks, await together(desks), strict=True):
        desk.check_kept(result, "failed", "refused")
        assert desk.redirects == 1
        assert desk.left == []


async def test_a_redirect_of_unknown_outcome_that_was_carried_out_is_a_transfer() -> None:
    desks = [Desk(mode=mode, faults=Faults(redirect_status=500, redirect_done=True)) for mode in ("cold", "warm")]
    for desk, result in zip(desks, await together(desks), strict=True):
        desk.check_handed_over(result, desk.order["mode"])
