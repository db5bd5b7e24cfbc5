import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.audio import mulaw
from patter.audio.recording import Recording
from patter.audio.wav import write_stereo

FRAME = b"\x20" * 160


def gap(ms: int) -> bytes:
    return mulaw.silence(ms)


def test_sides_are_aligned_from_the_beginning_and_equally_long() -> None:
    recording = Recording()
    recording.begin(100.0)
    recording.begin(50.0)
    recording.callee(FRAME, 100.5)
    recording.agent(FRAME * 2, 101.0)
    assert recording.left == gap(500) + FRAME + gap(520)
    assert recording.right == gap(1000) + FRAME * 2


def test_the_first_audio_begins_if_nobody_did() -> None:
    recording = Recording()
    recording.agent(FRAME, 7.0)
    recording.callee(FRAME, 7.1)
    assert recording.right == FRAME + gap(100)
    assert recording.left == gap(100) + FRAME


def test_agent_audio_plays_after_what_still_plays() -> None:
    recording = Recording()
    recording.begin(0.0)
    recording.agent(b"\x01" * 800, 0.0)
    recording.agent(b"\x02" * 800, 0.01)
    recording.agent(b"\x03" * 80, 0.3)
    assert recording.right == b"\x01" * 800 + b"\x02" * 800 + gap(100) + b"\x03" * 80


def test_clear_drops_what_is_not_yet_played() -> None:
    recording = Recording()
    recording.begin(0.0)
    recording.agent(b"\x01" * 800, 0.0)
    recording.clear(0.04)
    recording.clear(9.0)
    recording.agent(b"\x02" * 80, 0.05)
    assert recording.right == b"\x01" * 320 + gap(10) + b"\x02" * 80


@pytest.mark.parametrize(("late_ms", "silence_ms"), [(0, 0), (30, 0), (60, 0), (80, 80), (400, 400)])
def test_the_callees_jitter_is_evened_out_and_gaps_are_kept(late_ms: int, silence_ms: int) -> None:
    recording = Recording()
    recording.callee(FRAME, 1.0)
    recording.callee(FRAME, 1.02 + late_ms / 1000)
    assert recording.left == FRAME + gap(silence_ms) + FRAME


def test_levels_for_drawing() -> None:
    recording = Recording()
    recording.begin(0.0)
    recording.callee(gap(20) + b"\x00" * 160 + b"\x00" * 40, 0.0)
    assert recording.levels("callee", 20) == [0, pytest.approx(0.98, abs=0.01), pytest.approx(0.98, abs=0.01)]
    assert recording.levels("agent", 20) == []
    with pytest.raises(ValueError, match="at least 1 ms"):
        recording.levels("agent", 0)


@given(st.lists(st.tuples(st.sampled_from("cax"), st.integers(0, 500), st.integers(0, 300)), max_size=20))
def test_sides_are_always_equally_long_and_hold_all_of_the_callee(events: list[tuple[str, int, int]]) -> None:
    recording, now, heard = Recording(), 0.0, 0
    recording.begin(now)
    for kind, wait_ms, ms in events:
        now += wait_ms / 1000
        if kind == "c":
            recording.callee(b"\x20" * ms * 8, now)
            heard += ms * 8
        elif kind == "a":
            recording.agent(b"\x30" * ms * 8, now)
        else:
            recording.clear(now)
            assert len(recording.right.rstrip(b"\xff")) <= round(now * 8000)
    assert len(recording.left) == len(recording.right)
    assert recording.left.count(0x20) == heard


def test_save_writes_the_callee_left_and_the_agent_right(tmp_path: Path) -> None:
    recording = Recording()
    recording.begin(0.0)
    recording.callee(FRAME, 0.0)
    recording.agent(b"\x80" * 320, 0.0)
    path = tmp_path / "call.wav"
    recording.save(path)
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        assert file.getnframes() == 320
        frames = file.readframes(320)
    assert frames[:4] == mulaw.decode(b"\x20") + mulaw.decode(b"\x80")
    assert frames[-4:] == b"\0\0" + mulaw.decode(b"\x80")


def test_an_empty_call_is_a_valid_file(tmp_path: Path) -> None:
    write_stereo(tmp_path / "empty.wav", b"", b"")
    with wave.open(str(tmp_path / "empty.wav")) as file:
        assert file.getnframes() == 0
