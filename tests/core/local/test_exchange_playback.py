"""The carrier's playback buffer, without clock and network."""

from hypothesis import given
from hypothesis import strategies as st

from patter.local.exchange_playback import Playback

QUIET = b"\xff" * 160


def test_silence_when_nothing_is_queued() -> None:
    assert Playback().tick() == (QUIET, [])


def test_audio_of_any_length_is_played_in_order() -> None:
    playback = Playback()
    for size, byte in ((8, b"a"), (160, b"b"), (320, b"c")):
        playback.queue(byte * size)
    heard = b"".join(playback.tick()[0] for _ in range(5))
    assert heard.rstrip(b"\xff") == b"a" * 8 + b"b" * 160 + b"c" * 320
    assert playback.pending_s == 0


def test_a_mark_waits_for_the_end_of_its_last_frame() -> None:
    playback = Playback()
    playback.mark("before")
    playback.queue(b"a" * 200)
    playback.mark("after")
    assert [playback.tick()[1] for _ in range(4)] == [["before"], [], ["after"], []]


def test_clear_returns_all_marks_and_plays_nothing_more() -> None:
    playback = Playback()
    playback.queue(b"a" * 480)
    playback.mark("one")
    playback.queue(b"a" * 480)
    playback.mark("two")
    playback.tick()
    assert playback.clear() == 0.1
    assert playback.tick() == (QUIET, ["one", "two"])
    playback.queue(b"b" * 160)
    playback.mark("three")
    assert playback.tick() == (b"b" * 160, [])
    assert playback.tick() == (QUIET, ["three"])


@given(st.lists(st.one_of(st.integers(1, 700), st.sampled_from(["mark", "clear", "tick"])), max_size=40))
def test_every_mark_comes_back_once_and_in_order(steps: list[int | str]) -> None:
    playback = Playback()
    wanted: list[str] = []
    got: list[str] = []
    for number, step in enumerate(steps):
        if isinstance(step, int):
            playback.queue(b"x" * step)
        elif step == "mark":
            wanted.append(str(number))
            playback.mark(str(number))
        elif step == "clear":
            playback.clear()
        else:
            got += playback.tick()[1]
    while playback.pending_s:
        got += playback.tick()[1]
    got += playback.tick()[1]
    assert got == wanted
