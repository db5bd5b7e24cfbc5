import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.audio.mulaw import encode, silence
from patter.call.onset import Onset


def tone(ms, amplitude=8000):
    """A square wave: its level is its amplitude."""
    sample = amplitude.to_bytes(2, "little", signed=True) + (-amplitude).to_bytes(2, "little", signed=True)
    return encode(sample * (ms * 4))


def changes(gate, *stretches, frame_ms=20):
    """Feed stretches of (ms, audio of a frame) and return the changes with their times in ms."""
    at, seen = 0, []
    for ms, frame in stretches:
        for _ in range(ms // frame_ms):
            at += frame_ms
            if (change := gate.feed(frame)) is not None:
                seen.append((at, change))
    return seen


LOUD, QUIET, FAINT = tone(20), silence(20), tone(20, 150)


@pytest.mark.parametrize(
    ("stretches", "expected"),
    [
        ([(1000, QUIET)], []),
        ([(100, LOUD), (900, QUIET)], []),
        ([(1000, LOUD)], [(120, True)]),
        ([(500, QUIET), (500, LOUD), (500, QUIET)], [(620, True), (1240, False)]),
        ([(240, LOUD), (220, QUIET), (240, LOUD), (300, QUIET)], [(120, True), (940, False)]),
        ([(80, LOUD), (100, QUIET), (80, LOUD)], [(220, True)]),
        ([(80, LOUD), (260, QUIET), (80, LOUD)], []),
        ([(1000, FAINT)], []),
    ],
    ids=[
        "silence",
        "a click",
        "a voice",
        "on and off",
        "gaps between words",
        "two syllables",
        "two clicks",
        "faint noise",
    ],
)
def test_the_gate(stretches, expected):
    assert changes(Onset(), *stretches) == expected


def test_the_length_of_an_onset_is_a_setting():
    assert changes(Onset(onset_ms=300), (1000, LOUD)) == [(300, True)]


def test_steady_noise_becomes_the_floor():
    hum = tone(20, 2000)
    seen = changes(Onset(), (12_000, hum))
    assert seen[0] == (120, True)
    assert seen[-1][1] is False
    gate = Onset()
    changes(gate, (12_000, hum))
    assert changes(gate, (2000, hum)) == []
    assert [change for _, change in changes(gate, (400, tone(20, 16000)))] == [True]


def test_is_loud_follows_the_frame():
    gate = Onset()
    assert not gate.is_loud
    gate.feed(LOUD)
    assert gate.is_loud
    gate.feed(QUIET)
    assert not gate.is_loud


@given(st.lists(st.tuples(st.sampled_from([LOUD, QUIET, FAINT]), st.integers(1, 30)), max_size=20))
def test_on_and_off_take_turns(stretches):
    gate, seen = Onset(), []
    for frame, count in stretches:
        seen += [change for _ in range(count) if (change := gate.feed(frame)) is not None]
    assert seen == [number % 2 == 0 for number in range(len(seen))]


@given(st.lists(st.sampled_from([LOUD, QUIET]), max_size=200), st.sampled_from([10, 30, 60]))
def test_the_size_of_the_frames_hardly_matters(frames, frame_ms):
    stream = b"".join(frames)
    small, large = Onset(), Onset()
    for frame in frames:
        small.feed(frame)
    for start in range(0, len(stream), frame_ms * 8):
        large.feed(stream[start : start + frame_ms * 8])
    for gate in (small, large):
        assert True not in [gate.feed(silence(20)) for _ in range(20)]  # silence never opens the gate
