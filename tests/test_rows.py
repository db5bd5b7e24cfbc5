"""The page of requirements has every row, and every test it names exists. Below, what no other test covers."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from patter import CallResult, Patter, PatterTool, Timing
from patter.local.dialogue import Dialogue, Listen, Persona, Say, Wait, scripted
from patter.local.exchange import Timings
from patter.server.listener import bind, serve
from patter.store.knowledge import SqliteKnowledge
from patter.testing import MindStep, ScriptedMind, reply
from patter.tools.clients import ClientToolManager
from patter.voice.base import ToolCall

TESTS = Path(__file__).parent
LAST = {"B": 20, "C": 36, "D": 18, "E": 30}
ROWS = [f"{system}-{number:02}" for system, last in LAST.items() for number in range(1, last + 1)]
ROW = re.compile(r"^\| ([A-Z]-\d\d) \| (.+?) \| (.*?) ?\| (done|open: .+) \|$")
NAME = re.compile(r"`([\w/]+\.py)::(\w+)`")

FOUND = [
    match.groups()
    for line in (TESTS.parent / "docs" / "requirements.md").read_text(encoding="utf-8").splitlines()
    if (match := ROW.match(line))
]


@cache
def named_in(file: str) -> set[str]:
    """The names of a file's tests."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return {name for name in found if name.startswith("test_")}


def test_every_row_is_on_the_page_once() -> None:
    assert [row for row, _, _, _ in FOUND] == ROWS


@pytest.mark.parametrize(("row", "named", "status"), [(row, named, status) for row, _, named, status in FOUND])
def test_every_test_that_the_page_names_exists(row: str, named: str, status: str) -> None:
    tests = NAME.findall(named)
    assert tests or status.startswith("open"), "a row that is done has a test"
    assert named.count("`") == 2 * len(tests), "a test is written `file.py::test_name`, below tests/"
    for file, test in tests:
        assert test in named_in(file)


# --- in whole calls on the local network ------------------------------------------------------------------

TO = "+15550100199"
TIMING = Timing(end_of_turn_s=0.2, end_of_turn_marked_s=0.1, final_status_s=0.5, mind_filler_s=20)
BYE = ToolCall("bye", "end_call", "{}")
ASKING = scripted(Say("What about it?"), Listen(), Wait(0.3))


async def place(
    steps: Sequence[str | MindStep],
    tools: list[Any],
    *,
    caller: Persona = ASKING,
    allow: Sequence[str] = (),
    **agent: Any,
) -> tuple[CallResult, Patter, ScriptedMind]:
    """Place a call in which the mind writes these answers."""
    mind = ScriptedMind(steps, first_token_s=0.0, speculative=False)
    phone = Patter.local(caller, voice="tones", timings=Timings.quick(), llm=mind, allow_hosts=allow)
    assert phone.default_agent is not None
    who = replace(phone.default_agent, tools=tools, timing=TIMING, **agent)
    async with PatterTool(phone, who) as tool:
        result = await tool.execute(to=TO, goal="Help", max_duration_sec=30)
    mind.assert_complete()
    assert result.status == "completed"
    return result, phone, mind


def said(result: CallResult) -> str:
    return " ".join(line.text for line in result.transcript if line.role == "agent")


def tool_of(tool_type: str, **config: Any) -> dict[str, Any]:
    return {"name": "use", "description": "Does what its type does.", "tool_type": tool_type, "config": config}


@pytest.mark.anyio
async def test_b06_a_handler_learns_of_the_call_and_of_both_numbers() -> None:
    learnt: list[dict[str, Any]] = []

    async def handler(arguments: dict[str, Any], context: dict[str, Any]) -> str:
        learnt.append({name: context[name] for name in ("call_id", "caller", "callee")})
        return "yes"

    tool = {"name": "use", "description": "Looks something up.", "handler": handler}
    result, phone, _ = await place([reply(ToolCall("t", "use", "{}")), reply("Yes. Bye.", BYE)], [tool])
    assert learnt == [{"call_id": result.call_id, "caller": phone.phone_number, "callee": TO}]


@pytest.mark.anyio
async def test_b16_an_agent_with_tools_serves_at_a_port() -> None:
    tool = {"name": "use", "description": "Looks something up.", "handler": lambda arguments, context: "nine"}
    mind = ScriptedMind(["Hello.", reply(ToolCall("t", "use", "{}")), reply("At nine. Bye.", BYE)], speculative=False)
    phone = Patter.local(voice="tones", timings=Timings.quick(), llm=mind)
    network = phone.network
    assert network is not None
    assert phone.default_agent is not None
    agent = replace(phone.default_agent, tools=[tool], timing=TIMING, system_prompt="Help.")
    caller = scripted(Listen(), Say("When do you open?"), Listen(), Wait(0.3))
    results: list[CallResult] = []
    over = anyio.Event()

    def on_event(event: dict[str, Any]) -> None:
        if event["type"] == "serving":
            phone.engine.invoke(lambda: network.call_in(caller))

    def on_result(result: CallResult) -> None:
        results.append(result)
        over.set()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:

            async def answer() -> None:
                await phone.serve(agent, port=0, on_event=on_event, on_result=on_result)

            tasks.start_soon(answer)
            await over.wait()
            await phone.stop()
    (result,) = results
    assert said(result) == "Hello. At nine. Bye."
    assert result.details is not None
    assert (result.details.tool_calls[0].name, result.details.tool_calls[0].is_error) == ("use", False)


@asynccontextmanager
async def shop() -> AsyncIterator[tuple[str, list[Request]]]:
    """A server of the host's own: its host and port, and what it was asked."""
    asked: list[Request] = []

    async def take(request: Request) -> JSONResponse:
        asked.append(request)
        return JSONResponse({"name": "Ann"})

    app = Starlette(routes=[Route("/customers", take)])
    with bind("127.0.0.1", 0) as sock:
        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda task_status: serve(app, sock, task_status=task_status))
            yield f"127.0.0.1:{sock.getsockname()[1]}", asked
            tasks.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("speaks", [True, False])
async def test_c15_c18_a_request_of_a_call_and_whether_the_agent_speaks_of_it(speaks: bool) -> None:
    async with shop() as (where, asked):
        tool = tool_of(
            "http_request",
            url=f"http://{where}/customers",
            headers=[{"key": "Authorization", "value": "Bearer {{API_KEY}}"}],
            query_params=[{"key": "phone", "value": "{{caller_phone}}"}],
            speak_after_execution=speaks,
        )
        caller = scripted(Say("Who am I?"), *([Listen()] if speaks else [Wait(1.0), Say("Well?"), Listen()]), Wait(0.3))
        result, phone, mind = await place(
            [reply(ToolCall("t", "use", "{}")), reply("Ann. Bye.", BYE, expect="Who am I?" if speaks else "Well?")],
            [tool],
            caller=caller,
            allow=[where],
            secrets={"API_KEY": "hush-hush"},
        )
    (request,) = asked
    assert (request.headers["authorization"], request.query_params["phone"]) == ("Bearer hush-hush", phone.phone_number)
    results = [message.content for message in mind.requests[-1].messages if message.role == "tool"]
    assert results == ['{"status": 200, "body": {"name": "Ann"}}']
    assert "hush-hush" not in result.to_json() + str(mind.requests)


@pytest.mark.anyio
async def test_c21_the_goodbye_of_the_config_is_spoken_before_the_call_ends() -> None:
    tool = tool_of("end_call", goodbye_message="Thank you for calling.")
    result, phone, _ = await place([reply("All right.", ToolCall("t", "use", "{}"))], [tool])
    assert said(result) == "All right. Thank you for calling."
    assert result.details is not None
    assert str(result.details.end_reason) == "agent_hangup"
    assert phone.network is not None
    (call,) = phone.network.exchange.calls.values()
    assert " ".join(call.heard) == said(result)


@pytest.mark.anyio
async def test_c27_the_other_side_reads_the_keys() -> None:
    tool = tool_of("play_tone", duration=100)
    keys: list[str] = []

    def machine() -> Dialogue:
        yield Say("Press your code.")
        for _ in "12#":
            heard = yield Listen(timeout_s=2)
            keys.append(heard.digits)
        yield Listen()

    caller = Persona("machine", "Machine", TO, machine, hears_keys=True)
    steps = [reply(ToolCall("t", "use", '{"digits": "12#"}')), reply("Done. Bye.", BYE)]
    await place(steps, [tool], caller=caller)
    assert "".join(keys) == "12#"


@pytest.mark.anyio
async def test_c28_the_bridging_sentence_is_spoken_and_the_documents_are_told() -> None:
    class Slow:
        async def search(self, query: str, *, top_k: int) -> Any:
            await anyio.sleep(0.6)
            return await knowledge.of("salon").search(query, top_k=top_k)

    knowledge = SqliteKnowledge()
    await knowledge.add("A haircut costs 40 euros.", source="prices.md", agent="salon")
    tool = tool_of("knowledge_base", bridging_sentence="Let me look.")
    steps = [reply(ToolCall("t", "use", '{"query": "haircut costs"}')), reply("40 euros. Bye.", BYE)]
    result, _, mind = await place(steps, [tool], knowledge=Slow())
    assert said(result) == "Let me look. 40 euros. Bye."
    (told,) = [message.content for message in mind.requests[1].messages if message.role == "tool"]
    assert "A haircut costs 40 euros." in told
    knowledge.close()


# --- client-side tools -------------------------------------------------------------------------------------


def test_e05_a_client_side_tool_has_thirty_seconds_by_default() -> None:
    assert inspect.signature(ClientToolManager).parameters["timeout_ms"].default == 30_000


@pytest.mark.anyio
async def test_e24_an_output_that_was_sent_is_told_without_its_contents() -> None:
    told: list[Any] = []
    sent = anyio.Event()

    class Conversation:
        async def send(self, message: dict[str, Any]) -> None:
            told.append("sent")
            sent.set()

    item = {"type": "function_call", "call_id": "c1", "name": "use", "arguments": '{"a": "contents"}'}
    async with ClientToolManager(
        {"use": lambda args, context: "contents"},
        get_active_call=Conversation,
        on_event=lambda name, facts: told.append((name, facts)),
    ) as manager:
        assert manager.handle_event({"type": "conversation.item.created", "item": item})
        with anyio.fail_after(5):
            await sent.wait()
            while len(told) < 3:
                await anyio.lowlevel.checkpoint()
    facts = {"call_id": "c1", "tool_name": "use"}
    completed = ("client.tool.completed", facts | {"is_error": False})
    assert told == [("client.tool.invoked", facts), "sent", completed]
