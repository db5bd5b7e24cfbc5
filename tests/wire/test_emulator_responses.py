"""The emulator of OpenAI's Responses API, driven by the real SDK."""

import itertools

import anyio
import openai
import pytest
from openai import AsyncOpenAI

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
from patter.testing.emulators.openai import OpenAIEmulator

pytestmark = pytest.mark.anyio

TOOL = {"type": "function", "name": "end_call", "parameters": {"type": "object", "properties": {}}, "strict": False}
TWO_CALLS = says("Let me look.", CallTool("find", {"day": "Monday"}), CallTool("end_call"))
CALL = {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "nothing"}
CUT = ("APIConnectionError", "RemoteProtocolError", "ReadError")
TIMED_OUT = ("APITimeoutError", "ReadTimeout")
PATIENCE_S = 0.3


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
def openai_emulator(running):
    """The emulator and its client, as if they were new."""
    emulator, _ = running
    emulator.answer, emulator.first_token_ms, emulator.token_ms, emulator.cached_tokens = echo, 0.0, 0.0, 0
    emulator.faults.clear()
    emulator.requests.clear()
    return running


async def respond(client, given="Hello?", *, stream=True, **more):
    return await client.responses.create(model="m", input=given, stream=stream, **more)


async def read(stream, events=None):
    events = [] if events is None else events
    async with stream:
        async for event in stream:
            events.append(event)
    return events


def text(events):
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


async def test_the_events_come_in_their_order(openai_emulator):
    emulator, client = openai_emulator
    emulator.answer = scripted([TWO_CALLS])
    events = await read(await respond(client, tools=[TOOL]))
    assert [kind for kind, _ in itertools.groupby(e.type.removeprefix("response.") for e in events)] == [
        *("created", "in_progress"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done"),
        *("output_item.done", "output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
        *("output_item.done", "output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
        *("output_item.done", "completed"),
    ]
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert text(events) == "Let me look."
    done = [e.item for e in events if e.type == "response.output_item.done"]
    assert [(item.type, item.status) for item in done] == [
        ("message", "completed"),
        ("function_call", "completed"),
        ("function_call", "completed"),
    ]
    assert [(item.name, item.arguments) for item in done[1:]] == [("find", '{"day": "Monday"}'), ("end_call", "{}")]
    assert len({item.call_id for item in done[1:]}) == 2
    added = [e for e in events if e.type == "response.output_item.added"]
    assert [e.output_index for e in added] == [0, 1, 2]
    assert added[1].item.arguments == "" and added[1].item.status == "in_progress"
    pieces = [e for e in events if e.type == "response.function_call_arguments.delta" and e.output_index == 1]
    assert len(pieces) == 5 and {e.item_id for e in pieces} == {done[1].id}


async def test_the_last_event_has_the_output_and_the_usage(openai_emulator):
    emulator, client = openai_emulator
    emulator.answer, emulator.cached_tokens = scripted([TWO_CALLS]), 3
    response = (await read(await respond(client, instructions="Be brief.", tools=[TOOL])))[-1].response
    (request,) = emulator.requests
    assert (response.status, response.output_text) == ("completed", "Let me look.")
    assert response.usage.input_tokens == prompt_tokens(request.messages, request.tools)
    assert response.usage.output_tokens == request.tokens_sent == 12
    assert response.usage.input_tokens_details.cached_tokens == 3
    assert [m.content for m in request.messages] == ["Be brief.", "Hello?"]
    assert request.complete and request.path == "/v1/responses"


async def test_without_a_stream_it_is_one_object(openai_emulator):
    emulator, client = openai_emulator
    emulator.answer = scripted([TWO_CALLS])
    response = await respond(client, stream=False)
    assert response.output_text == "Let me look."
    assert [item.type for item in response.output] == ["message", "function_call", "function_call"]
    assert response.usage.total_tokens == response.usage.input_tokens + 12


@pytest.mark.parametrize(
    ("answer", "more", "status", "reason", "said"),
    [
        (says(), {}, "completed", None, ""),
        (says("a" * 80), {"max_output_tokens": 16}, "incomplete", "max_output_tokens", "a" * 64),
        (says("I must", finish="content_filter"), {}, "incomplete", "content_filter", "I must"),
        (says("I must", finish="failed"), {}, "failed", None, "I must"),
    ],
)
async def test_an_answer_ends_for_a_reason(openai_emulator, answer, more, status, reason, said):
    emulator, client = openai_emulator
    emulator.answer = lambda messages, tools: answer
    events = await read(await respond(client, **more))
    assert (events[-1].type, text(events)) == (f"response.{status}", said)
    for response in (events[-1].response, await respond(client, stream=False, **more)):
        assert response.status == status
        assert (response.incomplete_details and response.incomplete_details.reason) == reason
        assert (response.error is not None) == (status == "failed")


async def test_the_history_reaches_the_mind(openai_emulator):
    emulator, client = openai_emulator
    items = [
        {"role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"role": "user", "content": "Hello?"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]},
        CALL,
        OUTPUT,
    ]
    await respond(client, items, stream=False, tools=[TOOL], tool_choice="none")
    (request,) = emulator.requests
    assert [(m.role, m.content, m.tool_call_id, [c.name for c in m.tool_calls]) for m in request.messages] == [
        ("system", "Be brief.", None, []),
        ("user", "Hello?", None, []),
        ("assistant", "Wait.", None, ["find"]),
        ("tool", "nothing", "c1", []),
    ]
    assert request.tools == ()


@pytest.mark.parametrize(
    ("given", "more", "said"),
    [
        ([CALL], {}, "No tool output found for function call c1"),
        ([OUTPUT], {}, "No tool call found for function call output with call_id c1"),
        ([], {}, "empty array"),
        ([{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}], {}, "'output_text'"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}]}], {}, "'input_text'"),
        ([{"role": "tool", "content": "x"}], {}, "Supported values"),
        ("x", {"tools": [{"type": "function", "function": TOOL}]}, "tools[0].name"),
        ("x", {"max_output_tokens": 5}, ">= 16"),
        ("x", {"previous_response_id": "resp_1"}, "not found"),
    ],
)
async def test_malformed_requests_are_refused(openai_emulator, given, more, said):
    _, client = openai_emulator
    with pytest.raises(openai.BadRequestError) as caught:
        await respond(client, given, **more)
    assert said in caught.value.message


async def test_an_endless_answer_stops_when_the_client_leaves(openai_emulator):
    emulator, client = openai_emulator
    emulator.answer, emulator.token_ms = (lambda m, t: says("la ", endless=True)), 5
    async with await respond(client) as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
    with anyio.fail_after(1):
        await emulator.requests[0].ended()
    assert emulator.requests[0].stopped_by_client
    assert emulator.requests[0].tokens_sent < 50


@pytest.mark.parametrize(
    ("fault", "said", "errors"),
    [
        (Refuse(429, retry_after_s=1), None, ("RateLimitError",)),
        (Drop(), None, CUT),
        (Drop(after_messages=5), "1234", CUT),
        (BlackHole(), None, TIMED_OUT),
        (Stall(), "", TIMED_OUT),
        (Stall(after_messages=5), "1234", TIMED_OUT),
        (Garbage(after_messages=5), "1234", ("JSONDecodeError",)),
        (ErrorFrame({"type": "error", "error": {"message": "no"}}, after_messages=5), "1234", ("APIError",)),
    ],
)
async def test_a_stream_breaks_on_demand(openai_emulator, fault, said, errors):
    emulator, client = openai_emulator
    emulator.answer = lambda messages, tools: "12345678"
    emulator.faults.append(fault)
    events, stream = [], None
    with pytest.raises(Exception) as caught:
        stream = await respond(client)
        await read(stream, events)
    assert type(caught.value).__name__ in errors
    assert (None if stream is None else text(events)) == said


async def test_a_response_is_created_before_the_model_thinks(openai_emulator):
    emulator, client = openai_emulator
    emulator.first_token_ms = 60_000
    events = []
    with pytest.raises(Exception) as caught:
        await read(await respond(client), events)
    assert type(caught.value).__name__ in TIMED_OUT
    assert [e.type for e in events] == ["response.created", "response.in_progress"]


async def test_an_error_event_is_an_event_for_the_sdk(openai_emulator):
    emulator, client = openai_emulator
    emulator.faults.append(ErrorFrame(after_messages=2))
    events = await read(await respond(client))
    assert [e.type for e in events] == ["response.created", "response.in_progress", "error"]
    assert events[-1].code == "server_error"


async def test_a_silent_end_has_no_last_event(openai_emulator):
    emulator, client = openai_emulator
    emulator.faults.append(SilentEnd(after_messages=1000))
    events = await read(await respond(client))
    assert (text(events), events[-1].type) == ("Hello?", "response.output_item.done")
    assert not emulator.requests[0].complete


async def test_unknown_events_come_between_the_others(openai_emulator):
    emulator, client = openai_emulator
    emulator.faults.append(UnknownEvents())
    events = await read(await respond(client))
    assert [e.type for e in events[::2]] == ["response.news"] * (len(events) // 2)
    assert (text(events), events[-1].type) == ("Hello?", "response.completed")
