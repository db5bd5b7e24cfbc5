"""OpenAI's chat models, with the real SDK against the emulator. What all vendors share is in test_chat_http.py."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from patter.errors import ProviderError
from patter.testing.emulators.minds import CallTool, says
from patter.testing.emulators.openai import INSUFFICIENT_QUOTA, OpenAIEmulator
from patter.testing.emulators.serving import Serving
from patter.voice.base import CallContext, Delta, Message, ToolCall, ToolSpec, Usage
from patter.voice.openai import OpenAILLM

pytestmark = pytest.mark.anyio

HISTORY = [Message("system", "Be brief."), Message("user", "Hello?")]
CALL = CallContext(call_id="c1", caller="+15550000001", callee="+15550000002")
BOOK = ToolSpec("book", "Books a table.", {"type": "object", "properties": {}})


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "live" not in request.keywords:
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
            monkeypatch.delenv(name, raising=False)


async def ask(llm: OpenAILLM, *tools: ToolSpec) -> list[Delta]:
    async with llm.stream(HISTORY, tools) as stream:
        return [delta async for delta in stream]


async def test_the_request_says_what_was_chosen() -> None:
    async with OpenAIEmulator(lambda *_: says("Hi.")) as openai:
        llm = OpenAILLM(
            "test-key",
            model="gpt-5.4-nano",
            base_url=openai.base_url,
            temperature=0.2,
            max_tokens=50,
            reasoning_effort="none",
            extra_body={"service_tier": "priority"},
        )
        assert llm.model == "openai/gpt-5.4-nano"
        await ask(llm)
        body = dict(openai.requests[0].body)
        assert body.pop("messages")
        assert body == {
            "model": "gpt-5.4-nano",
            "temperature": 0.2,
            "max_completion_tokens": 50,
            "reasoning_effort": "none",
            "service_tier": "priority",
            "stream": True,
            "stream_options": {"include_usage": True},
        }


async def test_what_was_not_chosen_is_not_sent() -> None:
    async with OpenAIEmulator(lambda *_: says("Hi.")) as openai:
        await ask(OpenAILLM("test-key", base_url=openai.base_url))
        assert set(openai.requests[0].body) == {"model", "messages", "stream", "stream_options"}


async def test_a_server_without_stream_options_is_asked_without_them_from_then_on() -> None:
    async with OpenAIEmulator(lambda *_: says("Hi."), unsupported=["stream_options"]) as openai:
        llm = OpenAILLM("test-key", base_url=openai.base_url)
        assert await ask(llm) == ["Hi."]
        assert await ask(llm) == ["Hi."]
        assert [request.status for request in openai.requests] == [400, 200, 200]


async def test_calls_that_find_it_out_at_the_same_time() -> None:
    async with OpenAIEmulator(lambda *_: says("Hi."), unsupported=["stream_options"]) as openai:
        llm = OpenAILLM("test-key", base_url=openai.base_url)
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask, llm)
        assert sum(request.status == 200 for request in openai.requests) == 5


async def test_what_the_host_insists_on_is_asked_for_twice_at_most() -> None:
    async with OpenAIEmulator(lambda *_: says("Hi."), unsupported=["stream_options"]) as openai:
        llm = OpenAILLM("test-key", base_url=openai.base_url, extra_body={"stream_options": {}})
        with pytest.raises(ProviderError, match="stream_options"):
            await ask(llm)
        assert len(openai.requests) == 2


async def test_another_parameter_that_is_not_taken_is_named() -> None:
    async with OpenAIEmulator(lambda *_: says("Hi."), unsupported=["temperature"]) as openai:
        with pytest.raises(ProviderError, match=r"unsupported_parameter: temperature"):
            await ask(OpenAILLM("test-key", base_url=openai.base_url, temperature=0.5))
        assert len(openai.requests) == 1


async def test_a_used_up_quota_is_not_asked_again() -> None:
    async with OpenAIEmulator(lambda *_: says("Hi.")) as openai:
        openai.faults.append(INSUFFICIENT_QUOTA)
        with pytest.raises(ProviderError, match="no credit") as caught:
            await ask(OpenAILLM("test-key", base_url=openai.base_url))
        assert (caught.value.retryable, len(openai.requests)) == (False, 1)


async def test_an_unknown_model_is_named_as_the_cause() -> None:
    async with OpenAIEmulator(lambda *_: says("Hi."), models=["gpt-5.4-mini"]) as openai:
        with pytest.raises(ProviderError, match=r"does not know the model.*model_not_found"):
            await ask(OpenAILLM("test-key", model="gpt-2", base_url=openai.base_url))


async def test_tool_calls_of_a_sloppy_server() -> None:
    answer = says(CallTool("book", {"n": 2}), CallTool("book", {"n": 3}))
    async with OpenAIEmulator(lambda *_: answer, sloppy_tools=True) as openai:
        llm = OpenAILLM("test-key", base_url=openai.base_url)
        calls = [delta for delta in await ask(llm, BOOK) if isinstance(delta, ToolCall)]
        assert [(call.name, call.arguments) for call in calls] == [("book", '{"n": 2}'), ("book", '{"n": 3}')]
        assert len({call.id for call in calls}) == 2


async def test_a_breakdown_after_the_last_word() -> None:
    async with OpenAIEmulator(lambda *_: says("Well", finish="failed")) as openai:
        with pytest.raises(ProviderError, match="broke off"):
            await ask(OpenAILLM("test-key", base_url=openai.base_url))


HELLO = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi."}, "finish_reason": null}]}\n\n'
STOP = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@asynccontextmanager
async def server(*pieces: bytes | float) -> AsyncIterator[tuple[str, set[Any]]]:
    """A server with answers of these pieces, and pauses in seconds; its address and its clients' ports."""
    ports: set[Any] = set()

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                await anyio.sleep(piece)

    async def answer(request: Request) -> StreamingResponse:
        assert request.client is not None
        ports.add(request.client.port)
        await request.body()
        return StreamingResponse(body(), media_type="text/event-stream")

    async with Serving(Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])) as origin:
        yield f"{origin}/v1", ports


async def test_the_end_of_the_body_is_waited_for_so_that_the_connection_can_be_used_again() -> None:
    async with server(HELLO, STOP, DONE, 0.02) as (address, ports):
        async with OpenAILLM("none", base_url=address).open(CALL) as session:
            for _ in range(5):
                async with session.stream(HISTORY, []) as stream:
                    assert [delta async for delta in stream] == ["Hi."]
        assert len(ports) <= 2  # the greeting's, and another one if the greeting was still on its way


@pytest.mark.parametrize(("last", "limit_s"), [(DONE, 0.5), (STOP, 1.5)])
async def test_an_end_that_does_not_come_is_not_waited_for(last: bytes, limit_s: float) -> None:
    async with server(HELLO, STOP, last, 30.0) as (address, _):
        llm = OpenAILLM("none", base_url=address)
        await llm.start()
        with anyio.fail_after(limit_s):
            assert await ask(llm) == ["Hi."]


async def test_what_comes_after_the_end_is_not_read() -> None:
    async with server(HELLO, STOP, DONE, b"data: <html>\n\n") as (address, _):
        assert await ask(OpenAILLM("none", base_url=address)) == ["Hi."]


async def test_keep_alives_are_no_progress() -> None:
    async with server(HELLO, *(b": wait\n\n", 0.05) * 40) as (address, _):
        llm = OpenAILLM("none", base_url=address, timeout_s=0.3)
        await llm.start()
        with anyio.fail_after(1), pytest.raises(ProviderError, match=r"wrote nothing for 0\.3 s"):
            await ask(llm)


@pytest.mark.live
@pytest.mark.skipif(not os.environ.get("OPENAI_API_KEY"), reason="OPENAI_API_KEY is not set")
async def test_live() -> None:
    deltas = await ask(OpenAILLM())
    assert isinstance(deltas[0], str)
    assert isinstance(deltas[-1], Usage)
