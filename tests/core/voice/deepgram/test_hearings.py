import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.voice.base import EndOfSpeech, Hearing
from patter.voice.deepgram.hearings import Hearings, settle
from patter.voice.deepgram.wire import Heard, Word, join
from patter.voice.replay import Replay

RATE = 8000
NONE, PAUSE, EAGER, TURN = EndOfSpeech.NONE, EndOfSpeech.PAUSE, EndOfSpeech.EAGER, EndOfSpeech.TURN


def heard(text: str, is_final: bool = False, end: EndOfSpeech = NONE, at: float = 0.0, **fields) -> Heard:
    """Words of 0.4 s each, with 0.1 s after each, from ``at``."""
    texts = text.split()
    words = tuple(Word(word, at + place / 2, at + place / 2 + 0.4) for place, word in enumerate(texts))
    return Heard(text, is_final, end, words, **{"timed": True, **fields})


def test_interims_and_finals_are_told_with_the_end_of_their_last_word() -> None:
    hearings = Hearings()
    assert hearings.take(heard("one two")) == Hearing("one two", False, NONE, 0.9)
    assert hearings.take(heard("one two", True, PAUSE)) == Hearing("one two", True, PAUSE, 0.9)
    assert hearings.take(heard("three", timed=False)) == Hearing("three", False)


def test_finals_without_text_say_nothing() -> None:
    hearings = Hearings()
    assert hearings.take(heard("", True)) is None
    assert hearings.take(heard("", True, PAUSE)) is None
    hearings.take(heard("one", True, PAUSE))
    assert hearings.take(heard("", True, PAUSE)) is None


def test_an_empty_final_takes_an_interim_back() -> None:
    hearings = Hearings()
    hearings.take(heard("uh"))
    assert hearings.take(heard("", True)) == Hearing("", True)
    assert hearings.rest() is None


def test_a_pause_is_told_once_if_no_final_has_told_it() -> None:
    hearings = Hearings()
    assert hearings.pause() is None
    hearings.take(heard("one", True))
    assert hearings.pause() == Hearing("", True, PAUSE)
    assert hearings.pause() is None
    hearings.take(heard("two", True, PAUSE, 1.0))
    assert hearings.pause() is None


def test_an_empty_final_may_tell_the_pause() -> None:
    hearings = Hearings()
    hearings.take(heard("one", True))
    assert hearings.take(heard("", True, PAUSE)) == Hearing("", True, PAUSE)
    assert hearings.pause() is None


def test_a_pause_does_not_take_back_words_whose_final_is_to_come() -> None:
    hearings = Hearings()
    hearings.take(heard("one", True))
    hearings.take(heard("two", at=1.0))
    assert hearings.pause() is None


def test_a_storm_of_eager_ends_and_resumptions_passes_in_order() -> None:
    hearings = Hearings()
    ends = [EAGER, NONE] * 20
    told = [hearings.take(heard("one two", end=end, turn=0)) for end in ends]
    assert [hearing.end for hearing in told if hearing] == ends
    assert hearings.take(heard("one two", True, TURN, turn=0)) == Hearing("one two", True, TURN, 0.9)


def test_an_update_without_news_does_not_take_an_eager_end_back() -> None:
    hearings = Hearings()
    hearings.take(heard("one", end=EAGER))
    assert hearings.take(heard("one", is_update=True)) is None
    assert hearings.take(heard("one two", is_update=True)) == Hearing("one two", False, NONE, 0.9)


def test_a_turn_that_is_over_is_over() -> None:
    hearings = Hearings()
    hearings.take(heard("one", True, TURN, turn=0))
    assert hearings.take(heard("one", True, TURN, turn=0)) is None
    assert hearings.take(heard("one", turn=0)) is None
    assert hearings.take(heard("two", turn=1, at=1.0)) is not None
    hearings.reconnect(0.4, 0.4)
    assert hearings.take(heard("two", turn=0, at=1.0)) is not None


def test_words_that_were_delivered_are_left_out_after_a_reconnection() -> None:
    hearings = Hearings()
    hearings.take(heard("one two", True))
    assert hearings.reconnect(0.7, 0.9) is None
    assert hearings.take(heard("wo", at=0.6)) is None
    assert hearings.take(heard("two three", at=0.5)) == Hearing("three", False, NONE, 1.4)
    assert hearings.take(heard("two three", True, PAUSE, 0.5)) == Hearing("three", True, PAUSE, 1.4)


def test_a_final_of_nothing_but_delivered_words_takes_no_interim_back() -> None:
    hearings = Hearings()
    hearings.take(heard("one two", True))
    hearings.take(heard("three", at=1.0))
    hearings.reconnect(0.7, 0.9)
    assert hearings.take(heard("two", True, at=0.5)) is None
    assert hearings.rest() == Hearing("three", True, TURN, 1.4)


def test_a_final_of_nothing_but_delivered_words_may_tell_the_pause() -> None:
    hearings = Hearings()
    hearings.take(heard("one two", True))
    hearings.reconnect(0.7, 0.9)
    assert hearings.take(heard("two", True, PAUSE, 0.5)) == Hearing("", True, PAUSE)


def test_guessed_words_whose_audio_is_lost_become_final() -> None:
    hearings = Hearings()
    hearings.take(heard("one two three"))
    assert hearings.reconnect(0.6, 0.0) == Hearing("one two", True, NONE, 0.9)
    assert hearings.rest() == Hearing("three", True, TURN, 1.4)
    # The rest of a word that was cut is not a word.
    assert hearings.take(heard("oo three", True, TURN, 0.45)) == Hearing("three", True, TURN, 1.35)


def test_nothing_is_made_final_while_its_audio_is_there() -> None:
    hearings = Hearings()
    hearings.take(heard("one two"))
    assert hearings.reconnect(0.0, 0.0) is None
    assert hearings.take(heard("one two", True, TURN)) == Hearing("one two", True, TURN, 0.9)


def test_what_was_guessed_last_is_final_in_the_end() -> None:
    hearings = Hearings()
    hearings.take(heard("one"))
    hearings.take(heard("one two"))
    assert hearings.rest() == Hearing("one two", True, TURN, 0.9)
    assert hearings.rest() is None


@pytest.mark.parametrize(
    ("final", "begin_s", "settled_s"),
    [
        (heard("one two", True, until_s=1.7), 0.7, 0.9),
        (heard("one two", True), 0.7, 0.9),
        (heard("one two", True, timed=False, until_s=1.7), 1.7, 1.7),
        (heard("one two", True, timed=False), 0.0, 0.0),
        (Heard("", True, until_s=1.7), 1.2, 1.2),
        (Heard("", True, until_s=0.3), 0.0, 0.0),
        (Heard("", True), 0.0, 0.0),
    ],
)
def test_a_final_settles_the_audio_up_to_its_last_word(final: Heard, begin_s: float, settled_s: float) -> None:
    audio = Replay()
    audio.append(bytes(2 * RATE))
    audio.take(2 * RATE)
    settle(final, audio)
    assert (audio.begin_s, audio.settled_s) == (begin_s, settled_s)


# A vendor in small: a word is a run of its number, as long as it should be; any other run is misheard.


class Recogniser:
    """One connection: hears whole words in the audio it was sent."""

    def __init__(self, lengths: dict[int, int]) -> None:
        self.stream = b""
        self.lengths = lengths
        self.final_to = 0

    def words(self) -> Iterator[Word]:
        for run in re.finditer(rb"([^\0])\1*", self.stream):
            if run.start() < self.final_to or run.end() == len(self.stream):
                continue
            number = run[0][0]
            text = f"w{number}" if len(run[0]) == self.lengths[number] else "misheard"
            yield Word(text, run.start() / RATE, run.end() / RATE)

    def report(self, is_final: bool, until: int) -> Heard:
        words = tuple(word for word in self.words() if word.end_s * RATE <= until)
        if is_final:
            self.final_to = round(words[-1].end_s * RATE) if words else self.final_to
        return Heard(join(words), is_final, NONE, words, bool(words), len(self.stream) / RATE if is_final else None)


@given(
    st.lists(st.tuples(st.integers(60, 300), st.integers(10, 600)), min_size=1, max_size=12),
    st.lists(st.sampled_from(["send", "send", "send", "interim", "final", "drop", "fill"]), max_size=60),
    st.integers(20, 400),
)
def test_no_word_is_lost_or_doubled_over_any_connections(
    spoken: list[tuple[int, int]], events: list[str], piece_ms: int
) -> None:
    audio, lengths = bytes(800), {}
    for number, (word_ms, gap_ms) in enumerate(spoken, start=1):
        lengths[number] = word_ms * 8
        audio += bytes((number,)) * word_ms * 8 + bytes(gap_ms * 8)
    replay, hearings, vendor, finals = Replay(), Hearings(), Recogniser(lengths), []

    def take(report: Heard) -> None:
        moved = report.moved(replay.place)
        told = hearings.take(moved)
        if told and told.is_final and told.text:
            finals.append(told.text)
        if report.is_final:
            settle(moved, replay)

    for event in [*events, "send the rest", "final"]:
        match event:
            case "send" | "send the rest":
                size = piece_ms * 8 if event == "send" else len(audio)
                piece, audio = audio[:size], audio[size:]
                replay.append(piece)
                vendor.stream += replay.take(80_000)
            case "fill" if vendor.stream.endswith(b"\0"):
                replay.fill(800)
                vendor.stream += bytes(800)
            case "drop":
                replay.rewind()
                assert hearings.reconnect(replay.begin_s, replay.settled_s) is None
                vendor = Recogniser(lengths)
                vendor.stream = replay.take(80_000)
            case "interim" | "final":
                take(vendor.report(event == "final", len(vendor.stream)))
    assert " ".join(finals).split() == [f"w{number}" for number in lengths]
