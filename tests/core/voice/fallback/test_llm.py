"""When one chat model fails or dawdles, the next one answers."""

from contextlib import asynccontextmanager

import anyio
import pytest

from patter.agent import Agent
from patter.errors import ProviderError
from patter.testing import Callee, Pause, ScriptedCarrier, ScriptedMind, ScriptedVoice, check_invariants, reply
from patter.testing.pytest_plugin import anyio_backend, no_leaked_tasks
from patter.voice.base import CallContext, Message, ToolCall, Usage
from patter.voice.fallback.llm import FallbackLLM

__all__ = ["anyio_backend", "no_leaked_tasks"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaked_tasks")]

BUSY = ProviderError("llm", "busy", retryable=True)
WRONG_KEY = ProviderError("llm", "wrong key")
ASKED = [Message("system", "Be brief."), Message("user", "Hello there, how are you?")]
CALL = CallContext(call_id="CA1", caller="+15550100001", callee="+15550100199")


async def ask(mind):
    """Everything that comes of an answer, and the error that ends it."""
    got = []
    try:
        async with mind.stream(ASKED, []) as stream:
            async for delta in stream:
                got.append(delta)  # noqa: PERF401
    except ProviderError as error:
        got.append(error)
    return got


class Refusing(ScriptedMind):
    """Turns the first requests away before it begins to work on them."""

    def __init__(self, errors, steps=(), **options):
        super().__init__(steps, **options)
        self.errors = list(errors)
        self.asked = 0

    @asynccontextmanager
    async def stream(self, messages, tools):
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        async with super().stream(messages, tools) as stream:
            yield stream


async def test_the_first_choice_answers_as_long_as_it_can():
    first, second = ScriptedMind([reply("One ", "two.", Usage(5, 2))], model="a/one"), ScriptedMind()
    assert await ask(FallbackLLM(first, second)) == ["One ", "two.", Usage(5, 2, model="a/one")]
    assert second.requests == []


@pytest.mark.parametrize(
    "first",
    [
        Refusing([BUSY]),
        ScriptedMind([reply(BUSY)]),
        ScriptedMind([reply("", BUSY)]),
        ScriptedMind([reply(Pause(60), "too late")]),
    ],
    ids=["refuses", "fails before it answers", "fails after nothing", "writes nothing"],
)
async def test_the_next_one_is_asked_in_the_same_stream(first):
    second = ScriptedMind(["I can help."], model="b/two")
    answer = await ask(FallbackLLM(first, second))
    assert [delta for delta in answer if not isinstance(delta, Usage)] == ["I can help."]
    assert second.requests[0].messages == tuple(ASKED)
    assert anyio.current_time() < 3.5


async def test_the_next_one_is_not_asked_before_the_first_one_has_stopped():
    generating = []

    class Watched(ScriptedMind):
        @asynccontextmanager
        async def stream(self, messages, tools):
            generating.append(self.model)
            assert len(generating) == 1
            try:
                async with super().stream(messages, tools) as stream:
                    yield stream
            finally:
                generating.remove(self.model)

    slow, good = Watched([reply(Pause(60))], model="a/one"), Watched(["Yes."], model="b/two")
    assert (await ask(FallbackLLM(slow, good)))[0] == "Yes."
    assert slow.abandoned == [0]


async def test_nothing_is_repeated_once_something_went_out():
    first = ScriptedMind([reply("Half an ", BUSY)])
    second = ScriptedMind(["Never asked."])
    assert await ask(FallbackLLM(first, second)) == ["Half an ", BUSY]
    first = ScriptedMind([reply(ToolCall("1", "look", "{}"), BUSY)])
    assert await ask(FallbackLLM(first, second)) == [ToolCall("1", "look", "{}"), BUSY]
    assert second.requests == []


async def test_a_slow_answer_that_has_begun_is_waited_for():
    first = ScriptedMind([reply("Well", Pause(20), " then.")])
    assert await ask(FallbackLLM(first, ScriptedMind())) == ["Well", " then."]


async def test_the_last_one_may_take_its_time():
    first, last = ScriptedMind([reply(Pause(60))]), ScriptedMind([reply(Pause(9), "At last.")])
    assert (await ask(FallbackLLM(first, last)))[0] == "At last."
    assert anyio.current_time() == pytest.approx(3.0 + 0.2 + 9)


async def test_when_all_refuse_entering_raises_and_when_all_fail_the_iteration_does():
    last = ProviderError("llm", "the last one", retryable=True)
    refusing = FallbackLLM(Refusing([BUSY]), Refusing([last]))
    with pytest.raises(ProviderError, match="the last one"):
        async with refusing.stream(ASKED, []):
            pytest.fail("nobody has accepted the request")
    failing = FallbackLLM(ScriptedMind([reply(BUSY)]), Refusing([last]))
    async with failing.stream(ASKED, []) as stream:
        with pytest.raises(ProviderError, match="the last one"):
            await anext(stream)


async def test_an_answer_of_nothing_is_an_answer():
    assert await ask(FallbackLLM(ScriptedMind([reply()]), ScriptedMind())) == []


async def test_the_bill_names_everyone_who_was_asked():
    characters = sum(len(message.content) for message in ASKED)
    owed = Usage(characters // 4, 0, estimated=True, model="a/one")
    first = ScriptedMind([reply(BUSY)], model="a/one")
    second = ScriptedMind([reply("I can help.", Usage(7, 3))], model="b/two")
    assert await ask(FallbackLLM(first, second)) == ["I can help.", owed, Usage(7, 3, model="b/two")]
    first = ScriptedMind([reply(BUSY)], model="a/one")
    second = ScriptedMind(["I can help."], model="b/two")
    own = Usage(characters // 4, len("I can help.") // 4, estimated=True, model="b/two")
    assert await ask(FallbackLLM(first, second)) == ["I can help.", owed, own]
    unbilled, second = Refusing([BUSY]), ScriptedMind(["Yes."])
    assert await ask(FallbackLLM(unbilled, second)) == ["Yes."]


async def test_the_stream_and_the_session_name_who_answers():
    first, second = Refusing([BUSY], model="a/one"), ScriptedMind(["Yes."], model="b/two")
    async with FallbackLLM(first, second).open(CALL) as session:
        assert session.model == "a/one"
        async with session.stream(ASKED, []) as stream:
            assert await anext(stream) == "Yes."
            assert (stream.model, session.model) == ("b/two", "b/two")


async def test_a_failed_model_rests_for_all_calls_and_is_tried_again():
    first, second = Refusing([BUSY], ["First."]), ScriptedMind(["Second.", "Second."])
    mind = FallbackLLM(first, second)
    assert await ask(mind) == ["Second."]
    async with mind.open(CALL) as other:
        assert await ask(other) == ["Second."]
    assert first.asked == 1
    await anyio.sleep(30)
    assert await ask(mind) == ["First."]


async def test_a_model_that_fails_in_the_middle_rests_too():
    first, second = ScriptedMind([reply("Half an ", BUSY)]), ScriptedMind(["Second."])
    mind = FallbackLLM(first, second)
    await ask(mind)
    assert await ask(mind) == ["Second."]


async def test_whoever_rests_is_asked_before_giving_up():
    first, second = Refusing([BUSY], ["First again."]), Refusing([BUSY, BUSY])
    mind = FallbackLLM(first, second)
    assert await ask(mind) == [BUSY]
    assert await ask(mind) == ["First again."]


async def test_a_permanent_failure_lasts_for_the_rest_of_the_call():
    first, second = Refusing([WRONG_KEY], ["First."]), ScriptedMind(["Second.", "Second."])
    mind = FallbackLLM(first, second)
    async with mind.open(CALL) as session:
        assert await ask(session) == ["Second."]
        await anyio.sleep(60)
        assert await ask(session) == ["Second."]
    assert first.asked == 1
    async with mind.open(CALL) as session:
        assert await ask(session) == ["First."]


class PerCall(ScriptedMind):
    """A mind with a session for each call."""

    def __init__(self, steps=(), *, errors=(), open_s=0.0, **options):
        super().__init__(steps, **options)
        self.calls = []
        self.errors = list(errors)
        self.open_now = 0
        self.open_s = open_s

    @asynccontextmanager
    async def open(self, call):
        self.calls.append(call)
        await anyio.sleep(self.open_s)
        if self.errors:
            raise self.errors.pop(0)
        self.open_now += 1
        try:
            yield self
        finally:
            self.open_now -= 1


async def test_the_substitutes_open_their_sessions_when_they_are_needed():
    first, second = PerCall([reply(BUSY)]), PerCall(["Yes.", "Yes."])
    async with FallbackLLM(first, second).open(CALL) as session:
        assert (first.calls, second.calls) == ([CALL], [])
        assert (await ask(session))[0] == "Yes."
        assert await ask(session) == ["Yes."]
        assert (first.open_now, second.open_now, second.calls) == (1, 1, [CALL])
    assert (first.open_now, second.open_now) == (0, 0)


@pytest.mark.parametrize("first", [PerCall(errors=[WRONG_KEY]), PerCall(open_s=60)], ids=["refused", "slow"])
async def test_a_session_that_does_not_open_is_another_ones_call(first):
    second = PerCall(["Yes."], model="b/two")
    async with FallbackLLM(first, second).open(CALL) as session:
        assert session.model == "b/two"
        assert await ask(session) == ["Yes."]
    assert anyio.current_time() < 3


async def test_a_call_whose_minds_all_refuse_does_not_open():
    with pytest.raises(ProviderError, match="wrong key"):
        async with FallbackLLM(PerCall(errors=[BUSY]), PerCall(errors=[WRONG_KEY])).open(CALL):
            pytest.fail("nobody is there")


async def test_leaving_early_stops_the_generation():
    first = ScriptedMind([reply("One ", Pause(60), "two.")])
    async with FallbackLLM(first, ScriptedMind()).stream(ASKED, []) as stream:
        assert await anext(stream) == "One "
    assert first.abandoned == [0]
    assert anyio.current_time() < 1


async def test_cancelling_the_turn_while_nobody_answers_yet():
    first, second = Refusing([BUSY]), ScriptedMind([reply(Pause(60))])
    with anyio.move_on_after(1) as turn:
        await ask(FallbackLLM(first, second))
    assert turn.cancelled_caught
    assert second.abandoned == [0]


async def test_the_owners_error_passes_unwrapped():
    with pytest.raises(KeyError, match="mine"):
        async with FallbackLLM(ScriptedMind(["Yes."]), ScriptedMind()).stream(ASKED, []):
            raise KeyError("mine")


async def test_a_call_in_which_the_first_model_dies_goes_on_without_a_word_lost_or_repeated():
    callee = Callee().says(0.5, "Hello?").says(6.0, "Seven is fine.").hangs_up(14.0)
    line = callee.line()
    first = Refusing([], ["Good day, I would like a table.", reply(BUSY)], model="a/one")
    second = ScriptedMind(["Thank you, goodbye."], model="b/two")
    agent = Agent(stt=callee.ears(line), llm=FallbackLLM(first, second), tts=ScriptedVoice())
    result = await ScriptedCarrier().rings(0.5).answers(1.0, line).place(agent)
    assert [(entry.role, entry.text) for entry in result.transcript] == [
        ("user", "Hello?"),
        ("agent", "Good day, I would like a table."),
        ("user", "Seven is fine."),
        ("agent", "Thank you, goodbye."),
    ]
    assert result.status == "completed"
    check_invariants(result, line)
