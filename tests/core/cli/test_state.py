import pytest

from patter.cli.state import CallView, Row, advance, ending_words
from patter.envelope import EndReason


def after(*events, view=None):
    view = view or CallView()
    for event in events:
        view = advance(view, event)
    return view


DIALING = {"type": "dialing", "at_s": 0.0}
RINGING = {"type": "ringing", "at_s": 0.3}
ANSWERED = {"type": "answered", "at_s": 1.2}
ON_CALL = (DIALING, RINGING, ANSWERED)


@pytest.mark.parametrize(
    ("events", "phase", "text", "note"),
    [
        ([], "starting", None, None),
        ([DIALING], "dialing", "queued", ""),
        ([DIALING, RINGING], "ringing", "queued → ringing", ""),
        ([DIALING, RINGING, RINGING], "ringing", "queued → ringing", ""),
        (ON_CALL, "on call", "queued → ringing → in-progress", "(answered after 1.2 s)"),
        ([DIALING, ANSWERED, RINGING], "on call", "queued → in-progress", "(answered after 1.2 s)"),
        (
            [*ON_CALL, {"type": "answered_by", "at_s": 3.0, "answered_by": "machine_start"}],
            "on call",
            "queued → ringing → in-progress",
            "(answered after 1.2 s, machine)",
        ),
        (
            [*ON_CALL, {"type": "answered_by", "at_s": 3.0, "answered_by": "unknown"}],
            "on call",
            "queued → ringing → in-progress",
            "(answered after 1.2 s)",
        ),
        (
            [DIALING, RINGING, {"type": "ended", "at_s": 2.0, "status": "busy", "end_reason": "busy"}],
            "busy",
            "queued → ringing → busy (the line is busy)",
            "",
        ),
    ],
)
def test_the_carrier_has_one_row_up_to_the_answer(events, phase, text, note):
    view = after(*events)
    row = view.carrier_row()
    assert view.phase == phase
    assert (row and row.text, row and row.note) == (text, note)


def test_a_whole_call(view):
    rows = [(round(view.since_answer(row.at_s), 1), row.who, row.text, row.note, row.latency_ms) for row in view.rows]
    assert rows == [
        (0.3, "callee", "hello this is the style studio how can i help you", "", None),
        (
            5.5,
            "agent",
            "Hi, I am calling to book a haircut for tomorrow at three in the afternoon for Maria Lopez.",
            "",
            765.0,
        ),
        (13.8, "callee", "you are booked", "", None),
        (14.2, "tool", "end_call()", "→ says goodbye and hangs up  0 ms", None),
        (14.3, "agent", "Thank you,", "— interrupted", 1240.0),
        (16.0, "carrier", "completed", "(the agent hung up)", None),
    ]
    assert view.is_over and view.hearing is None and view.saying is None
    assert [row.who for row in view.all_rows()][:2] == ["carrier", "callee"]


def test_guesses_are_shown_until_they_are_final():
    view = after(*ON_CALL, {"type": "hearing", "at_s": 2.0, "text": "hel"})
    view = after({"type": "hearing", "at_s": 2.4, "text": "hello"}, view=view)
    assert view.hearing == Row(2.0, "callee", "hello", final=False)
    view = after({"type": "user", "at_s": 3.0, "text": "hello", "waited_ms": 300}, view=view)
    assert view.hearing is None and view.rows == (Row(2.0, "callee", "hello"),)
    view = after({"type": "saying", "at_s": 3.1, "text": "Good"}, view=view)
    view = after({"type": "speaking", "at_s": 3.4, "latency_ms": 400.0}, view=view)
    view = after({"type": "saying", "at_s": 3.5, "text": "morning."}, view=view)
    assert view.saying == Row(3.4, "agent", "Good morning.", latency_ms=400.0, final=False)
    view = after({"type": "agent", "at_s": 4.0, "text": "Good morning.", "latency_ms": 400.0}, view=view)
    assert view.saying is None and view.rows[-1] == Row(3.4, "agent", "Good morning.", latency_ms=400.0)


def test_a_retracted_line_is_open_again_and_returns_whole():
    view = after(*ON_CALL, {"type": "user", "at_s": 3.0, "text": "hello", "waited_ms": 0})
    view = after({"type": "retract", "at_s": 3.2}, view=view)
    assert view.rows == () and view.hearing == Row(3.0, "callee", "hello", final=False)
    view = after({"type": "user", "at_s": 5.0, "text": "hello there", "waited_ms": 300}, view=view)
    assert view.rows == (Row(3.0, "callee", "hello there"),)


def test_a_retraction_of_nothing_changes_nothing():
    view = after(*ON_CALL)
    assert after({"type": "retract", "at_s": 3.2}, view=view) == view


def test_the_opening_is_known_before_it_is_heard():
    view = after(*ON_CALL, {"type": "speaking", "at_s": 2.0}, view=CallView(opening="Hello, it is me."))
    assert view.saying is not None and view.saying.text == "Hello, it is me."
    view = after(
        {"type": "agent", "at_s": 3.0, "text": "Hello, it is me."}, {"type": "speaking", "at_s": 4.0}, view=view
    )
    assert view.saying is not None and view.saying.text == "…"


@pytest.mark.parametrize(
    ("event", "text", "note"),
    [
        ({"type": "digits", "digits": "12"}, "", "pressed 12"),
        ({"type": "agent", "text": "", "interrupted": True}, "", "interrupted before a word was heard"),
        (
            {"type": "tool", "name": "look_up", "is_error": False, "reason": None, "duration_ms": 340.2},
            "look_up()",
            "→ done  340 ms",
        ),
        (
            {"type": "tool", "name": "look_up", "is_error": True, "reason": "timeout", "duration_ms": 10000.0},
            "look_up()",
            "→ failed: timeout  10000 ms",
        ),
    ],
)
def test_rows_of_other_events(event, text, note):
    row = after(*ON_CALL, {"at_s": 15.0, **event}).rows[-1]
    assert (row.text, row.note) == (text, note)
    assert row.at_s == pytest.approx(15.0 - event.get("duration_ms", 0.0) / 1000)  # a tool's row is where it began


def test_who_interrupts_reads_that_the_call_was_hung_up_here():
    view = after(*ON_CALL, {"type": "interrupt"})
    assert view.phase == "hanging up"
    view = after({"type": "ended", "at_s": 4.0, "status": "completed", "end_reason": "agent_hangup"}, view=view)
    assert view.phase == "completed" and view.rows[-1].note == "(you hung up)"
    assert after({"type": "interrupt"}, view=view) == view


def test_unknown_events_change_nothing(view):
    assert advance(view, {"type": "weather", "at_s": 3.0}) is view


def test_every_end_reason_has_words():
    assert [reason for reason in EndReason if ending_words(reason) == reason.replace("_", " ")] == []
