"""What is said before a tool runs, and that it was heard. In virtual time; times are seconds after the answer."""

import json
from contextlib import asynccontextmanager

import anyio
import pytest

from patter.call.prompt import FILLER
from patter.errors import ProviderError
from patter.settings import Timing
from patter.testing import Callee, Pause, ScriptedVoice, VoiceFault, reply
from patter.tools.model import Tool
from patter.voice.base import EndOfSpeech, ToolCall

pytestmark = pytest.mark.anyio

LOOK = "Let me look that up for you."
PRICE = "It is ten dollars."
SLOWLY = Timing(end_of_turn_s=1.5)
"""The turn is decided a second after its final."""


class Shop:
    """Tools that write down when they began, in seconds of the loop's clock."""

    def __init__(self):
        self.began = {}

    def tool(self, name="lookup", *, seconds=0.1, priority=0, **speech):
        async def handler(arguments, context):
            self.began[name] = anyio.current_time()
            await anyio.sleep(seconds)
            return {"price": 10}

        return Tool(name=name, description="Look up a price.", handler=handler, priority=priority, speech=speech)

    def after_answer(self, call, name="lookup"):
        return self.began[name] - call.line.answered_at


def asks(at=0.4):
    return Callee().says(at, "How much is it")


def use(*names):
    return [ToolCall(f"{name}-1", name, "{}") for name in names]


def results(request):
    return {message.tool_call_id: json.loads(message.content) for message in request.messages if message.role == "tool"}


def spoken(call, text):
    """When the last word of a text was played."""
    words = [word.text for word in call.line.heard_words()]
    wanted = text.split()
    (place,) = [at for at in range(len(words)) if words[at : at + len(wanted)] == wanted]
    return call.line.heard_words()[place + len(wanted) - 1].until_s


# --- wait_before ---------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [{}, {"rtt_s": 0.2}, {"lose_marks": range(1, 1000)}])
async def test_what_is_being_said_is_played_before_the_tool_runs(talk, line):
    shop = Shop()
    tools = [shop.tool(wait_before=True)]
    call = await talk(asks().hangs_up(9.0), [reply(LOOK, *use("lookup")), PRICE], tools=tools, line=line)
    late_s = 2.0 if "lose_marks" in line else line.get("rtt_s", 0.0)
    assert shop.after_answer(call) == pytest.approx(spoken(call, LOOK) + late_s, abs=0.01)
    assert call.transcript == [("user", "How much is it"), ("agent", f"{LOOK} {PRICE}")]
    assert call.line.heard_text() == f"{LOOK} {PRICE}"
    assert call.voice.utterances == [[LOOK], [PRICE]]
    assert results(call.mind.requests[1]) == {"lookup-1": {"price": 10}}


async def test_without_it_the_tool_runs_while_the_agent_speaks(talk):
    shop = Shop()
    call = await talk(asks().hangs_up(9.0), [reply(LOOK, *use("lookup")), PRICE], tools=[shop.tool()])
    assert shop.after_answer(call) < spoken(call, LOOK) - 1
    assert call.voice.utterances == [[LOOK, PRICE]]


async def test_a_tool_that_waits_for_nothing_runs_at_once(talk):
    shop = Shop()
    call = await talk(asks().hangs_up(9.0), [reply(*use("lookup")), PRICE], tools=[shop.tool(wait_before=True)])
    (said,) = call.at("user")
    assert shop.after_answer(call) == pytest.approx(said.expected + 0.2, abs=0.01)
    assert call.of("agent") == [PRICE]


async def test_a_callee_who_takes_the_floor_keeps_the_tool_from_running(talk):
    shop = Shop()
    callee = asks().says(2.6, "No thank you").hangs_up(9.0)
    steps = [reply(LOOK, *use("lookup")), "As you like."]
    call = await talk(callee, steps, tools=[shop.tool(wait_before=True)])
    assert shop.began == {}
    assert call.result.details.tool_calls == []
    cut = call.of("agent")[0]
    assert LOOK.startswith(cut) and cut != LOOK
    told = [(message.role, message.content) for message in call.mind.requests[1].messages[1:]]
    assert told == [("user", "How much is it"), ("assistant", cut), ("user", "No thank you")]
    assert not any(message.tool_calls for message in call.mind.requests[1].messages)


async def test_a_noise_only_delays_it(talk):
    shop = Shop()
    call = await talk(
        asks().mumbles(2.4, 300).hangs_up(12.0),
        [reply(LOOK, *use("lookup")), PRICE],
        tools=[shop.tool(wait_before=True)],
    )
    assert shop.after_answer(call) == pytest.approx(spoken(call, LOOK), abs=0.01)
    assert call.line.heard_text() == f"{LOOK} {PRICE}"


async def test_each_group_of_calls_waits_for_itself(talk):
    shop = Shop()
    tools = [shop.tool("first", seconds=0.3), shop.tool("second", wait_before=True, priority=1)]
    steps = [reply(LOOK, *use("second", "first")), PRICE]
    call = await talk(asks().hangs_up(9.0), steps, tools=tools)
    assert shop.after_answer(call, "first") < spoken(call, LOOK) - 1
    assert shop.after_answer(call, "second") == pytest.approx(spoken(call, LOOK), abs=0.01)
    assert results(call.mind.requests[1]) == {"second-1": {"price": 10}, "first-1": {"price": 10}}


@pytest.mark.parametrize("policy", [{"wait_before": True}, {}])
async def test_a_group_that_has_not_begun_when_the_callee_takes_the_floor_says_so(talk, policy):
    """With no policy it is the first tool that is still waited for."""
    shop = Shop()
    tools = [shop.tool("first", seconds=0.1 if policy else 2.0), shop.tool("second", priority=1, **policy)]
    callee = asks().says(2.6, "No thank you").hangs_up(9.0)
    call = await talk(callee, [reply(LOOK, *use("first", "second")), "As you like."], tools=tools)
    assert list(shop.began) == ["first"]
    told = results(call.mind.requests[1])
    assert told["second-1"] == {
        "error": "shutdown",
        "details": ["not carried out: the other side has begun to speak"],
    }
    assert [record.name for record in call.result.details.tool_calls] == ["first"]


async def test_a_goodbye_that_is_waited_for_can_be_interrupted(talk):
    goodbye = "Then I wish you a very nice day, and thank you for your time. Goodbye."
    tool = Tool(name="leave", description="Hang up.", tool_type="end_call", config={}, speech={"wait_before": True})
    callee = asks().says(3.0, "Wait one moment").hangs_up(9.0)
    call = await talk(callee, [reply(goodbye, *use("leave")), "Yes?"], tools=[tool])
    assert call.of("agent")[1:] == ["Yes?"]
    assert call.result.details.end_reason == "user_hangup"
    patient = await talk(asks(), [reply(goodbye, *use("leave"))], tools=[tool])
    assert patient.of("agent") == [goodbye]
    assert patient.result.details.end_reason == "agent_hangup"


async def test_a_voice_that_fails_before_the_tool_runs_fails_the_call(talk):
    shop = Shop()
    voice = ScriptedVoice(faults=[VoiceFault(1, ProviderError("tts", "No such voice."), 2)])
    call = await talk(asks(), [reply(LOOK, *use("lookup"))], tools=[shop.tool(wait_before=True)], voice=voice)
    assert call.result.details.error.code == "tts_error"
    assert shop.began == {}


# --- require_before ------------------------------------------------------------------------------


@pytest.mark.parametrize(("filler", "words"), [("I will ask.", "I will ask."), (None, FILLER)])
@pytest.mark.parametrize("wait", [False, True])
async def test_a_silent_mind_is_given_words_before_the_tool_runs(talk, filler, words, wait):
    shop = Shop()
    tools = [shop.tool(filler=filler, require_before=True, wait_before=wait, seconds=3.0)]
    call = await talk(asks().hangs_up(12.0), [reply(*use("lookup")), PRICE], tools=tools)
    (said,) = call.at("user")
    spoken_at = said.expected + 0.2
    assert call.log.of("saying")[0]["at_s"] - 1.0 == pytest.approx(spoken_at, abs=0.01)
    began = shop.after_answer(call)
    assert began == pytest.approx(spoken(call, words) if wait else spoken_at, abs=0.01)
    # However long the tool takes, no second filler follows.
    assert call.of("agent") == [f"{words} {PRICE}"]


async def test_a_filler_is_said_even_where_none_is_said_during(talk):
    shop = Shop()
    tools = [shop.tool(during=False, require_before=True)]
    call = await talk(asks().hangs_up(9.0), [reply(*use("lookup")), PRICE], tools=tools)
    assert call.of("agent") == [f"{FILLER} {PRICE}"]


@pytest.mark.parametrize("steps", [[reply(LOOK, *use("other"))], []], ids=["an answer before", "the same answer"])
async def test_words_of_the_mind_are_enough(talk, steps):
    shop = Shop()
    text = () if steps else (LOOK,)
    tools = [shop.tool("other"), shop.tool(require_before=True, filler="No.")]
    call = await talk(asks().hangs_up(9.0), [*steps, reply(*text, *use("lookup")), PRICE], tools=tools)
    assert call.of("agent") == [f"{LOOK} {PRICE}"]


async def test_words_that_bridged_the_minds_silence_are_enough(talk):
    shop = Shop()
    tools = [shop.tool(require_before=True, filler="No.", seconds=3.0)]
    call = await talk(asks().hangs_up(12.0), [reply(Pause(3.0), *use("lookup")), PRICE], tools=tools)
    assert call.of("agent") == [f"{FILLER} {PRICE}"]


async def test_a_later_group_has_its_words_before_it(talk):
    shop = Shop()
    tools = [shop.tool("first", seconds=0.5), shop.tool("second", priority=1, require_before=True, filler="And now?")]
    call = await talk(asks().hangs_up(9.0), [reply(*use("first", "second")), PRICE], tools=tools)
    assert call.of("agent") == [f"And now? {PRICE}"]
    ended = shop.after_answer(call, "first") + 0.5
    assert shop.after_answer(call, "second") == pytest.approx(ended, abs=0.01)
    assert call.log.of("saying")[0]["at_s"] - 1.0 == pytest.approx(ended, abs=0.01)


async def test_a_request_for_patience_is_no_goodbye(talk):
    tool = Tool(name="leave", description="Hang up.", tool_type="end_call", config={}, speech={"require_before": True})
    call = await talk(asks(), [reply(*use("leave")), "Goodbye."], tools=[tool])
    assert call.of("agent") == [f"{FILLER} Goodbye."]
    assert call.result.details.end_reason == "agent_hangup"


# --- before the turn is certain ------------------------------------------------------------------


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("text", [(), (LOOK,)])
async def test_nothing_is_said_or_run_before_the_turn_is_over(talk, text, wait):
    shop = Shop()
    tools = [shop.tool(wait_before=wait, require_before=True, filler="I will ask.")]
    callee = Callee().says(0.4, "How much is it", end=EndOfSpeech.NONE).hangs_up(12.0)
    call = await talk(callee, [reply(*text, *use("lookup")), PRICE], tools=tools, timing=SLOWLY)
    (said,) = call.at("user")
    assert call.mind.requests[0].at < call.line.answered_at + said.expected - 0.5
    words = text[0] if text else "I will ask."
    assert call.log.of("saying")[0]["at_s"] - 1.0 == said
    assert shop.after_answer(call) == pytest.approx(spoken(call, words) if wait else said.expected, abs=0.01)
    assert call.of("agent") == [f"{words} {PRICE}"]


async def test_a_draft_that_was_dropped_leaves_no_trace(talk):
    shop = Shop()
    tools = [shop.tool(wait_before=True, require_before=True)]
    callee = Callee().says(0.4, "How much is it", end=EndOfSpeech.NONE).says(2.6, "for two of us").hangs_up(12.0)
    call = await talk(callee, [reply(LOOK, *use("lookup")), PRICE], tools=tools, timing=SLOWLY)
    assert call.transcript == [("user", "How much is it for two of us"), ("agent", PRICE)]
    assert shop.began == {}


# --- progress ------------------------------------------------------------------------------------


class BusyVoice(ScriptedVoice):
    """Takes its time to take a text."""

    @asynccontextmanager
    async def utter(self):
        async with super().utter() as utterance:
            say = utterance.say

            async def say_slowly(text):
                await anyio.sleep(0.4)
                await say(text)

            utterance.say = say_slowly
            yield utterance


async def test_what_was_begun_is_said_though_the_result_is_there(talk):
    async def handler(arguments, context):
        await anyio.sleep(0.1)
        yield {"progress": "I have found it."}
        yield {"result": "ten"}

    tool = Tool(name="lookup", description="Look up a price.", handler=handler)
    call = await talk(asks().hangs_up(9.0), [reply(*use("lookup")), PRICE], tools=[tool], voice=BusyVoice())
    assert call.of("agent") == [f"I have found it. {PRICE}"]
    assert call.line.heard_text() == f"I have found it. {PRICE}"


async def test_who_has_told_of_progress_needs_no_filler(talk):
    async def handler(arguments, context):
        await anyio.sleep(0.1)
        yield {"progress": "I have found it."}
        await anyio.sleep(3.0)
        yield {"result": "ten"}

    tool = Tool(name="lookup", description="Look up a price.", handler=handler)
    call = await talk(asks().hangs_up(9.0), [reply(*use("lookup")), PRICE], tools=[tool])
    assert call.of("agent") == [f"I have found it. {PRICE}"]
