"""PatterTool on the local network: real server, real media socket, real Twilio SDK."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest

from patter import (
    Agent,
    ConfigError,
    InvalidArguments,
    NotAllowed,
    Patter,
    PatterTool,
    PhoneStopped,
    PortInUse,
)
from patter.engine import Engine
from patter.envelope import CallResult
from patter.local.dialogue import Listen, Persona, Say, Wait, scripted
from patter.local.exchange import Exchange, Faults, Timings
from patter.server.listener import bind
from patter.voice.base import Delta, Message, ToolCall, ToolSpec

TO = "+15550100199"
BRIEF = scripted(Say("Hello?"), Listen(), Wait(0.5))
ENDLESS = scripted(Say("Hello?"), Wait(600))


class Mind:
    """Says what the goal says, and hangs up. Keeps the system message of every request."""

    model = "local/echo"

    def __init__(self) -> None:
        self.asked: list[str] = []

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        system = messages[0].content
        self.asked.append(system)
        goal = system.rpartition("Goal: ")[2]

        async def deltas() -> AsyncIterator[Delta]:
            yield f"{goal}. Goodbye."
            yield ToolCall("c1", "end_call", "{}")

        yield deltas()


async def count_tasks(_: object = None) -> int:
    return len(asyncio.all_tasks())


async def wait_for_tasks(wanted: int) -> int:
    """The number of tasks, once connections that are closing have closed."""
    with anyio.move_on_after(3):
        while await count_tasks() > wanted:  # noqa: ASYNC110 - a leak has no event
            await anyio.sleep(0.01)
    return await count_tasks()


MakeTool = Callable[..., PatterTool]


@pytest.fixture
def make_tool() -> Iterator[MakeTool]:
    phones: list[Patter] = []

    def make(persona: Persona | str = BRIEF, *, faults: Faults | None = None, **options: Any) -> PatterTool:
        phone = Patter.local(persona, voice="tones", timings=Timings.quick(), faults=faults, llm=Mind())
        phones.append(phone)
        return PatterTool(phone, **options)

    engine = Engine.shared()
    before = engine.run_sync(count_tasks)
    yield make
    for phone in phones:
        engine.run_sync(lambda _, phone=phone: phone.stop())
    # Nothing that a phone or a call has started may live on.
    assert engine.run_sync(lambda _: wait_for_tasks(before)) <= before


def exchange(tool: PatterTool) -> Exchange:
    assert tool.phone.network is not None
    return tool.phone.network.exchange


def mind(tool: PatterTool) -> Mind:
    assert isinstance(tool.agent, Agent)
    assert isinstance(tool.agent.llm, Mind)
    return tool.agent.llm


def only_call(tool: PatterTool) -> Any:
    (call,) = exchange(tool).calls.values()
    return call


def check_envelope(result: CallResult) -> None:
    assert list(result.to_dict(strict=True)) == [
        "call_id",
        "status",
        "duration_seconds",
        "cost_usd",
        "transcript",
        "metrics",
    ]
    assert list(result["metrics"]) == ["p95_latency_ms", "cost"]
    assert set(result["metrics"]["cost"]) == {"stt", "tts", "llm", "telephony"}
    assert CallResult.model_validate_json(result.to_json()) == result


def test_plain_code_calls_and_gets_the_envelope(make_tool: MakeTool) -> None:
    tool = make_tool()
    result = tool.execute_sync({"to": TO, "goal": "Tea at five"})
    check_envelope(result)
    assert result.status == "completed"
    assert result.call_id == only_call(tool).sid
    assert [line.model_dump() for line in result.transcript] == [
        {"role": "user", "text": "Hello?"},
        {"role": "agent", "text": "Tea at five. Goodbye."},
    ]
    assert only_call(tool).heard == ["Tea at five. Goodbye."]


@pytest.mark.anyio
async def test_keywords_and_an_object_are_the_same_call(make_tool: MakeTool) -> None:
    tool = make_tool()
    one = await tool.execute({"to": TO, "goal": "Tea"})
    two = await tool.execute(to=TO, goal="Tea", max_duration_sec=30)
    assert [one.status, two.status] == ["completed", "completed"]
    assert one.transcript == two.transcript
    assert len(exchange(tool).calls) == 2


def test_two_event_loops_after_each_other_share_one_tool(make_tool: MakeTool) -> None:
    tool = make_tool()
    statuses = [asyncio.run(tool.execute(to=TO, goal="Tea")).status for _ in range(2)]
    assert statuses == ["completed", "completed"]


@pytest.mark.anyio
async def test_a_worker_thread_of_a_running_loop_calls(make_tool: MakeTool) -> None:
    tool = make_tool()
    result = await anyio.to_thread.run_sync(lambda: tool.execute_sync(to=TO, goal="Tea"))
    assert result.status == "completed"


@pytest.mark.anyio
async def test_a_blocking_call_on_a_running_loop_works(make_tool: MakeTool) -> None:
    assert make_tool().execute_sync(to=TO, goal="Tea").status == "completed"


@pytest.mark.anyio
async def test_the_first_message_is_said_first_and_the_goal_reaches_the_mind(make_tool: MakeTool) -> None:
    tool = make_tool(scripted(Say("Hello?"), Listen(), Say("Yes?"), Listen()))
    result = await tool.execute(to=TO, goal="Tea at five", first_message="Good day to you.")
    assert [line.text for line in result.transcript] == ["Hello?", "Good day to you.", "Yes?", "Tea at five. Goodbye."]
    assert only_call(tool).heard == ["Good day to you.", "Tea at five. Goodbye."]


@pytest.mark.anyio
async def test_twenty_calls_at_once_keep_their_goals_and_each_number_is_dialled_once(make_tool: MakeTool) -> None:
    tool = make_tool(max_concurrent_calls=20)
    numbers = {f"+155501001{index:02}": f"Item {index} please" for index in range(20)}
    results: dict[str, CallResult] = {}

    async def one(number: str, goal: str) -> None:
        results[number] = await tool.execute(to=number, goal=goal)

    async with anyio.create_task_group() as tasks:
        for number, goal in numbers.items():
            tasks.start_soon(one, number, goal)
    for number, goal in numbers.items():
        assert [line.text for line in results[number].transcript if line.role == "agent"] == [f"{goal}. Goodbye."]
    heard = {call.request.to: call.heard for call in exchange(tool).calls.values()}
    assert heard == {number: [f"{goal}. Goodbye."] for number, goal in numbers.items()}
    assert exchange(tool).creates == 20
    goals = sorted(system.rpartition("Goal: ")[2] for system in mind(tool).asked)
    assert goals == sorted(numbers.values())


@pytest.mark.anyio
async def test_one_slot_lets_calls_wait_for_their_turn(make_tool: MakeTool) -> None:
    tool = make_tool(max_concurrent_calls=1)
    live: list[int] = []
    async with anyio.create_task_group() as tasks:
        for _ in range(2):

            async def one() -> None:
                await tool.execute(to=TO, goal="Tea", on_event=lambda event: live.append(len(tool.phone.live_calls)))

            tasks.start_soon(one)
    assert max(live) == 1


@pytest.mark.anyio
async def test_a_repeated_key_gets_the_first_envelope_and_dials_nothing(make_tool: MakeTool) -> None:
    tool = make_tool()
    results: list[CallResult] = []

    async def one() -> None:
        results.append(await tool.execute(to=TO, goal="Tea", idempotency_key="k"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        tasks.start_soon(one)
    results.append(await tool.execute(to=TO, goal="Tea", idempotency_key="k"))
    assert results[0] == results[1] == results[2]
    assert exchange(tool).creates == 1


@pytest.mark.anyio
async def test_identical_calls_without_a_key_are_two_calls(make_tool: MakeTool) -> None:
    tool = make_tool()
    first = await tool.execute(to=TO, goal="Tea")
    second = await tool.execute(to=TO, goal="Tea")
    assert first.call_id != second.call_id


@pytest.mark.anyio
async def test_progress_arrives_in_order_on_the_hosts_loop(make_tool: MakeTool) -> None:
    events: list[Mapping[str, Any]] = []
    threads: set[str] = set()

    def on_event(event: Mapping[str, Any]) -> None:
        events.append(event)
        threads.add(threading.current_thread().name)

    result = await make_tool().execute(to=TO, goal="Tea", on_event=on_event)
    kinds = [event["type"] for event in events]
    milestones = [kind for kind in kinds if kind in ("dialing", "ringing", "answered", "user", "agent", "ended")]
    assert milestones == ["dialing", "ringing", "answered", "user", "agent", "ended"]
    assert threads == {threading.current_thread().name}
    assert events[-1]["call_id"] == result.call_id
    json.dumps(events)


@pytest.mark.anyio
async def test_cancelling_hangs_up_and_is_raised_again(make_tool: MakeTool) -> None:
    tool = make_tool(ENDLESS)
    answered = anyio.Event()
    cancelled = False

    async def caller() -> None:
        nonlocal cancelled
        try:
            await tool.execute(
                to=TO, goal="Tea", on_event=lambda e: answered.set() if e["type"] == "answered" else None
            )
        except anyio.get_cancelled_exc_class():
            cancelled = True
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caller)
        with anyio.fail_after(10):
            await answered.wait()
        tasks.cancel_scope.cancel()
    assert cancelled
    assert only_call(tool).record.statuses()[-1] == "completed"
    assert tool.phone.live_calls == []


@pytest.mark.anyio
async def test_asyncio_wait_for_hangs_up(make_tool: MakeTool) -> None:
    tool = make_tool(ENDLESS)
    await tool.start()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tool.execute(to=TO, goal="Tea"), 0.4)
    assert tool.phone.live_calls == []
    assert only_call(tool).record.statuses()[-1] in ("completed", "canceled")


@pytest.mark.anyio
async def test_hangup_ends_one_call_from_any_thread(make_tool: MakeTool) -> None:
    tool = make_tool(ENDLESS)
    results: list[CallResult] = []

    def on_event(event: Mapping[str, Any]) -> None:
        if event["type"] == "user":
            assert not tool.hangup("CAnobody")
            assert tool.hangup(event["call_id"])

    results.append(await tool.execute(to=TO, goal="Tea", on_event=on_event))
    assert results[0].status == "completed"
    assert results[0]["details"]["end_reason"] == "agent_hangup"


def test_hangup_all_ends_a_blocking_call_of_another_thread(make_tool: MakeTool) -> None:
    tool = make_tool(ENDLESS)
    talking = threading.Event()
    results: list[CallResult] = []

    def caller() -> None:
        on_event = lambda event: talking.set() if event["type"] == "answered" else None  # noqa: E731
        results.append(tool.execute_sync(to=TO, goal="Tea", on_event=on_event))

    thread = threading.Thread(target=caller)
    thread.start()
    assert talking.wait(10)
    assert tool.hangup_all() == 1
    thread.join(10)
    assert results[0]["details"]["end_reason"] == "agent_hangup"


@pytest.mark.anyio
async def test_hangup_all_also_drops_the_calls_that_wait_for_their_turn(make_tool: MakeTool) -> None:
    tool = make_tool(ENDLESS, max_concurrent_calls=1)
    talking = anyio.Event()
    results: list[CallResult | PhoneStopped] = []

    async def one() -> None:
        try:
            on_event = lambda event: talking.set() if event["type"] == "answered" else None  # noqa: E731
            results.append(await tool.execute(to=TO, goal="Tea", on_event=on_event))
        except PhoneStopped as error:
            results.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        tasks.start_soon(one)
        with anyio.fail_after(10):
            await talking.wait()
        assert tool.hangup_all() == 1
    assert exchange(tool).creates == 1
    assert sorted(type(result).__name__ for result in results) == ["CallResult", "PhoneStopped"]


@pytest.mark.anyio
async def test_the_first_id_of_a_call_hangs_it_up_too(make_tool: MakeTool) -> None:
    tool = make_tool(ENDLESS)
    ids: list[str] = []

    def on_event(event: Mapping[str, Any]) -> None:
        ids.append(event["call_id"])
        if event["type"] == "answered":
            assert tool.hangup(ids[0])

    result = await tool.execute(to=TO, goal="Tea", on_event=on_event)
    assert ids[0].startswith("local_")
    assert ids[0] != result.call_id
    assert result["details"]["ended_by"] == "system"


@pytest.mark.anyio
async def test_stopping_ends_the_live_calls_with_an_envelope(make_tool: MakeTool) -> None:
    tool = make_tool(ENDLESS)
    answered = anyio.Event()
    results: list[CallResult] = []

    async def caller() -> None:
        results.append(
            await tool.execute(
                to=TO, goal="Tea", on_event=lambda e: answered.set() if e["type"] == "answered" else None
            )
        )

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caller)
        with anyio.fail_after(10):
            await answered.wait()
        await tool.stop()
    assert results[0].status == "failed"
    assert results[0]["details"]["end_reason"] == "shutdown"
    with pytest.raises(PhoneStopped):
        await tool.execute(to=TO, goal="Tea")


@pytest.mark.anyio
async def test_start_is_idempotent_and_a_stopped_tool_can_be_started_again(make_tool: MakeTool) -> None:
    tool = make_tool()
    await tool.start()
    await tool.start()
    await tool.stop()
    await tool.stop()
    async with tool:
        assert (await tool.execute(to=TO, goal="Tea")).status == "completed"


@pytest.mark.anyio
async def test_many_first_calls_boot_one_server(make_tool: MakeTool) -> None:
    tool = make_tool()
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(tool.start)
    assert tool.phone.is_running


@pytest.mark.anyio
async def test_a_busy_port_is_an_error_and_leaves_the_tool_startable() -> None:
    taken = bind("127.0.0.1", 0)
    port = taken.getsockname()[1]
    tool = PatterTool(Patter.local(BRIEF, voice="tones", port=port, timings=Timings.quick(), llm=Mind()))
    try:
        with pytest.raises(PortInUse, match=str(port)):
            await tool.execute(to=TO, goal="Tea")
        taken.close()
        assert (await tool.execute(to=TO, goal="Tea")).status == "completed"
    finally:
        taken.close()
        await tool.stop()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"to": "911", "goal": "x"}, "to"), ({"to": TO}, "goal"), ({"to": TO, "goal": "x", "max_duration_sec": 0}, None)],
)
@pytest.mark.anyio
async def test_bad_arguments_raise_before_anything_is_started(
    make_tool: MakeTool, arguments: dict[str, Any], field: str | None
) -> None:
    tool = make_tool()
    with pytest.raises(InvalidArguments) as caught:
        await tool.execute(arguments)
    assert caught.value.field == (field or "max_duration_sec")
    with pytest.raises(InvalidArguments):
        tool.execute_sync(arguments)
    assert not tool.phone.is_running


@pytest.mark.anyio
async def test_other_shapes_of_arguments_are_refused(make_tool: MakeTool) -> None:
    tool = make_tool()
    with pytest.raises(InvalidArguments, match="not an object"):
        await tool.execute("+15550100199")  # type: ignore[arg-type]
    with pytest.raises(InvalidArguments, match="passed twice"):
        await tool.execute({"to": TO}, to=TO)
    with pytest.raises(InvalidArguments, match="unknown argument"):
        await tool.execute(to=TO, goal="x", number="1")


def test_allowed_numbers_are_kept(make_tool: MakeTool) -> None:
    tool = make_tool(allowed_numbers=["+1555"])
    with pytest.raises(NotAllowed, match="not among the allowed"):
        tool.execute_sync(to="+16505551234", goal="x")
    chosen = make_tool(allowed_numbers=lambda number: number.endswith("9"))
    assert chosen.check(to=TO, goal="x").to == TO
    with pytest.raises(NotAllowed):
        chosen.check(to="+15550100198", goal="x")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_duration_sec": 0}, "max_duration_sec"),
        ({"max_concurrent_calls": 0}, "max_concurrent_calls"),
        ({"allowed_numbers": "+1555"}, "allowed_numbers"),
        ({"agent": {"stt": object()}}, "llm and tts"),
        ({"agent": {"ears": 1}}, "no ears"),
        ({"agent": {"stt": 1, "llm": 2, "tts": 3}}, "open"),
        ({"agent": "you are nice"}, "mapping"),
        ({"max_duration_sec": "60"}, "max_duration_sec"),
        ({"name": "make call!"}, "tool name"),
    ],
)
def test_a_bad_configuration_names_the_option(make_tool: MakeTool, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_tool(**options)


def test_details_can_be_left_out(make_tool: MakeTool) -> None:
    result = make_tool(include_details=False).execute_sync(to=TO, goal="Tea")
    assert "details" not in result.to_dict()


# --- Hermes ------------------------------------------------------------------------------------


class Registry:
    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def register(self, **entry: Any) -> None:
        self.entries.append(entry)


@pytest.mark.anyio
async def test_hermes_gets_json_text_always(make_tool: MakeTool) -> None:
    tool = make_tool()
    registry = Registry()
    tool.register_hermes(registry)
    (entry,) = registry.entries
    assert (entry["name"], entry["toolset"]) == ("make_phone_call", "patter")
    assert entry["schema"] == tool.hermes_schema()
    envelope = json.loads(await entry["handler"]({"to": TO, "goal": "Tea"}, task_id="t"))
    assert envelope["status"] == "completed"
    for wrong in (None, {}, {"to": "555"}, "nonsense", {"to": TO}):
        answer = json.loads(await entry["handler"](wrong))
        assert list(answer) == ["error"]
        assert answer["error"].startswith(("to:", "goal:", "arguments:"))
