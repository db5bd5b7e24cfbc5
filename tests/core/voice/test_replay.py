from hypothesis import given
from hypothesis import strategies as st

from patter.voice.replay import Replay

MS = 8


def audio(ms: int, value: int = 1) -> bytes:
    return bytes((value,)) * ms * MS


def take_all(replay: Replay, most: int = 100_000) -> bytes:
    taken = b""
    while piece := replay.take(most):
        taken += piece
    return taken


def test_audio_is_sent_once_in_its_order() -> None:
    replay = Replay()
    replay.append(b"abc")
    replay.append(b"de")
    assert replay.waiting == 5
    assert [replay.take(2), replay.take(2), replay.take(2), replay.take(2)] == [b"ab", b"cd", b"e", b""]
    assert (replay.waiting, replay.replayed_ms) == (0, 0)


def test_a_new_connection_is_sent_what_is_not_final() -> None:
    replay = Replay()
    replay.append(audio(100, 1) + audio(100, 2))
    take_all(replay)
    replay.settle(0.1)
    replay.append(audio(50, 3))
    replay.rewind()
    assert (replay.begin_s, replay.settled_s) == (0.1, 0.1)
    assert take_all(replay, 160) == audio(100, 2) + audio(50, 3)
    assert replay.replayed_ms == 100


def test_a_run_up_is_kept_of_what_is_final() -> None:
    replay = Replay()
    replay.append(audio(500))
    take_all(replay)
    replay.settle(0.4, lead_ms=150)
    assert (replay.begin_s, replay.settled_s) == (0.25, 0.4)
    replay.settle(0.3)
    assert (replay.begin_s, replay.settled_s) == (0.25, 0.4)


def test_what_was_not_sent_cannot_be_final() -> None:
    replay = Replay()
    replay.append(audio(100))
    replay.take(40 * MS)
    replay.settle(7.0)
    assert replay.settled_s == 0.04
    assert take_all(replay) == audio(60)


def test_the_oldest_audio_is_forgotten_sent_or_not() -> None:
    replay = Replay(keep_ms=100)
    replay.append(audio(80, 1))
    take_all(replay)
    replay.append(audio(150, 2))
    assert replay.waiting == 100 * MS
    assert take_all(replay) == audio(100, 2)
    assert replay.begin_s == 0.13
    # The connection's clock has not seen the 50 ms that were forgotten.
    assert [replay.place(at) for at in (0.08, 0.1, 0.18)] == [0.13, 0.15, 0.23]


def test_silence_that_was_put_in_is_not_on_the_sessions_clock() -> None:
    replay = Replay()
    replay.append(audio(100))
    take_all(replay)
    replay.fill(500 * MS)
    replay.append(audio(100))
    take_all(replay)
    assert [replay.place(at) for at in (0.05, 0.1, 0.3, 0.6, 0.65, 9.0)] == [0.05, 0.1, 0.1, 0.1, 0.15, 0.2]


def test_without_audio_every_time_is_the_beginning() -> None:
    replay = Replay()
    replay.fill(800)
    assert replay.place(0.1) == 0
    replay.append(audio(20))
    take_all(replay)
    assert replay.place(0.05) == 0


Steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 300)),
        st.tuples(st.just("take"), st.integers(1, 200)),
        st.tuples(st.just("fill"), st.integers(1, 200)),
        st.tuples(st.just("settle"), st.integers(0, 400)),
        st.tuples(st.just("rewind"), st.just(0)),
    ),
    max_size=60,
)


@given(Steps)
def test_every_byte_of_a_connection_has_its_place_in_the_session(steps: list[tuple[str, int]]) -> None:
    replay, session, stream, resent, most_sent = Replay(keep_ms=50), b"", [], 0, 0
    begin = settled = 0
    for step, count in steps:
        match step:
            case "append":
                new = bytes((len(session) + at) % 251 for at in range(count))
                session += new
                replay.append(new)
                begin = max(begin, len(session) - 400)
            case "take":
                expected = max(begin, max((at for at in stream if at is not None), default=-1) + 1)
                piece = replay.take(count)
                assert piece == session[expected : expected + count]
                resent += max(min(most_sent, expected + len(piece)) - expected, 0)
                most_sent = max(most_sent, expected + len(piece))
                stream += range(expected, expected + len(piece))
            case "fill":
                replay.fill(count)
                stream += [None] * count
            case "settle":
                settled = max(settled, min(count, most_sent))
                begin = max(begin, settled)
                replay.settle(count / 8000)
            case "rewind":
                replay.rewind()
                stream = []
    assert replay.settled_s * 8000 == settled
    assert replay.begin_s * 8000 == begin
    assert replay.replayed_ms * MS == resent
    for at, place in enumerate(stream):
        if place is not None:
            assert round(replay.place(at / 8000) * 8000) == place
