from types import SimpleNamespace
from typing import Any

import pytest

from patter.errors import ProviderError
from patter.voice.base import EndOfSpeech
from patter.voice.deepgram.wire import Heard, Paused, Word, address, closed, read_flux, read_nova

NONE, PAUSE, EAGER, TURN = EndOfSpeech.NONE, EndOfSpeech.PAUSE, EndOfSpeech.EAGER, EndOfSpeech.TURN
ONE_TWO = (Word("One", 1.0, 1.2), Word("two.", 1.3, 1.5))


def message(value: Any) -> Any:
    """The JSON value as an object, as the SDK gives it: what is missing is None or not there."""
    if isinstance(value, dict):
        return SimpleNamespace(**{name: message(one) for name, one in value.items()})
    return [message(one) for one in value] if isinstance(value, list) else value


def results(text: Any = "One two.", words: Any = ..., **fields: Any) -> Any:
    if words is ...:
        words = [
            {"word": "one", "punctuated_word": "One", "start": 1.0, "end": 1.2, "confidence": 0.9},
            {"word": "two", "punctuated_word": "two.", "start": 1.3, "end": 1.5, "confidence": 0.9},
        ]
    alternative = {"transcript": text, "confidence": 0.9, "words": words}
    usual = {"type": "Results", "start": 1.0, "duration": 1.0, "is_final": False, "speech_final": False}
    return message({**usual, "channel": {"alternatives": [alternative]}, **fields})


def turn(event: Any, text: Any = "One two.", **fields: Any) -> Any:
    words = [{"word": "One", "start": 1.0, "end": 1.2}, {"word": "two.", "start": 1.3, "end": 1.5}]
    usual = {"type": "TurnInfo", "event": event, "turn_index": 3, "audio_window_start": 0.5, "audio_window_end": 2.5}
    return message({**usual, "transcript": text, "words": words if text else [], **fields})


@pytest.mark.parametrize(
    ("given", "heard"),
    [
        (results(), Heard("One two.", False, NONE, ONE_TWO, True)),
        (results(is_final=True), Heard("One two.", True, NONE, ONE_TWO, True, 2.0)),
        (results(is_final=True, speech_final=True), Heard("One two.", True, PAUSE, ONE_TWO, True, 2.0)),
        (results(is_final=True, from_finalize=True), Heard("One two.", True, PAUSE, ONE_TWO, True, 2.0)),
        (results("", [], is_final=True), Heard("", True, NONE, until_s=2.0)),
        (results(" ", [], is_final=True, speech_final=True), Heard("", True, PAUSE, until_s=2.0)),
        (results("", []), None),
        (message({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.5}), Paused()),
        (message({"type": "SpeechStarted", "channel": [0, 1], "timestamp": 1.0}), None),
        (message({"type": "Metadata", "duration": 3.0}), None),
        (message({"type": "Error", "variant": "SchemaError", "description": "what?"}), None),
        (message({"type": "Novelty"}), None),
        (message({}), None),
        (None, None),
        (b"\x00", None),
        ({"type": "Results"}, None),
    ],
)
def test_version_1_says(given: Any, heard: object) -> None:
    assert read_nova(given) == heard


@pytest.mark.parametrize(
    ("event", "is_final", "end"),
    [
        ("StartOfTurn", False, NONE),
        ("Update", False, NONE),
        ("TurnResumed", False, NONE),
        ("EagerEndOfTurn", False, EAGER),
        ("EndOfTurn", True, TURN),
    ],
)
def test_version_2_says(event: str, is_final: bool, end: EndOfSpeech) -> None:
    until_s = 2.5 if is_final else None
    assert read_flux(turn(event)) == Heard("One two.", is_final, end, ONE_TWO, True, until_s, 3, event == "Update")


@pytest.mark.parametrize(
    ("given", "heard"),
    [
        (turn("Update", ""), None),
        (turn("EndOfTurn", ""), Heard("", True, TURN, until_s=2.5, turn=3)),
        (turn("Brand new"), None),
        (turn(None), None),
        (turn(["Update"]), None),
        (message({"type": "Connected", "sequence_id": 0}), None),
        (message({"type": "Warning", "code": "X"}), None),
        (message({"type": "TurnInfo"}), None),
        (None, None),
    ],
)
def test_version_2_says_nothing_of_the_speech(given: Any, heard: object) -> None:
    assert read_flux(given) == heard


@pytest.mark.parametrize(
    "broken",
    [
        message({"type": "Results", "is_final": True}),
        message({"type": "Results", "is_final": True, "channel": None}),
        results(None, None, is_final=True, start="1"),
        results(7, "words", is_final=True, duration=float("nan")),
        message({"type": "Results", "is_final": True, "channel": {"alternatives": []}, "start": True, "duration": -1}),
    ],
)
def test_missing_and_mistyped_fields_are_nothing(broken: Any) -> None:
    assert read_nova(broken) == Heard("", True)


@pytest.mark.parametrize(
    "words",
    [None, [], [{"word": "One"}, {"word": "two."}], [{"word": "One", "start": 0.5, "end": 0.6}, {"word": "two."}]],
)
def test_words_without_times_are_spread_over_the_audio(words: Any) -> None:
    heard = read_flux(turn("EndOfTurn", words=words))
    assert heard == Heard("One two.", True, TURN, (Word("One", 0.5, 1.5), Word("two.", 1.5, 2.5)), False, 2.5, 3)


def test_times_move_to_another_clock() -> None:
    heard = Heard("One two.", True, PAUSE, ONE_TWO, True, 2.0).moved(lambda at: at + 10)
    assert heard.words == (Word("One", 11.0, 11.2), Word("two.", 11.3, 11.5))
    assert heard.until_s == 12.0


@pytest.mark.parametrize(("start_s", "text"), [(0.0, "One two."), (1.09, "One two."), (1.11, "two."), (1.41, "")])
def test_a_word_was_said_when_its_middle_was(start_s: float, text: str) -> None:
    assert Heard("One two.", True, NONE, ONE_TWO, True).since(start_s).text == text
    assert Heard("One two.", True, NONE, ONE_TWO, False).since(start_s).text == "One two."


@pytest.mark.parametrize(
    ("given", "retryable"),
    [
        (message({"type": "Error", "code": "INTERNAL_SERVER_ERROR", "description": "d"}), True),
        (message({"type": "Error"}), True),
        (message({"type": "Error", "code": 7}), True),
        (message({"type": "Error", "code": "INVALID_PARAMETER", "description": "eot_threshold"}), False),
        (message({"type": "Error", "code": "UNPARSABLE_CLIENT_MESSAGE"}), False),
    ],
)
def test_only_errors_about_the_request_are_final(given: Any, retryable: bool) -> None:
    for read in (read_nova, read_flux):
        error = read(given)
        assert isinstance(error, ProviderError)
        assert (error.stage, error.retryable) == ("stt", retryable)


def test_a_description_is_told_only_if_it_is_about_the_request() -> None:
    told = read_flux(message({"type": "Error", "code": "INVALID_X", "description": "eager_eot_threshold is too high"}))
    kept = read_flux(message({"type": "Error", "code": "OTHER", "description": "the callee said hello"}))
    assert "eager_eot_threshold is too high" in str(told)
    assert "hello" not in str(kept)


@pytest.mark.parametrize(
    ("code", "reason", "retryable", "told"),
    [
        (1011, "NET-0001", True, "1011 NET-0001"),
        (1006, "", True, "1006"),
        (None, None, True, "without a reason"),
        (1008, "DATA-0000: undecodable", False, "1008 DATA-0000"),
        (1007, "invalid start byte", True, "1007"),
    ],
)
def test_a_closed_connection_says_why(code: int | None, reason: str | None, retryable: bool, told: str) -> None:
    error = closed(code, reason)
    assert (error.stage, error.retryable) == ("stt", retryable)
    assert told in str(error)


def test_an_address_has_its_options_as_deepgram_reads_them() -> None:
    options = [("model", "nova-3"), ("vad_events", True), ("language", None), ("keyterm", ["a b", "c&d"])]
    expected = "http://127.0.0.1:9/v1/listen?model=nova-3&vad_events=true&keyterm=a+b&keyterm=c%26d"
    assert address("http://127.0.0.1:9", "v1", options) == expected
