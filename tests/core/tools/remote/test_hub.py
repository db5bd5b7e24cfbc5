"""Who carries out which tool, under virtual time."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from patter import Tool, ToolContext
from patter.tools.refusals import ToolRefusal
from patter.tools.remote import wire
from patter.tools.remote.hub import Client, Hub

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaked_tasks")]

AGENT, CALL = "agent-1", "CA1"


def tool(name: str = "get_temperature", **options: Any) -> Tool:
    return Tool(name=name, description="Get the temperature of a city", tool_type="custom_websocket", **options)


class Program:
    """A client that keeps what it is sent."""

    def __init__(self, hub: Hub, *, agent: str = AGENT, **config: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        self.hub = hub
        self.client = Client(send=self.sent.append, agent=agent, config=wire.Config(agent=agent, **config))
        hub.join(self.client)

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.sent]

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["type"] == "tool_call"]

    def answer(self, output: Any, *, is_error: bool = False, to: int = -1) -> None:
        self.hub.answer(self.client, wire.Output(self.asked[to]["tool_call_id"], output, is_error))


async def ask(hub: Hub, asked: Tool | None = None, *, call_id: str = CALL, limit_s: float = 5.0) -> Any:
    with anyio.fail_after(limit_s):
        context = ToolContext(call_id=call_id)
        return await hub.ask(AGENT, asked or tool(), {"city": "Bonn"}, context, limit_s=limit_s)


class Asking:
    """One use of a tool, in a task of its own."""

    def __init__(self, hub: Hub, **options: Any) -> None:
        self.output: Any = None
        self.error: Exception | None = None
        self.over = anyio.Event()
        self.scope = anyio.CancelScope()
        self._options = options
        self._hub = hub

    async def run(self) -> None:
        with self.scope:
            try:
                self.output = await ask(self._hub, **self._options)
            except (ToolRefusal, TimeoutError) as error:
                self.error = error
        self.over.set()


async def begun(tasks: Any, hub: Hub, **options: Any) -> Asking:
    asking = Asking(hub, **options)
    tasks.start_soon(asking.run)
    await anyio.lowlevel.checkpoint()
    await anyio.lowlevel.checkpoint()
    return asking


async def test_d01_a_client_is_asked_and_its_output_is_the_result() -> None:
    hub = Hub()
    program = Program(hub)
    async with anyio.create_task_group() as tasks:
        asking = await begun(tasks, hub)
        await anyio.sleep(0.25)
        program.answer({"temperature": "75°F"})
        await asking.over.wait()
    assert asking.output == {"temperature": "75°F"}
    first, last = program.sent
    assert (first["tool_name"], first["parameters"], first["call_id"]) == ("get_temperature", {"city": "Bonn"}, CALL)
    assert last["type"] == "tool_call_output_processed"
    assert (last["duration_ms"], last["timed_out"], last["error_message"]) == (250.0, False, None)
    assert (last["tool_call_id"], last["output"]) == (first["tool_call_id"], {"temperature": "75°F"})


async def test_d03_outputs_find_their_calls_in_any_order() -> None:
    hub = Hub()
    program = Program(hub)
    async with anyio.create_task_group() as tasks:
        one, two = await begun(tasks, hub), await begun(tasks, hub, call_id="CA2")
        program.answer("second", to=1)
        program.answer("first", to=0)
        await one.over.wait()
        await two.over.wait()
    assert (one.output, two.output) == ("first", "second")


@pytest.mark.parametrize("then", ["a second output", "an output of another client", "an unknown id", "a late one"])
async def test_an_output_that_nobody_waits_for_is_warned_of(then: str) -> None:
    hub = Hub()
    program, other = Program(hub, names=("get_temperature",)), Program(hub, names=("other",))
    async with anyio.create_task_group() as tasks:
        asking = await begun(tasks, hub, limit_s=1.0)
        if then == "a late one":
            await asking.over.wait()
            program.answer("late")
        elif then == "a second output":
            program.answer("first")
            program.answer("second")
        elif then == "an output of another client":
            hub.answer(other.client, wire.Output(program.asked[0]["tool_call_id"], "mine"))
            program.answer("first")
        else:
            hub.answer(program.client, wire.Output("tool_unknown", 1))
            program.answer("first")
        await asking.over.wait()
    assert asking.output == (None if then == "a late one" else "first")
    warned = [one for one in (*program.sent, *other.sent) if one["type"] == "warning"]
    assert [one["warning"]["code"] for one in warned] == ["stale_tool_call"]


async def test_d14_a_slow_client_is_told_that_its_time_is_over() -> None:
    hub = Hub()
    program = Program(hub)
    async with anyio.create_task_group() as tasks:
        asking = await begun(tasks, hub, limit_s=5.0)
        await asking.over.wait()
    assert isinstance(asking.error, TimeoutError)
    assert program.kinds == ["tool_call", "tool_call_output_processed"]
    assert (program.sent[1]["timed_out"], program.sent[1]["error_message"]) == (True, "timeout")


async def test_a_use_that_nobody_waits_for_is_interrupted_at_the_client() -> None:
    hub = Hub()
    program = Program(hub)
    async with anyio.create_task_group() as tasks:
        asking = await begun(tasks, hub)
        asking.scope.cancel()
        await asking.over.wait()
    assert program.sent[1] == {
        "type": "tool_call_interrupted",
        "tool_call_id": program.sent[0]["tool_call_id"],
        "tool_name": "get_temperature",
    }


async def test_an_error_of_a_client_is_a_safe_code() -> None:
    hub = Hub()
    program = Program(hub)
    async with anyio.create_task_group() as tasks:
        asking = await begun(tasks, hub)
        program.answer("Traceback: secret", is_error=True)
        await asking.over.wait()
    assert isinstance(asking.error, ToolRefusal) and asking.error.answer() == {"error": "handler_error"}
    assert program.sent[-1]["error_message"] == "handler_error"


async def test_x25_without_a_client_the_answer_is_there_at_once() -> None:
    hub = Hub()
    Program(hub, agent="another")
    Program(hub, names=("another_tool",))
    Program(hub, call_id="CA2")
    with pytest.raises(ToolRefusal) as caught:
        await ask(hub)
    assert caught.value.reason == "shutdown"
    assert anyio.current_time() == 0


async def test_x25_a_client_that_vanishes_ends_what_it_has_at_once() -> None:
    hub = Hub()
    program, other = Program(hub), Program(hub, agent="another")
    async with anyio.create_task_group() as tasks:
        asking = await begun(tasks, hub)
        hub.leave(other.client)
        await anyio.wait_all_tasks_blocked()
        assert not asking.over.is_set()
        hub.leave(program.client)
        await asking.over.wait()
    assert isinstance(asking.error, ToolRefusal) and asking.error.reason == "shutdown"
    assert anyio.current_time() == 0
    assert hub.clients == 0


async def test_of_two_clients_the_later_one_is_asked_and_the_first_is_warned() -> None:
    hub = Hub()
    first = Program(hub, names=("get_temperature",))
    async with anyio.create_task_group() as tasks:
        running = await begun(tasks, hub)
        second = Program(hub, names=("get_temperature",))
        later = await begun(tasks, hub)
        second.answer("second")
        first.answer("first")
        await running.over.wait()
        await later.over.wait()
    assert (running.output, later.output) == ("first", "second")
    assert [one["warning"]["code"] for one in first.sent if one["type"] == "warning"] == ["tool_replaced"]
    assert "warning" not in second.kinds


async def test_d08_d09_inline_tools_are_there_while_their_client_is() -> None:
    hub = Hub()
    everywhere, here = tool("a"), tool("b")
    one = Program(hub, inline=(everywhere,))
    two = Program(hub, inline=(here,), call_id=CALL)
    before = hub.version
    assert hub.inline(AGENT, CALL) == (everywhere, here)
    assert hub.inline(AGENT, "CA2") == (everywhere,)
    assert hub.inline("another", CALL) == ()
    other = tool("c")
    hub.change(one.client, wire.Config(agent=AGENT, inline=(other,)))
    assert hub.inline(AGENT, CALL) == (here, other)
    hub.leave(two.client)
    assert hub.inline(AGENT, CALL) == (other,)
    assert hub.version > before


async def test_variables_are_for_the_calls_of_the_agent() -> None:
    hub = Hub()
    Program(hub, variables={"unit": "F"})
    Program(hub, variables={"unit": "C"}, call_id=CALL)
    assert hub.variables(AGENT) == {"unit": "F"}
    assert hub.variables("another") == {}


async def test_clients_hear_what_they_asked_for() -> None:
    hub = Hub()
    plain, curious, elsewhere = Program(hub), Program(hub, events=frozenset({"transcript"})), Program(hub, agent="x")
    hub.heard(AGENT, {"type": "user", "call_id": CALL, "text": "Hello"})
    hub.heard(AGENT, {"type": "saying", "call_id": CALL, "text": "Hi"})
    hub.heard(AGENT, {"type": "ended", "call_id": CALL})
    assert plain.kinds == ["assistant_ended_conversation"]
    assert curious.sent[0] == {"type": "input_text", "text": "Hello", "call_id": CALL}
    assert curious.kinds == ["input_text", "assistant_ended_conversation"]
    assert elsewhere.sent == []


async def test_an_inline_tool_is_asked_of_those_that_bring_it() -> None:
    hub = Hub()
    brought = tool()
    one, other = Program(hub, inline=(brought,)), Program(hub)
    async with anyio.create_task_group() as tasks:
        asking = await begun(tasks, hub, asked=brought)
        one.answer("mine")
        await asking.over.wait()
    assert (asking.output, other.sent) == ("mine", [])


async def test_arguments_that_are_no_json_are_not_sent() -> None:
    hub = Hub()
    program = Program(hub)
    with pytest.raises(ToolRefusal) as caught:
        await hub.ask(AGENT, tool(), {"x": float("nan")}, ToolContext(call_id=CALL), limit_s=5)
    assert (caught.value.reason, program.sent) == ("invalid_arguments", [])


async def test_a_client_of_a_call_stays_with_it_when_the_carrier_names_it() -> None:
    hub = Hub()
    program = Program(hub, call_id="local_1")
    program.client.is_in_call = {"local_1", "CA1"}.__contains__
    assert [one.serves_call(id_) for one in [program.client] for id_ in ("local_1", "CA1", "CA2")] == [
        True,
        True,
        False,
    ]


async def test_clients_follow_an_agent_that_is_renamed() -> None:
    hub = Hub()
    program = Program(hub, agent="before")
    hub.rename("before", AGENT)
    async with anyio.create_task_group() as tasks:
        asking = await begun(tasks, hub)
        program.answer("here")
        await asking.over.wait()
    assert asking.output == "here"
