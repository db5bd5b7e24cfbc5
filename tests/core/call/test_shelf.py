"""The tools of others in a call: what they change is there in the next turn."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import anyio
import pytest

from patter import Agent, Tool
from patter.call.borrowed import Borrowed
from patter.call.gear import PhoneGear, call_gear
from patter.call.request import CallRequest
from patter.call.toolbox import CallTools
from patter.call.transcript import Transcript
from patter.testing import ScriptedEars, ScriptedLine, ScriptedMind, ScriptedVoice
from patter.tools.context import ToolContext
from patter.tools.mcp.connection import Offer, Place
from patter.tools.refusals import ToolRefusal
from patter.tools.runner import ToolRunner
from patter.voice.base import ToolCall

pytestmark = pytest.mark.anyio


class Shelf:
    """Tools that the test changes; `answers` are what the program at the other end says."""

    def __init__(self, *tools: Tool) -> None:
        self.version = 0
        self._tools: Sequence[Tool] = tools
        self.answers: dict[str, Any] = {}
        self.waiting = anyio.Event()

    def put(self, *tools: Tool) -> None:
        self._tools = tools
        self.version += 1

    def tools(self) -> Sequence[Tool]:
        return self._tools

    async def ask(self, tool: Tool, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        answer = self.answers.get(tool.name)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            self.waiting.set()
            await anyio.sleep_forever()
        return answer


def remote(name: str, **options: Any) -> Tool:
    return Tool(name=name, description="Asks a program elsewhere.", tool_type="custom_websocket", **options)


def own(name: str) -> Tool:
    return Tool(name=name, description="Asks this very program.", handler=lambda arguments, context: "own")


def server(name: str) -> Tool:
    config = {"url": f"https://{name}.example.com/"}
    return Tool(name=name, description="All tools of a server there.", tool_type="mcp", config=config)


@asynccontextmanager
async def toolbox(shelf: Shelf, *tools: Tool, mcp: Any = None) -> AsyncIterator[CallTools]:
    agent = Agent(stt=ScriptedEars(ScriptedLine()), llm=ScriptedMind(()), tts=ScriptedVoice(), tools=tools)
    request = CallRequest(ref="r", to="+15550100199", from_number="+15550100001", agent=agent, max_duration_s=60)
    transcript = Transcript()
    gear = PhoneGear()
    made = replace(call_gear(request, gear, transcript, anyio.sleep, lambda: "CA1"), shelf=shelf)
    box = CallTools(
        agent.tools,
        gear=made if mcp is None else replace(made, mcp=mcp),
        transcript=transcript,
        timeout_s=10,
        context=lambda: {"call_id": "CA1"},
        emit=lambda type_, **facts: None,
    )
    async with anyio.create_task_group() as tasks:
        box.open(tasks, on_closing=lambda: True)
        yield box
        tasks.cancel_scope.cancel()
    await gear.aclose()


async def used(box: CallTools, name: str, arguments: str = "{}") -> str:
    (message,) = await box.run([box.admit(ToolCall("1", name, arguments))])
    return message.content


def offered(box: CallTools) -> list[str]:
    return [spec.name for spec in box.specs()]


async def test_tools_come_change_and_go_between_two_turns(no_leaked_tasks: None) -> None:
    shelf = Shelf(remote("weather"))
    async with toolbox(shelf, own("orders")) as box:
        assert offered(box) == ["orders", "weather", "end_call"]
        shelf.put(remote("weather", priority=-1), remote("traffic"))
        assert offered(box) == ["weather", "orders", "traffic", "end_call"]
        shelf.put(remote("weather", is_enabled=False))
        assert offered(box) == ["orders", "end_call"]


async def test_what_was_deleted_is_unknown_at_its_next_use(no_leaked_tasks: None) -> None:
    shelf = Shelf(remote("weather"))
    shelf.answers["weather"] = {"temperature": 24}
    async with toolbox(shelf) as box:
        assert json.loads(await used(box, "weather")) == {"temperature": 24}
        shelf.put()
        assert json.loads(await used(box, "weather")) == {"error": "unknown_tool"}


async def test_no_tool_of_others_replaces_one_of_the_agent(no_leaked_tasks: None) -> None:
    shelf = Shelf(remote("orders"), remote("end_call"))
    async with toolbox(shelf, own("orders")) as box:
        assert offered(box) == ["orders", "end_call"]
        assert await used(box, "orders") == "own"


async def test_names_are_compared_as_a_model_knows_them(no_leaked_tasks: None) -> None:
    long = own("o" * 70)
    shelf = Shelf(remote(long.exported_name))
    async with toolbox(shelf, long) as box:
        assert await used(box, long.exported_name) == "own"


async def test_of_two_tools_of_one_name_the_first_keeps_it(no_leaked_tasks: None) -> None:
    stored, inline = remote("lookup", id=uuid4(), priority=1), remote("lookup", priority=2)
    shelf = Shelf(stored, inline)
    runner = ToolRunner()
    borrowed = Borrowed(shelf, runner, own=(), expand=_nobody)

    async def now(*tools: Tool) -> Tool | None:
        shelf.put(*tools)
        async with anyio.create_task_group() as tasks:
            borrowed.update(tasks)
        return runner.tool("lookup")

    assert await now(stored, inline) is stored
    assert await now(inline) is inline
    assert await now(stored, inline) is inline
    changed = stored.model_copy(update={"priority": 3})
    assert await now(stored) is stored
    assert await now(changed, inline) is changed
    assert await now() is None


async def _nobody(server: Tool) -> Sequence[Tool]:
    return ()


class Gates:
    """MCP servers that answer when the test lets them; each has one tool, ``search``."""

    def __init__(self) -> None:
        self.open: dict[str, anyio.Event] = {}

    async def tools(self, place: Place) -> list[Offer]:
        await self.open.setdefault(place.url or "", anyio.Event()).wait()
        return [Offer("search", f"Searches at {place.url}", {"type": "object", "properties": {}})]


async def test_servers_that_answer_late_replace_nothing(no_leaked_tasks: None) -> None:
    gates, servers = Gates(), [server(name) for name in ("ours", "a", "b")]
    shelf = Shelf(*servers[1:])
    async with toolbox(shelf, servers[0], mcp=gates) as box, anyio.create_task_group() as tasks:
        tasks.start_soon(box.start)
        box.specs()
        for name in ("a", "ours", "b"):  # the agent's own server answers after one of the others
            await anyio.wait_all_tasks_blocked()
            gates.open[f"https://{name}.example.com/"].set()
        await anyio.wait_all_tasks_blocked()
        described = {spec.name: spec.description for spec in box.specs()}
        assert described["search"] == "Searches at https://ours.example.com/"
        assert described["b_search"] == "Searches at https://b.example.com/"
        shelf.put()
        assert "search" in offered(box)
        assert "b_search" not in offered(box)


async def test_x25_a_program_that_is_gone_does_not_hold_the_turn(no_leaked_tasks: None) -> None:
    shelf = Shelf(remote("weather"))
    shelf.answers["weather"] = ToolRefusal("shutdown")
    async with toolbox(shelf) as box:
        assert json.loads(await used(box, "weather")) == {"error": "shutdown"}


async def test_d14_a_program_that_is_slow_times_out(no_leaked_tasks: None) -> None:
    shelf = Shelf(remote("weather"))
    async with toolbox(shelf) as box:
        assert json.loads(await used(box, "weather")) == {"error": "timeout"}
        assert anyio.current_time() == pytest.approx(5.0)


async def test_a_tool_that_ends_with_the_turn_holds_nobody_when_the_callee_speaks(no_leaked_tasks: None) -> None:
    shelf = Shelf(remote("weather", interruption="cancel"))
    async with toolbox(shelf) as box:
        async with anyio.create_task_group() as turn:
            turn.start_soon(used, box, "weather")
            await shelf.waiting.wait()
            box.interrupted()
            await anyio.sleep(1)
            assert [record.reason for record in box.records] == ["shutdown"]
            turn.cancel_scope.cancel()


async def test_the_tools_of_an_mcp_server_come_when_it_answers_and_go_with_it(no_leaked_tasks: None) -> None:
    shelf = Shelf()
    server = Tool(name="crm", description="Tools of the CRM.", tool_type="mcp", config={"url": "https://a.example.com"})
    answered = anyio.Event()

    async def expand(tool: Tool) -> Sequence[Tool]:
        await answered.wait()
        return [remote("find"), remote("add")]

    runner = ToolRunner()
    borrowed = Borrowed(shelf, runner, own=(), expand=expand)
    async with anyio.create_task_group() as tasks:
        shelf.put(server, remote("weather"))
        borrowed.update(tasks)
        assert runner.names == ["weather"]
        answered.set()
        await anyio.sleep(0.1)
        assert runner.names == ["weather", "find", "add"]
        shelf.put(remote("traffic"))
        borrowed.update(tasks)
        assert runner.names == ["traffic"]
        shelf.put(server)
        borrowed.update(tasks)
        shelf.put()
        borrowed.update(tasks)  # it is gone before it has answered
    assert runner.names == []
