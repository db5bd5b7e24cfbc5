"""The emulator of OpenAI, driven by the real SDK: the protocol, the refusals and the faults."""

import json
from contextlib import asynccontextmanager

import anyio
import openai
import pytest
from openai import AsyncOpenAI

from patter.testing import UnexpectedRequest, UnfinishedScript
from patter.testing.emulators.chat import RateLimited
from patter.testing.emulators.faults import (
    BlackHole,
    Drop,
    ErrorFrame,
    Garbage,
    Refuse,
    SilentEnd,
    Stall,
    UnknownEvents,
)
from patter.testing.emulators.minds import CallTool, Pause, count_tokens, echo, prompt_tokens, says, scripted
from patter.testing.emulators.openai import INSUFFICIENT_QUOTA, OpenAIEmulator

pytestmark = pytest.mark.anyio

SYSTEM = {"role": "system", "content": "You are on the telephone.\nGoal: Book a haircut for tomorrow at 3 pm."}
HELLO = {"role": "user", "content": "Hello?"}
USAGE = {"include_usage": True}
PARAMETERS = {"type": "object", "properties": {"reason": {"type": "string"}}}
END_CALL = {"name": "end_call", "description": "Hang up.", "parameters": PARAMETERS}
TOOL = {"type": "function", "function": END_CALL}
TWO_CALLS = says("Let me look.", CallTool("find", {"day": "Monday"}), CallTool("end_call"))
# The SDK wraps errors in the middle of a stream since 3.0.
CUT = ("APIConnectionError", "RemoteProtocolError", "ReadError")
PATIENCE_S = 0.3
TIMED_OUT = ("APITimeoutError", "ReadTimeout")


@asynccontextmanager
async def emulated(answer=echo, *, timeout_s=5.0, max_retries=0, key="test-key", **knobs):
    with anyio.fail_after(20):
        async with OpenAIEmulator(answer, **knobs) as emulator:
            async with AsyncOpenAI(
                api_key=key, base_url=emulator.base_url, max_retries=max_retries, timeout=timeout_s
            ) as client:
                yield emulator, client


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def running():
    async with OpenAIEmulator(echo) as emulator:
        async with AsyncOpenAI(
            api_key="test-key", base_url=emulator.base_url, max_retries=0, timeout=PATIENCE_S
        ) as client:
            yield emulator, client


@pytest.fixture
def shared(running):
    """One emulator, and an impatient client, for the tests that are many."""
    emulator, _ = running
    emulator.answer, emulator.token_ms = echo, 0.0
    emulator.faults.clear()
    emulator.requests.clear()
    return running


async def chat(client, *messages, stream=True, **more):
    return await client.chat.completions.create(model="m", messages=list(messages or (HELLO,)), stream=stream, **more)


async def read(stream, chunks=None):
    """All chunks; those before an error stay in ``chunks``."""
    chunks = [] if chunks is None else chunks
    async with stream:
        async for chunk in stream:
            chunks.append(chunk)
    return chunks


def text(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def finish(chunks):
    return next((c.choices[0].finish_reason for c in reversed(chunks) if c.choices), None)


def calls(chunks):
    """What the pieces of tool calls make, by index: id, name, arguments, number of pieces."""
    found = {}
    for chunk in chunks:
        for piece in (chunk.choices and chunk.choices[0].delta.tool_calls) or ():
            id_, name, arguments, pieces = found.get(piece.index, (None, None, "", 0))
            id_, name = piece.id or id_, piece.function.name or name
            found[piece.index] = (id_, name, arguments + piece.function.arguments, pieces + 1)
    return found


async def test_a_stream_has_the_role_first_then_tokens_then_the_reason():
    async with emulated(scripted(["Good morning, how are you?"])) as (emulator, client):
        chunks = await read(await chat(client))
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [c.choices[0].delta.content for c in chunks[1:4]] == ["Good", " mor", "ning"]
        assert text(chunks) == "Good morning, how are you?"
        assert [c.choices[0].finish_reason for c in chunks[-2:]] == [None, "stop"]
        assert all(c.usage is None for c in chunks)
        assert len({c.id for c in chunks}) == 1
        (request,) = emulator.requests
        assert (request.path, request.status, request.complete) == ("/v1/chat/completions", 200, True)
        assert request.body["messages"] == [HELLO]
        assert request.tokens_sent == count_tokens("Good morning, how are you?")
        assert not request.stopped_by_client
        assert request.started_at <= request.first_token_at <= request.ended_at
        assert len(request.token_times) == request.tokens_sent
        assert request.token_times == sorted(request.token_times)
        assert "test-key" not in repr(request)


async def test_two_tools_come_by_index_in_pieces():
    async with emulated(scripted([TWO_CALLS])) as (_, client):
        chunks = await read(await chat(client, tools=[TOOL]))
        assert calls(chunks) == {
            0: ("call_1", "find", '{"day": "Monday"}', 6),
            1: ("call_2", "end_call", "{}", 2),
        }
        assert (text(chunks), finish(chunks)) == ("Let me look.", "tool_calls")


async def test_the_usage_is_the_last_chunk_and_can_be_computed():
    async with emulated(scripted([TWO_CALLS]), cached_tokens=7) as (emulator, client):
        chunks = await read(await chat(client, SYSTEM, HELLO, tools=[TOOL], stream_options=USAGE))
        usage = chunks[-1].usage
        assert chunks[-1].choices == []
        (request,) = emulator.requests
        assert usage.prompt_tokens == prompt_tokens(request.messages, request.tools) > 7
        assert usage.completion_tokens == request.tokens_sent == 3 + 1 + 5 + 2 + 1
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        assert usage.prompt_tokens_details.cached_tokens == 7


async def test_without_a_stream_it_is_one_object():
    async with emulated(scripted([TWO_CALLS])) as (_, client):
        whole = await chat(client, stream=False)
        message = whole.choices[0].message
        assert (message.role, message.content, whole.choices[0].finish_reason) == (
            "assistant",
            "Let me look.",
            "tool_calls",
        )
        assert [(c.id, c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls] == [
            ("call_1", "find", {"day": "Monday"}),
            ("call_2", "end_call", {}),
        ]
        assert whole.usage.completion_tokens == 12


async def test_the_pace_is_kept():
    answer = says("12345678", Pause(0.1), "1234")
    async with emulated(lambda messages, tools: answer, first_token_ms=100, token_ms=50) as (emulator, client):
        await read(await chat(client))
        (request,) = emulator.requests
        assert request.first_token_at - request.started_at >= 0.1
        assert 0.2 <= request.ended_at - request.first_token_at < 1.0
        emulator.first_token_ms = emulator.token_ms = 0.0
        await chat(client, stream=False)
        assert emulator.requests[1].ended_at - emulator.requests[1].started_at >= 0.1


@pytest.mark.parametrize(
    ("answer", "more", "reason", "said"),
    [
        (says(), {}, "stop", ""),
        (says("I must", finish="content_filter"), {}, "content_filter", "I must"),
        (says("Well, then", finish="length"), {}, "length", "Well, then"),
        (says("Well, then"), {"max_completion_tokens": 2}, "length", "Well, th"),
        (says("Well, then"), {"max_tokens": 2}, "length", "Well, th"),
    ],
)
async def test_an_answer_ends_for_a_reason(answer, more, reason, said, shared):
    emulator, client = shared
    emulator.answer = lambda messages, tools: answer
    chunks = await read(await chat(client, **more))
    assert (finish(chunks), text(chunks)) == (reason, said)
    whole = (await chat(client, stream=False, **more)).choices[0]
    assert (whole.finish_reason, whole.message.content or "") == (reason, said)


async def test_broken_arguments_and_unknown_tools_pass_as_they_are():
    async with emulated(scripted([says(CallTool("no_such", '{"a": '))])) as (_, client):
        assert calls(await read(await chat(client, tools=[TOOL]))) == {0: ("call_1", "no_such", '{"a": ', 3)}


async def test_sloppy_tools_have_neither_index_nor_id():
    async with emulated(scripted([TWO_CALLS]), sloppy_tools=True) as (_, client):
        chunks = await read(await chat(client))
        pieces = [p for c in chunks for p in c.choices[0].delta.tool_calls or ()]
        assert [p.function.name for p in pieces if p.function.name] == ["find", "end_call"]
        assert all(getattr(p, "index", None) is None and p.id is None for p in pieces)
        assert "".join(p.function.arguments for p in pieces) == '{"day": "Monday"}{}'


async def test_an_endless_answer_stops_when_the_client_leaves():
    async with emulated(lambda m, t: says("la ", endless=True), token_ms=5) as (emulator, client):
        async with await chat(client, max_tokens=1) as stream:
            chunks = 0
            async for _ in stream:
                chunks += 1
                if chunks == 5:
                    break
        left = anyio.current_time()
        (request,) = emulator.requests
        await request.ended()
        assert request.stopped_by_client and not request.complete
        assert request.ended_at - left < 0.5
        sent = request.tokens_sent
        assert 4 <= sent < 50
        emulator.answer = lambda m, t: "12345678" * 5
        await chat(client, stream=False)
        assert request.tokens_sent == sent


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cancelled_request_is_stopped_before_its_first_token(stream):
    async with emulated(first_token_ms=60_000) as (emulator, client):
        with anyio.move_on_after(0.3):
            asked = await chat(client, stream=stream)
            await read(asked)
        (request,) = emulator.requests
        await request.ended()
        assert request.stopped_by_client
        assert (request.tokens_sent, request.first_token_at) == (0, None)


async def test_leaving_ends_open_streams_at_once():
    with anyio.fail_after(20):
        async with OpenAIEmulator(lambda m, t: says(endless=True), token_ms=1) as emulator:
            client = AsyncOpenAI(api_key="test-key", base_url=emulator.base_url, max_retries=0)
            streams = [await chat(client) for _ in range(5)]
            for stream in streams:
                await anext(aiter(stream))
            leaving = anyio.current_time()
        assert anyio.current_time() - leaving < 1
        assert not any(request.stopped_by_client for request in emulator.requests)
        for stream in streams:
            await stream.close()
        await client.close()


async def test_scripts_of_concurrent_conversations_do_not_mix():
    mind = scripted(["one", "two", "three"])

    async def converse(client, number):
        system = {"role": "system", "content": f"Call {number}"}
        assert [text(await read(await chat(client, system, HELLO))) for _ in range(3)] == ["one", "two", "three"]

    async with emulated(mind, token_ms=1) as (_, client):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(converse, client, number)
    mind.assert_complete()
    assert len(mind.asked) == 20


async def test_a_script_that_does_not_match_is_reported():
    mind = scripted(["one", "two"])
    with pytest.raises(UnfinishedScript):
        mind.assert_complete()
    with pytest.raises(UnexpectedRequest):
        async with emulated(mind) as (_, client):
            for _ in range(2):
                await chat(client)
            with pytest.raises(openai.InternalServerError):
                await chat(client)
    with pytest.raises(UnexpectedRequest):
        mind.assert_complete()


async def test_the_demo_brain_holds_a_conversation():
    async with OpenAIEmulator() as emulator:
        async with AsyncOpenAI(api_key="test-key", base_url=emulator.base_url, max_retries=0) as client:
            said = text(await read(await chat(client, SYSTEM, HELLO)))
            assert "automated assistant" in said and "haircut" in said
            history = [SYSTEM, HELLO, {"role": "assistant", "content": said}]
            booked = {"role": "user", "content": "You are booked, see you tomorrow. Anything else?"}
            chunks = await read(await chat(client, *history, booked, tools=[TOOL]))
            assert "goodbye" in text(chunks)
            ((id_, name, arguments, _),) = calls(chunks).values()
            assert (id_, name, json.loads(arguments)) == ("call_1", "end_call", {"reason": "goal_reached"})


async def test_the_mind_is_given_the_history_whatever_its_shape():
    asked = []

    def mind(messages, tools):
        asked.append([(m.role, m.content, m.tool_call_id, [c.name for c in m.tool_calls]) for m in messages])
        return says(", ".join(tool.name for tool in tools))

    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    history = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "nothing"},
    ]
    async with emulated(mind) as (_, client):
        assert text(await read(await chat(client, *history, tools=[TOOL]))) == "end_call"
        assert text(await read(await chat(client, *history, tools=[TOOL], tool_choice="none"))) == ""
    assert (
        asked[0]
        == asked[1]
        == [
            ("system", "Be brief.", None, []),
            ("user", "Hello?", None, []),
            ("assistant", "", None, ["find"]),
            ("tool", "nothing", "c1", []),
        ]
    )


CALLING = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}


@pytest.mark.parametrize(
    ("messages", "more", "said"),
    [
        ([HELLO, CALLING, HELLO], {}, "did not have response messages: c1"),
        ([HELLO, CALLING], {}, "did not have response messages: c1"),
        ([HELLO, {"role": "tool", "tool_call_id": "c1", "content": "x"}], {}, "must be a response to a preceeding"),
        ([HELLO, CALLING, {"role": "tool", "tool_call_id": "c2", "content": "x"}], {}, "must be a response to"),
        ([HELLO, {"role": "assistant", "content": None}], {}, "expected a string, got null"),
        ([{"role": "assistant", "content": "x", "tool_calls": []}], {}, "empty array"),
        ([{"role": "callee", "content": "x"}], {}, "messages[0].role"),
        ([{"role": "user", "content": [{"type": "input_text", "text": "x"}]}], {}, "input_text"),
        ([HELLO], {"tools": [END_CALL]}, "tools[0].function"),
        ([HELLO], {"tools": [{"type": "function", "function": {**END_CALL, "name": "end call"}}]}, "pattern"),
        ([HELLO], {"stream": False, "stream_options": USAGE}, "only allowed when 'stream' is enabled"),
        ([HELLO], {"max_tokens": 0}, "below minimum"),
    ],
)
async def test_malformed_requests_are_refused(messages, more, said, shared):
    emulator, client = shared
    with pytest.raises(openai.BadRequestError) as caught:
        await chat(client, *messages, **more)
    assert caught.value.type == "invalid_request_error"
    assert said in caught.value.message
    assert emulator.requests[0].status == 400


async def test_no_messages_are_refused():
    async with emulated() as (_, client):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="m", messages=[])
        assert caught.value.code == "empty_array"


async def test_keys_models_and_parameters_are_checked():
    async with emulated(models=("m", "n"), unsupported={"stream_options"}) as (_, client):
        assert [model.id async for model in await client.models.list()] == ["m", "n"]
        assert (await client.models.retrieve("n")).object == "model"
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.chat.completions.create(model="x", messages=[HELLO])
        assert unknown.value.code == "model_not_found"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("x")
        with pytest.raises(openai.BadRequestError) as unsupported:
            await chat(client, stream_options=USAGE)
        assert unsupported.value.param == "stream_options"
        assert text(await read(await chat(client))) == "Hello?"
        with pytest.raises(openai.AuthenticationError) as wrong:
            await chat(client.with_options(api_key="other"))
        assert wrong.value.code == "invalid_api_key"
        assert "other" not in str(wrong.value)
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="m", input="x")


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (Refuse(401), openai.AuthenticationError, "invalid_api_key"),
        (Refuse(403), openai.PermissionDeniedError, "unsupported_country_region_territory"),
        (Refuse(429, retry_after_s=3), openai.RateLimitError, "rate_limit_exceeded"),
        (INSUFFICIENT_QUOTA, openai.RateLimitError, "insufficient_quota"),
        (Refuse(500), openai.InternalServerError, None),
        (Refuse(503, body="<html>upstream</html>"), openai.InternalServerError, None),
        (Refuse(400, body={"error": {"message": "no", "code": "context_length_exceeded"}}), openai.BadRequestError,
         "context_length_exceeded"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_is_refused_on_demand(fault, kind, code, stream, shared):
    emulator, client = shared
    emulator.faults.append(fault)
    with pytest.raises(kind) as caught:
        await chat(client, stream=stream)
    assert caught.value.code == code
    assert caught.value.response.headers.get("retry-after") == fault.headers.get("Retry-After")
    assert (await chat(client, stream=False)).choices[0].message.content == "Hello?"


async def test_the_sdk_waits_as_long_as_it_is_told():
    async with emulated(max_retries=1) as (emulator, client):
        emulator.faults.append(RateLimited(retry_after_s=60, retry_after_ms=50))
        assert (await chat(client, stream=False)).choices[0].message.content == "Hello?"
        first, second = emulator.requests
        assert 0.05 <= second.started_at - first.ended_at < 1.0


@pytest.mark.parametrize(
    ("fault", "said", "errors"),
    [
        (Drop(), None, CUT),
        (Drop(after_messages=0), "", CUT),
        (Drop(after_messages=3), "12345678", CUT),
        (Drop(after_s=0.15), ..., CUT),
        (BlackHole(), None, TIMED_OUT),
        (Stall(), "", TIMED_OUT),
        (Stall(after_messages=2), "1234", TIMED_OUT),
        (ErrorFrame(after_messages=2), "1234", ("APIError",)),
        (ErrorFrame({"error": {"message": "flagged", "code": "x"}}), "", ("APIError",)),
        (Garbage(after_messages=2), "1234", ("JSONDecodeError",)),
    ],
)
async def test_a_stream_breaks_on_demand(fault, said, errors, shared):
    emulator, client = shared
    emulator.answer, emulator.token_ms = (lambda m, t: "1234567890" * 20), 10
    emulator.faults.append(fault)
    chunks, stream = [], None
    with pytest.raises(Exception) as caught:
        stream = await chat(client)
        await read(stream, chunks)
    assert type(caught.value).__name__ in errors
    assert (stream is None) == (said is None)
    if stream is not None:
        assert text(chunks) == said or (said is ... and text(chunks).startswith("1234"))
    (request,) = emulator.requests
    await request.ended()
    assert not request.complete


@pytest.mark.parametrize(("after", "said"), [(2, "1234"), (1000, "1234567890")])
async def test_a_silent_end_has_neither_reason_nor_error(after, said, shared):
    emulator, client = shared
    emulator.answer = lambda messages, tools: "1234567890"
    emulator.faults.append(SilentEnd(after_messages=after))
    chunks = await read(await chat(client, stream_options=USAGE))
    assert (text(chunks), finish(chunks), chunks[-1].usage) == (said, None, None)
    (request,) = emulator.requests
    assert not request.complete and not request.stopped_by_client


async def test_unknown_events_come_between_the_others():
    async with emulated(lambda m, t: "12345678") as (emulator, client):
        emulator.faults.every = UnknownEvents()
        chunks = await read(await chat(client))
        assert sum(chunk.object == "chat.completion.news" for chunk in chunks) == 5
        assert text(c for c in chunks if c.object == "chat.completion.chunk") == "12345678"


@pytest.mark.parametrize(
    ("fault", "errors"),
    [(Drop(), CUT), (Drop(after_messages=0), CUT), (BlackHole(), TIMED_OUT), (Stall(), TIMED_OUT),
     (Garbage(), ("JSONDecodeError", "APIResponseValidationError"))],
)  # fmt: skip
async def test_an_answer_without_a_stream_breaks_on_demand(fault, errors, shared):
    emulator, client = shared
    emulator.faults.append(fault)
    with pytest.raises(Exception) as caught:
        await chat(client, stream=False)
    assert type(caught.value).__name__ in errors


async def test_a_breakdown_after_the_text_is_an_error_in_the_stream():
    async with emulated(lambda m, t: says("12345678", finish="failed")) as (_, client):
        chunks = []
        with pytest.raises(openai.APIError):
            await read(await chat(client), chunks)
        assert (text(chunks), finish(chunks)) == ("12345678", None)
        with pytest.raises(openai.InternalServerError):
            await chat(client, stream=False)
