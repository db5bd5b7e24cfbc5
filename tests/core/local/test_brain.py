"""The demo brain: rules from message to message, and whole dialogues with the personas in text."""

from __future__ import annotations

import json

import anyio
import pytest

from patter.call import prompt
from patter.local.brain import DemoBrain, phrases
from patter.local.dialogue import Act, Heard, Listen, Say
from patter.local.diary import DIARY, FILLER, diary
from patter.local.personas import PERSONAS
from patter.local.times import plain
from patter.voice.base import Message, ToolCall, ToolSpec, Usage

pytestmark = pytest.mark.anyio

GOAL = "Book a haircut for tomorrow at 3 pm."
SYSTEM = Message("system", prompt.system_prompt(instructions="You are friendly.", goal=GOAL))
END_CALL = ToolSpec("end_call", "Hang up.", {"type": "object", "properties": {"reason": {"type": "string"}}})
KEYS = ToolSpec("send_dtmf", "Press keys.", {"type": "object", "properties": {"digits": {"type": "string"}}})
INTRODUCTION = "Hi, this is an automated assistant calling to book a haircut for tomorrow at three in the afternoon."


def user(text: str) -> Message:
    return Message("user", text)


def agent(text: str) -> Message:
    return Message("assistant", text)


def note(text: str) -> Message:
    return Message("system", text)


async def ask(*messages: Message, tools: tuple[ToolSpec, ...] = (END_CALL,)) -> tuple[str, list[ToolCall]]:
    text, calls = "", []
    async with DemoBrain().stream((SYSTEM, *messages), tools) as stream:
        async for delta in stream:
            if isinstance(delta, str):
                text += delta
            elif isinstance(delta, ToolCall):
                calls.append(delta)
    return text, calls


@pytest.mark.parametrize(
    ("heard", "reply"),
    [
        ("how can i help you", "I would like to book a haircut for tomorrow at three in the afternoon."),
        ("three is taken i have four thirty would that work", "Yes, four thirty works for me."),
        ("We also have 5:15 pm.", "Yes, five fifteen in the afternoon works for me."),
        ("shall i book it", "Yes, that works for me."),
        ("what name should i put it under", "The name is Maria Lopez."),
        ("yes four thirty is free what is your name please", "The name is Maria Lopez."),
        ("and the date of birth", "I am sorry, I do not have the date of birth at hand."),
        ("what is the reason for the visit", "It is for a haircut."),
        ("what is your phone number", "You can reach us at the number I am calling from."),
        ("which day and time would you like", "Tomorrow at three in the afternoon, please."),
        ("one moment please", "Of course, take your time."),
        ("sure", "Great, could you please confirm that?"),
        ("sorry i did not get that", INTRODUCTION),
        ("hello are you still there", f"Yes, I am here. {INTRODUCTION}"),
        ("who is this", f"This is an automated assistant {INTRODUCTION.partition('assistant ')[2]}"),
        ("the weather is nice in spain", "Sorry, could you say that again?"),
    ],
)
async def test_replies_once_the_goal_is_stated(heard: str, reply: str) -> None:
    text, calls = await ask(user("hello"), agent(INTRODUCTION), user(heard))
    assert text == reply
    assert calls == []


@pytest.mark.parametrize(
    ("heard", "reply", "reason"),
    [
        (
            "you are booked for tomorrow at four thirty is there anything else",
            "No, that is all, thank you, goodbye.",
            "goal_reached",
        ),
        ("all right see you tomorrow", "Thank you for your help, goodbye.", "goal_reached"),
        ("i am afraid we are fully booked", "That is a pity. Thank you anyway, goodbye.", "goal_refused"),
        ("i have no time goodbye", "Thank you, goodbye.", "other"),
    ],
)
async def test_endings(heard: str, reply: str, reason: str) -> None:
    text, (call,) = await ask(user("hello"), agent(INTRODUCTION), user(heard))
    assert text == reply
    assert (call.name, json.loads(call.arguments)) == ("end_call", {"reason": reason})
    assert await ask(user("hello"), agent(INTRODUCTION), user(heard), tools=()) == (reply, [])


async def test_it_begins_with_who_it_is_and_what_it_wants() -> None:
    assert await ask() == (INTRODUCTION, [])
    assert await ask(note(prompt.NOBODY_SPEAKS)) == (INTRODUCTION, [])
    assert await ask(user("Hello, Style Studio.")) == (INTRODUCTION, [])


async def test_an_interrupted_introduction_is_given_again() -> None:
    assert await ask(user("yeah"), agent("Hi, this is"), user("wait who is this")) == (INTRODUCTION, [])
    again, _ = await ask(user("yeah"), agent("Hi, this is an automated assistant calling"), user("what"))
    assert again == "I am calling to book a haircut for tomorrow at three in the afternoon."


async def test_a_goal_that_was_stated_by_a_first_message_is_not_stated_twice() -> None:
    first = agent("Hello, I am the robot of Ada and would like a haircut tomorrow at three in the afternoon.")
    text, _ = await ask(first, user("what name should i put it under"))
    assert text == "The name is Maria Lopez."


async def test_it_asks_twice_to_repeat_and_then_gives_up() -> None:
    talk = [user("hello"), agent(INTRODUCTION)]
    texts = []
    for _ in range(3):
        talk.append(user("mumble jumble"))
        text, calls = await ask(*talk)
        talk.append(agent(text))
        texts.append(text)
    assert texts == [
        "Sorry, could you say that again?",
        "I am sorry, I did not understand. Could you repeat that, please?",
        "I am sorry, the line is not good. I will try again later, goodbye.",
    ]
    assert json.loads(calls[0].arguments) == {"reason": "other"}


async def test_an_understood_turn_resets_the_repeats() -> None:
    talk = [user("hello"), agent(INTRODUCTION), user("hm"), agent("Sorry, could you say that again?")]
    talk += [user("what name"), agent("The name is Maria Lopez."), user("mumble")]
    assert await ask(*talk) == ("Sorry, could you say that again?", [])


async def test_silence_is_asked_about_and_then_left() -> None:
    talk = [user("hello"), agent(INTRODUCTION), note(prompt.SILENCE)]
    first, _ = await ask(*talk)
    assert first == "Hello, is anybody there?"
    talk += [agent(first), note(prompt.SILENCE)]
    second, _ = await ask(*talk)
    assert second == "Are you still there?"
    last, (call,) = await ask(*talk, agent(second), note(prompt.GIVE_UP))
    assert last == "I cannot hear you, so I will try again later. Goodbye."
    assert call.name == "end_call"


@pytest.mark.parametrize(
    "messages",
    [
        [user(PERSONAS["voicemail"].phrases[0])],
        [user("please leave a message after the beep")],
        [note(prompt.MACHINE), user("you know what to do")],
    ],
)
async def test_a_machine_gets_one_short_message(messages: list[Message]) -> None:
    text, (call,) = await ask(*messages)
    assert text == INTRODUCTION.replace("Hi", "Hello") + " Please call back, goodbye."
    assert json.loads(call.arguments) == {"reason": "voicemail"}
    again, _ = await ask(*messages, agent(text), user("to hear your message press one"))
    assert again == "Thank you, goodbye." or "press" not in again


async def test_a_menu_is_answered_by_voice_or_by_keys() -> None:
    menu = user(PERSONAS["ivr"].phrases[3])
    text, calls = await ask(menu)
    assert (text, calls) == ("Appointments, please.", [])
    text, (call,) = await ask(menu, tools=(END_CALL, KEYS))
    assert (call.name, json.loads(call.arguments)) == ("send_dtmf", {"digits": "1"})
    after, calls = await ask(menu, agent(text), Message("tool", "ok", tool_call_id=call.id), tools=(KEYS,))
    assert (after, calls) == ("", [])


# --- the diary -------------------------------------------------------------------------------------

TAKEN = {"entry": "a meeting", "time": "four thirty", "free_at": "five thirty"}
OFFER = user("three is taken would four thirty work")


def looked_up(call: ToolCall, found: object) -> Message:
    return Message("tool", json.dumps(found), tool_call_id=call.id)


@pytest.mark.parametrize(
    ("found", "reply"),
    [
        (TAKEN, "I am sorry, there is a meeting at four thirty, would five thirty work?"),
        ({"entry": ""}, "Yes, that works for me."),
        ({"error": "timeout"}, "I cannot read the diary now, please keep four thirty open."),
    ],
)
async def test_an_offered_time_is_looked_up(found: object, reply: str) -> None:
    tools = (END_CALL, diary().spec())
    talk = [user("hello"), agent(INTRODUCTION), OFFER]
    text, (call,) = await ask(*talk, tools=tools)
    assert (text, call.name, json.loads(call.arguments)) == ("", DIARY, {"time": "four thirty"})
    talk += [Message("assistant", "", tool_calls=(call,)), looked_up(call, found)]
    assert await ask(*talk, tools=tools) == (reply, [])


@pytest.mark.parametrize(
    "heard", ["we have three in the afternoon", "what is your name", "you are booked for four thirty"]
)
async def test_what_is_no_new_offer_is_not_looked_up(heard: str) -> None:
    talk = (user("hello"), agent(INTRODUCTION), user(heard))
    with_diary = await ask(*talk, tools=(END_CALL, diary().spec()))
    assert with_diary == await ask(*talk)


async def test_without_a_goal_there_is_something_to_say() -> None:
    async with DemoBrain().stream([Message("system", "You are friendly.")], []) as stream:
        deltas = [delta async for delta in stream]
    assert deltas[0] == "Hi, "
    assert isinstance(deltas[-1], Usage)
    assert deltas[-1].estimated


async def test_deltas_are_words_at_their_pace() -> None:
    began = anyio.current_time()
    async with DemoBrain(delay_s=0.05, word_s=0.01).stream([SYSTEM], []) as stream:
        deltas = [delta async for delta in stream if isinstance(delta, str)]
    assert "".join(deltas) == INTRODUCTION
    assert len(deltas) == len(INTRODUCTION.split())
    assert anyio.current_time() - began >= 0.05 + 0.01 * (len(deltas) - 1)


async def test_leaving_a_stream_ends_it() -> None:
    async with DemoBrain().stream([SYSTEM], []) as stream:
        await anext(stream)
    assert await anext(stream, None) is None


# --- dialogues -------------------------------------------------------------------------------------


async def converse(name: str, *, tools: tuple[ToolSpec, ...] = (END_CALL,)) -> tuple[list[Message], str]:
    """Let the brain and a persona talk in text, as recognisers would write it; the talk, and who hung up.

    Whatever time is looked up is taken.
    """
    script = PERSONAS[name].script()
    talk: list[Message] = []
    unheard: list[str] = []
    nudges = iter([prompt.NOBODY_SPEAKS, prompt.SILENCE, prompt.SILENCE, prompt.GIVE_UP])
    over = False
    try:
        act: Act = next(script)
        while len(talk) < 60:
            heard = Heard()
            if isinstance(act, Say):
                unheard.append(plain(act.text))
            elif isinstance(act, Listen):
                if over:
                    return talk, "agent"
                talk.append(user(" ".join(unheard)) if unheard else note(next(nudges)))
                unheard.clear()
                text, calls = await ask(*talk, tools=tools)
                if calls and calls[0].name == DIARY:
                    talk += [Message("assistant", text, tool_calls=tuple(calls)), looked_up(calls[0], TAKEN)]
                    text, calls = await ask(*talk, tools=tools)
                words = text.split()[: act.after_words]
                talk.append(agent(" ".join(words)))
                heard = Heard(plain(" ".join(words)))
                over = any(call.name == "end_call" for call in calls)
            act = script.send(heard)
    except StopIteration:
        return talk, "persona"
    return talk, "nobody"


async def test_with_a_diary_another_time_is_agreed_on() -> None:
    talk, hung_up = await converse("salon", tools=(END_CALL, diary().spec()))
    assert hung_up == "agent"
    said = [message.content for message in talk if message.role == "assistant" and message.content]
    assert said == [
        INTRODUCTION,
        "I am sorry, there is a meeting at four thirty, would five thirty work?",
        "Yes, five thirty works for me.",
        "The name is Maria Lopez.",
        "No, that is all, thank you, goodbye.",
    ]
    assert "you are booked for tomorrow at five thirty anything else" in [message.content for message in talk]
    sentences = {plain(phrase) for phrase in phrases(GOAL, has_diary=True)}
    assert {plain(text) for text in (*said, FILLER)} <= sentences
    assert plain(FILLER) not in {plain(phrase) for phrase in phrases(GOAL)}


@pytest.mark.parametrize(
    ("name", "who", "lines", "words"),
    [
        ("salon", "agent", 8, "goodbye"),
        ("doctor", "agent", 12, "goodbye"),
        ("voicemail", "agent", 2, "call back"),
        ("ivr", "agent", 8, "goodbye"),
        ("rude", "persona", 6, "I would like to"),
        ("silent", "agent", 8, "I cannot hear you"),
    ],
)
async def test_dialogues_come_to_an_end(name: str, who: str, lines: int, words: str) -> None:
    talk, hung_up = await converse(name)
    assert hung_up == who
    assert len(talk) == lines
    assert words in talk[-1].content
    assert not any("could you say that again" in message.content for message in talk)


@pytest.mark.parametrize("name", ["salon", "doctor", "voicemail", "ivr", "rude", "silent"])
async def test_phrases_hold_every_word_that_is_said(name: str) -> None:
    vocabulary = {word for phrase in phrases(GOAL) for word in plain(phrase).split()}
    talk, _ = await converse(name)
    assert {word for line in talk if line.role == "assistant" for word in plain(line.content).split()} <= vocabulary
