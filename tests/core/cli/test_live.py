import io

import pytest
from rich.console import Console

from patter.audio.recording import Recording
from patter.cli.keyboard import Prompt
from patter.cli.live import LiveDisplay
from patter.cli.view import THEME


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def console():
    return Console(file=io.StringIO(), force_terminal=True, width=104, height=40, theme=THEME, highlight=False)


def screen(display, console):
    """The picture as it would be drawn now."""
    paper = Console(file=io.StringIO(), width=console.width, height=console.height)
    paper.print(display.screen())
    return paper.file.getvalue().splitlines()


@pytest.mark.parametrize("height", [14, 20, 24, 40])
@pytest.mark.parametrize("prompt", [None, Prompt()])
def test_the_picture_fits_on_the_screen(console, clock, events, facts, make_result, height, prompt):
    console.height = height
    display = LiveDisplay(console, Recording(), clock=clock, prompt=prompt)
    display.begin(facts)
    for event in events * 3:
        display.event(event)
        assert len(screen(display, console)) <= height
    display.end(None)


def test_the_clock_counts_from_the_answer_and_stops_at_the_end(console, clock, events, facts):
    display = LiveDisplay(console, Recording(), clock=clock)
    display.begin(facts)
    assert "STARTING   00:00" in screen(display, console)[1]
    display.event(events[0])
    clock.now += 3
    assert "DIALING   00:03" in screen(display, console)[1]
    display.event(events[2])
    clock.now += 70
    assert "ON CALL   01:10" in screen(display, console)[1]
    display.event(events[-1])
    clock.now += 500
    assert "COMPLETED   00:16" in screen(display, console)[1]
    display.end(None)


def test_at_the_end_everything_is_left_behind(console, clock, events, facts, make_result):
    display = LiveDisplay(console, Recording(), clock=clock)
    display.begin(facts)
    for event in events:
        display.event(event)
    display.end(make_result(), ["17.4 s from command to envelope"])
    display.end(make_result(), ["never"])
    left = console.file.getvalue()
    for title in ("patter demo", "transcript", "line", "envelope returned to your agent", "17.4 s"):
        assert title in left
    assert "never" not in left


def test_the_envelope_is_left_to_standard_output_if_that_gets_it(console, clock, events, facts, make_result):
    display = LiveDisplay(console, Recording(), clock=clock, show_envelope=False)
    display.begin(facts)
    for event in events:
        display.event(event)
    display.end(make_result())
    assert "envelope returned" not in console.file.getvalue()


def test_an_unanswered_call_has_no_line(console, clock, events, facts, make_result):
    display = LiveDisplay(console, Recording(), clock=clock)
    display.begin(facts)
    display.event(events[0])
    display.event({"type": "ended", "at_s": 2.0, "status": "busy", "end_reason": "busy"})
    display.end(make_result("busy"))
    assert "callee " not in console.file.getvalue().rpartition("BUSY")[2]


def test_what_is_typed_is_drawn(console, clock, facts):
    prompt = Prompt()
    display = LiveDisplay(console, Recording(), clock=clock, prompt=prompt)
    display.begin(facts)
    prompt.feed("Hello, Style Studio")
    assert any("▸ Hello, Style Studio▏" in row for row in screen(display, console))
    display.end(None)
