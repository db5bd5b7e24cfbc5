import itertools
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.call.playout import Playout


def played(*pieces, marks=()):
    """A ledger with pieces of (text, ms) sent at once at time 0; marks follow the pieces of these numbers."""
    playout, names = Playout(), []
    for number, (text, ms) in enumerate(pieces):
        playout.sent(text, ms, 0.0)
        if number in marks:
            names.append(playout.mark())
    playout.complete()
    return playout, names


WORDS = [("one", 300.0), ("two", 300.0), ("three", 400.0)]


@pytest.mark.parametrize(
    ("now", "heard"),
    [
        (0.0, ""),
        (0.29, ""),
        (0.3, "one"),
        (0.59, "one"),
        (0.6, "one two"),
        (0.99, "one two"),
        (1.0, "one two three"),
        (9.0, "one two three"),
    ],
)
def test_words_are_heard_one_by_one(now, heard):
    playout, _ = played(*WORDS)
    assert playout.heard(now) == heard


@pytest.mark.parametrize(
    ("now", "heard"),
    [
        (0.0, ""),
        (0.2, ""),
        (0.5, "good"),
        (0.7, "good"),
        (0.8, "good old"),
        (1.4, "good old days,"),
        (2.0, "good old days, indeed"),
    ],
)
def test_a_clause_is_cut_at_a_word_in_proportion(now, heard):
    playout, _ = played(("good old days, indeed", 2000.0))
    assert playout.heard(now) == heard


def test_a_clause_that_is_not_complete_is_credited_by_the_usual_speed():
    playout = Playout()
    playout.sent("a sentence of thirty characters", 100.0, 0.0)
    assert playout.heard(0.1) == "a"
    playout.sent("", 1800.0, 0.1)
    playout.complete()
    assert playout.heard(1.9) == "a sentence of thirty characters"


def test_a_slice_of_a_word_is_not_the_word():
    playout = Playout()
    playout.sent("the", 200.0, 0.0, whole_ms=300.0)
    playout.complete()
    assert playout.heard(9.0) == ""
    playout.sent("", 100.0, 9.0)
    assert playout.heard(9.1) == "the"


@pytest.mark.parametrize(("now", "heard"), [(0.15, ""), (0.4, ""), (0.5, "please."), (9.0, "please.")])
def test_a_word_whose_sound_has_stopped_was_heard(now, heard):
    playout = Playout()
    playout.sent("please.", 150.0, 0.0)
    assert playout.heard(now) == heard


def test_a_clause_whose_sound_has_stopped_may_go_on():
    playout = Playout()
    playout.sent("one moment please", 300.0, 0.0)
    assert playout.heard(9.0) == "one"


@pytest.mark.parametrize(("now", "heard"), [(0.29, ""), (0.3, "one"), (0.45, "one"), (0.79, "one"), (0.8, "one two")])
def test_a_pause_does_not_belong_to_the_word_before_it(now, heard):
    playout = Playout()
    playout.sent("one", 300.0, 0.0)
    playout.sent("", 200.0, 0.0, pause=True)
    playout.sent("two", 300.0, 0.0)
    playout.sent("", 400.0, 0.0, pause=True)
    assert playout.heard(now) == heard


def test_a_language_without_spaces_is_cut_at_a_character():
    playout, _ = played(("今日はいい天気です", 900.0))
    assert playout.heard(0.45) == "今日はい"


def test_audio_without_text_and_text_without_audio():
    playout, _ = played(("", 500.0), ("(", 0.0), ("one", 300.0))
    assert (playout.sent_ms, playout.heard(0.5), playout.heard(0.8)) == (800.0, "", "one")


def test_an_ack_corrects_the_clock():
    playout, [first, second] = played(("one", 300.0), ("two", 300.0), marks=(0, 1))
    playout.ack(first, 0.5)  # the carrier began 0.2 s late
    assert playout.position_ms(0.5) == 300.0
    assert playout.heard(0.7) == "one"
    assert playout.heard(0.8) == "one two"
    playout.ack(second, 0.8)
    assert playout.drained and playout.ahead_ms(0.8) == 0.0


def test_a_later_ack_contains_the_earlier():
    playout, [_, second] = played(("one", 300.0), ("two", 300.0), marks=(0, 1))
    playout.ack(second, 0.6)
    assert playout.drained
    playout.ack(second, 5.0)
    assert playout.position_ms(0.6) == 600.0


def test_an_overdue_mark_stops_the_clock_and_a_lost_one_does_not():
    playout, [first, _] = played(("one", 300.0), ("two", 3000.0), marks=(0, 1))
    assert playout.position_ms(1.0) == 1000.0  # this carrier has not sent a mark yet: perhaps it has none
    playout.ack(first, 0.3)
    name = playout.mark()
    assert playout.position_ms(3.5) == 3300.0
    playout.sent("three", 3000.0, 3.5)
    assert playout.position_ms(4.2) == 3300.0  # overdue: nothing was played since
    assert playout.position_ms(9.0) == 6300.0  # lost
    playout.ack(name, 4.0)
    assert playout.position_ms(4.1) == pytest.approx(3400.0)


def test_after_a_pause_the_clock_begins_again():
    playout, _ = played(("one", 300.0))
    playout.sent("two", 300.0, 2.0)
    assert playout.heard(2.2) == "one"
    assert playout.heard(2.3) == "one two"


def test_marks_of_a_cleared_epoch_change_nothing():
    playout, [name] = played(("one", 300.0), marks=(0,))
    assert playout.clear(0.1) == ""
    assert (playout.sent_ms, playout.drained, playout.heard(9.0)) == (0.0, True, "")
    playout.sent("two", 300.0, 0.2)
    second = playout.mark()
    playout.ack(name, 0.2)
    assert playout.heard(0.3) == "" and not playout.drained
    assert second != name
    playout.ack(second, 0.5)
    assert playout.clear(0.5) == "two"


def test_the_cut_waits_for_a_word_that_is_just_ending():
    playout, _ = played(("one", 300.0), ("two", 300.0))
    assert playout.cut_at(0.1) == 0.1
    assert 0.3 <= playout.cut_at(0.28) <= 0.28 + 0.045
    assert playout.cut_at(0.4) == 0.4
    assert playout.cut_at(0.6) == 0.6


# --- properties ----------------------------------------------------------------------------------

texts = st.lists(
    st.text("abc ,.", min_size=1, max_size=12).filter(str.strip).map(lambda text: " ".join(text.split())),
    min_size=1,
    max_size=8,
)
lengths = st.integers(1, 8).map(lambda count: count * 100.0)


@st.composite
def runs(draw):
    """Pieces handed over with pauses, played by a carrier that echoes marks late, and a moment to clear."""
    pieces = [(text, draw(lengths)) for text in draw(texts)]
    pauses = [draw(st.sampled_from([0.0, 0.0, 0.05, 0.3, 2.0])) for _ in pieces]
    return pieces, pauses, draw(st.sampled_from([0.0, 0.02, 0.15])), draw(st.floats(0, 12))


class Carrier:
    """Plays what it gets at 1x and echoes marks when the audio before them was played."""

    def __init__(self, rtt_s):
        self.rtt_s = rtt_s
        self.segments = []
        self.until = 0.0
        self.echoes = []

    def play(self, ms, now):
        start = max(now, self.until)
        self.until = start + ms / 1000
        self.segments.append((start, ms))

    def mark(self, name, now):
        self.echoes.append((max(now, self.until) + self.rtt_s, name))

    def played_ms(self, now):
        return sum(min(max(now - start, 0.0) * 1000, ms) for start, ms in self.segments)


def run(pieces, pauses, rtt_s, until):
    """Send in 100 ms slices with a lead of 300 ms, as the mouth does; returns ledger and carrier at the end."""
    playout, carrier, now = Playout(), Carrier(rtt_s), 0.0

    def acknowledge(now):
        while carrier.echoes and carrier.echoes[0][0] <= now:
            at, name = carrier.echoes.pop(0)
            playout.ack(name, at)

    for (text, ms), pause in zip(pieces, pauses, strict=True):
        now += pause
        for start in range(0, int(ms), 100):
            acknowledge(now)
            now = max(now, carrier.until - 0.2)
            acknowledge(now)
            if now > until:
                break
            carrier.play(100.0, now)
            playout.sent(text if start == 0 else "", 100.0, now, whole_ms=ms if start == 0 else None)
            if playout.sent_ms % 200 == 0:
                carrier.mark(playout.mark(), now)
        if now > until:
            break
    now = max(now, until)
    acknowledge(now)
    return playout, carrier, now


@given(runs())
def test_what_counts_as_heard_is_a_prefix_in_whole_words(drawn):
    pieces, pauses, rtt_s, until = drawn
    playout, _, now = run(pieces, pauses, rtt_s, until)
    said = " ".join(text for text, _ in pieces)
    heard = playout.heard(now)
    assert said.startswith(heard)
    assert not heard or said[len(heard) :][:1] in ("", " ")


@given(runs())
def test_no_more_is_credited_than_was_played(drawn):
    playout, carrier, now = run(*drawn)
    assert playout.position_ms(now) <= carrier.played_ms(now) + 1e-6
    assert playout.position_ms(now) <= playout.sent_ms
    assert playout.ahead_ms(now) >= 0


@given(runs())
def test_position_grows_until_a_mark_is_overdue(drawn):
    """Then it falls back to that mark (there is one every 200 ms): what was not confirmed is not believed any more."""
    playout, _, now = run(*drawn)
    positions = [playout.position_ms(now + later) for later in (0.0, 0.1, 0.2, 0.4)]
    falls = [later for earlier, later in pairwise(positions) if later < earlier]
    assert len(falls) <= 1
    assert all(place % 200 == 0 for place in falls)


@given(runs())
def test_everything_is_heard_in_the_end(drawn):
    pieces, pauses, rtt_s, _ = drawn
    playout, _, _ = run(pieces, pauses, rtt_s, 99.0)
    playout.complete()
    assert playout.drained or playout.sent_ms % 200
    assert playout.heard(99.0) == " ".join(text for text, _ in pieces)


@given(runs(), runs())
def test_epochs_do_not_mix(first, second):
    playout, carrier, now = run(*first)
    playout.clear(now)
    late = [name for _, name in carrier.echoes]
    for text, ms in second[0]:
        playout.sent(text, ms, now)
    new = playout.mark()
    before = playout.position_ms(now + 0.05)
    for name in late:
        playout.ack(name, now + 0.05)
    assert playout.position_ms(now + 0.05) == before
    assert new not in late


def test_names_of_marks_are_unique_and_carry_their_epoch():
    playout, names = Playout(), []
    for epoch in range(3):
        playout.sent("one", 100.0, float(epoch))
        names += [playout.mark(), playout.mark()]
        playout.clear(epoch + 0.5)
    assert len(set(names)) == 6
    epochs = [int(name.partition(":")[0]) for name in names]
    assert all(one <= two for one, two in itertools.pairwise(epochs))
