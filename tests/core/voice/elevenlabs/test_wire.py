import base64
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.voice.base import Speech
from patter.voice.elevenlabs import wire as wire
from patter.voice.elevenlabs.wire import Failure, Output, Pieces, Settings

Starts = Sequence[tuple[str, float]]

SETTINGS = Settings(
    key="secret", base_url="https://api.elevenlabs.io", model="flash", language=None, voice_settings={}, open_s=5.0
)


def timed(text: str, ms_per_char: float = 10.0, begin_ms: float = 0.0) -> list[tuple[str, float]]:
    return [(character, begin_ms + index * ms_per_char) for index, character in enumerate(text)]


def sound(ms: float, byte: int = 1) -> bytes:
    return bytes((byte,)) * round(ms * 8)


def texts(speeches: Sequence[Speech]) -> list[tuple[str, float]]:
    """The text and the milliseconds of each piece, a pause being counted to the piece before it."""
    pieces: list[tuple[str, float]] = []
    for speech in speeches:
        ms = len(speech.audio) / 8
        if speech.pause and pieces:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + ms)
        else:
            pieces.append((speech.text, ms))
    return pieces


# --- messages


def test_the_address_asks_for_telephone_audio_that_comes_at_once_with_its_times() -> None:
    address = urlsplit(wire.socket_address(SETTINGS, "21m00Tcm4TlvDq8ikWAM"))
    assert (address.scheme, address.netloc) == ("https", "api.elevenlabs.io")
    assert address.path == "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM/multi-stream-input"
    assert parse_qs(address.query) == {
        "model_id": ["flash"],
        "output_format": ["ulaw_8000"],
        "auto_mode": ["true"],
        "inactivity_timeout": ["180"],
        "sync_alignment": ["true"],
    }


def test_a_language_and_an_odd_voice_name_are_quoted() -> None:
    settings = Settings(key="k", base_url="http://h", model="m", language="pt&x", voice_settings={}, open_s=5.0)
    address = urlsplit(wire.socket_address(settings, "a/b ?"))
    assert address.path == "/v1/text-to-speech/a%2Fb%20%3F/multi-stream-input"
    assert parse_qs(address.query)["language_code"] == ["pt&x"]


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(SETTINGS)


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (wire.opening("u1", {}), {"text": " ", "context_id": "u1"}),
        (wire.opening("u1", {"speed": 1.1}), {"text": " ", "context_id": "u1", "voice_settings": {"speed": 1.1}}),
        (wire.clause("u1", "Hi."), {"text": "Hi. ", "context_id": "u1", "flush": True}),
        (wire.closing("u1"), {"context_id": "u1", "close_context": True}),
        (wire.keep_alive("u1"), {"text": "", "context_id": "u1"}),
    ],
)
def test_messages(message: str, meaning: dict[str, Any]) -> None:
    assert json.loads(message) == meaning


@pytest.mark.parametrize(
    ("text", "expected"), [("Hi", True), ("3", True), ("好", True), ("…!", False), ("👍 🎉", False), ("  ", False)]
)
def test_only_letters_and_digits_have_a_sound(text: str, expected: bool) -> None:
    assert wire.is_speakable(text) is expected


AUDIO = base64.b64encode(b"\x01\x02\x03").decode()


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ({"audio": AUDIO, "contextId": "u1", "alignment": None}, Output("u1", b"\x01\x02\x03")),
        ({"audio": AUDIO, "context_id": "u1", "isFinal": None}, Output("u1", b"\x01\x02\x03")),
        ({"isFinal": True, "audio": None, "contextId": "u1"}, Output("u1", is_final=True)),
        ({"isFinal": True, "audio": AUDIO, "contextId": "u1"}, Output("u1", b"\x01\x02\x03", is_final=True)),
        ({"audio": "", "contextId": "u1"}, None),
        ({"audio": "*no base64*", "contextId": "u1"}, None),
        ({"audio": "AAA", "contextId": "u1"}, None),
        ({"audio": 7, "contextId": "u1"}, None),
        ({"audio": AUDIO}, None),
        ({"audio": AUDIO, "contextId": 7}, None),
        ({"type": "novelty", "contextId": "u1"}, None),
        ({"message": "m", "error": "quota_exceeded", "code": 1008}, Failure(None, "quota_exceeded")),
        ({"message": "m", "error": "odd", "contextId": "u1"}, Failure("u1", "odd")),
        ({"message": "two words", "code": 1008}, Failure(None, "error")),
        ({"detail": {"status": "voice_not_found", "message": "m"}}, Failure(None, "voice_not_found")),
        ([], None),
        (None, None),
        ("text", None),
    ],
)
def test_what_the_socket_says(message: Any, meaning: Output | Failure | None) -> None:
    assert wire.read(json.dumps(message)) == meaning


@pytest.mark.parametrize("garbage", ["", "{", '{"audio": "AA', b"\xff\x00", "[" * 100_000, "NaN"])
def test_garbage_says_nothing(garbage: str | bytes) -> None:
    assert wire.read(garbage) is None


@pytest.mark.parametrize(
    ("alignment", "starts"),
    [
        ({"chars": ["a", " "], "charStartTimesMs": [0, 12.5]}, (("a", 0.0), (" ", 12.5))),
        ({"chars": ["a", "b"], "charStartTimesMs": [0]}, (("a", 0.0),)),
        ({"chars": ["a", 3, "c"], "charStartTimesMs": [0, 1, None]}, (("a", 0.0),)),
        ({"chars": ["a"], "charStartTimesMs": [float("nan")]}, ()),
        ({"chars": "ab", "charStartTimesMs": [0, 1]}, ()),
        ({"chars": None}, ()),
        ({}, ()),
        ("text", ()),
    ],
)
def test_alignments_are_taken_as_far_as_they_are_well_formed(alignment: Any, starts: Starts) -> None:
    message = {"audio": AUDIO, "contextId": "u1", "alignment": alignment}
    assert wire.read(json.dumps(message)) == Output("u1", b"\x01\x02\x03", tuple(starts))


@pytest.mark.parametrize(
    ("word", "status", "says", "retryable"),
    [
        ("quota_exceeded", None, "no credit left.*quota_exceeded", False),
        ("quota_exceeded", 401, r"no credit left.*\(HTTP 401, quota_exceeded\)", False),
        ("invalid_api_key", None, "does not accept the key; check ELEVENLABS_API_KEY", False),
        ("voice_not_found", 404, "does not know the voice; check voice_id", False),
        ("missing_permissions", 401, "check its permissions", False),
        ("error", 401, r"does not accept the key; check ELEVENLABS_API_KEY \(HTTP 401\)", False),
        ("too_many_concurrent_requests", 429, "too many at once", True),
        ("error", 503, "ElevenLabs failed", True),
    ],
)
def test_refusals_name_cause_and_remedy(word: str, status: int | None, says: str, retryable: bool) -> None:
    error = wire.refused(word, status)
    with pytest.raises(Exception, match=says):
        raise error
    assert (error.stage, error.retryable) == ("tts", retryable)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"detail": {"status": "quota_exceeded", "message": "You said: secret plan"}}, "quota_exceeded"),
        ({"detail": {"message": "no word"}}, "error"),
        ({"detail": "voice_not_found: x"}, "voice_not_found"),
        ({"status": "You said: secret plan"}, "error"),
        ("1008: quota_exceeded, sorry", "quota_exceeded"),
        ("Something unheard of", "error"),
        ("", "error"),
        (None, "error"),
        ([{"type": "missing"}], "error"),
    ],
)
def test_errors_are_known_by_a_word_of_the_vendor_and_never_quote_a_text(body: object, word: str) -> None:
    assert wire.error_word(body) == word


# --- audio cut into words


def test_each_piece_is_a_word_with_its_audio() -> None:
    pieces = Pieces()
    pieces.say("Hello you, there!")
    assert not pieces.is_complete
    assert texts(pieces.take(sound(200), timed("Hello you, there! "))) == [
        ("Hello", 60.0),
        ("you,", 50.0),
        ("there!", 90.0),
    ]
    assert pieces.is_complete
    assert pieces.rest() == []


def test_white_space_is_a_pause_that_belongs_to_no_word() -> None:
    pieces = Pieces()
    pieces.say("one two")
    first = pieces.take(sound(45), timed("one "))
    second = pieces.take(sound(50), [*timed("two", begin_ms=10), (" ", 40.0)])
    assert [(piece.text, len(piece.audio) / 8, piece.pause) for piece in [*first, *second]] == [
        ("one", 30.0, False),
        ("", 15.0, True),
        ("", 10.0, True),
        ("two", 30.0, False),
        ("", 10.0, True),
    ]


def test_a_space_within_a_word_is_not_the_end_of_it() -> None:
    pieces = Pieces()
    pieces.say("at 3pm")
    taken = pieces.take(sound(60), timed("at 3 pm"))
    assert [(piece.text, len(piece.audio) / 8, piece.pause) for piece in taken] == [
        ("at", 20.0, False),
        ("", 10.0, True),
        ("3pm", 10.0, False),
        ("", 10.0, True),
        ("", 10.0, False),
    ]


def test_a_chunk_boundary_in_a_word_continues_the_word() -> None:
    pieces = Pieces()
    pieces.say("Hello there")
    assert texts(pieces.take(sound(30), timed("Hel"))) == [("Hello", 30.0)]
    assert texts(pieces.take(sound(60), timed("lo the"))) == [("", 30.0), ("there", 30.0)]
    assert texts(pieces.take(sound(20), timed("re"))) == [("", 20.0)]


def test_silence_before_the_first_word_belongs_to_it_and_later_silence_to_the_word_before() -> None:
    pieces = Pieces()
    pieces.say("one two")
    assert texts(pieces.take(sound(100), timed("one", begin_ms=50))) == [("one", 100.0)]
    assert texts(pieces.take(sound(100), timed("two", begin_ms=50))) == [("", 50.0), ("two", 50.0)]


def test_a_word_that_begins_where_the_audio_ends_waits_for_its_sound() -> None:
    pieces = Pieces()
    pieces.say("one two three")
    assert texts(pieces.take(sound(40), timed("one two"))) == [("one", 40.0)]
    assert pieces.take(b"", timed(" three")) == []
    assert texts(pieces.take(sound(10))) == [("two three", 10.0)]


def test_clauses_follow_each_other_with_or_without_a_space() -> None:
    pieces = Pieces()
    pieces.say("Yes.")
    assert texts(pieces.take(sound(50), timed("Yes."))) == [("Yes.", 50.0)]
    pieces.say("Of course.")
    assert texts(pieces.take(sound(100), timed("Of course."))) == [("Of", 30.0), ("course.", 70.0)]


def test_without_alignment_a_text_goes_with_the_first_audio_after_it() -> None:
    pieces = Pieces()
    pieces.say("one two")
    assert texts(pieces.take(sound(10))) == [("one two", 10.0)]
    assert pieces.is_complete and not pieces.is_aligned
    assert texts(pieces.take(sound(10))) == [("", 10.0)]
    pieces.say("three")
    assert texts(pieces.take(sound(10))) == [("three", 10.0)]


def test_audio_without_alignment_continues_the_word_if_there_was_alignment_before() -> None:
    pieces = Pieces()
    pieces.say("one two")
    pieces.take(sound(40), timed("one "))
    assert texts(pieces.take(sound(10))) == [("", 10.0)]
    assert texts(pieces.take(sound(30), timed("two"))) == [("two", 30.0)]


@pytest.mark.parametrize(
    ("text", "aligned", "expected"),
    [
        ("It's some", "Its some", ["It's", "some"]),
        ("Great 👍 then", "Great then", ["Great", "👍 then"]),
        ("at 3pm today", "at 3 pm today", ["at", "3pm", "today"]),
        ("HELLO You", "hello you", ["HELLO", "You"]),
        ("one two", "one two three four", ["one", "two"]),
        ("one two", "  one   two  ", ["one", "two"]),
        ("one", "", ["one"]),
        ("good morning", "xyz xyz", ["good", "morning"]),
    ],
)
def test_words_are_those_that_were_sent_whatever_the_alignment_says(
    text: str, aligned: str, expected: list[str]
) -> None:
    pieces = Pieces()
    pieces.say(text)
    assert [piece.text for piece in pieces.take(sound(300), timed(aligned)) if piece.text] == expected


def test_words_missing_in_the_alignment_count_as_heard_after_all_the_rest() -> None:
    pieces = Pieces()
    pieces.say("one two three.")
    pieces.say("Never spoken.")
    pieces.take(sound(100), timed("one t"))
    assert pieces.rest() == [Speech(b"\xff" * 8, "three.")]


def test_a_text_without_any_audio_was_not_said() -> None:
    pieces = Pieces()
    pieces.say("one two")
    assert not pieces.has_sounded
    assert pieces.rest() == []


@pytest.mark.parametrize("restart", [True, False])
def test_times_may_count_from_the_chunk_or_from_the_context(restart: bool) -> None:
    pieces = Pieces()
    pieces.say("one two three four")
    pieces.take(sound(70), timed("one two"))
    begin_ms = 0.0 if restart else 70.0
    assert texts(pieces.take(sound(110), timed(" three four", begin_ms=begin_ms))) == [
        ("", 10.0),
        ("three", 60.0),
        ("four", 40.0),
    ]


def test_times_that_tell_nothing_are_believed_to_count_as_they_are_said_to() -> None:
    pieces = Pieces(times_restart=False)
    pieces.say("one two")
    pieces.take(sound(40), timed("one "))
    assert texts(pieces.take(sound(200), timed("two", begin_ms=60))) == [("", 20.0), ("two", 180.0)]


def test_times_that_run_backwards_or_beyond_the_end_do_no_harm() -> None:
    pieces = Pieces()
    pieces.say("one two three four")
    starts = [("o", -5.0), (" ", 0.0), ("t", 50.0), (" ", 0.0), ("t", 10.0), (" ", 0.0), ("f", 9e9)]
    assert texts(pieces.take(sound(100), starts)) == [("one", 50.0), ("two three", 50.0)]
    assert texts(pieces.take(sound(10))) == [("four", 10.0)]


WORD = st.text("abcdäß好3.,!?'👍", min_size=1, max_size=8)


@given(
    clauses=st.lists(st.lists(WORD, min_size=1, max_size=6), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, 400), max_size=12),
    lengths=st.data(),
)
def test_whatever_the_chunks_nothing_is_lost_and_every_word_begins_with_its_sound(
    clauses: list[list[str]], cuts: list[int], lengths: st.DataObject
) -> None:
    text = "".join(" ".join(clause) + " " for clause in clauses)
    durations = lengths.draw(st.lists(st.integers(1, 20), min_size=len(text), max_size=len(text)))
    starts = [sum(durations[:index]) for index in range(len(text))]
    total = sum(durations)
    audio = bytes(index % 251 for index in range(total * 8))
    pieces = Pieces()
    for clause in clauses:
        pieces.say(" ".join(clause))
    speeches: list[Speech] = []
    bounds = sorted({0, total, *(cut for cut in cuts if cut < total)})
    for begin, end in pairwise(bounds):
        within = [
            (character, float(start - begin))
            for character, start in zip(text, starts, strict=True)
            if begin <= start < end
        ]
        speeches += pieces.take(audio[begin * 8 : end * 8], within)
    assert pieces.is_complete
    assert pieces.rest() == []
    assert b"".join(speech.audio for speech in speeches) == audio
    assert [speech.text for speech in speeches if speech.text] == text.split()
    assert all(speech.audio for speech in speeches)
    at, begins = 0, []
    for speech in speeches:
        if speech.text:
            begins.append(at / 8)
        at += len(speech.audio)
    word_starts = [start for index, start in enumerate(starts) if (" " + text)[index] == " " and text[index] != " "]
    assert begins == word_starts


@given(
    text=st.text("ab .👍", max_size=30),
    aligned=st.lists(st.tuples(st.text("ab x", max_size=3), st.floats(-1e6, 1e6)), max_size=30),
    sizes=st.lists(st.integers(0, 100), max_size=5),
)
def test_whatever_the_alignment_says_no_audio_is_lost_and_no_word_comes_twice(
    text: str, aligned: list[tuple[str, float]], sizes: list[int]
) -> None:
    pieces = Pieces()
    pieces.say(text)
    speeches = [speech for size in sizes for speech in pieces.take(bytes(size), aligned)]
    assert sum(len(speech.audio) for speech in speeches) == sum(sizes)
    said = " ".join(speech.text for speech in [*speeches, *pieces.rest()] if speech.text).split()
    assert said == text.split()[: len(said)]


def test_the_sound_of_the_last_word_is_there_when_the_space_behind_it_is_named() -> None:
    """Its last letter is named where its sound begins, and may go on in the next audio."""
    pieces = Pieces()
    pieces.say("one two 👍")
    pieces.take(sound(60), timed("one two"))
    assert not pieces.is_covered
    pieces.take(sound(20), timed(" "))
    assert pieces.is_covered
