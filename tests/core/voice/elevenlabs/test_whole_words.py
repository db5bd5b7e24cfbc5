from collections.abc import Sequence

import pytest

from patter.voice.base import Speech
from patter.voice.elevenlabs.whole_words import WholeWords
from patter.voice.elevenlabs.wire import Pieces


def word(text: str) -> Speech:
    return Speech(b"\x01", text)


MORE = Speech(b"\x02")
PAUSE = Speech(b"\xff", pause=True)


@pytest.mark.parametrize(
    ("speeches", "is_whole", "ready", "rest"),
    [
        ([word("one")], True, [word("one")], []),
        ([word("one")], False, [], [word("one")]),
        ([word("one"), MORE], False, [], [word("one"), MORE]),
        ([word("one"), PAUSE], False, [word("one")], [PAUSE]),
        ([word("one"), word("two")], False, [word("one")], [word("two")]),
        ([word("one"), PAUSE, word("two"), MORE], False, [word("one"), PAUSE], [word("two"), MORE]),
        ([word("one"), PAUSE, word("two"), MORE], True, [word("one"), PAUSE, word("two"), MORE], []),
        ([], False, [], []),
    ],
)
def test_the_last_word_waits_until_it_is_whole(
    speeches: Sequence[Speech], is_whole: bool, ready: list[Speech], rest: list[Speech]
) -> None:
    words = WholeWords()
    assert words.take(speeches, is_whole=is_whole) == ready
    assert words.holds is bool(rest)
    assert words.rest() == rest
    assert not words.holds


def test_a_word_that_comes_in_parts_is_given_in_one_go() -> None:
    words = WholeWords()
    assert words.take([word("one")], is_whole=False) == []
    assert words.take([MORE], is_whole=False) == []
    assert words.take([MORE], is_whole=True) == [word("one"), MORE, MORE]


@pytest.mark.parametrize(
    ("said", "aligned", "is_whole"),
    [
        ("one two", "", True),
        ("one two", "on", False),
        ("one two", "one", False),
        ("one two", "one ", True),
        ("one two", "one t", False),
        ("one two", "one tw", False),
        ("one two", "one two", True),
        ("one two", "one two ", True),
    ],
)
def test_audio_ends_within_a_word_or_not(said: str, aligned: str, is_whole: bool) -> None:
    pieces = Pieces()
    pieces.say(said)
    pieces.take(bytes(800), [(character, 10.0 * at) for at, character in enumerate(aligned)])
    assert pieces.is_whole is is_whole
