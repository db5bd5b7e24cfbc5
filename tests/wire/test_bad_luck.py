"""Every ending of a call, over real sockets: one envelope, in time, one dial, and nobody left on the line.

One row is one stroke of bad luck. All rows run side by side, each on a phone and a network of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest

from patter import CallResult, Patter
from patter.engine import Engine
from patter.local.dialogue import Listen, Persona, Ring, Say, Wait, scripted
from patter.local.exchange import JUNK, Faults, Timings
from patter.settings import Timing

TO = "+15550100199"
AT_ONCE = 8
"""Each has a phone, a network and a callee; where the processor is too busy for so many, other things happen."""
GOAL = "Book a haircut for tomorrow at three in the afternoon for Maria Lopez."

TALK = scripted(Say("Hello?"), Listen(), Say("Yes, that works. Goodbye."), Wait(30))
PATIENT = scripted(Say("Hello?"), Wait(30))
SILENT = scripted(Wait(30))
QUICK_MEDIA = Timing(media_wait_s=0.5)


def rings(outcome: Any) -> Persona:
    return scripted(ring=Ring(outcome))


Act = Callable[[Patter], object]


@dataclass(frozen=True)
class Row:
    """What goes wrong, and the envelope that tells of it."""

    name: str
    status: str
    reason: str
    error: str | None = None
    callee: Persona = TALK
    faults: Faults = field(default_factory=Faults)
    timing: Timing = field(default_factory=Timing)
    duration_s: int = 30
    at: str | None = None
    """The progress event at which the host does something."""
    act: Act | None = None
    within_s: float = 5.0
    """From the last signal to the envelope; the waits that the row itself asks for come on top."""
    waits_s: float = 0.0
    dials: int = 1


def hang_up(phone: Patter) -> object:
    return phone.hangup_all()


ROWS = [
    Row("a good call", "completed", "agent_hangup", waits_s=4),
    Row("busy", "busy", "busy", callee=rings("busy")),
    Row("no answer", "no-answer", "no_answer", callee=rings("no-answer")),
    Row("out of service", "failed", "carrier_error", "carrier_rejected", callee=rings("failed")),
    Row("declined", "failed", "declined", "carrier_rejected", callee=rings("declined")),
    Row("invalid number", "failed", "invalid_number", "invalid_number", faults=Faults(create_status=400, create_code=21211)),
    Row("refused", "failed", "carrier_error", "carrier_rejected", faults=Faults(create_status=400, create_code=21215)),
    Row("wrong key", "failed", "carrier_error", "carrier_auth", faults=Faults(create_status=401, create_code=20003)),
    # A rate limit is the one refusal that is certain to have placed nothing, so it is tried again.
    Row(
        "rate limit", "failed", "carrier_error", "carrier_rejected",
        faults=Faults(create_status=429, create_code=20429), waits_s=5, dials=3,
    ),
    Row(
        "server error, not placed", "failed", "carrier_error", "carrier_unreachable",
        faults=Faults(create_status=500), timing=Timing(reconcile_s=1), waits_s=2,
    ),
    Row("server error, placed", "completed", "agent_hangup", faults=Faults(create_status=500, create_placed=True), waits_s=5),
    Row("no reply to the dial, placed", "completed", "agent_hangup", faults=Faults(create_black_hole=True, create_placed=True), waits_s=14),
    Row("late reply to the dial", "completed", "agent_hangup", faults=Faults(create_delay_s=1.0), waits_s=5),
    Row("completed without media", "failed", "media_error", "media_error", faults=Faults(completed_without_media=True)),
    Row(
        "media never connects", "failed", "media_error", "media_error",
        faults=Faults(media_never_connects=True), timing=QUICK_MEDIA, waits_s=1,
    ),
    Row("stop without start", "failed", "media_error", "media_error", faults=Faults(media_stop_first=True), timing=QUICK_MEDIA, waits_s=1),
    Row("no token", "failed", "media_error", "media_error", faults=Faults(media_token="missing"), timing=QUICK_MEDIA, waits_s=1),
    Row("wrong token", "failed", "media_error", "media_error", faults=Faults(media_token="wrong"), timing=QUICK_MEDIA, waits_s=1),
    Row("a second socket with the same token", "completed", "agent_hangup", faults=Faults(media_token="reused"), waits_s=4),
    Row("unsigned media socket", "completed", "agent_hangup", faults=Faults(media_signature="missing"), waits_s=4),
    Row("forged media socket", "failed", "media_error", "media_error", faults=Faults(media_signature="wrong"), timing=QUICK_MEDIA, waits_s=1),
    Row("socket dropped", "failed", "media_error", "media_error", callee=PATIENT, faults=Faults(media_drop_s=0.6), waits_s=1),
    Row(
        "out-of-order frames", "completed", "user_hangup",
        callee=scripted(Say("Hello?"), Wait(1)), faults=Faults(media_shuffle=True), waits_s=2,
    ),
    Row("marks never come", "completed", "agent_hangup", faults=Faults(marks_lost=True), waits_s=9),
    *(
        Row(f"junk: {name}", "completed", "agent_hangup", faults=Faults(media_junk=(junk,)), waits_s=4)
        for name, junk in JUNK.items()
        if name != "oversize"
    ),
    Row("junk: oversize", "failed", "media_error", "media_error", faults=Faults(media_junk=(JUNK["oversize"],)), waits_s=1),
    Row("callbacks never come", "completed", "agent_hangup", faults=Faults(callbacks="dropped"), waits_s=6),
    Row("callbacks come twice", "completed", "agent_hangup", faults=Faults(callbacks="duplicated"), waits_s=4),
    Row("callbacks come in another order", "completed", "agent_hangup", faults=Faults(callbacks="reordered"), waits_s=4),
    Row("forged callbacks", "completed", "agent_hangup", faults=Faults(callback_signature="wrong"), waits_s=6),
    Row("hang-up refused", "completed", "agent_hangup", faults=Faults(hangup_status=500), waits_s=6),
    Row("callee hangs up at once", "completed", "user_hangup", callee=scripted(Wait(0.1))),
    Row("callee hangs up after the hello", "completed", "user_hangup", callee=scripted(Say("No!"))),
    Row("callee hangs up on the agent", "completed", "user_hangup", callee=scripted(Say("Hi?"), Listen(after_words=3)), waits_s=2),
    Row("deadline while it rings", "timeout", "max_duration", callee=scripted(ring=Ring("no-answer", after_s=60)), duration_s=1, waits_s=1),
    Row("deadline after the answer", "timeout", "max_duration", callee=SILENT, duration_s=1, waits_s=1),
    Row("host hangs up while dialling", "no-answer", "no_answer", callee=PATIENT, at="dialing", act=hang_up),
    Row("host hangs up while it rings", "no-answer", "no_answer", callee=rings("no-answer"), at="ringing", act=hang_up),
    Row("host hangs up after the answer", "completed", "agent_hangup", callee=PATIENT, at="answered", act=hang_up),
    Row("host hangs up in mid-sentence", "completed", "agent_hangup", callee=PATIENT, at="speaking", act=hang_up, waits_s=1),
]  # fmt: skip


@dataclass
class Outcome:
    """What came of a row."""

    result: CallResult
    took_s: float
    dials: int
    left_on_the_line: int
    hang_ups: int


async def live(row: Row) -> Outcome:
    timings = replace(Timings.quick(), longest_ring_s=2.0 if "deadline" in row.name else 0.3)
    phone = Patter.local(row.callee, voice="tones", timings=timings, faults=row.faults)
    assert phone.network is not None
    agent = replace(phone.network.agent, timing=row.timing)

    def on_event(event: dict[str, Any]) -> None:
        if event["type"] == row.at and row.act is not None:
            row.act(phone)

    async with phone:
        begun = time.monotonic()
        result = await phone.call(TO, goal=GOAL, agent=agent, max_duration_s=row.duration_s, on_event=on_event)
        took_s = time.monotonic() - begun
        exchange = phone.network.exchange
        if row.faults.hangup_status == 200:
            with anyio.move_on_after(2):
                for call in exchange.calls.values():
                    await call.ended.wait()
        return Outcome(
            result,
            took_s,
            exchange.creates,
            sum(not call.status.final for call in exchange.calls.values()),
            sum(request.method == "POST" and "/Calls/" in request.path for request in exchange.requests),
        )


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Outcome]]:
    found: dict[str, Outcome] = {}

    async def one(row: Row, room: anyio.Semaphore) -> None:
        async with room:
            found[row.name] = await live(row)

    async def everything(_: object) -> None:
        await live(ROWS[0])  # imports the SDK, and not beside a call that is timed
        room = anyio.Semaphore(AT_ONCE)
        async with anyio.create_task_group() as tasks:
            for row in ROWS:
                tasks.start_soon(one, row, room)

    Engine.shared().run_sync(everything)
    yield found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_luck_has_its_envelope(row: Row, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[row.name]
    details = outcome.result.details
    assert details is not None
    error = None if details.error is None else details.error.code
    assert (outcome.result.status, str(details.end_reason), error) == (row.status, row.reason, row.error)
    assert outcome.took_s < row.within_s + row.waits_s
    assert outcome.dials == row.dials
    assert outcome.hang_ups <= 2
    assert outcome.left_on_the_line == 0 or row.faults.hangup_status != 200
