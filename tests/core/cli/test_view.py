import io
import json
import re

import pytest
from rich.console import Console
from rich.text import Text

from patter.cli.state import CallView, Row
from patter.cli.view import THEME, Tail, brief, envelope, farewell, header, line, pretty, prompt, transcript
from patter.cli.waveform import Waveform


def render(part, width):
    console = Console(record=True, width=width, file=io.StringIO(), theme=THEME, highlight=False)
    console.print(part)
    return console.export_text()


def lines(part, width):
    """What stands between the borders."""
    return [text.strip("│").strip() for text in render(part, width).splitlines()[1:-1]]


def styles(part, width, text):
    """The styles in which this text is drawn."""
    console = Console(width=width, file=io.StringIO(), theme=THEME)
    return {str(segment.style) for segment in console.render(part) if text in segment.text}


@pytest.mark.parametrize("width", [40, 60, 80, 89, 90, 104, 112])
def test_nothing_is_wider_than_asked_for(width, view, facts, make_result):
    parts = [
        header(facts, view, 16.0, width),
        transcript(view, width),
        line(Waveform("█" * 200, "▄" * 200, "0 s" * 50), width),
        prompt("word " * 5, "word " * 90, width),
        envelope(make_result(), width),
    ]
    for part in parts:
        assert {len(text) for text in render(part, width).splitlines()} == {width}


def test_the_header_says_who_calls_whom_over_what(facts, view):
    assert lines(header(facts, view, 86.4, 104), 104) == [
        "☎  +1 555 010 0001 → +1 555 010 1001   Style Studio (local persona)    COMPLETED   01:26",
        "network local · Twilio Media Streams 8 kHz µ-law   stt pocketsphinx   llm demo-brain   tts flite",
        "no keys, no network",
    ]


def test_a_narrow_header_breaks_between_its_parts(facts, view):
    assert lines(header(facts, view, 16.0, 80), 80) == [
        "☎  +1 555 010 0001 → +1 555 010 1001   Style Studio (local persona)",
        "COMPLETED   00:16",
        "network local · Twilio Media Streams 8 kHz µ-law",
        "stt pocketsphinx   llm demo-brain   tts flite",
        "no keys, no network",
    ]


def test_latency_stands_beside_the_text(view):
    assert [re.sub(" {3,}", "  ", text) for text in lines(transcript(view, 104), 104)] == [
        "0.0 carrier queued → ringing → in-progress (answered after 1.2 s, human)",
        "0.3 callee  hello this is the style studio how can i help you",
        "5.5 agent  Hi, I am calling to book a haircut for tomorrow at three in the afternoon  765 ms",
        "for Maria Lopez.",
        "13.8 callee  you are booked",
        "14.2 tool  end_call() → says goodbye and hangs up  0 ms",
        "14.3 agent  Thank you, — interrupted  1240 ms",
        "16.0 carrier completed (the agent hung up)",
    ]


def test_below_90_columns_latency_stands_under_the_text(view):
    assert lines(transcript(view, 80), 80)[2:5] == [
        "5.5 agent   Hi, I am calling to book a haircut for tomorrow at three in",
        "the afternoon for Maria Lopez.",
        "765 ms",
    ]


@pytest.mark.parametrize(
    ("latency_ms", "color"), [(90, "green"), (700, "green"), (701, "yellow"), (1100, "yellow"), (1101, "red")]
)
@pytest.mark.parametrize("width", [80, 104])
def test_the_badge_shows_how_fast(latency_ms, color, width):
    view = CallView(answered_at_s=0.0, rows=(Row(1.0, "agent", "hello", latency_ms=latency_ms),))
    assert styles(transcript(view, width), width, f"{latency_ms} ms") == {f"black on {color}"}


def test_without_badges_there_is_no_legend():
    assert "badge" not in render(transcript(CallView(steps=("queued",)), 104), 104)


def test_what_may_still_change_is_dim_and_italic():
    view = CallView(hearing=Row(1.0, "callee", "hel", final=False), saying=Row(0.5, "agent", "good mo", final=False))
    assert styles(transcript(view, 104), 104, "hel") == {"dim italic"}
    assert [text.split()[1] for text in lines(transcript(view, 104), 104)] == ["agent", "callee"]


@pytest.mark.parametrize("height", [4, 6, 10, 40])
def test_a_transcript_fits_into_its_room(view, height):
    shown = render(transcript(view, 80, height), 80).splitlines()
    assert len(shown) <= height
    assert "completed" in shown[-2]


@pytest.mark.parametrize(("height", "first"), [(2, "   ↑  4 earlier lines"), (4, "   ↑  2 earlier lines"), (5, "1")])
def test_the_tail_says_what_it_hides(height, first):
    shown = render(Tail(Text("1\n2\n3\n4\n5"), height), 40).splitlines()
    assert shown[0].rstrip() == first and shown[-1].strip() == "5" and len(shown) == min(height, 5)


def test_the_line_has_two_lanes_and_an_axis():
    assert lines(line(Waveform("▁█", "  █", "0 s"), 60), 60) == ["callee  ▁█", "agent     █", "0 s"]


def test_the_prompt_shows_what_is_typed_and_what_was_said():
    assert lines(prompt("I have fo", "", 80), 80) == ["you are the callee: say hello", "▸ I have fo▏"]
    assert lines(prompt("", "hello", 80), 80)[0] == "spoken: hello"


def test_the_envelope_is_json_with_the_transcript_counted(make_result):
    shown = json.loads("\n".join(lines(envelope(make_result(), 104), 104)))
    assert (
        shown
        == brief(make_result())
        == {
            "call_id": "CA1",
            "status": "completed",
            "duration_seconds": 16.0,
            "cost_usd": 0.0,
            "transcript": "2 turns",
            "metrics": {"p95_latency_ms": 718.5, "cost": {"stt": 0.0, "tts": 0.0, "llm": 0.0, "telephony": 0.0}},
            "details": {"outcome": "answered", "end_reason": "agent_hangup", "ended_by": "agent"},
        }
    )


def test_one_turn_is_a_turn_and_details_may_be_missing(make_result):
    result = make_result(details=None)
    result = result.model_copy(update={"transcript": result.transcript[:1]})
    assert brief(result)["transcript"] == "1 turn"
    assert "details" not in brief(result)


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        ({"a": 1}, 80, '{\n  "a": 1\n}'),
        ({"a": {"b": 1, "c": 2}}, 80, '{\n  "a": {"b": 1, "c": 2}\n}'),
        ({"a": {"b": 1, "c": 2}}, 20, '{\n  "a": {\n    "b": 1,\n    "c": 2\n  }\n}'),
        ({"a": {"b": {"c": 2}}}, 80, '{\n  "a": {\n    "b": {"c": 2}\n  }\n}'),
    ],
)
def test_small_objects_stand_on_one_line(value, width, text):
    assert pretty(value, width) == text


def test_last_words_stand_side_by_side_where_they_fit():
    assert render(farewell(["one", "two"], 80), 80).split("\n")[0].rstrip() == " one    two"
    assert len(render(farewell(["one" * 10, "two" * 10], 40), 40).splitlines()) == 2
