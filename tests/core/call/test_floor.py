"""The floor as a table: facts with their times go in, decisions come out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.call.floor import Commit, Floor, GiveUp, Hold, Nudge, Open, Resume, Retract
from patter.settings import Timing
from patter.voice.base import EndOfSpeech, Hearing

T = Timing()
PAUSE, EAGER, TURN = EndOfSpeech.PAUSE, EndOfSpeech.EAGER, EndOfSpeech.TURN


def final(text, end=EndOfSpeech.NONE):
    return Hearing(text, is_final=True, end=end)


def guess(text):
    return Hearing(text, is_final=False)


class Script:
    """Drives a floor as the conversation does: it comes back at `wake_at`, and tells of the agent."""

    def __init__(self, timing=T):
        self.floor = Floor(timing, 0.0)
        self.now = 0.0
        self.seen = []

    def until(self, at):
        """Let time pass."""
        while (wake := self.floor.wake_at()) is not None and wake <= at:
            self.now = max(self.now, wake)
            decisions = self.floor.due(self.now)
            assert decisions, f"woken at {wake} for nothing"
            self._note(decisions)
        self.now = at
        return self

    def voice(self, at, on):
        self.until(at)
        self._note(self.floor.voice(on, at))
        return self

    def hears(self, at, hearing, ended_at=None):
        self.until(at)
        self._note(self.floor.hear(hearing, at, ended_at=ended_at))
        return self

    def speaks(self, at):
        """The agent's answer is heard from now on."""
        self.until(at)
        self.floor.speaking()
        return self

    def is_done(self, at):
        self.until(at)
        self.floor.done(at)
        return self

    def _note(self, decisions):
        for decision in decisions:
            self.seen.append((round(self.now, 6), decision))
            if isinstance(decision, Commit | Open | Nudge):
                self.floor.thinking()
            elif isinstance(decision, GiveUp):
                self.floor.closing()

    @property
    def kinds(self):
        return [type(decision).__name__ for _, decision in self.seen]


def talking():
    """A script in which the agent has been speaking since 2.0."""
    script = Script().hears(1.0, final("Hello?", TURN)).speaks(2.0)
    assert script.kinds == ["Commit"]
    script.seen.clear()
    return script


# --- turns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hearing", "waits_s"),
    [
        (final("Hello?"), T.end_of_turn_s),
        (final("Hello?", EAGER), T.end_of_turn_s),
        (final("Hello?", PAUSE), T.end_of_turn_marked_s),
        (final("Hello?", TURN), 0.0),
        (guess("Hello?"), T.end_of_turn_max_s),
    ],
)
def test_a_turn_ends_so_long_after_its_last_word(hearing, waits_s):
    script = Script().hears(1.0, hearing, 0.9).until(10.0)
    at, commit = script.seen[0]
    assert at == pytest.approx(max(0.9 + waits_s, 1.0))
    assert commit == Commit("Hello?", 0.9, 0.9)


def test_finals_are_joined_and_a_guess_replaces_the_guess_before():
    script = (
        Script().hears(1.0, final("My name")).hears(1.2, guess("it")).hears(1.3, guess("is")).hears(1.4, final("is Li"))
    )
    assert script.until(5.0).seen == [(pytest.approx(1.9), Commit("My name is Li", 1.0, 1.4))]


def test_while_the_voice_goes_on_the_turn_waits_but_not_for_ever():
    script = Script().voice(0.8, True).hears(1.0, final("Well")).voice(2.0, False)
    assert script.until(5.0).seen == [(2.0, Commit("Well", 0.8, 1.0))]
    script = Script().voice(0.8, True).hears(1.0, final("Well")).until(9.0)
    assert script.seen[0][0] == pytest.approx(1.0 + T.end_of_turn_max_s)


def test_an_empty_final_ends_a_guess():
    script = Script().hears(1.0, guess("uh")).hears(1.2, final("")).until(T.hello_wait_s)
    assert script.kinds == ["Open"]


def test_a_mark_without_text_belongs_to_the_text_before():
    script = Script().hears(1.0, final("Hello")).hears(1.1, final("", PAUSE)).until(5.0)
    assert script.seen[0][0] == pytest.approx(1.0 + T.end_of_turn_marked_s)


def test_the_late_final_of_a_guess_that_was_committed_is_dropped():
    script = Script().hears(1.0, guess("Hello there")).until(3.5)
    assert script.kinds == ["Commit"]
    script.hears(4.0, final("Hello there.")).until(4.5)
    assert script.kinds == ["Commit"]


def test_the_words_after_a_committed_guess_are_not_dropped():
    """The final of the guess never came; what follows is something else, and its guesses show it."""
    script = Script().hears(1.0, guess("Hello there")).until(3.5).speaks(3.5).is_done(4.0)
    script.hears(4.2, guess("stop")).hears(4.4, final("stop that", TURN)).until(4.5)
    assert [decision.text for _, decision in script.seen] == ["Hello there", "stop that"]


def test_the_callee_goes_on_before_the_agent_is_heard():
    script = (
        Script().hears(1.0, final("I would like", TURN)).hears(1.5, guess("to know")).hears(1.8, final("to know", TURN))
    )
    assert script.until(2.0).seen == [
        (1.0, Commit("I would like", 1.0, 1.0)),
        (1.5, Retract()),
        (1.8, Commit("I would like to know", 1.0, 1.8)),
    ]


def test_words_while_the_agent_prepares_its_own_idea_make_it_yield():
    script = Script().until(T.hello_wait_s).hears(2.0, final("Hello?", TURN)).until(2.0)
    assert script.kinds == ["Open", "Yield", "Commit"]


# --- the first word ------------------------------------------------------------------------------


def test_the_agent_opens_when_nobody_says_hello():
    assert Script().until(5.0).seen == [(T.hello_wait_s, Open())]


def test_it_does_not_open_into_a_hello():
    script = Script().voice(1.4, True).until(1.6).hears(1.9, final("Hello?", PAUSE), 1.8).voice(2.0, False).until(4.0)
    assert script.kinds == ["Commit"]


def test_a_noise_does_not_keep_it_from_opening_for_ever():
    script = Script().voice(0.5, True).until(9.0)
    assert script.seen == [(T.hello_wait_s + T.end_of_turn_max_s, Open())]


# --- barge-in ------------------------------------------------------------------------------------


def test_voice_holds_and_silence_resumes():
    script = talking().voice(3.0, True).voice(3.3, False).until(9.0)
    assert script.seen == [(3.0, Hold()), (pytest.approx(3.0 + T.resume_after_s), Resume(None))]


@pytest.mark.parametrize("words", ["Stop", "wait!", "NO", "one two", "don't you", "ja, gut"])
def test_enough_words_take_the_floor(words):
    script = talking().voice(3.0, True).hears(3.4, guess(words))
    assert script.kinds == ["Hold", "Yield"]
    assert script.hears(4.0, final(words, TURN)).until(4.0).kinds[-1] == "Commit"


@pytest.mark.parametrize("words", ["Mhm", "yes", "nothing", "don't", "..."])
def test_one_word_does_not(words):
    script = talking().voice(3.0, True).hears(3.4, final(words)).until(9.0)
    assert script.kinds == ["Hold", "Resume"]
    resumed, resume = script.seen[1]
    assert resumed == pytest.approx(3.4 + T.resume_after_s)
    assert resume.aside.text == words


def test_words_of_two_finals_add_up():
    assert talking().hears(3.0, final("yes")).hears(3.5, final("but")).kinds == ["Yield"]


def test_words_without_a_voice_take_the_floor_too():
    assert talking().hears(3.0, guess("one two")).kinds == ["Yield"]


def test_one_word_that_nothing_followed_is_answered_when_the_agent_is_done():
    script = talking().hears(3.0, final("Yes"), 2.9).is_done(3.2).until(9.0)
    assert script.seen[0] == (pytest.approx(2.9 + T.end_of_turn_s), Commit("Yes", 2.9, 2.9))


def test_nobody_takes_the_floor_of_a_goodbye():
    script = talking()
    script.floor.closing()
    script.voice(3.0, True).hears(3.5, final("wait one moment please", TURN)).until(60.0)
    assert script.seen == []
    assert script.floor.rest(60.0) == Commit("wait one moment please", 3.0, 3.5)


# --- silence -------------------------------------------------------------------------------------


def nudged(script, at):
    """The agent asks, for a second."""
    return script.until(at).speaks(at).is_done(at + 1.0)


def test_two_nudges_and_then_it_gives_up():
    script = talking().is_done(3.0)
    nudged(script, 3.0 + T.nudge_after_s)
    nudged(script, 4.0 + 2 * T.nudge_after_s)
    script.until(5.0 + 3 * T.nudge_after_s).until(300.0)
    assert script.kinds == ["Nudge", "Nudge", "GiveUp"]
    assert [at for at, _ in script.seen] == [11.0, 20.0, 29.0]


def test_a_word_counts_as_an_answer():
    script = talking().is_done(3.0)
    nudged(script, 3.0 + T.nudge_after_s)
    script.hears(13.0, final("Yes", TURN)).until(13.0).speaks(13.5).is_done(14.0)
    nudged(script, 14.0 + T.nudge_after_s)
    nudged(script, 15.0 + 2 * T.nudge_after_s)
    assert script.kinds == ["Nudge", "Commit", "Nudge", "Nudge"]


def test_without_nudges_it_gives_up_at_once():
    script = Script(Timing(nudges=0)).hears(1.0, final("Hi", TURN)).speaks(2.0).is_done(3.0).until(60.0)
    assert script.kinds == ["Commit", "GiveUp"]


def test_the_rest_of_a_conversation():
    assert Script().floor.rest(1.0) is None
    assert Script().hears(1.0, guess("bye")).floor.rest(1.1) == Commit("bye", 1.0, 1.0)


# --- music, and a call that is handed over -------------------------------------------------------


def playing():
    """A script in which music has been playing since 2.0."""
    script = talking().is_done(2.0)
    script.floor.playing()
    return script


@pytest.mark.parametrize("word", ["Hello?", "Mhm"])
def test_any_word_takes_the_floor_from_music(word):
    assert playing().voice(3.0, True).hears(3.4, guess(word)).kinds == ["Hold", "Yield"]


def test_noise_holds_music_and_silence_does_not_end_it():
    script = playing().voice(3.0, True).voice(3.3, False).until(100.0)
    assert script.seen == [(3.0, Hold()), (pytest.approx(3.0 + T.resume_after_s), Resume(None))]


def test_while_somebody_is_awaited_silence_is_no_reason_to_speak():
    script = talking().is_done(2.0)
    script.floor.awaits_somebody = True
    assert script.until(60.0).hears(60.0, final("Hello?")).until(70.0).kinds == ["Commit"]
    script.speaks(70.0).is_done(71.0).until(100.0)
    assert script.kinds == ["Commit"]
    script.floor.awaits_somebody = False
    assert script.until(100.0).kinds[:2] == ["Commit", "Nudge"]


def test_a_floor_that_is_reopened_acts_on_what_was_said_meanwhile():
    script = talking()
    script.floor.closing()
    script.hears(3.0, final("Thank you so much")).until(20.0)
    assert script.kinds == []
    script.floor.reopen(20.0)
    assert script.until(20.0).kinds == ["Commit"]


def test_reopening_a_floor_that_is_open_changes_nothing():
    script = talking()
    script.floor.reopen(3.0)
    assert script.voice(4.0, True).kinds == ["Hold"]


# --- properties ----------------------------------------------------------------------------------

events = st.lists(
    st.tuples(
        st.floats(0.0, 3.0).map(lambda gap: round(gap, 2)),
        st.one_of(
            st.tuples(st.just("voice"), st.booleans()),
            st.tuples(st.just("final"), st.sampled_from(["yes", "no wait", "how much is it"])),
            st.tuples(st.just("guess"), st.sampled_from(["y", "how much"])),
            st.tuples(st.just("agent"), st.booleans()),
        ),
    ),
    max_size=25,
)


def play(script, drawn):
    at, answering, speaking = 0.0, False, False
    for gap, (kind, value) in drawn:
        at = round(at + gap, 2)
        if kind == "voice":
            script.voice(at, value)
        elif kind == "final":
            script.hears(at, final(value))
        elif kind == "guess":
            script.hears(at, guess(value))
        else:
            script.until(at)
            last = script.kinds[-1] if script.seen else ""
            answering = answering or last in ("Commit", "Open", "Nudge")
            if value and answering and not speaking and last not in ("Yield", "Retract"):
                script.speaks(at)
                speaking = True
            elif not value and speaking and "Yield" != last:
                script.is_done(at)
                answering = speaking = False
        if script.seen and script.kinds[-1] in ("Yield", "Retract"):
            answering = speaking = False
    return at


@given(events)
def test_time_alone_always_comes_to_an_end(drawn):
    """`until` asserts that no wake-up is for nothing; the floor never asks to be woken in a loop."""
    script = Script()
    at = play(script, drawn)
    before = len(script.seen)
    script.until(at + 100.0)
    assert len(script.seen) - before <= 4


@given(events)
def test_decisions_are_in_order(drawn):
    script = Script()
    play(script, drawn)
    held, committed = False, 0
    for kind in script.kinds:
        if kind == "Hold":
            assert not held
            held = True
        elif kind == "Resume":
            assert held
            held = False
        elif kind == "Retract":
            committed -= 1
            assert committed >= 0
        elif kind == "Commit":
            committed += 1
            held = False
        else:
            held = False
    times = [at for at, _ in script.seen]
    assert times == sorted(times)


@given(events)
def test_a_committed_turn_has_words_and_an_end_after_its_beginning(drawn):
    script = Script()
    play(script, drawn)
    for at, decision in script.seen:
        if isinstance(decision, Commit):
            assert decision.text.strip()
            assert decision.started_at <= decision.ended_at <= at
