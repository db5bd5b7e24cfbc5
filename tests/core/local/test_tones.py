import random
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.audio import dtmf, mulaw
from patter.local.tones import ToneDecoder, encode, encode_word, words_of

TEXTS = [
    "hello",
    "Hello, I would like to book a haircut for tomorrow at 3:30 pm.",
    "¿Podría reservar una mesa? Son 25 €.",
    "你好，我想预订一张桌子。",
    "thumbs up 👍🏽 to you",
    "a" * 600,
    "-",
]
ANY_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60)


def heard(audio: bytes, chunk: int = 160) -> list[str]:
    decoder = ToneDecoder()
    return [word for at in range(0, len(audio), chunk) for word in decoder.feed(audio[at : at + chunk])]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("chunk", [1, 7, 160, 100_000])
def test_known_texts(text: str, chunk: int) -> None:
    assert heard(encode(text), chunk) == text.split()


@given(ANY_TEXT, st.integers(1, 500), st.integers(0, 400))
def test_any_text_arrives_at_any_offset_in_any_chunks(text: str, chunk: int, offset: int) -> None:
    assert heard(b"\xff" * offset + encode(text), chunk) == text.split()


@given(ANY_TEXT)
def test_a_sentence_is_the_sound_of_its_words(text: str) -> None:
    assert encode(text) == b"".join(encode_word(word) for word in text.split())
    assert words_of(text) == text.split()


@given(ANY_TEXT, st.floats(0, 1))
def test_what_is_cut_off_is_not_heard(text: str, share: float) -> None:
    sounds = [encode_word(word) for word in text.split()]
    cut = int(sum(map(len, sounds)) * share)
    whole, size = 0, 0
    while whole < len(sounds) and size + len(sounds[whole]) <= cut:
        size += len(sounds[whole])
        whole += 1
    assert heard(b"".join(sounds)[:cut] + mulaw.silence(40)) == text.split()[:whole]


@given(st.integers(1, 1199), st.integers(0, 300), st.integers(1, 500))
def test_a_new_utterance_is_heard_after_a_cut(cut: int, silence: int, chunk: int) -> None:
    first = [encode_word(word) for word in ("reservation", "tomorrow")]
    whole = [word for word, end in (("reservation", len(first[0])), ("tomorrow", len(b"".join(first)))) if end <= cut]
    audio = b"".join(first)[:cut] + b"\xff" * silence + encode("wait a moment")
    assert heard(audio, chunk) == [*whole, "wait", "a", "moment"]


@given(st.integers(1, 479), st.integers(1, 2000))
def test_a_word_that_was_held_in_the_middle_is_still_heard(hold: int, silence: int) -> None:
    audio = encode("so what")
    assert heard(audio[:hold] + b"\xff" * silence + audio[hold:]) == ["so", "what"]


def test_quiet_noise_while_a_word_is_held_does_no_harm() -> None:
    rng = random.Random(5)
    hiss = mulaw.encode(struct.pack("<900h", *(rng.randrange(-600, 600) for _ in range(900))))
    audio = encode("wait")
    assert heard(audio[:333] + hiss + audio[333:]) == ["wait"]


def test_a_missing_piece_loses_only_its_word() -> None:
    words = ["one", "two", "three"]
    sounds = [encode_word(word) for word in words]
    for at in range(0, len(sounds[1]) - 20, 13):
        damaged = sounds[1][:at] + sounds[1][at + 20 :]
        assert heard(sounds[0] + damaged + sounds[2]) == ["one", "three"]


def test_a_wrong_check_sum_is_refused() -> None:
    good, other = encode_word("cat"), encode_word("cab")
    forged = good[:240] + other[240:320] + good[320:]
    assert heard(forged) == []
    assert heard(forged + good) == ["cat"]


@given(st.binary(max_size=4000))
def test_arbitrary_bytes_are_never_words(noise: bytes) -> None:
    assert heard(noise) == []


def test_other_sounds_are_never_words() -> None:
    rng = random.Random(7)
    hiss = mulaw.encode(struct.pack("<80000h", *(rng.randrange(-9000, 9000) for _ in range(80000))))
    space, mark = encode("a")[:8], encode("a")[-8:]
    bits = b"".join(rng.choice((space, mark)) for _ in range(100_000))
    assert heard(hiss) == heard(dtmf.tones("0123456789*#ABCD")) == heard(bits) == []


def test_quiet_line_noise_and_lower_volume_do_no_harm() -> None:
    rng = random.Random(3)
    linear = struct.unpack("<4000h", mulaw.decode(encode("can you hear me").ljust(4000, b"\xff")))
    noisy = [sample // 3 + rng.randrange(-600, 600) for sample in linear]
    assert heard(mulaw.encode(struct.pack("<4000h", *noisy))) == ["can", "you", "hear", "me"]


def test_positions_in_the_stream() -> None:
    decoder = ToneDecoder()
    decoder.feed(mulaw.silence(35) + encode("hi you") + encode_word("cut")[:200])
    assert decoder.position == 280 + len(encode("hi you")) + 200
    assert decoder.word_end == 280 + len(encode("hi you"))
    assert decoder.tone_end == decoder.word_end + 160
    decoder.feed(mulaw.silence(100))
    assert decoder.position == decoder.word_end + 1000
    at = decoder.position
    assert decoder.feed(encode("ok") + mulaw.silence(100)) == ["ok"]
    assert decoder.word_end == decoder.tone_end == at + len(encode("ok"))


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00\x02\x03"])
def test_nothing_to_say_is_no_sound(text: str) -> None:
    assert encode(text) == b""


def test_control_characters_are_left_out() -> None:
    assert heard(encode("a\x02b\x03c \x00 d\ne")) == ["abc", "d", "e"]


def test_half_a_pair_becomes_a_question_mark() -> None:
    assert heard(encode_word("a\ud800")) == ["a?"]


def test_tones_are_loud_enough_to_be_noticed_and_take_their_time() -> None:
    assert 0.2 < mulaw.level(encode_word("hello")) < 0.5
    assert 80 <= mulaw.duration_ms(encode_word("coffee")) <= 120


def test_decoding_costs_little() -> None:
    audio = encode("the quick brown fox jumps over the lazy dog " * 20)
    begin = time.process_time()
    heard(audio)
    assert time.process_time() - begin < 0.01 * mulaw.duration_ms(audio) / 1000


def test_endless_beginnings_cost_no_more_than_words() -> None:
    audio = encode_word("a")[:80] * 5000
    begin = time.process_time()
    assert heard(audio + audio[8:], 100_000_000) == []
    assert time.process_time() - begin < 0.01 * mulaw.duration_ms(audio) / 1000
