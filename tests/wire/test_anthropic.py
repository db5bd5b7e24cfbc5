"""Anthropic's chat models, with the real SDK against the emulator. What all vendors share is in test_chat_http.py."""

from __future__ import annotations

import os

import pytest

from patter.errors import ProviderError
from patter.testing.emulators.anthropic import OVERLOADED, AnthropicEmulator
from patter.testing.emulators.faults import Drop, Refuse
from patter.testing.emulators.minds import Pause, says
from patter.voice.anthropic import AnthropicLLM
from patter.voice.base import Delta, Message, ToolCall, ToolSpec, Usage

pytestmark = pytest.mark.anyio

HISTORY = [Message("system", "Be brief."), Message("user", "Hello?")]
BOOK = ToolSpec("book", "Books a table.", {"type": "object", "properties": {}})
NO_CREDIT = {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}
MUST_THINK = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": '"thinking.type.disabled" is not supported for this model.'},
}


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "live" not in request.keywords:
        for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"):
            monkeypatch.delenv(name, raising=False)


async def ask(llm: AnthropicLLM, *tools: ToolSpec) -> list[Delta]:
    async with llm.stream(HISTORY, tools) as stream:
        return [delta async for delta in stream]


async def test_the_request_says_what_was_chosen() -> None:
    async with AnthropicEmulator(lambda *_: says("Hi.")) as anthropic:
        llm = AnthropicLLM(
            "test-key", model="claude-x", base_url=anthropic.base_url, max_tokens=50, temperature=0.2, thinking=None
        )
        assert llm.model == "anthropic/claude-x"
        await ask(llm)
        assert anthropic.requests[0].body == {
            "model": "claude-x",
            "max_tokens": 50,
            "temperature": 0.2,
            "stream": True,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}],
        }


async def test_by_default_it_speaks_without_thinking() -> None:
    async with AnthropicEmulator(lambda *_: says("Hi.")) as anthropic:
        await ask(AnthropicLLM("test-key", base_url=anthropic.base_url))
        body = anthropic.requests[0].body
        assert (body["thinking"], body["max_tokens"]) == ({"type": "disabled"}, 512)
        assert "temperature" not in body


async def test_a_model_that_must_think_is_let_from_then_on() -> None:
    async with AnthropicEmulator(lambda *_: says("Hi.")) as anthropic:
        llm = AnthropicLLM("test-key", base_url=anthropic.base_url)
        anthropic.faults.append(Refuse(400, body=MUST_THINK))
        assert (await ask(llm))[0] == "Hi."
        assert (await ask(llm))[0] == "Hi."
        assert ["thinking" in request.body for request in anthropic.requests] == [True, False, False]


async def test_the_usage_contains_what_was_cached() -> None:
    async with AnthropicEmulator(lambda *_: says("Hi."), cached_tokens=3) as anthropic:
        deltas = await ask(AnthropicLLM("test-key", base_url=anthropic.base_url))
        assert deltas[-1] == Usage(5, 1, 3, model="anthropic/claude-haiku-5-5")


async def test_a_stream_that_is_left_early_has_told_the_tokens_of_the_prompt() -> None:
    async with AnthropicEmulator(lambda *_: says("Well, ", Pause(30), "hello.")) as anthropic:
        llm = AnthropicLLM("test-key", base_url=anthropic.base_url)
        async with llm.stream(HISTORY, []) as stream:
            assert await anext(stream) == "Well"
            assert await anext(stream) == Usage(5, 1, estimated=True, model=llm.model)


async def test_a_stream_that_breaks_has_told_the_tokens_of_the_prompt() -> None:
    deltas: list[Delta] = []
    async with AnthropicEmulator(lambda *_: says("Well, hello and welcome to this.")) as anthropic:
        anthropic.faults.append(Drop(after_messages=8))
        with pytest.raises(ProviderError):
            async with AnthropicLLM("test-key", base_url=anthropic.base_url).stream(HISTORY, []) as stream:
                async for delta in stream:
                    deltas.append(delta)  # noqa: PERF401 (what came before the failure counts)
    usage = [delta for delta in deltas if isinstance(delta, Usage)][-1]
    assert (usage.input_tokens, usage.estimated) == (5, True)


async def test_the_last_round_of_tools_is_answered_without_them() -> None:
    history = [
        *HISTORY,
        Message("assistant", "", (ToolCall("c1", "book", "{}"),)),
        Message("tool", "done", tool_call_id="c1"),
    ]
    async with AnthropicEmulator(lambda *_: says("It is done.")) as anthropic:
        async with AnthropicLLM("test-key", base_url=anthropic.base_url).stream(history, []) as stream:
            assert "".join([delta async for delta in stream if isinstance(delta, str)]) == "It is done."
        assert anthropic.requests[0].tools == ()
        assert anthropic.requests[0].body["tools"] == [{"name": "book", "input_schema": {"type": "object"}}]


async def test_an_overloaded_vendor_is_asked_again_once() -> None:
    async with AnthropicEmulator(lambda *_: says("Hi.")) as anthropic:
        anthropic.faults.append(OVERLOADED)
        assert (await ask(AnthropicLLM("test-key", base_url=anthropic.base_url)))[0] == "Hi."
        assert [request.status for request in anthropic.requests] == [529, 200]


async def test_an_account_without_credit_is_not_asked_again() -> None:
    async with AnthropicEmulator(lambda *_: says("Hi.")) as anthropic:
        anthropic.faults.append(Refuse(400, body=NO_CREDIT))
        with pytest.raises(ProviderError, match="no credit") as caught:
            await ask(AnthropicLLM("test-key", base_url=anthropic.base_url))
        assert (caught.value.retryable, len(anthropic.requests)) == (False, 1)


@pytest.mark.live
@pytest.mark.skipif(not os.environ.get("ANTHROPIC_API_KEY"), reason="ANTHROPIC_API_KEY is not set")
async def test_live() -> None:
    deltas = await ask(AnthropicLLM())
    assert isinstance(deltas[0], str)
    assert isinstance(deltas[-1], Usage)
