"""A mind without keys: answers the telephone by rules, for the demo and the tests.

It knows the goal of the call and what people at a front desk say, and derives all else from the
messages it is given, so it can be cut off, repeated and shared by any number of calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import anyio

from patter.local.diary import DIARY, ENTRY, FILLER
from patter.local.goal import Goal
from patter.local.times import ClockTime, find_times, plain
from patter.voice.base import Delta, Message, ToolCall, ToolSpec, Usage

__all__ = ["DemoBrain", "phrases"]

_GOAL = re.compile(r"^\s*goal:\s*(.+)$", re.IGNORECASE | re.MULTILINE)
_NO_GOAL = "Ask a question"

_REPEAT = "Sorry, could you say that again?"
_REPEAT_ONCE_MORE = "I am sorry, I did not understand. Could you repeat that, please?"
_LOST = "I am sorry, the line is not good. I will try again later, goodbye."
_REPEATS = ("sorry could you", "i am sorry i did not")
_THERE = "Hello, is anybody there?"
_STILL_THERE = "Are you still there?"
_GONE = "I cannot hear you, so I will try again later. Goodbye."
_DONE = "Thank you for your help, goodbye."
_NOTHING_ELSE = "No, that is all, thank you, goodbye."
_PITY = "That is a pity. Thank you anyway, goodbye."
_BYE = "Thank you, goodbye."
_TAKE_TIME = "Of course, take your time."
_HERE = "Yes, I am here."
_ACCEPT = "Yes, that works for me."
_NO_BIRTH = "I am sorry, I do not have the date of birth at hand."
_CALLBACK = "You can reach us at the number I am calling from."
_CONFIRM = "Great, could you please confirm that?"
_ANY_TIME = "Any time tomorrow is fine."

_FIXED = (
    *(_REPEAT, _REPEAT_ONCE_MORE, _LOST, _THERE, _STILL_THERE, _GONE, _DONE, _NOTHING_ELSE, _PITY, _BYE),
    *(_TAKE_TIME, _HERE, _ACCEPT, _NO_BIRTH, _CALLBACK, _CONFIRM, _ANY_TIME),
)

_MACHINE = re.compile(r"voice ?mail|after the (?:tone|beep)|leave (?:your|a) (?:name|\w* ?message)|answering machine")
_FAREWELL = re.compile(r"\b(?:good ?bye|bye)\b")
_MENU = re.compile(r"for ((?:(?!for\b)[\w']+ )+?)(?:please )?press (?:the )?(?:number )?(\w+)")
_DESK = re.compile(r"appointment|booking|reservation|reception|order|front desk|speak")
_HOLD = re.compile(r"one moment|hold on|just a (?:moment|minute|second)|let me (?:check|see|look)|please hold")
_AGAIN = re.compile(r"say (?:that|it) again|repeat|did(?: not|n't) (?:get|catch|hear|understand)|pardon|come again")
_PRESENT = re.compile(r"(?:are you|anybody|anyone) (?:still )?there|can you hear me")
_WHO = re.compile(r"who (?:is|are|am|'s)|who's|is this a (?:robot|machine|recording)|are you a ")
_WANT = re.compile(r"what do you want|what is (?:this|it) about|how (?:can|may) i help|what can i do|how can we help")
_OFFER = re.compile(
    r"would (?:that|it|this|[\w ']{1,40} work)|(?:can|could) you (?:come|do|make)|does (?:that|it)"
    r"|is that (?:ok|okay|fine|good|all right)|shall i|should i book|how about|what about|would you (?:take|prefer)"
)
_HAVE = re.compile(r"\b(?:i|we)(?: also| only| do)? have\b|available|earliest|opening|can see you")
_REFUSED = re.compile(r"fully booked|booked (?:out|up)|nothing (?:free|left|available)|no (?:free|appointments)|closed")
_SETTLED = re.compile(r"booked|confirmed|reserved|scheduled|all set|see you|noted|anything else|that is done")
_BIRTH = re.compile(r"date of birth|birth ?day|born")
_NAME = re.compile(r"\bname\b|who is it for")
_REASON = re.compile(r"reason|what (?:is|'s) it for|which (?:service|treatment)|what kind")
_NUMBER = re.compile(r"phone number|number (?:can|should|do)|reach you|call you back")
_WHEN = re.compile(r"\bwhen\b|wh(?:ich|at) (?:day|time|date)|day and time|would you like to come")
_YES = re.compile(r"^(?:yes|yeah|yep|sure|okay|ok|of course|certainly|great|all right|alright|perfect|mhm)\b")


@dataclass(frozen=True, slots=True)
class _Reply:
    """What to say, and why to hang up after it, which keys to press, or which time to look up."""

    text: str
    end: str = ""
    keys: str = ""
    look_up: str = ""


class DemoBrain:
    """A chat model of rules. It is deterministic and costs nothing.

    It says in its first sentence that it is an automated assistant, states the goal, accepts what is
    offered instead, gives the name, and after a confirmation says goodbye and calls ``end_call``. What
    it does not understand it asks to repeat, twice. With the tool of `patter.local.diary` it
    looks up a time that is offered before it answers.

    Args:
        delay_s: time before the first word, to play a slower model.
        word_s: time between two words.
    """

    model = "local/demo-brain"

    def __init__(self, *, delay_s: float = 0.0, word_s: float = 0.0) -> None:
        self._delay_s = delay_s
        self._word_s = word_s

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> _Answer:
        """Answer a history, word by word; a tool call and the (estimated) usage come last."""
        reply = _reply(messages, has_diary=any(tool.name == DIARY for tool in tools))
        deltas: list[Delta] = [*re.findall(r"\S+\s*", reply.text), *_tool_calls(reply, tools, len(messages))]
        asked = sum(len(message.content) for message in messages)
        deltas.append(Usage(asked // 4, len(reply.text) // 4, estimated=True))
        return _Answer(deltas, self._delay_s, self._word_s)


class _Answer:
    """An answer as it is being written."""

    def __init__(self, deltas: Sequence[Delta], delay_s: float, word_s: float) -> None:
        self._deltas = iter(deltas)
        self._pause_s = delay_s
        self._word_s = word_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deltas = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        await anyio.sleep(self._pause_s)
        self._pause_s = self._word_s
        for delta in self._deltas:
            return delta
        raise StopAsyncIteration


def _tool_calls(reply: _Reply, tools: Sequence[ToolSpec], number: int) -> Iterator[ToolCall]:
    for tool in tools:
        if reply.end and tool.name == "end_call":
            yield ToolCall(f"demo_{number}", tool.name, json.dumps({"reason": reply.end}))
        if reply.keys and re.search(r"dtmf|digits|keys|tone", tool.name):
            names = list(tool.parameters.get("properties", {})) or ["digits"]
            yield ToolCall(f"demo_{number}", tool.name, json.dumps({names[0]: reply.keys}))
        if reply.look_up and tool.name == DIARY:
            yield ToolCall(f"demo_{number}", tool.name, json.dumps({"time": reply.look_up}))


# --- the rules ------------------------------------------------------------------------------------


def _reply(messages: Sequence[Message], *, has_diary: bool) -> _Reply:
    goal = _goal(messages)
    if messages and messages[-1].role == "tool":
        return _report(messages)
    told = [message.content for message in messages if message.role == "assistant" and message.content]
    notes = [message.content for message in messages[1:] if message.role == "system"]
    last = messages[-1] if messages else Message("system", "")
    heard = plain(last.content) if last.role == "user" else ""
    if any(_MACHINE.search(plain(text)) for text in (*notes, heard)):
        return _leave_message(goal, told)
    if last.role == "system" and len(messages) > 1 and (reply := _obey_note(plain(last.content), messages)):
        return reply
    if not heard:
        return _Reply(_introduction(goal)) if not told else _Reply(_THERE)
    if has_diary and (time := _new_offer(heard, told)):
        return _Reply("", look_up=time)
    return _answer(goal, told, heard, [plain(m.content) for m in messages if m.role == "user"])


def _goal(messages: Sequence[Message]) -> Goal:
    for message in messages:
        if message.role == "system" and (found := _GOAL.search(message.content)):
            return Goal.of(found[1])
    return Goal.of(_NO_GOAL)


def _introduction(goal: Goal) -> str:
    return f"Hi, this is an automated assistant calling {goal.purpose}."


def _leave_message(goal: Goal, told: Sequence[str]) -> _Reply:
    if any("call back" in text for text in told):
        return _Reply(_BYE, end="voicemail")
    return _Reply(
        f"Hello, this is an automated assistant calling {goal.purpose}. Please call back, goodbye.", end="voicemail"
    )


def _obey_note(note: str, messages: Sequence[Message]) -> _Reply | None:
    if re.search(r"not answer any more|say goodbye", note):
        return _Reply(_GONE, end="other")
    if re.search(r"nobody has spoken|say hello", note):
        return None
    if re.search(r"silen|still there|said nothing", note):
        asked = sum(plain(m.content) in (plain(_THERE), plain(_STILL_THERE)) for m in messages[-4:])
        return _Reply(_STILL_THERE if asked else _THERE)
    return None


def _answer(goal: Goal, told: Sequence[str], heard: str, said: Sequence[str]) -> _Reply:
    """The reply to what the other side has said. The order of the rules matters."""
    stated = any(goal.is_in(text) for text in told)
    if _FAREWELL.search(heard):
        return _Reply(_BYE, end="goal_reached" if any(_SETTLED.search(text) for text in said) else "other")
    if options := _MENU.findall(heard):
        label, key = next((option for option in options if _DESK.search(option[0])), options[0])
        return _Reply(f"{label.strip().capitalize()}, please.", keys=_KEYS.get(key, key))
    if not stated:
        met = any("automated assistant" in text for text in told)
        return _Reply(f"I am calling {goal.purpose}." if met else _introduction(goal))
    if _PRESENT.search(heard):
        return _Reply(f"{_HERE} {told[-1]}" if told[-1] != _HERE else _HERE)
    if _AGAIN.search(heard):
        return _Reply(told[-1])
    if _WHO.search(heard) and not _NAME.search(heard):
        return _Reply(f"This is an automated assistant calling {goal.purpose}.")
    return _negotiate(goal, heard) or _give_up(told)


def _negotiate(goal: Goal, heard: str) -> _Reply | None:
    """The reply to somebody who knows what we want; None if the words make no sense."""
    times = find_times(heard)
    if _OFFER.search(heard) or (_HAVE.search(heard) and times):
        return _Reply(f"Yes, {times[-1]} works for me." if times else _ACCEPT)
    if _REFUSED.search(heard):
        return _Reply(_PITY, end="goal_refused")
    if _SETTLED.search(heard):
        return _Reply(_NOTHING_ELSE if "anything else" in heard else _DONE, end="goal_reached")
    for asked, text in (
        (_BIRTH, f"The date of birth is {goal.birth}." if goal.birth else _NO_BIRTH),
        (_REASON, f"It is for {goal.reason}."),
        (_NUMBER, _CALLBACK),
        (_NAME, f"The name is {goal.name}."),
        (_WHEN, f"{goal.when.capitalize()}, please." if goal.when else _ANY_TIME),
        (_WANT, f"I would like {goal.wish}."),
        (_HOLD, _TAKE_TIME),
        (_YES, _CONFIRM),
    ):
        if asked.search(heard):
            return _Reply(text)
    return None


def _give_up(told: Sequence[str]) -> _Reply:
    """Ask to repeat, twice in a row at most."""
    repeats = 0
    for text in reversed(told):
        if not plain(text).startswith(_REPEATS):
            break
        repeats += 1
    if repeats >= 2:
        return _Reply(_LOST, end="other")
    return _Reply(_REPEAT_ONCE_MORE if repeats else _REPEAT)


_KEYS = {word: str(number) for number, word in enumerate("zero one two three four five six seven eight nine".split())}
_KEYS |= {"star": "*", "pound": "#", "hash": "#"}


# --- the diary ------------------------------------------------------------------------------------


def _new_offer(heard: str, told: Sequence[str]) -> str:
    """The time that the other side offers, unless it is one of ours."""
    times = find_times(heard)
    if not times or not (_OFFER.search(heard) or _HAVE.search(heard)):
        return ""
    ours = [time for text in told for time in find_times(text)]
    return "" if any(time.same(times[-1]) for time in ours) else str(times[-1])


def _report(messages: Sequence[Message]) -> _Reply:
    """What a tool has found out: nothing is to be said of any but the diary."""
    output = messages[-1]
    calls = [call for message in messages for call in message.tool_calls if call.id == output.tool_call_id]
    asked = next((call for call in calls if call.name == DIARY), None)
    if asked is None:
        return _Reply("")
    found = json.loads(output.content)
    if "entry" not in found:  # the tool has failed, and nobody knows what is in the diary
        return _Reply(_unread(json.loads(asked.arguments)["time"]))
    return _Reply(_taken(found["entry"], found["time"], found["free_at"]) if found.get("entry") else _ACCEPT)


def _taken(entry: str, time: object, free_at: object) -> str:
    return f"I am sorry, there is {entry} at {time}, would {free_at} work?"


def _unread(time: object) -> str:
    return f"I cannot read the diary now, please keep {time} open."


# --- what it may say ------------------------------------------------------------------------------


def phrases(goal: str, *, has_diary: bool = False) -> tuple[str, ...]:
    """All sentences that the demo brain may say for a goal: the language model of whoever hears it."""
    wanted = Goal.of(goal)
    times = [ClockTime(hour, minute) for hour in range(1, 13) for minute in (0, 15, 30, 45)]
    taken = [FILLER, *(_taken(ENTRY, time, time.later(1, time.minute)) for time in times), *map(_unread, times)]
    return (
        _introduction(wanted),
        f"I am calling {wanted.purpose}.",
        f"This is an automated assistant calling {wanted.purpose}.",
        _leave_message(wanted, ()).text,
        f"I would like {wanted.wish}.",
        f"The name is {wanted.name}.",
        f"It is for {wanted.reason}.",
        *([f"{wanted.when.capitalize()}, please."] if wanted.when else []),
        *([f"The date of birth is {wanted.birth}."] if wanted.birth else []),
        "Appointments, please.",
        *_FIXED,
        *(f"Yes, {time} works for me." for time in times),
        *(taken if has_diary else ()),
    )
