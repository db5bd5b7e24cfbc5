"""The emulator of Anthropic, driven by the real SDK: the protocol, the refusals and the faults."""

import json
from contextlib import asynccontextmanager

import anthropic
import anyio
import pytest
from anthropic import AsyncAnthropic

from patter.testing.emulators.anthropic import OVERLOADED, AnthropicEmulator
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
from patter.testing.emulators.minds import CallTool, echo, prompt_tokens, says, scripted

pytestmark = pytest.mark.anyio

HELLO = {"role": "user", "content": "Hello?"}
TOOL = {"name": "end_call", "description": "Hang up.", "input_schema": {"type": "object", "properties": {}}}
TWO_CALLS = says("Let me look.", CallTool("find", {"day": "Monday"}), CallTool("end_call"))
USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "find", "input": {"a": 1}}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "nothing"}]}
NOTE = {"role": "system", "content": "Nobody has spoken."}
CUT = ("APIConnectionError", "RemoteProtocolError", "ReadError")
TIMED_OUT = ("APITimeoutError", "ReadTimeout")
PATIENCE_S = 0.3


@asynccontextmanager
async def emulated(answer=echo, *, timeout_s=5.0, max_retries=0, **knobs):
    async with AnthropicEmulator(answer, **knobs) as emulator:
        async with AsyncAnthropic(
            api_key="test-key", base_url=emulator.base_url, max_retries=max_retries, timeout=timeout_s
        ) as client:
            yield emulator, client


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def running():
    async with emulated(timeout_s=PATIENCE_S) as both:
        yield both


@pytest.fixture
def shared(running):
    """One emulator and its impatient client, as if they were new."""
    emulator, _ = running
    emulator.answer, emulator.token_ms, emulator.cached_tokens, emulator.system_role = echo, 0.0, 0, False
    emulator.faults.clear()
    emulator.requests.clear()
    return running


async def ask(client, *messages, stream=True, max_tokens=1000, **more):
    return await client.messages.create(
        model="m", max_tokens=max_tokens, messages=list(messages or (HELLO,)), stream=stream, **more
    )


async def read(stream, events=None):
    events = [] if events is None else events
    async with stream:
        async for event in stream:
            events.append(event)
    return events


def text(events):
    return "".join(e.delta.text for e in events if e.type == "content_block_delta" and e.delta.type == "text_delta")


async def test_a_stream_is_a_message_of_blocks(shared):
    emulator, client = shared
    emulator.answer = scripted([TWO_CALLS])
    events = await read(await ask(client, tools=[TOOL]))
    assert [e.type for e in events] == [
        *("message_start", "content_block_start", *["content_block_delta"] * 3, "content_block_stop"),
        *("content_block_start", *["content_block_delta"] * 6, "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"),
    ]
    assert [(e.index, e.content_block.type) for e in events if e.type == "content_block_start"] == [
        (0, "text"),
        (1, "tool_use"),
        (2, "tool_use"),
    ]
    assert text(events) == "Let me look."
    pieces = [e.delta.partial_json for e in events if e.type == "content_block_delta" and e.index == 1]
    assert pieces[0] == "" and json.loads("".join(pieces)) == {"day": "Monday"}
    assert [e.delta.partial_json for e in events if e.type == "content_block_delta" and e.index == 2] == [""]
    assert events[-2].delta.stop_reason == "tool_use"
    (request,) = emulator.requests
    assert request.complete and not request.stopped_by_client
    assert "test-key" not in repr(request)
    assert request.headers["anthropic-version"]


async def test_the_sdk_puts_the_message_together(shared):
    emulator, client = shared
    emulator.answer = scripted([TWO_CALLS])
    async with client.messages.stream(model="m", max_tokens=100, messages=[HELLO], tools=[TOOL]) as stream:
        streamed = await stream.get_final_message()
    emulator.answer = scripted([TWO_CALLS])
    whole = await ask(client, stream=False, tools=[TOOL])
    for message in (streamed, whole):
        said, find, end = message.content
        assert (said.text, find.name, find.input, end.name, end.input) == (
            "Let me look.",
            "find",
            {"day": "Monday"},
            "end_call",
            {},
        )
        assert find.id != end.id
        assert (message.role, message.stop_reason) == ("assistant", "tool_use")


async def test_cached_tokens_are_not_among_the_input_tokens(shared):
    emulator, client = shared
    emulator.answer, emulator.cached_tokens = scripted([TWO_CALLS, TWO_CALLS]), 5
    events = await read(await ask(client, system="You are on the telephone.", tools=[TOOL]))
    (request,) = emulator.requests
    usage = events[0].message.usage
    assert usage.cache_read_input_tokens == 5
    assert usage.input_tokens + 5 == prompt_tokens(request.messages, request.tools)
    assert events[-2].usage.output_tokens == request.tokens_sent == 12
    whole = (await ask(client, stream=False, system="You are on the telephone.", tools=[TOOL])).usage
    assert (whole.input_tokens, whole.cache_read_input_tokens, whole.output_tokens) == (usage.input_tokens, 5, 12)


async def test_pings_are_on_the_wire(shared):
    _, client = shared
    async with client.messages.with_streaming_response.create(
        model="m", max_tokens=9, messages=[HELLO], stream=True
    ) as response:
        lines = [line async for line in response.iter_lines()]
    assert lines[lines.index("event: ping") + 1] == 'data: {"type": "ping"}'
    assert response.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("answer", "max_tokens", "reason", "said"),
    [
        (says(), 100, "end_turn", ""),
        (says("Well, then"), 100, "end_turn", "Well, then"),
        (says("Well, then"), 2, "max_tokens", "Well, th"),
        (says("I must", finish="content_filter"), 100, "refusal", "I must"),
    ],
)
async def test_an_answer_ends_for_a_reason(shared, answer, max_tokens, reason, said):
    emulator, client = shared
    emulator.answer = lambda messages, tools: answer
    events = await read(await ask(client, max_tokens=max_tokens))
    assert (events[-2].delta.stop_reason, text(events)) == (reason, said)
    whole = await ask(client, stream=False, max_tokens=max_tokens)
    assert (whole.stop_reason, "".join(block.text for block in whole.content)) == (reason, said)


async def test_broken_arguments_are_streamed_as_they_are(shared):
    emulator, client = shared
    emulator.answer = scripted([says(CallTool("no_such", '{"a": '))])
    events = await read(await ask(client))
    assert "".join(e.delta.partial_json for e in events if e.type == "content_block_delta") == '{"a": '


async def test_the_history_reaches_the_mind(shared):
    emulator, client = shared
    result = {**RESULT, "content": [*RESULT["content"], {"type": "text", "text": "And?"}]}
    await ask(
        client,
        HELLO,
        {"role": "user", "content": [{"type": "text", "text": "Anybody?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Wait."}, *USE["content"]]},
        result,
        stream=False,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        tools=[TOOL],
        tool_choice={"type": "none"},
    )
    (request,) = emulator.requests
    assert [(m.role, m.content, m.tool_call_id, [c.arguments for c in m.tool_calls]) for m in request.messages] == [
        ("system", "Be brief.", None, []),
        ("user", "Hello?", None, []),
        ("user", "Anybody?", None, []),
        ("assistant", "Wait.", None, ['{"a": 1}']),
        ("tool", "nothing", "t1", []),
        ("user", "And?", None, []),
    ]
    assert request.tools == ()


async def test_the_demo_brain_holds_a_conversation():
    goal = "You are on the telephone.\nGoal: Book a haircut for tomorrow at 3 pm."
    async with AnthropicEmulator() as emulator:
        async with AsyncAnthropic(api_key="test-key", base_url=emulator.base_url, max_retries=0) as client:
            said = text(await read(await ask(client, system=goal)))
            assert "automated assistant" in said and "haircut" in said
            booked = {"role": "user", "content": "You are booked, see you tomorrow. Anything else?"}
            history = (HELLO, {"role": "assistant", "content": said}, booked)
            message = await ask(client, *history, stream=False, system=goal, tools=[TOOL])
            assert message.content[-1].input == {"reason": "goal_reached"}
            assert message.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("messages", "more", "said"),
    [
        ([{"role": "assistant", "content": "x"}, HELLO], {}, 'first message must use the "user" role'),
        ([HELLO, USE, HELLO], {}, "without `tool_result` blocks immediately after: t1"),
        ([HELLO, USE, HELLO, RESULT], {}, "without `tool_result` blocks immediately after: t1"),
        ([HELLO, RESULT], {}, "unexpected `tool_use_id` found in `tool_result` blocks: t1"),
        ([HELLO, USE, RESULT, USE, RESULT], {}, "ids must be unique"),
        ([{"role": "user", "content": ""}], {}, "non-empty content"),
        ([{"role": "user", "content": []}], {}, "non-empty content"),
        ([{"role": "user", "content": [{"type": "text", "text": ""}]}], {}, "text content blocks must be non-empty"),
        ([{"role": "user", "content": [{"type": "text", "text": " "}]}], {}, "non-whitespace"),
        ([{"role": "user", "content": [{"type": "input_text", "text": "x"}]}], {}, "expected tags"),
        ([{"role": "tool", "content": "x"}], {}, "messages.0.role"),
        ([HELLO, {"role": "assistant", "content": "I"}], {}, "prefill"),
        ([HELLO, NOTE], {}, "role 'system' is not supported on this model"),
        ([HELLO], {"tools": [{"name": "x"}]}, "input_schema: Field required"),
        ([HELLO], {"tools": [TOOL, TOOL]}, "unique"),
        ([HELLO], {"system": [{"type": "text", "text": ""}]}, "non-empty"),
        ([HELLO], {"tool_choice": {"type": "none"}}, "while providing tools"),
        ([HELLO], {"max_tokens": 0}, "max_tokens"),
    ],
)
async def test_malformed_requests_are_refused(shared, messages, more, said):
    emulator, client = shared
    with pytest.raises(anthropic.BadRequestError) as caught:
        await ask(client, *messages, **more)
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    assert said in caught.value.body["error"]["message"]
    assert emulator.requests[0].status == 400


async def test_messages_and_max_tokens_are_required(shared):
    _, client = shared
    for body, said in (({"max_tokens": 1, "messages": []}, "at least one message"), ({"messages": [HELLO]}, "Field")):
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.post("/v1/messages", body={"model": "m", **body}, cast_to=object)
        assert said in caught.value.body["error"]["message"]


async def test_a_system_message_follows_a_user_where_the_model_takes_it(shared):
    emulator, client = shared
    emulator.system_role = True
    await ask(client, HELLO, NOTE, stream=False)
    assert [m.role for m in emulator.requests[0].messages] == ["user", "system"]
    for messages in ([HELLO, {"role": "assistant", "content": "x"}, NOTE], [HELLO, NOTE, HELLO]):
        with pytest.raises(anthropic.BadRequestError):
            await ask(client, *messages)


async def test_keys_and_models_are_checked():
    async with emulated(models=("m", "n"), prefill=True) as (_, client):
        assert [model.id async for model in await client.models.list()] == ["m", "n"]
        assert (await client.models.retrieve("n")).display_name == "n"
        with pytest.raises(anthropic.NotFoundError) as unknown:
            await client.messages.create(model="x", max_tokens=1, messages=[HELLO])
        assert unknown.value.body["error"] == {"type": "not_found_error", "message": "model: x"}
        with pytest.raises(anthropic.AuthenticationError) as wrong:
            await ask(client.with_options(api_key="other"))
        assert wrong.value.body["error"]["type"] == "authentication_error"
        await ask(client, HELLO, {"role": "assistant", "content": "I"}, stream=False)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Refuse(401), "authentication_error"),
        (Refuse(403), "permission_error"),
        (Refuse(429, retry_after_s=3), "rate_limit_error"),
        (Refuse(500), "api_error"),
        (OVERLOADED, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_is_refused_on_demand(shared, fault, kind, stream):
    emulator, client = shared
    emulator.faults.append(fault)
    with pytest.raises(anthropic.APIStatusError) as caught:
        await ask(client, stream=stream)
    assert (caught.value.status_code, caught.value.body["error"]["type"]) == (fault.status, kind)
    assert caught.value.response.headers.get("retry-after") == fault.headers.get("Retry-After")
    assert (await ask(client, stream=False)).content[0].text == "Hello?"


async def test_the_sdk_waits_as_long_as_it_is_told():
    async with emulated(max_retries=1) as (emulator, client):
        emulator.faults.append(RateLimited(retry_after_s=60, retry_after_ms=50))
        await ask(client, stream=False)
        first, second = emulator.requests
        assert 0.05 <= second.started_at - first.ended_at < 1.0


@pytest.mark.parametrize(
    ("fault", "said", "errors"),
    [
        (Drop(), None, CUT),
        (Drop(after_messages=4), "1234", CUT),
        (Drop(after_s=0.15), ..., CUT),
        (BlackHole(), None, TIMED_OUT),
        (Stall(), "", TIMED_OUT),
        (Stall(after_messages=4), "1234", TIMED_OUT),
        (ErrorFrame(after_messages=4), "1234", ("OverloadedError", "APIStatusError")),
        (Garbage(after_messages=4), "1234", ("JSONDecodeError",)),
    ],
)
async def test_a_stream_breaks_on_demand(shared, fault, said, errors):
    emulator, client = shared
    emulator.answer, emulator.token_ms = (lambda m, t: "1234567890" * 20), 10
    emulator.faults.append(fault)
    events, stream = [], None
    with pytest.raises(Exception) as caught:
        stream = await ask(client)
        await read(stream, events)
    assert type(caught.value).__name__ in errors
    assert (stream is None) == (said is None)
    if stream is not None:
        assert text(events) == said or (said is ... and text(events).startswith("1234"))
    with anyio.fail_after(1):
        await emulator.requests[0].ended()
    assert not emulator.requests[0].complete


@pytest.mark.parametrize(
    ("fault", "errors"),
    [(Drop(), CUT), (Drop(after_messages=0), CUT), (BlackHole(), TIMED_OUT), (Stall(), TIMED_OUT)],
)
async def test_an_answer_without_a_stream_breaks_on_demand(shared, fault, errors):
    emulator, client = shared
    emulator.faults.append(fault)
    with pytest.raises(Exception) as caught:
        await ask(client, stream=False)
    assert type(caught.value).__name__ in errors


async def test_a_silent_end_has_neither_reason_nor_stop(shared):
    emulator, client = shared
    emulator.faults.append(SilentEnd(after_messages=1000))
    events = await read(await ask(client))
    assert (text(events), events[-1].type) == ("Hello?", "content_block_stop")
    assert not emulator.requests[0].complete and not emulator.requests[0].stopped_by_client


async def test_unknown_events_come_between_the_others(shared):
    emulator, client = shared
    emulator.faults.append(UnknownEvents())
    events = await read(await ask(client))
    assert sum(e.type == "news" for e in events) >= 6
    assert (text(events), events[-1].type) == ("Hello?", "message_stop")


async def test_a_breakdown_after_the_text_is_an_error(shared):
    emulator, client = shared
    emulator.answer = lambda m, t: says("12345678", finish="failed")
    events = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        await read(await ask(client), events)
    assert (text(events), caught.value.body["error"]["type"]) == ("12345678", "api_error")
    with pytest.raises(anthropic.InternalServerError):
        await ask(client, stream=False)


async def test_an_endless_answer_stops_when_the_client_leaves(shared):
    emulator, client = shared
    emulator.answer, emulator.token_ms = (lambda m, t: says("la ", endless=True)), 5
    async with await ask(client, max_tokens=1) as stream:
        async for event in stream:
            if event.type == "content_block_delta":
                break
    with anyio.fail_after(1):
        await emulator.requests[0].ended()
    assert emulator.requests[0].stopped_by_client
    assert emulator.requests[0].tokens_sent < 50


async def test_leaving_ends_open_streams_at_once():
    async with AnthropicEmulator(lambda m, t: says(endless=True), token_ms=1) as emulator:
        client = AsyncAnthropic(api_key="test-key", base_url=emulator.base_url, max_retries=0)
        stream = await ask(client)
        await anext(aiter(stream))
        leaving = anyio.current_time()
    assert anyio.current_time() - leaving < 2
    await stream.close()
    await client.close()
