from __future__ import annotations

import pytest

from patter.voice.base import Message, ToolCall
from patter.voice.chat.history import in_order

HI = Message("user", "Hi.")
YES = Message("assistant", "Yes?")
USES = Message("assistant", "", tool_calls=(ToolCall("t1", "look_up", "{}"),))
RESULT = Message("tool", "", tool_call_id="t1")
ANSWERED = Message("user", "[The call was answered.]")
NOTHING_NEW = Message("user", "[The other side has said nothing since.]")


@pytest.mark.parametrize(
    ("messages", "system", "turns"),
    [
        ([], "", [ANSWERED]),
        ([Message("system", "One."), Message("system", " "), Message("system", "Two.")], "One.\n\nTwo.", [ANSWERED]),
        ([HI], "", [HI]),
        ([YES, HI], "", [ANSWERED, YES, HI]),
        ([HI, YES], "", [HI, YES, NOTHING_NEW]),
        ([Message("user", " "), Message("system", "Note.")], "", [Message("user", "[Note.]")]),
        ([HI, Message("assistant", ""), Message("system", ""), HI], "", [HI, HI]),
        ([HI, USES, RESULT], "", [HI, USES, RESULT]),
        ([USES, RESULT], "", [ANSWERED, USES, RESULT]),
    ],
)
def test_the_user_begins_and_ends_it(messages: list[Message], system: str, turns: list[Message]) -> None:
    assert in_order(messages) == (system, turns)
