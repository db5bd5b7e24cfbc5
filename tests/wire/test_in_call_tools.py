"""In-call tools in whole calls on the local network: real server, real media socket, real requests."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest

from patter import Agent, CallResult, Patter, PatterTool
from patter.audio.hold_music import hold_music
from patter.local.dialogue import Dialogue, Heard, Listen, Persona, Ring, Say, Wait, scripted
from patter.local.exchange import Timings
from patter.settings import Timing
from patter.testing import ScriptedMind, reply
from patter.tools.signing import verify_webhook
from patter.voice.base import Delta, Message, ToolCall, ToolSpec

pytestmark = pytest.mark.anyio

TO, TARGET = "+15550100199", "+15550100777"
ASKING = scripted(Say("What about my order?"), Listen(), Wait(0.3))
PATIENT = scripted(Say("What colour?"), Listen(), Listen(), Wait(0.3))
SECRET = "webhook-secret"


class Mind:
    """Calls the tools of its script in its first answer, then says what the last result was and hangs up."""

    model = "local/tools"

    def __init__(self, *calls: tuple[str, dict[str, Any]], text: str = "") -> None:
        self._calls = [
            ToolCall(f"t{number}", name, json.dumps(arguments)) for number, (name, arguments) in enumerate(calls)
        ]
        self._text = text
        self.offered: list[ToolSpec] = []
        self.system = ""

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        self.offered = list(tools)
        self.system = messages[0].content
        results = [message.content for message in messages if message.role == "tool"]

        async def deltas() -> AsyncIterator[Delta]:
            if messages[-1].content.startswith("The transfer came to nothing"):
                yield "They are not there. Goodbye."
                yield ToolCall("bye", "end_call", "{}")
            elif not results and not self._calls:
                yield "Goodbye."
                yield ToolCall("bye", "end_call", "{}")
            elif not results:
                if self._text:
                    yield self._text
                for call in self._calls:
                    yield call
            else:
                yield f"It is {results[-1]}. Goodbye."
                yield ToolCall("bye", "end_call", "{}")

        yield deltas()


def phone_of(mind: Mind, persona: Persona = ASKING, **options: Any) -> Patter:
    return Patter.local(persona, llm=mind, **{"voice": "tones", "timings": Timings.quick()} | options)


async def place(phone: Patter, tools: list[Any], **agent: Any) -> CallResult:
    assert phone.default_agent is not None
    default = phone.default_agent
    timing = Timing(end_of_turn_s=0.2, end_of_turn_marked_s=0.1, final_status_s=0.5, mind_filler_s=20)
    who = Agent(stt=default.stt, llm=default.llm, tts=default.tts, tools=tools, timing=timing, **agent)
    async with PatterTool(phone, who) as tool:
        return await tool.execute(to=TO, goal="Help", max_duration_sec=40)


def said(result: CallResult) -> str:
    return " ".join(line.text for line in result.transcript if line.role == "agent")


def heard(phone: Patter, number: str = TO) -> str:
    assert phone.network is not None
    (call,) = [call for call in phone.network.exchange.calls.values() if call.dialed.to == number]
    return " ".join(call.heard)


class Shop(BaseHTTPRequestHandler):
    """A server of the host's own. It keeps what it was asked."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((dict(self.headers), body))  # type: ignore[attr-defined]
        answer = json.dumps({"status": "shipped"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def shop() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def webhook(server: ThreadingHTTPServer, host: str = "127.0.0.1") -> dict[str, Any]:
    return {
        "name": "get_order_status",
        "description": "Look up an order by its number. Returns its status.",
        "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
        "webhook_url": f"http://{host}:{server.server_port}/orders",
    }


async def test_a_signed_webhook_is_asked_once_and_its_answer_is_spoken(shop: ThreadingHTTPServer) -> None:
    mind = Mind(("get_order_status", {"order_id": "ORD-1"}))
    phone = phone_of(mind, allow_hosts=[f"127.0.0.1:{shop.server_port}"])
    result = await place(phone, [webhook(shop)], webhook_secret=SECRET)
    assert result.status == "completed"
    assert '{"status": "shipped"}' in said(result)
    ((headers, body),) = shop.asked  # type: ignore[attr-defined]
    told = json.loads(body)
    assert (told["tool"], told["arguments"], told["caller"], told["callee"]) == (
        "get_order_status",
        {"order_id": "ORD-1"},
        phone.phone_number,
        TO,
    )
    assert told["call_id"] == result.call_id
    assert headers["Idempotency-Key"] == "t0"
    assert verify_webhook(body, headers, SECRET)
    assert not verify_webhook(body, headers, "another secret")
    assert [spec.name for spec in mind.offered] == ["get_order_status", "end_call"]
    assert result.details is not None
    assert [(record.name, record.is_error) for record in result.details.tool_calls] == [
        ("get_order_status", False),
        ("end_call", False),
    ]


async def test_an_internal_address_is_not_asked(shop: ThreadingHTTPServer) -> None:
    result = await place(phone_of(Mind(("get_order_status", {"order_id": "1"}))), [webhook(shop, "localhost.")])
    assert '{"error": "handler_error"}' in said(result)
    assert shop.asked == []  # type: ignore[attr-defined]


async def test_a_filler_is_spoken_while_a_slow_tool_runs_and_its_progress_too() -> None:
    async def slow(arguments: dict[str, Any], context: Any) -> AsyncIterator[dict[str, Any]]:
        await anyio.sleep(1.0)
        yield {"progress": "I have found it."}
        await anyio.sleep(0.1)
        yield {"result": "blue"}

    tool = {"name": "look", "description": "Looks up what colour it is.", "handler": slow}
    phone = phone_of(Mind(("look", {})))
    result = await place(phone, [tool])
    assert said(result) == "One moment, please. I have found it. It is blue. Goodbye."
    assert heard(phone) == said(result)
    assert result.details is not None
    assert result.details.latency.max_ms < 1500  # the filler is what the callee hears first


async def test_the_minds_own_words_are_filler_enough() -> None:
    async def slow(arguments: dict[str, Any], context: Any) -> str:
        await anyio.sleep(1.2)
        return "blue"

    tool = {"name": "look", "description": "Looks up what colour it is.", "handler": slow}
    assert said(await place(phone_of(Mind(("look", {}), text="Let me see."), PATIENT), [tool])) == (
        "Let me see. It is blue. Goodbye."
    )


async def test_handlers_of_a_host_run_on_its_own_loop() -> None:
    here = threading.get_ident()
    threads: dict[str, int] = {}

    async def on_the_loop(arguments: dict[str, Any], context: Any) -> str:
        threads["coroutine"] = threading.get_ident()
        return "done"

    def in_a_thread(arguments: dict[str, Any], context: Any) -> str:
        threads["function"] = threading.get_ident()
        return "done"

    tools = [
        {"name": handler.__name__, "description": "Does one thing and no other.", "handler": handler}
        for handler in (on_the_loop, in_a_thread)
    ]
    await place(phone_of(Mind(("on_the_loop", {}), ("in_a_thread", {}))), tools)
    assert threads["coroutine"] == here
    assert threads["function"] != here


async def test_an_async_tool_answers_later_and_the_agent_speaks_of_it() -> None:
    class Patient(Mind):
        @asynccontextmanager
        async def stream(
            self, messages: Sequence[Message], tools: Sequence[ToolSpec]
        ) -> AsyncIterator[AsyncIterator[Delta]]:
            async def deltas() -> AsyncIterator[Delta]:
                if "has answered: blue" in messages[-1].content:
                    yield "It is blue. Goodbye."
                    yield ToolCall("bye", "end_call", "{}")
                elif messages[-1].role == "tool":
                    assert json.loads(messages[-1].content)["status"] == "pending"
                    yield "I will tell you soon."
                else:
                    yield ToolCall("t0", "look", "{}")

            yield deltas()

    async def slow(arguments: dict[str, Any], context: Any) -> str:
        await anyio.sleep(1.5)
        return "blue"

    tool = {
        "name": "look",
        "description": "Looks up what colour it is.",
        "handler": slow,
        "execution_mode": "async",
        "wait_for_response": True,
    }
    assert said(await place(phone_of(Patient(), PATIENT), [tool])) == "I will tell you soon. It is blue. Goodbye."


def caller_talks() -> Dialogue:
    """Speaks up once the target is there, or the agent has said how the transfer ended."""
    yield Say("A person, please.")
    text = Heard()
    while "Target here." not in text.text and "Goodbye." not in text.text:
        text = yield Listen(timeout_s=None)
    yield Say("I am the caller.")
    yield Listen()


def target_talks() -> Dialogue:
    """Says that it is there until somebody speaks to it."""
    text = Heard()
    while "I am the caller." not in text.text:
        yield Say("Target here.")
        text = yield Listen(timeout_s=0.8)
    yield Say("Leave it to me.")
    yield Wait(0.4)


CALLER = Persona("caller", "Caller", TO, caller_talks)
HUMAN = Persona("target", "Target", TARGET, target_talks)
BUSY = Persona("busy target", "Busy", TARGET, target_talks, ring=Ring("busy"))


def transfer(kind: str) -> dict[str, Any]:
    config: dict[str, Any] = {"phone_number": TARGET}
    if kind == "monitored":
        tool_type = "monitored_transfer"
    else:
        tool_type = "transfer_call"
        config |= {"transfer_mode": kind, "message": "I will put you through."}
    return {"name": "person", "description": "Hand over to a person.", "tool_type": tool_type, "config": config}


@pytest.mark.parametrize("kind", ["cold", "warm", "monitored"])
async def test_a_transfer_is_heard_at_the_second_telephone(kind: str) -> None:
    phone = phone_of(Mind(("person", {}), text="Gladly."), CALLER, others={TARGET: HUMAN})
    result = await place(phone, [transfer(kind)])
    assert result.details is not None
    assert (result.status, str(result.details.end_reason)) == ("completed", "transferred")
    assert result.details.transfer == {"to": TARGET, "mode": kind, "status": "transferred"}
    assert said(result) == ("Gladly." if kind == "monitored" else "Gladly. I will put you through.")


@pytest.mark.parametrize("kind", ["warm", "monitored"])
async def test_a_transfer_that_fails_leaves_the_caller_with_the_agent(kind: str) -> None:
    phone = phone_of(Mind(("person", {}), text="Gladly."), CALLER, others={TARGET: BUSY})
    result = await place(phone, [transfer(kind)])
    assert result.details is not None
    assert (result.status, str(result.details.end_reason)) == ("completed", "agent_hangup")
    assert result.details.transfer == {"to": TARGET, "mode": kind, "status": "busy"}
    assert said(result).endswith("They are not there. Goodbye.")


def music_heard(phone: Patter) -> tuple[float, float]:
    """When music began at the first telephone, and for how long it was heard without a break; seconds of the stream."""
    assert phone.network is not None
    record = next(iter(phone.network.exchange.calls.values())).record
    loop, played = hold_music(), bytes(record.played)
    begin = played.index(loop[:1600])
    size = next((at for at in range(0, len(played) - begin, 160) if played[begin + at] != loop[at % len(loop)]), -1)
    return begin / 8000, (size if size > 0 else len(played) - begin) / 8000


def with_music() -> dict[str, Any]:
    tool = transfer("warm")
    tool["config"]["play_hold_music"] = True
    return tool


LATE = replace(HUMAN, ring=Ring(after_s=2.5))


async def test_a_caller_who_waits_for_a_warm_transfer_hears_music_until_the_target_is_there() -> None:
    timings = replace(Timings.quick(), longest_ring_s=8.0)
    phone = phone_of(Mind(("person", {}), text="Gladly."), CALLER, others={TARGET: LATE}, timings=timings)
    result = await place(phone, [with_music()])
    assert result.details is not None
    assert str(result.details.end_reason) == "transferred"
    assert said(result) == "Gladly. I will put you through."
    began_s, lasted_s = music_heard(phone)
    turn = result.details.turns[-1]
    assert (turn.role, turn.text) == ("agent", "Gladly. I will put you through.")
    assert 0 <= began_s - turn.ended_at < 0.3
    assert lasted_s > 2.0
    # Only words were understood at the other end: music says nothing.
    assert heard(phone) == "Gladly. I will put you through."


async def test_a_caller_who_speaks_ends_the_music_and_the_transfer_goes_on() -> None:
    def impatient() -> Dialogue:
        yield Say("A person, please.")
        yield Wait(4.0)
        yield Say("Are you still there?")
        yield Wait(8.0)

    timings = replace(Timings.quick(), longest_ring_s=12.0)
    mind = ScriptedMind(
        [
            reply("Gladly.", ToolCall("t1", "person", "{}")),
            reply("I am, they are being called.", expect="Are you still there?"),
        ],
        speculative=False,
    )
    caller = Persona("impatient", "Impatient", TO, impatient)
    late = replace(HUMAN, ring=Ring(after_s=6.0))
    result = await place(phone_of(mind, caller, others={TARGET: late}, timings=timings), [with_music()])
    mind.assert_complete()
    assert said(result) == "Gladly. I will put you through. I am, they are being called."
    assert result.details is not None
    assert str(result.details.end_reason) == "transferred"
    assert result.details.latency.max_ms < 2000


async def test_what_was_extracted_stands_in_the_envelope_and_in_a_request(shop: ThreadingHTTPServer) -> None:
    extract = {
        "name": "keep_mail",
        "description": "Keep the caller's mail address.",
        "tool_type": "extract_variable",
        "config": {"variable_name": "mail", "variable_type": "email"},
    }
    hook = webhook(shop) | {"priority": 1}
    mind = Mind(("get_order_status", {"order_id": "1"}), ("keep_mail", {"value": "Ann@Example.com"}))
    phone = phone_of(mind, allow_hosts=[f"127.0.0.1:{shop.server_port}"])
    result = await place(phone, [hook, extract])
    ((_, body),) = shop.asked  # type: ignore[attr-defined]
    assert json.loads(body)["variables"] == {"mail": "Ann@example.com"}
    assert result.details is not None
    assert result.details.variables == {"mail": "Ann@example.com"}


async def test_a_handlers_exception_reaches_the_developers_hook_and_nobody_else() -> None:
    told: list[tuple[str, str, BaseException]] = []
    error = ValueError("sesame")

    def broken(arguments: dict[str, Any], context: Any) -> None:
        assert (context.direction, context.attempt, context.variables) == ("outbound", 1, {})
        raise error

    tool = {"name": "look", "description": "Looks up what colour it is.", "handler": broken}
    result = await place(phone_of(Mind(("look", {}))), [tool], on_tool_error=lambda *facts: told.append(facts))
    assert told == [("t0", "look", error)]
    assert "sesame" not in result.to_json()


async def test_the_tools_of_an_mcp_server_are_offered_and_used() -> None:
    server = Path(__file__).parent.parent / "core" / "tools" / "executors" / "mcp_server.py"
    tool = {
        "name": "shop",
        "description": "The tools of the shop's own server.",
        "tool_type": "mcp",
        "config": {"command": [sys.executable, str(server)], "allowed_tools": ["add"]},
    }
    mind = Mind(("add", {"first": 2, "second": 3}))
    rings_long = replace(ASKING, ring=Ring(after_s=5))  # the server starts in the meantime
    timings = replace(Timings.quick(), longest_ring_s=8.0)
    result = await place(phone_of(mind, rings_long, timings=timings), [tool])
    assert [spec.name for spec in mind.offered] == ["add", "end_call"]
    assert said(result) == 'It is {"sum": 5}. Goodbye.'


async def test_variables_stand_in_the_agents_own_texts_and_secrets_do_not() -> None:
    mind = Mind()
    result = await place(
        phone_of(mind, scripted(Say("Hello?"), Listen(), Say("Who?"), Listen(), Wait(0.3))),
        [],
        system_prompt="You call for {{shop}}. Never say {{API_KEY}}.",
        first_message="Hello from {{shop}}, you are {{callee_phone}}.",
        variables={"shop": "Luigi's"},
        secrets={"API_KEY": "sesame"},
    )
    assert said(result).startswith(f"Hello from Luigi's, you are {TO}.")
    assert "You call for Luigi's. Never say {{API_KEY}}." in mind.system


async def test_tones_are_heard() -> None:
    tone = {
        "name": "press",
        "description": "Press keys of the telephone.",
        "tool_type": "play_tone",
        "config": {"duration": 100},
    }
    phone = phone_of(Mind(("press", {"digits": "12"})))
    result = await place(phone, [tone])
    assert '{"status": "played", "digits": 2}' in said(result)


async def test_tones_end_where_the_callee_takes_the_floor() -> None:
    def interrupts() -> Dialogue:
        yield Say("Hello?")
        yield Wait(1.5)
        yield Say("Stop it, please, I am here, stop it.")
        yield Listen()
        yield Wait(0.3)

    tone = {
        "name": "press",
        "description": "Press keys of the telephone.",
        "tool_type": "play_tone",
        "config": {"duration": 500, "gap_ms": 100},
        "speech": {"during": False},
    }
    mind = Mind(("press", {"digits": "123456789012"}), text="One moment.")
    phone = phone_of(mind, Persona("interrupts", "Interrupts", TO, interrupts))
    await place(phone, [tone])
    assert '{"error": "handler_error", "status": "interrupted"}' in heard(phone)
