"""Tools that misbehave in whole calls on the local network: the call goes on, and tells the truth about them."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest

from patter import Agent, CallResult, Patter, PatterTool
from patter.envelope import ToolCallRecord
from patter.local.dialogue import Dialogue, Listen, Persona, Say, Wait, scripted
from patter.local.exchange import Timings
from patter.settings import Timing
from patter.voice.base import Delta, Message, ToolCall, ToolSpec

pytestmark = pytest.mark.anyio

TO = "+15550100199"
ASKING = scripted(Say("What about my order?"), Listen(), Wait(0.3))
SECRET = "s3cret-of-the-handler"
PARAMETERS = {"type": "object", "properties": {"n": {"type": "integer"}}}
LONGEST_S = 20.0
"""A handler waits no longer for what the test promises it."""

Answer = list[Delta]
BYE = ToolCall("bye", "end_call", "{}")


class Mind:
    """Answers as it is told, and keeps what it was asked."""

    model = "local/faults"

    def __init__(self, answer: Callable[[Sequence[Message]], Answer]) -> None:
        self._answer = answer
        self.asked: list[list[Message]] = []

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        self.asked.append(list(messages))

        async def deltas() -> AsyncIterator[Delta]:
            for delta in self._answer(messages):
                yield delta

        yield deltas()


def uses(*calls: ToolCall, then: Callable[[], object] = lambda: None) -> Mind:
    """Calls these tools, then says what the last result was, and hangs up."""

    def answer(messages: Sequence[Message]) -> Answer:
        results = [message.content for message in messages if message.role == "tool"]
        if not results:
            return [*calls]
        then()
        return [f"It is {results[-1]}. Goodbye.", BYE]

    return Mind(answer)


def look(number: int = 1, call_id: str = "t0") -> ToolCall:
    return ToolCall(call_id, "look", json.dumps({"n": number}))


def tool_of(handler: Callable[..., Any], **options: Any) -> dict[str, Any]:
    return {
        "name": "look",
        "description": "Looks up what was asked for.",
        "parameters": PARAMETERS,
        "handler": handler,
        **options,
    }


def phone_of(mind: Mind, persona: Persona = ASKING) -> Patter:
    return Patter.local(persona, voice="tones", timings=Timings.quick(), llm=mind)


async def place(phone: Patter, tool: dict[str, Any], on_event: Callable[[dict[str, Any]], object] = id) -> CallResult:
    default = phone.default_agent
    assert default is not None
    timing = Timing(end_of_turn_s=0.2, end_of_turn_marked_s=0.1, final_status_s=0.5, mind_filler_s=20)
    who = Agent(stt=default.stt, llm=default.llm, tts=default.tts, tools=[tool], timing=timing)
    async with PatterTool(phone, who) as phone_tool:
        return await phone_tool.execute(to=TO, goal="Help", max_duration_sec=40, on_event=on_event)


def said(result: CallResult) -> str:
    return " ".join(line.text for line in result.transcript if line.role == "agent")


def looks(result: CallResult) -> list[ToolCallRecord]:
    assert result.details is not None
    return [record for record in result.details.tool_calls if record.name == "look"]


@pytest.mark.parametrize("error", [ValueError(SECRET), SystemExit(SECRET)], ids=["error", "exit"])
@pytest.mark.parametrize("is_async", [True, False], ids=["coroutine", "function"])
async def test_a_raising_handler_runs_once_and_its_text_is_nowhere(
    error: BaseException, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[int] = []

    def function(arguments: dict[str, Any], context: Any) -> None:
        begun.append(arguments["n"])
        raise error

    async def coroutine(arguments: dict[str, Any], context: Any) -> None:
        function(arguments, context)

    mind, events = uses(look()), []
    with caplog.at_level(logging.DEBUG):
        result = await place(phone_of(mind), tool_of(coroutine if is_async else function), events.append)
    assert result.status == "completed"
    assert begun == [1]
    assert [(record.is_error, record.reason) for record in looks(result)] == [(True, "handler_error")]
    assert said(result) == 'It is {"error": "handler_error"}. Goodbye.'
    for where in (result.model_dump_json(), result.to_llm(), repr(events), repr(mind.asked), caplog.text):
        assert SECRET not in where
        assert "Traceback" not in where


class Held:
    """Handlers that do not listen, until the mind has the outcome of their call."""

    def __init__(self) -> None:
        self.mind_answered = threading.Event()
        self.begun = 0
        self.was_released: list[bool] = []
        self.over = threading.Event()

    async def swallows_cancellation(self, arguments: dict[str, Any], context: Any) -> None:
        self.begun += 1
        ends_at = asyncio.get_running_loop().time() + LONGEST_S
        while not self.mind_answered.is_set() and asyncio.get_running_loop().time() < ends_at:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        self._release()

    def blocks(self, arguments: dict[str, Any], context: Any) -> None:
        self.begun += 1
        self.mind_answered.wait(LONGEST_S)
        self._release()

    async def blocks_the_hosts_loop(self, arguments: dict[str, Any], context: Any) -> None:
        self.blocks(arguments, context)

    def _release(self) -> None:
        self.was_released.append(self.mind_answered.is_set())
        self.over.set()


@pytest.mark.parametrize("how", ["swallows_cancellation", "blocks", "blocks_the_hosts_loop"])
async def test_a_handler_that_does_not_listen_does_not_hold_the_turn(how: str) -> None:
    held = Held()
    mind = uses(look(), then=held.mind_answered.set)
    result = await place(phone_of(mind), tool_of(getattr(held, how), timeout_ms=200))
    assert await anyio.to_thread.run_sync(held.over.wait, LONGEST_S)
    assert held.begun == 1
    assert held.was_released == [True]  # the mind was told while the handler still worked
    assert [record.reason for record in looks(result)] == ["timeout"]
    assert said(result) == 'It is {"error": "timeout"}. Goodbye.'


async def test_calls_of_one_id_in_one_answer_run_once_each_under_ids_of_their_own() -> None:
    seen: list[tuple[int, str]] = []

    def handler(arguments: dict[str, Any], context: Any) -> str:
        seen.append((arguments["n"], context.tool_call_id))
        return f"number {arguments['n']}"

    mind = uses(*[look(number, "same") for number in (1, 2, 3)])
    result = await place(phone_of(mind), tool_of(handler))
    assert sorted(number for number, _ in seen) == [1, 2, 3]
    ids = [call_id for _, call_id in sorted(seen)]
    assert len(set(ids)) == 3
    assert sorted(record.tool_call_id for record in looks(result)) == sorted(ids)
    (asked, *outputs) = mind.asked[1][-4:]
    assert [call.id for call in asked.tool_calls] == ids
    assert [(output.tool_call_id, output.content) for output in outputs] == [
        (call_id, f"number {number}") for number, call_id in enumerate(ids, 1)
    ]


@pytest.mark.parametrize("who", ["callee", "host"])
async def test_a_call_that_ends_while_a_tool_runs_has_its_record(who: str) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    def hangs_up() -> Dialogue:
        yield Say("What about my order?")
        while not begun.is_set() or who == "host":
            yield Wait(0.02)

    async def slow(arguments: dict[str, Any], context: Any) -> None:
        begun.set()
        if who == "host":
            phone.hangup(context.call_id)
        try:
            await anyio.sleep(LONGEST_S)
        finally:
            cancelled.set()

    phone = phone_of(uses(look()), Persona("leaving", "Leaving", TO, hangs_up))
    result = await place(phone, tool_of(slow))
    assert result.details is not None
    reason = "user_hangup" if who == "callee" else "agent_hangup"
    assert (result.status, str(result.details.end_reason)) == ("completed", reason)
    assert [(record.is_error, record.reason) for record in looks(result)] == [(True, "shutdown")]
    assert await anyio.to_thread.run_sync(cancelled.wait, 5)


class Interrupted:
    """A callee that talks into what the agent says while a tool runs, and asks again when the handler is over."""

    def __init__(self) -> None:
        self.begun, self.heard, self.over = threading.Event(), threading.Event(), threading.Event()
        self.was_cancelled = False

    def talks(self) -> Dialogue:
        yield Say("What about my order?")
        while not self.begun.is_set():
            yield Wait(0.02)
        yield Listen(after_words=4)
        yield Say("Wait please.")
        while not self.over.is_set():
            yield Wait(0.02)
        yield Listen(timeout_s=1)
        yield Say("And now?")
        yield Listen()
        yield Wait(0.3)

    async def handler(self, arguments: dict[str, Any], context: Any) -> str:
        self.begun.set()
        try:
            await anyio.to_thread.run_sync(self.heard.wait, LONGEST_S, abandon_on_cancel=True)
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        finally:
            self.over.set()
        return "blue"

    def answer(self, messages: Sequence[Message]) -> Answer:
        """Sets ``heard`` once the mind has been told of the interruption."""
        if messages[-1].content == "And now?":
            outputs = [message.content for message in messages if message.role == "tool"]
            return [f"It was {outputs}. Goodbye.", BYE]
        if "Wait please" in messages[-1].content:
            self.heard.set()
            return ["Yes?"]
        if messages[-1].role == "tool":
            return ["I did not find it."]
        return ["I am looking for it in all of the books that we have here, and that takes a while.", look()]


@pytest.mark.parametrize(
    ("interruption", "output", "reason"),
    [("continue", "blue", None), ("cancel", '{"error": "shutdown"}', "shutdown")],
)
async def test_what_a_barge_in_does_to_a_tool(interruption: str, output: str, reason: str | None) -> None:
    callee = Interrupted()
    mind = Mind(callee.answer)
    persona = Persona("interrupting", "Interrupting", TO, callee.talks)
    result = await place(phone_of(mind, persona), tool_of(callee.handler, interruption=interruption))
    assert callee.was_cancelled == (interruption == "cancel")
    assert [record.reason for record in looks(result)] == [reason]
    assert [message.content for message in mind.asked[-1] if message.role == "tool"] == [output]
    agent = [line.text for line in result.transcript if line.role == "agent"]
    assert 4 <= len(agent[0].split()) < 19  # what was said when the callee broke in was not said to its end
    assert agent[-1] == f"It was {[output]}. Goodbye."
