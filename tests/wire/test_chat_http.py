"""What all chat models over HTTP do alike, each with its real SDK against its vendor's emulator."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint

from patter.errors import ConfigError, ProviderError
from patter.testing.emulators.anthropic import AnthropicEmulator
from patter.testing.emulators.chat import RateLimited
from patter.testing.emulators.faults import (
    BlackHole,
    Drop,
    ErrorFrame,
    Fault,
    Garbage,
    Refuse,
    SilentEnd,
    Stall,
    UnknownEvents,
)
from patter.testing.emulators.minds import CallTool, Pause, echo, says
from patter.testing.emulators.openai import OpenAIEmulator
from patter.voice.base import CallContext, ChatModel, Delta, Message, PerCallChatModel, ToolCall, ToolSpec, Usage

pytestmark = pytest.mark.anyio

KEY = "test-key"
CALL = CallContext(call_id="c1", caller="+15550000001", callee="+15550000002")
HISTORY = [Message("system", "Be brief."), Message("user", "Hello?")]
BOOK = ToolSpec("book", "Books a table.", {"type": "object", "properties": {"n": {"type": "integer"}}})
FIND = ToolSpec("find", "Finds a table.", {"type": "object", "properties": {}})
TALK = says("One moment, please. I will have a look for you.")


@dataclass(frozen=True)
class Maker:
    """A vendor: its emulator and its provider, whose SDK may not be installed."""

    name: str
    provider: str
    emulator: Callable[..., Any]

    def llm(self, **options: Any) -> Any:
        provider = getattr(import_module(f"patter.voice.{self.name}"), self.provider)
        return provider(**{"api_key": KEY, "timeout_s": 5.0, **options})


@pytest.fixture(
    params=[Maker("openai", "OpenAILLM", OpenAIEmulator), Maker("anthropic", "AnthropicLLM", AnthropicEmulator)],
    ids=lambda maker: maker.name,
)
def maker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Maker:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    pytest.importorskip(request.param.name)
    return request.param  # type: ignore[no-any-return]


async def ask(llm: ChatModel, *tools: ToolSpec) -> list[Delta]:
    async with llm.stream(HISTORY, tools) as stream:
        return [delta async for delta in stream]


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta for delta in deltas if isinstance(delta, str))


async def collect(stream: AsyncIterator[Delta], into: list[Delta]) -> None:
    async for delta in stream:
        into.append(delta)  # noqa: PERF401 (what came before a failure counts)


async def failure(llm: ChatModel) -> tuple[str, ProviderError]:
    """What was said before the failure, and the failure."""
    said: list[Delta] = []
    with pytest.raises(ProviderError) as caught:
        async with llm.stream(HISTORY, []) as stream:
            await collect(stream, said)
    assert caught.value.stage == "llm"
    assert KEY not in str(caught.value)
    return text_of(said), caught.value


# --- answers ---------------------------------------------------------------------------------------


async def test_text_comes_piece_by_piece_and_the_usage_last(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK, cached_tokens=2) as vendor:
        deltas = await ask(llm := maker.llm(base_url=vendor.base_url))
        assert text_of(deltas) == TALK.pieces[0]
        assert len(deltas) > 5
        assert deltas[-1] == Usage(5, 12, 2, model=llm.model)
        assert [request.path.split("/")[-1] for request in vendor.requests] in (["completions"], ["messages"])


async def test_two_tools_come_whole_and_in_order(maker: Maker) -> None:
    pieces = ("Sure.", CallTool("book", {"n": 2, "when": "tonight"}, "c1"), CallTool("find", {}, "c2"))
    async with maker.emulator(lambda *_: says(*pieces)) as vendor:
        deltas = await ask(maker.llm(base_url=vendor.base_url), BOOK, FIND)
        assert [delta for delta in deltas if isinstance(delta, ToolCall)] == [
            ToolCall("c1", "book", '{"n": 2, "when": "tonight"}'),
            ToolCall("c2", "find", "{}"),
        ]
        assert text_of(deltas) == "Sure."
        assert [tool.name for tool in vendor.requests[0].tools] == ["book", "find"]


async def test_arguments_that_are_no_json_are_passed_on(maker: Maker) -> None:
    async with maker.emulator(lambda *_: says(CallTool("book", "{broken", "c1"))) as vendor:
        deltas = await ask(maker.llm(base_url=vendor.base_url), BOOK)
        assert deltas[0] == ToolCall("c1", "book", "{broken")


async def test_the_vendor_takes_every_history_of_a_call(maker: Maker) -> None:
    calls = (ToolCall("c1", "book", "{broken"), ToolCall("c2", "find", "{}"))
    history = [
        Message("system", "Be brief."),
        Message("assistant", "Hello, this is an assistant."),
        Message("user", "Yes?"),
        Message("system", "The other side pressed 5 on the keypad."),
        Message("assistant", "Let me see."),
        Message("assistant", "", calls),
        Message("tool", '{"error":"invalid_arguments"}', tool_call_id="c1"),
        Message("tool", "", tool_call_id="c2"),
        Message("assistant", "It is full."),
    ]
    async with maker.emulator(lambda *_: TALK) as vendor:
        llm = maker.llm(base_url=vendor.base_url)
        for end in range(1, len(history) + 1):
            if end in (6, 7):
                continue  # tool calls without their results are in no history
            for tools in ([], [BOOK, FIND]):
                async with llm.stream(history[:end], tools) as stream:
                    assert text_of([delta async for delta in stream]) == TALK.pieces[0]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
async def test_what_was_said_before_the_model_was_stopped_is_an_answer(maker: Maker, finish: Any) -> None:
    async with maker.emulator(lambda *_: says("Well, no.", finish=finish)) as vendor:
        assert text_of(await ask(maker.llm(base_url=vendor.base_url))) == "Well, no."


@pytest.mark.parametrize(
    ("finish", "words", "retryable"),
    [(None, "empty", True), ("length", "max_tokens", True), ("content_filter", "safety", False)],
)
async def test_an_empty_answer_is_none_and_billed(maker: Maker, finish: Any, words: str, retryable: bool) -> None:
    async with maker.emulator(lambda *_: says(finish=finish)) as vendor:
        deltas: list[Delta] = []
        with pytest.raises(ProviderError, match=words) as caught:
            async with maker.llm(base_url=vendor.base_url).stream(HISTORY, []) as stream:
                await collect(stream, deltas)
        assert caught.value.retryable is retryable
        assert [type(delta) for delta in deltas] == [Usage]
        assert len(vendor.requests) == 1


async def test_unknown_events_are_skipped(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        vendor.faults.append(UnknownEvents())
        assert text_of(await ask(maker.llm(base_url=vendor.base_url))) == TALK.pieces[0]


async def test_ten_at_once(maker: Maker) -> None:
    answers: dict[int, str] = {}

    async def one(llm: PerCallChatModel, number: int) -> None:
        async with (
            llm.open(CALL) as session,
            session.stream([Message("user", f"This is number {number}.")], []) as stream,
        ):
            answers[number] = text_of([delta async for delta in stream])

    async with maker.emulator(echo, token_ms=2) as vendor:
        llm = maker.llm(base_url=vendor.base_url)
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(one, llm, number)
    assert answers == {number: f"This is number {number}." for number in range(10)}


# --- stopping early --------------------------------------------------------------------------------


async def test_leaving_stops_the_generation_at_the_vendor(maker: Maker) -> None:
    async with maker.emulator(lambda *_: says("and so on ", endless=True), token_ms=2) as vendor:
        llm = maker.llm(base_url=vendor.base_url)
        async with llm.open(CALL) as session:
            async with session.stream(HISTORY, []) as stream:
                async for delta in stream:
                    if isinstance(delta, str):
                        break
                left_at = anyio.current_time()
            request = next(request for request in vendor.requests if request.method == "POST")
            with anyio.fail_after(2):
                await request.ended()
        assert request.stopped_by_client
        assert request.ended_at - left_at < 0.2


async def test_cancelling_the_turn_stops_the_generation_at_the_vendor(maker: Maker) -> None:
    async with maker.emulator(lambda *_: says("Well, ", Pause(30), "hello.")) as vendor:
        llm = maker.llm(base_url=vendor.base_url)
        with anyio.CancelScope() as turn:
            async with llm.stream(HISTORY, []) as stream:
                async for delta in stream:
                    if delta == ", ":
                        turn.cancel()
        assert turn.cancelled_caught
        cancelled_at = anyio.current_time()
        with anyio.fail_after(2):
            await vendor.requests[0].ended()
        assert vendor.requests[0].stopped_by_client
        assert vendor.requests[0].ended_at - cancelled_at < 0.2


async def test_cancelling_before_the_answer_begins_stops_it_too(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        vendor.faults.append(BlackHole())
        llm = maker.llm(base_url=vendor.base_url)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, llm)
            request = await vendor.nth_request()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(2):
            await request.ended()
        assert request.stopped_by_client


async def test_nothing_is_left_for_the_garbage_collector(maker: Maker) -> None:
    async with maker.emulator(lambda *_: says("and so on ", endless=True), token_ms=1) as vendor:
        llm = maker.llm(base_url=vendor.base_url)
        async with llm.open(CALL) as session:
            async with session.stream(HISTORY, []) as stream:
                async for delta in stream:
                    if isinstance(delta, str):
                        break
            stream = None  # type: ignore[assignment]
            gc.collect()
            await checkpoint()
            assert [task.name for task in anyio.get_running_tasks() if "athrow" in repr(task.coro)] == []


# --- asking again ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Refuse(408),
        Refuse(409),
        RateLimited(retry_after_ms=1),
        Refuse(500),
        Refuse(503, body="<html>busy</html>"),
        Refuse(529),
        Drop(),
        Drop(after_messages=0),
        ErrorFrame(),
    ],
    ids=repr,
)
async def test_a_passing_failure_before_the_first_word_is_asked_again_once(maker: Maker, fault: Fault) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        llm = maker.llm(base_url=vendor.base_url)
        vendor.faults.append(fault)
        assert text_of(await ask(llm)) == TALK.pieces[0]
        assert len(vendor.requests) == 2
        vendor.faults.extend([fault, fault])
        said, error = await failure(llm)
        assert (said, error.retryable, len(vendor.requests)) == ("", True, 4)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "check the model and its options"),
        (401, "_API_KEY"),
        (402, "credit"),
        (403, "permissions"),
        (404, "does not know"),
        (413, "refused"),
    ],
)
async def test_a_refusal_for_good_is_not_asked_again(maker: Maker, status: int, words: str) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        vendor.faults.append(Refuse(status))
        _, error = await failure(maker.llm(base_url=vendor.base_url))
        assert words in str(error)
        assert (error.retryable, len(vendor.requests)) == (False, 1)


async def test_a_wrong_key_is_not_asked_again(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        _, error = await failure(maker.llm(api_key="another-key", base_url=vendor.base_url))
        assert f"{maker.name.upper()}_API_KEY" in str(error)
        assert "another-key" not in str(error)
        assert (error.retryable, len(vendor.requests)) == (False, 1)


async def test_the_vendors_pause_is_kept(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        llm = maker.llm(base_url=vendor.base_url)
        vendor.faults.append(RateLimited(retry_after_ms=300))
        await ask(llm)
        first, second = vendor.requests
        assert second.started_at - first.started_at >= 0.3


async def test_a_long_pause_is_not_waited_for(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        vendor.faults.append(RateLimited(retry_after_s=20))
        _, error = await failure(maker.llm(base_url=vendor.base_url))
        assert (error.retryable, len(vendor.requests)) == (True, 1)


async def test_a_pause_beyond_the_time_limit_is_not_waited_for(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        vendor.faults.append(RateLimited(retry_after_ms=1200))
        llm = maker.llm(base_url=vendor.base_url, timeout_s=1.0)
        await llm.start()
        began = anyio.current_time()
        await failure(llm)
        assert anyio.current_time() - began < 1.0
        assert len(vendor.requests) == 1


async def test_nobody_listens(maker: Maker) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as closed:
        port = closed.extra_attributes[anyio.abc.SocketAttribute.local_port]()
    _, error = await failure(maker.llm(base_url=f"http://127.0.0.1:{port}/v1"))
    assert error.retryable
    assert "base_url" in str(error)


# --- breaking off ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Drop(after_messages=5), "in the middle"),
        (Garbage(after_messages=5), "no answer"),
        (SilentEnd(after_messages=5), "without finishing"),
        (ErrorFrame(after_messages=5), "broke off"),
        (Stall(after_messages=5), "in the middle"),
    ],
    ids=repr,
)
async def test_a_failure_after_the_first_word_is_final(maker: Maker, fault: Fault, words: str) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        vendor.faults.append(fault)
        said, error = await failure(maker.llm(base_url=vendor.base_url, timeout_s=0.3))
        assert words in str(error)
        assert error.retryable
        assert said
        assert TALK.pieces[0].startswith(said)
        assert len(vendor.requests) == 1


@pytest.mark.parametrize("fault", [SilentEnd(), Garbage()], ids=repr)
async def test_what_never_was_an_answer(maker: Maker, fault: Fault) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        vendor.faults.append(fault)
        said, error = await failure(maker.llm(base_url=vendor.base_url))
        assert (said, error.retryable) == ("", True)


@pytest.mark.parametrize("fault", [BlackHole(), Stall(), Stall(after_messages=1)], ids=repr)
async def test_the_time_to_the_first_word_is_bounded(maker: Maker, fault: Fault) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        vendor.faults.every = fault
        llm = maker.llm(base_url=vendor.base_url, timeout_s=0.3)
        await llm.start()
        began = anyio.current_time()
        _, error = await failure(llm)
        assert 0.3 <= anyio.current_time() - began < 1
        assert "0.3 s" in str(error)
        assert error.retryable


async def test_entering_waits_until_the_vendor_works_on_it_and_no_longer(maker: Maker) -> None:
    async with maker.emulator(lambda *_: says(Pause(30), "Hello.")) as vendor:
        with anyio.fail_after(2):
            async with maker.llm(base_url=vendor.base_url).stream(HISTORY, []):
                assert vendor.requests[0].status == 200


async def test_the_time_that_a_second_request_takes_is_not_added(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK, first_token_ms=500) as vendor:
        llm = maker.llm(base_url=vendor.base_url, timeout_s=0.8)
        await llm.start()
        vendor.faults.append(Drop(after_s=0.4))
        began = anyio.current_time()
        _, error = await failure(llm)
        assert "wrote nothing" in str(error)
        assert 0.8 <= anyio.current_time() - began < 1.0
        assert len(vendor.requests) == 2


async def test_an_answer_may_be_slow_as_long_as_it_goes_on(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK, token_ms=60) as vendor:
        assert text_of(await ask(maker.llm(base_url=vendor.base_url, timeout_s=0.4))) == TALK.pieces[0]


async def test_who_listens_may_be_slow(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        said = []
        async with maker.llm(base_url=vendor.base_url, timeout_s=0.2).stream(HISTORY, []) as stream:
            async for delta in stream:
                if not said:
                    await anyio.sleep(0.4)
                said.append(delta)
        assert text_of(said) == TALK.pieces[0]


# --- the session of a call -------------------------------------------------------------------------


async def test_a_session_greets_the_vendor_while_the_phone_rings(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        llm = maker.llm(base_url=vendor.base_url)
        assert isinstance(llm, PerCallChatModel)
        async with llm.open(CALL) as session:
            with anyio.fail_after(2):
                greeting = await vendor.nth_request()
                await greeting.ended()
            assert (greeting.method, greeting.path, greeting.status) == ("GET", "/v1/models", 200)
            assert session.model == llm.model
            assert text_of(await ask(session)) == TALK.pieces[0]


@pytest.mark.parametrize("fault", [BlackHole(), Refuse(401), Refuse(500), Drop()], ids=repr)
async def test_a_greeting_that_fails_is_nobodys_business(maker: Maker, fault: Fault) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        vendor.faults.append(fault)
        llm = maker.llm(base_url=vendor.base_url)
        await llm.start()
        began = anyio.current_time()
        async with llm.open(CALL) as session:
            await vendor.nth_request()
            assert text_of(await ask(session)) == TALK.pieces[0]
        assert anyio.current_time() - began < 1
        assert len(vendor.requests) == 2


async def test_the_owners_error_passes_unwrapped(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        with pytest.raises(KeyError, match="mine"):
            async with maker.llm(base_url=vendor.base_url).open(CALL):
                raise KeyError("mine")


@asynccontextmanager
async def counting_proxy(origin: str) -> AsyncIterator[tuple[str, list[SocketStream]]]:
    """Another address of a server, which counts the connections."""
    host, port = origin.removeprefix("http://").split("/")[0].split(":")
    connections: list[SocketStream] = []

    async def pump(source: SocketStream, sink: SocketStream) -> None:
        try:
            async for data in source:
                await sink.send(data)
            await sink.send_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass

    async def connect(client: SocketStream) -> None:
        connections.append(client)
        async with client, await anyio.connect_tcp(host, int(port)) as server, anyio.create_task_group() as tasks:
            tasks.start_soon(pump, client, server)
            tasks.start_soon(pump, server, client)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, connect)
        here = listener.extra_attributes[anyio.abc.SocketAttribute.local_port]()
        yield origin.replace(f":{port}", f":{here}"), connections
        tasks.cancel_scope.cancel()


async def test_the_turns_of_a_call_share_a_connection(maker: Maker) -> None:
    async with (
        maker.emulator(lambda *_: TALK, token_ms=1) as vendor,
        counting_proxy(vendor.base_url) as (address, connections),
        maker.llm(base_url=address).open(CALL) as session,
    ):
        await ask(session)
        used = len(connections)  # two, if the greeting was still on its way
        for _ in range(3):
            assert text_of(await ask(session)) == TALK.pieces[0]
        assert len(connections) == used <= 2


async def test_a_proxy_is_not_asked_for_this_machine(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with maker.emulator(lambda *_: TALK) as vendor:
        assert text_of(await ask(maker.llm(base_url=vendor.base_url))) == TALK.pieces[0]


# --- what it is made of ----------------------------------------------------------------------------


async def test_starting_again_changes_nothing(maker: Maker) -> None:
    async with maker.emulator(lambda *_: TALK) as vendor:
        llm = maker.llm(base_url=vendor.base_url)
        await llm.start()
        await llm.start()
        assert text_of(await ask(llm)) == TALK.pieces[0]


def test_the_key_is_not_shown(maker: Maker) -> None:
    llm = maker.llm(api_key="sk-secret", model="some-model", base_url="http://127.0.0.1:9/v1/")
    assert repr(llm) == f"{maker.provider}(model='some-model', base_url='http://127.0.0.1:9/v1')"
    assert llm.model == f"{maker.name}/some-model"


def test_key_and_address_come_from_the_environment(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=f"{maker.name.upper()}_API_KEY"):
        maker.llm(api_key=None)
    monkeypatch.setenv(f"{maker.name.upper()}_API_KEY", "sk-secret")
    monkeypatch.setenv(f"{maker.name.upper()}_BASE_URL", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in repr(maker.llm(api_key=None))


@pytest.mark.parametrize("key", ["sk-\u201cquoted\u201d", "sk-a\nb", " "])
def test_a_key_that_cannot_be_sent_is_found_at_once(maker: Maker, key: str) -> None:
    with pytest.raises(ConfigError, match="api_key"):
        maker.llm(api_key=key)


def test_a_missing_sdk_is_named(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    maker.llm()
    monkeypatch.setitem(sys.modules, maker.name, None)
    with pytest.raises(ConfigError, match=rf"pip install 'patter-core\[{maker.name}\]'"):
        maker.llm()


def test_the_sdk_is_imported_when_it_is_used(maker: Maker) -> None:
    maker.llm()
    program = (
        f"import sys; from patter.voice.{maker.name} import {maker.provider}; "
        f"{maker.provider}('key'); assert '{maker.name}' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
