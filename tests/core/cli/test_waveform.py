import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.cli.waveform import axis, bars, draw, step_ms


@pytest.mark.parametrize(
    ("duration_s", "columns", "step"),
    [
        (0, 80, 200),
        (16, 80, 200),
        (16.1, 80, 250),
        (20.1, 80, 500),
        (180, 80, 2500),
        (1800, 90, 20_000),
        (9000, 80, 20_000),
    ],
)
def test_a_call_fits_into_the_columns(duration_s, columns, step):
    assert step_ms(duration_s, columns) == step


@pytest.mark.parametrize(
    ("levels", "text"),
    [
        ([], ""),
        ([0.0, 0.0], ""),
        ([0.5, 0.0, 0.5], "█ █"),
        ([0.005, 0.1, 0.25, 0.5, 0.9], "▁▄▆██"),
    ],
)
def test_louder_is_higher(levels, text):
    assert bars(levels, 0.5) == text


@pytest.mark.parametrize(
    ("columns", "step", "text"),
    [
        (30, 200, "0 s       2         4         6"[:30].rstrip()),
        (45, 250, "0 s                 5                  10"),
        (40, 1000, "0 s      10        20        30"),
    ],
)
def test_seconds_stand_under_their_columns(columns, step, text):
    assert axis(columns, step) == text


@given(st.integers(20, 120), st.sampled_from([200, 250, 500, 1000, 2000, 5000, 20_000]))
def test_the_axis_is_never_wider_than_the_lanes(columns, step):
    line = axis(columns, step)
    assert len(line) <= columns and line.startswith("0 s")


def test_both_lanes_have_one_scale():
    lanes = {"callee": [0.4] * 500, "agent": [0.1, 0.0, 0.1]}
    wave = draw(lambda lane, step: lanes[lane], 10.0, 50)
    assert wave.callee == "█" * 50
    assert wave.agent == "▄ ▄"


def test_a_quiet_call_is_not_blown_up():
    wave = draw(lambda lane, step: [0.006], 0.2, 50)
    assert wave.callee == "▃"
