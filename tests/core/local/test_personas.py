"""The personas, as scripts: what they say to what they hear."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from patter.errors import ConfigError
from patter.local.dialogue import Act, Beep, Heard, Listen, Press, Say, Wait, scripted
from patter.local.diary import FILLER
from patter.local.personas import PERSONAS, persona
from patter.local.times import plain


def play(name: str, answers: Sequence[str | Heard]) -> list[str]:
    """What the persona does while it hears these answers, then silence; "..." stands for listening."""
    script = PERSONAS[name].script()
    waiting = iter(answers)
    done: list[str] = []
    try:
        act: Act = next(script)
        while len(done) < 60:
            heard = Heard()
            if isinstance(act, Say):
                done.append(act.text)
            elif isinstance(act, Listen):
                answer = next(waiting, Heard())
                heard = Heard(answer) if isinstance(answer, str) else answer
                done.append("...")
            else:
                done.append(type(act).__name__)
            act = script.send(heard)
    except StopIteration:
        pass
    return done


def said(name: str, *answers: str | Heard) -> list[str]:
    return [text for text in play(name, answers) if text != "..."]


def test_every_status_has_a_persona() -> None:
    assert list(PERSONAS) == [
        *("salon", "doctor", "busy", "no-answer", "failed", "declined", "voicemail", "ivr", "rude", "silent")
    ]
    assert len({one.number for one in PERSONAS.values()}) == len(PERSONAS)
    assert all(one.number.startswith("+1555010") for one in PERSONAS.values())
    assert persona("salon").title == "Style Studio"


def test_an_unknown_persona_is_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match=r"'barber'.*salon, doctor, busy"):
        persona("barber")


def test_salon_offers_another_time() -> None:
    assert said(
        "salon",
        "hi this is an automated assistant calling to book a haircut for tomorrow at three in the afternoon",
        "yes four thirty works for me",
        "the name is maria lopez",
        "no that is all thank you goodbye",
    ) == [
        "Hello, Style Studio.",
        "I am sorry, three in the afternoon is taken, would four thirty work?",
        "Great, what is your name?",
        "You are booked for tomorrow at four thirty. Anything else?",
        "Goodbye.",
    ]


@pytest.mark.parametrize(
    ("answers", "reply"),
    [
        (["i would like a haircut"], "Sure, which day and time would you like?"),
        (["a haircut on monday", "at ten"], "I am sorry, ten is taken, would eleven thirty work?"),
        (["a haircut at three pm", "no thank you"], "I also have five fifteen, would that be better?"),
        (["a haircut at three pm", "could i come at six thirty"], "All right, six thirty is free. Shall I book it?"),
        (["when are you open"], "We are open from nine in the morning to six in the evening. Anything else?"),
        ([Heard(unclear=True)], "Sorry, I did not get that."),
        ([Heard()], "Hello, are you still there?"),
    ],
)
def test_salon_understands(answers: list[str | Heard], reply: str) -> None:
    talk = play("salon", answers)
    listened = [index for index, done in enumerate(talk) if done == "..."]
    assert talk[listened[len(answers) - 1] + 1] == reply


@pytest.mark.parametrize("patience", ["one moment please", plain(FILLER)])
def test_who_is_asked_for_a_moment_waits(patience: str) -> None:
    talk = play("salon", ["a haircut at three pm", patience, "yes four thirty works for me"])
    assert talk[3:6] == ["...", "...", "Great, what is your name?"]


def test_salon_gives_up_on_silence_and_on_goodbye() -> None:
    assert said("salon")[-2:] == ["Hello, are you still there?", "Goodbye."]
    assert said("salon", "sorry wrong number goodbye")[1:] == ["Goodbye."]


def test_doctor_asks_for_reason_name_and_birth() -> None:
    assert said(
        "doctor", "an appointment for tomorrow at ten in the morning", "a checkup", "maria lopez", "march third", "yes"
    ) == [
        "Good morning, Oak Street Clinic, what can I do for you?",
        "What is the reason for the visit?",
        "What is the name of the patient?",
        "And what is the date of birth?",
        "Thank you. The doctor can see you tomorrow at eleven fifteen. Would that work?",
        "Good, eleven fifteen is reserved for you. Please bring your insurance card.",
        # Nothing more is heard.
        "Hello, are you still there?",
        "Hello, are you still there?",
        "Hello, are you still there?",
        "Goodbye.",
    ]


@pytest.mark.parametrize("answer", ["appointments please", Heard(digits="1")])
def test_ivr_takes_a_key_or_a_word(answer: str | Heard) -> None:
    talk = said("ivr", answer, "a visit at nine in the morning", "maria lopez", "no goodbye")
    assert talk[1:] == [
        "Appointments, how can I help you?",
        "Yes, nine in the morning is free. What is your name, please?",
        "Thank you. Nine in the morning is reserved for you. Is there anything else?",
        "Goodbye.",
    ]


def test_ivr_repeats_its_menu() -> None:
    talk = said("ivr", "what", Heard(digits="2"), Heard())
    assert [text.split()[0] for text in talk] == ["Thank", "Thank", "We", "Thank", "Thank", "Goodbye."]


def test_voicemail_records_until_silence() -> None:
    talk = play("voicemail", ["hello this is an automated assistant", "please call back"])
    assert talk[0].startswith("You have reached the voicemail")
    assert talk[1:] == ["Beep", "...", "...", "..."]


def test_rude_interrupts_and_hangs_up() -> None:
    script = PERSONAS["rude"].script()
    acts = [next(script)]
    try:
        while True:
            acts.append(script.send(Heard("hi this is")))
    except StopIteration:
        pass
    assert [type(act).__name__ for act in acts] == ["Say", "Listen", "Say", "Listen", "Say", "Listen"]
    assert isinstance(acts[1], Listen)
    assert acts[1].after_words == 3
    assert isinstance(acts[-1], Listen)
    assert acts[-1].after_words == 4


def test_silent_never_says_a_word_and_never_leaves() -> None:
    assert play("silent", []) == ["..."] * 60


@pytest.mark.parametrize("name", ["salon", "doctor", "ivr", "rude", "voicemail"])
def test_phrases_hold_every_word_that_is_said(name: str) -> None:
    vocabulary = {word for phrase in PERSONAS[name].phrases for word in plain(phrase).split()}
    answers = ["a visit tomorrow at three in the afternoon", "no", "no", "no", "no", "no", "no"]
    for talk in (said(name, *answers), said(name, "hm", "at ten thirty", "six", "yes"), said(name)):
        spoken = {word for text in talk if text != "Beep" for word in plain(text).split()}
        assert spoken <= vocabulary


def test_a_script_of_acts() -> None:
    one = scripted(Say("hello"), Press("1"), Wait(0.1), Beep(), Listen())
    assert one.phrases == ("hello",)
    assert list(one.script()) == [Say("hello"), Press("1"), Wait(0.1), Beep(), Listen()]
