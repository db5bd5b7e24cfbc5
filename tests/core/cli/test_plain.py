import io

from patter.cli.plain import PlainDisplay, new_lines
from patter.cli.state import CallView, advance


def test_a_call_in_plain_lines(events, facts, make_result):
    out = io.StringIO()
    display = PlainDisplay(stream=out)
    display.begin(facts)
    for event in events:
        display.event(event)
    display.end(make_result(), ["17.4 s from command to envelope", "next: patter demo --you"])
    display.end(make_result(), ["again"])
    hi = "Hi, I am calling to book a haircut for tomorrow at three in the afternoon for Maria Lopez."
    assert out.getvalue().splitlines() == [
        "patter demo: +15550100001 -> +15550101001, Style Studio (local persona)",
        "network local · Twilio Media Streams 8 kHz µ-law, stt pocketsphinx, llm demo-brain, tts flite",
        "no keys, no network",
        "        carrier  queued",
        "        carrier  ringing",
        "        carrier  in-progress (answered after 1.2 s)",
        "   0.3  callee   hello this is the style studio how can i help you",
        f"   5.5  agent    {hi}  [765 ms]",
        "  13.8  callee   you are booked",
        "  14.2  tool     end_call()  → says goodbye and hangs up  0 ms",
        "  14.3  agent    Thank you,  — interrupted  [1240 ms]",
        "  16.0  carrier  completed  (the agent hung up)",
        "17.4 s from command to envelope · next: patter demo --you",
    ]


def step(view, event):
    return list(new_lines(view, advance(view, event)))


def test_what_was_taken_back_is_said(view):
    talking = CallView(answered_at_s=0.0)
    talking = advance(talking, {"type": "user", "at_s": 1.0, "text": "hello"})
    assert step(talking, {"type": "retract", "at_s": 1.2}) == [
        "        callee   (goes on; the last line is taken back)"
    ]


def test_guesses_are_not_written():
    assert step(CallView(), {"type": "hearing", "at_s": 1.0, "text": "he"}) == []
    assert step(CallView(), {"type": "saying", "at_s": 1.0, "text": "Hi"}) == []


def test_an_interrupt_is_answered_at_once():
    talking = CallView(phase="on call", answered_at_s=0.0)
    assert step(talking, {"type": "interrupt"}) == ["hanging up; press Ctrl-C again to stop at once"]
    hanging_up = advance(talking, {"type": "interrupt"})
    ended = {"type": "ended", "at_s": 2.0, "status": "completed", "end_reason": "agent_hangup"}
    assert step(hanging_up, ended) == ["   2.0  carrier  completed  (you hung up)"]
