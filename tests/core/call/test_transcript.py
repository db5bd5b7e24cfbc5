import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.call.transcript import Line, Transcript
from patter.voice.base import Message, ToolCall

SYSTEM = Message("system", "Be brief.")


def user(text, at=0.0, until=None):
    return Line("user", text, at, at + 1 if until is None else until)


def agent(text, at=0.0, until=None, *, said=None):
    said = text if said is None else said
    return Line("agent", text, at, at + 1 if until is None else until, generated_text=said, interrupted=said != text)


def of(*lines):
    transcript = Transcript()
    for line in lines:
        transcript.add(line)
    return transcript


def spoken(transcript):
    return [(line.role, line.text) for line in transcript.lines()]


def test_lines_history_and_turns_say_the_same():
    transcript = of(user("Hi.", 1.0), agent("Hello", 2.0, said="Hello there."), user("Stop.", 3.0))
    assert spoken(transcript) == [("user", "Hi."), ("agent", "Hello"), ("user", "Stop.")]
    assert transcript.history("Be brief.") == [
        SYSTEM,
        Message("user", "Hi."),
        Message("assistant", "Hello"),
        Message("user", "Stop."),
    ]
    turn = transcript.turns(1.0)[1]
    assert (turn.index, turn.text, turn.generated_text, turn.interrupted) == (1, "Hello", "Hello there.", True)
    assert (turn.started_at, turn.ended_at) == (1.0, 2.0)


def test_what_nobody_heard_is_only_in_the_turns():
    transcript = of(user("Hi."), agent("", 2.0, said="Never heard."))
    assert spoken(transcript) == [("user", "Hi.")]
    assert transcript.history("Be brief.") == [SYSTEM, Message("user", "Hi.")]
    assert [turn.generated_text for turn in transcript.turns(0.0)] == [None, "Never heard."]


def test_what_is_put_in_while_the_agent_speaks_follows_its_beginning():
    transcript = of(user("Mhm", 2.0), agent("A long story.", 1.0, 5.0), user("I see.", 6.0))
    assert [text for _, text in spoken(transcript)] == ["A long story.", "Mhm", "I see."]


def test_what_is_put_in_follows_the_beginning_also_past_notes_and_tools():
    transcript = of(user("How much?", 0.0))
    transcript.tools([ToolCall("t", "look", "{}")])
    transcript.add(user("Mhm", 3.0))
    transcript.note("A key was pressed.")
    transcript.add(agent("One moment.", 2.0, 5.0))
    assert [text for _, text in spoken(transcript)] == ["How much?", "One moment.", "Mhm"]


def test_times_before_the_answer_are_none():
    assert transcript_times(of(user("Hi.", 1.0, 1.5)), answered_at=2.0) == [(0.0, 0.0)]


def transcript_times(transcript, answered_at):
    return [(turn.started_at, turn.ended_at) for turn in transcript.turns(answered_at)]


def test_a_note_is_told_to_the_mind_and_not_in_the_transcript():
    transcript = of(user("Hi."))
    transcript.note("A key was pressed.")
    assert transcript.history("Be brief.")[1:] == [Message("user", "Hi."), Message("system", "A key was pressed.")]
    assert spoken(transcript) == [("user", "Hi.")]


def test_a_tool_has_exactly_one_result():
    first, second = ToolCall("t1", "look", "{}"), ToolCall("t2", "look", "{}")
    transcript = Transcript()
    transcript.tools([first, second])
    transcript.tool_output("t2", "ten")
    transcript.tool_output("t2", "eleven")
    transcript.tool_output("unknown", "nothing")
    assert transcript.history("Be brief.")[1:] == [
        Message("assistant", "", tool_calls=(first, second)),
        Message("tool", '{"status":"running"}', tool_call_id="t1"),
        Message("tool", "ten", tool_call_id="t2"),
    ]
    transcript.tool_output("t1", "nine")
    assert transcript.history("Be brief.")[2].content == "nine"


def test_retract_takes_back_the_last_user_line():
    transcript = of(user("One", 0.0), agent("Yes.", 2.0), user("Two", 4.0), agent("", 6.0, said="Well"))
    transcript.retract()
    assert spoken(transcript) == [("user", "One"), ("agent", "Yes.")]
    transcript.retract()
    transcript.retract()
    assert spoken(transcript) == [("agent", "Yes.")]


@st.composite
def conversations(draw):
    lines, at = [], 0.0
    for _ in range(draw(st.integers(0, 12))):
        until = at + draw(st.floats(0.1, 3.0))
        if draw(st.booleans()):
            lines.append(user(draw(st.sampled_from(["Hi.", "Yes please."])), at, until))
        else:
            heard = draw(st.sampled_from(["", "Well", "Well then."]))
            if draw(st.booleans()):
                aside = at + (until - at) / 3
                lines.append(user("Mhm", aside, aside + (until - at) / 3))
            lines.append(agent(heard, at, until, said="Well then."))
        at = until + draw(st.floats(0.0, 2.0))
    return lines


@given(conversations())
def test_the_transcript_is_in_the_order_of_time_and_equals_the_history(lines):
    transcript = of(*lines)
    turns = [turn for turn in transcript.turns(0.0) if turn.text]
    assert [turn.started_at for turn in turns] == sorted(turn.started_at for turn in turns)
    roles = {"agent": "assistant", "user": "user"}
    told = [(message.role, message.content) for message in transcript.history("Be brief.")[1:]]
    assert told == [(roles[role], text) for role, text in spoken(transcript)]
    assert len(transcript.turns(0.0)) == len(lines)
    assert all(text for _, text in spoken(transcript))


@pytest.mark.parametrize("role", ["agent", "user"])
def test_roles(role):
    assert spoken(of(Line(role, "Hi.", 0.0, 1.0))) == [(role, "Hi.")]
