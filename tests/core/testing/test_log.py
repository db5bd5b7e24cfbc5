import pytest

from patter.carriers.base import CarrierStatus
from patter.envelope import CallResult, Details, EndReason, Metrics, ToolCallRecord, TranscriptLine, Turn
from patter.testing import EventLog, ScriptedLine, ScriptedMind, Sent, check_invariants, run_virtual, word_audio
from patter.testing.providers import MindRequest
from patter.voice.base import Message, ToolCall

NOW = "2026-01-01T00:00:00Z"


def agent_turn(text="Hello there.", generated="Hello there.", started=1.0, ended=2.0, index=0):
    return Turn(
        index=index, role="agent", text=text, generated_text=generated, started_at=started, ended_at=ended, heard_ms=1
    )


def user_turn(text="Hi.", started=3.0, ended=4.0, index=1):
    return Turn(index=index, role="user", text=text, started_at=started, ended_at=ended)


def result(turns=(), *, transcript=None, tools=(), seconds=10.0):
    if transcript is None:
        transcript = [TranscriptLine(role=turn.role, text=turn.text) for turn in turns if turn.text]
    details = Details(
        outcome="answered",
        end_reason=EndReason.USER_HANGUP,
        ended_by="user",
        to="+15550100199",
        from_="+15550100100",
        started_at=NOW,
        ended_at=NOW,
        carrier="local",
        carrier_status=CarrierStatus.COMPLETED,
        turns=list(turns),
        tool_calls=list(tools),
    )
    return CallResult(
        call_id="CA1",
        status="completed",
        duration_seconds=seconds,
        cost_usd=0.0,
        transcript=transcript,
        metrics=Metrics(),
        details=details,
    )


def tool(call_id="t1"):
    return ToolCallRecord(name="look", tool_call_id=call_id, is_error=False, reason=None, duration_ms=1.0)


def test_a_good_call_passes():
    turns = [
        agent_turn(),
        user_turn(),
        agent_turn("", "Never heard.", 5.0, 5.0, 2),
        agent_turn("One", "One two.", 6.0, 7.0, 3),
    ]
    check_invariants(result(turns, tools=[tool("t1"), tool("t2")]), ScriptedLine(), EventLog(), mind=ScriptedMind())


BAD = {
    "duration": (result(seconds=190.0), r"took 190 s, which is more than 185 s"),
    "empty": (result(transcript=[TranscriptLine(role="user", text=" ")]), "an empty text"),
    "backwards": (result([user_turn(started=4.0, ended=3.0)]), "Turn 1 begins at 4 s and ends before, at 3 s"),
    "order": (
        result([user_turn(index=0), agent_turn(index=1)]),
        "Turn 1 begins at 1 s, before the one above it, at 3 s",
    ),
    "invented": (result([agent_turn("Hello you.")]), r"'Hello you\.' was heard, and is not how 'Hello there\.' begins"),
    "half a word": (result([agent_turn("Hello the")]), "is not how"),
    "unsaid": (result([agent_turn()], transcript=[]), "is not what the turns say"),
    "twice": (result(tools=[tool(), tool()]), "'t1' has 2 results"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_a_result_must_not_be(name):
    bad, sentence = BAD[name]
    with pytest.raises(AssertionError, match=sentence):
        check_invariants(bad)


def sent(*entries):
    line = ScriptedLine()
    line.sent += [Sent(kind, number / 10, audio=what if kind == "media" else b"", name=what if kind == "mark" else "")
                  for number, (kind, what) in enumerate(entries)]  # fmt: skip
    return line


WORD = word_audio("hello", 300)


@pytest.mark.parametrize(
    "line",
    [
        sent(("media", WORD), ("mark", "0:1"), ("clear", ""), ("media", WORD), ("mark", "1:1")),
        sent(("media", WORD[:800]), ("media", WORD[800:]), ("mark", "0:1"), ("mark", "0:2")),
    ],
)
def test_a_good_line_passes(line):
    check_invariants(result(), line)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            sent(("mark", "0:1"), ("clear", ""), ("mark", "0:2")),
            r"The mark '0:2' at 0\.200 s belongs to audio that was cleared",
        ),
        (sent(("mark", "1:1"), ("mark", "0:2")), "belongs to audio"),
        (
            sent(("media", WORD), ("clear", ""), ("media", WORD[800:] + WORD)),
            r"The audio at 0\.200 s goes on with a word",
        ),
    ],
)
def test_what_must_not_follow_a_clear(line, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_invariants(result(), line)


def history(*messages):
    mind = ScriptedMind()
    mind.requests.append(MindRequest(0.0, messages, ()))
    return mind


CALL = Message("assistant", "", tool_calls=(ToolCall("t1", "look", "{}"),))
ANSWER = Message("tool", "nine", tool_call_id="t1")


def test_every_tool_call_has_one_result_in_every_history():
    check_invariants(result(), mind=history(CALL, ANSWER))
    for messages, sentence in [
        ((CALL,), "In request 1 the tool call 't1' has 0 results"),
        ((CALL, ANSWER, ANSWER), "has 2 results"),
        ((ANSWER,), "results of calls that are not there"),
    ]:
        with pytest.raises(AssertionError, match=sentence):
            check_invariants(result(), mind=history(*messages))


def logged(*events):
    log = EventLog()

    async def main():
        for event in events:
            log(event)

    run_virtual(main)
    return log


def test_the_log_is_canonical():
    log = logged(
        {"type": "dialing", "call_id": "local_8f3a", "at_s": 0.0},
        {"type": "user", "call_id": "CA77", "at_s": 1.00000000001, "text": "Grüß Gott", "waited_ms": -0.0},
        {"type": "ended", "call_id": "CA77", "at_s": 2.5},
    )
    assert log.json().split("\n") == [
        '{"at_s":0.0,"call_id":"call-1","type":"dialing"}',
        '{"at_s":1.0,"call_id":"call-2","text":"Grüß Gott","type":"user","waited_ms":0.0}',
        '{"at_s":2.5,"call_id":"call-2","type":"ended"}',
    ]
    assert log.kinds() == ["dialing", "user", "ended"]
    assert [event["text"] for event in log.of("user")] == ["Grüß Gott"]
    check_invariants(result(), log=log)


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ([{"type": "a", "at_s": 2.0}, {"type": "b", "at_s": 1.0}], r"times decrease: \[2\.0, 1\.0\]"),
        ([{"type": "ended"}, {"type": "user"}], "does not end once, at the end"),
        ([{"type": "ended"}, {"type": "ended"}], "does not end once, at the end"),
    ],
)
def test_what_a_log_must_not_be(events, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_invariants(result(), log=logged(*events))
