"""The customer's own agent as a mind: a function in this process."""

import functools
import re
import threading

import anyio
import anyio.from_thread
import pytest

from patter.agent import Agent
from patter.errors import ConfigError, ProviderError
from patter.testing import Callee, ScriptedCarrier, ScriptedMind, ScriptedVoice, check_invariants
from patter.testing.pytest_plugin import anyio_backend, no_leaked_tasks
from patter.voice.base import CallContext, ChatModel, Message, PerCallChatModel, ToolCall
from patter.voice.messages.mind import MessageMind, mind_of

__all__ = ["anyio_backend", "no_leaked_tasks"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaked_tasks")]

CALL = CallContext(call_id="CA1", caller="+15550100001", callee="+15550100199")
ASKED = [Message("system", "Be brief."), Message("user", "Hello?")]
END = ToolCall("end_call_1", "end_call", '{"reason":"other"}')


async def ask(handler, messages=ASKED, **options):
    async with MessageMind(handler, **options).open(CALL) as session, session.stream(messages, []) as stream:
        return [delta async for delta in stream]


def sync(message):
    return f"You said {message['text']}"


async def coroutine(message):
    await anyio.sleep(1)
    return f"You said {message['text']}"


async def async_pieces(message):
    yield "You said "
    await anyio.sleep(1)
    yield message["text"]


def pieces(message):
    yield "You said "
    yield message["text"]


class Instance:
    async def __call__(self, message):
        return sync(message)

    def method(self, message):
        return iter(["You said ", message["text"]])

    async def pieces(self, message):
        yield {"text": sync(message)}


@pytest.mark.parametrize(
    "handler",
    [
        sync,
        coroutine,
        async_pieces,
        pieces,
        Instance(),
        Instance().method,
        Instance().pieces,
        functools.partial(coroutine),
        functools.partial(sync),
        lambda message: coroutine(message),
        lambda message: async_pieces(message),
        lambda message: {"text": sync(message)},
        lambda message: ["You said ", message["text"]],
    ],
)
async def test_every_kind_of_function_may_answer(handler):
    assert "".join(await ask(handler)) == "You said Hello?"


async def test_pieces_come_as_they_are_written():
    async with MessageMind(async_pieces).stream(ASKED, []) as stream:
        assert await anext(stream) == "You said "
        assert anyio.current_time() == 0
        assert await anext(stream) == "Hello?"
        assert anyio.current_time() == 1


async def test_the_message_says_what_was_said_and_whose_call_it_is():
    told = []
    await ask(told.append)
    assert told == [{"text": "Hello?", **CALL, "history": [], "instructions": "Be brief."}]


@pytest.mark.parametrize("answer", [None, "", [], {}, ["", ""], [None]])
async def test_an_agent_may_say_nothing(answer):
    assert await ask(lambda message: answer) == []


@pytest.mark.parametrize(
    ("answer", "deltas"),
    [
        ({"text": "Goodbye.", "end_call": True}, ["Goodbye.", END]),
        ({"end_call": True}, [END]),
        (["Good", {"text": "bye.", "end_call": True}], ["Good", "bye.", END]),
        ([{"end_call": True}, "Goodbye."], ["Goodbye.", END]),
        ({"text": "Hello.", "end_call": False}, ["Hello."]),
    ],
)
async def test_an_agent_may_end_the_call_after_its_text(answer, deltas):
    assert await ask(lambda message: answer) == deltas


async def test_an_agent_that_may_not_hang_up_is_not_asked_again():
    refused = [*ASKED, Message("assistant", "Goodbye.", (END,)), Message("tool", "{}", tool_call_id=END.id)]
    assert await ask(pytest.fail, refused) == []


async def test_sync_functions_and_generators_run_in_threads():
    threads = set()

    def handler(message):
        threads.add(threading.get_ident())

        def generate():
            threads.add(threading.get_ident())
            yield "Yes."
            threads.add(threading.get_ident())

        return generate()

    assert await ask(handler) == ["Yes."]
    assert threading.get_ident() not in threads


class Secret(Exception):
    pass


def raising(message):
    raise Secret("Maria Lopez, +15550100199")


async def raising_late(message):
    yield "One moment. "
    raise Secret("Maria Lopez")


@pytest.mark.parametrize("handler", [raising, raising_late])
async def test_what_a_handler_raises_is_named_and_not_repeated(handler):
    with pytest.raises(ProviderError) as caught:
        await ask(handler)
    assert re.fullmatch(r"The on_message handler raised Secret in raising\w*, line \d+\.", str(caught.value))
    assert (caught.value.stage, caught.value.retryable) == ("llm", True)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("answer", [7, b"Hello.", ["Hello.", 7], {"text": 7}, object()])
async def test_an_answer_of_another_kind_is_an_error(answer):
    with pytest.raises(ProviderError, match="wrong shape"):
        await ask(lambda message: answer)


async def test_an_agent_that_takes_too_long_is_an_error():
    with pytest.raises(ProviderError, match="nothing for 2 s") as caught:
        await ask(lambda message: anyio.sleep(60), timeout_s=2)
    assert anyio.current_time() == pytest.approx(2)
    assert caught.value.retryable


async def test_the_limit_is_for_each_piece_and_not_for_a_busy_call():
    async def slowly(message):
        for number in range(4):
            await anyio.sleep(1.5)
            yield str(number)

    async with MessageMind(slowly, timeout_s=2).stream(ASKED, []) as stream:
        got = []
        async for delta in stream:
            got.append(delta)
            await anyio.sleep(5)
    assert got == ["0", "1", "2", "3"]


async def test_an_agent_that_stops_in_the_middle_is_an_error():
    async def stops(message):
        yield "Well, "
        await anyio.sleep_forever()

    async with MessageMind(stops, timeout_s=2).stream(ASKED, []) as stream:
        assert await anext(stream) == "Well, "
        with pytest.raises(ProviderError, match="nothing for 2 s"):
            await anext(stream)


async def test_a_call_that_does_not_take_the_pieces_is_not_the_agents_delay():
    many = [str(number) for number in range(600)]
    async with MessageMind(lambda message: many, timeout_s=2).stream(ASKED, []) as stream:
        await anyio.sleep(10)
        assert [delta async for delta in stream] == many


async def test_leaving_early_cancels_the_agent():
    closed = anyio.Event()

    async def endless(message):
        try:
            yield "Well, "
            await anyio.sleep_forever()
        finally:
            closed.set()

    async with MessageMind(endless).stream(ASKED, []) as stream:
        assert await anext(stream) == "Well, "
    assert closed.is_set()


async def test_a_generator_may_hold_a_scope_open_between_its_pieces():
    async def scoped(message):
        with anyio.move_on_after(5):
            yield "One "
            yield "two."
            await anyio.sleep(60)
        yield " Three."

    async with MessageMind(scoped).stream(ASKED, []) as stream:
        got = []
        while True:
            with anyio.fail_after(10):
                try:
                    got.append(await anext(stream))
                except StopAsyncIteration:
                    break
    assert got == ["One ", "two.", " Three."]


async def test_leaving_early_closes_a_generator_in_its_thread():
    closed = threading.Event()

    def endless(message):
        try:
            while True:
                yield "Well, "
        finally:
            closed.set()

    async with MessageMind(endless).stream(ASKED, []) as stream:
        assert await anext(stream) == "Well, "
    assert closed.is_set()


async def test_a_stuck_function_holds_nobody():
    begun, release, over = anyio.Event(), threading.Event(), threading.Event()

    def stuck(message):
        anyio.from_thread.run_sync(begun.set)
        release.wait(10)
        over.set()

    async with MessageMind(stuck).stream(ASKED, []):
        await begun.wait()
    assert not over.is_set()
    release.set()


@pytest.mark.parametrize(
    ("on_message", "model"),
    [
        (sync, "custom/callable"),
        ("https://agent.example.com/message?key=1", "custom/https"),
        ("http://127.0.0.1:8080/", "custom/https"),
        ("http://localhost:8080", "custom/https"),
        ("HTTPS://agent.example.com", "custom/https"),
        ("wss://agent.example.com", "custom/wss"),
        ("ws://[::1]:8080/talk", "custom/wss"),
    ],
)
def test_what_may_be_the_mind(on_message, model):
    mind: ChatModel = mind_of(on_message)
    assert mind.model == model
    assert isinstance(mind, PerCallChatModel)
    assert mind.speculative is False


@pytest.mark.parametrize(
    "on_message",
    [
        None,
        7,
        "",
        "agent.example.com",
        "ftp://agent.example.com",
        "http://agent.example.com/secret",
        "ws://agent.example.com/secret",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "https://",
        "https://host:port/secret",
        "https://agent.example.com/#secret",
        "https://agent.example.com/ secret",
        "https://agent.example.com\r\nx: secret",
    ],
)
def test_what_may_not(on_message):
    with pytest.raises(ConfigError, match="on_message must be a function") as caught:
        MessageMind(on_message)
    assert "secret" not in str(caught.value)


def test_a_chat_model_is_a_mind_already():
    mind = ScriptedMind()
    assert mind_of(mind) is mind


async def test_a_whole_call_with_an_agent_of_ones_own():
    told = []

    def agent(message):
        told.append((message["text"], message.get("event"), len(message["history"])))
        if "seven" in message["text"].lower():
            return {"text": "Thank you, goodbye.", "end_call": True}
        return "A table for two at seven, please."

    callee = Callee().says(0.5, "Luigi's, hello?").says(7.0, "Seven is fine.").hangs_up(30)
    line = callee.line()
    patter_agent = Agent(stt=callee.ears(line), llm=MessageMind(agent), tts=ScriptedVoice(), system_prompt="Be kind.")
    result = await ScriptedCarrier().rings(0.5).answers(1.0, line).place(patter_agent, goal="Book")
    assert [(entry.role, entry.text) for entry in result.transcript] == [
        ("user", "Luigi's, hello?"),
        ("agent", "A table for two at seven, please."),
        ("user", "Seven is fine."),
        ("agent", "Thank you, goodbye."),
    ]
    assert (result.status, result.details.end_reason) == ("completed", "agent_hangup")
    assert told == [("Luigi's, hello?", None, 0), ("Seven is fine.", None, 2)]
    check_invariants(result, line)


async def test_a_call_whose_agent_breaks_ends_with_an_apology():
    callee = Callee().says(0.5, "Hello?").hangs_up(30)
    line = callee.line()
    agent = Agent(stt=callee.ears(line), llm=MessageMind(raising), tts=ScriptedVoice())
    result = await ScriptedCarrier().rings(0.5).answers(1.0, line).place(agent)
    assert (result.status, result.details.error.code) == ("failed", "llm_error")
    assert result.details.error.message.startswith("The on_message handler raised Secret in raising, line ")
