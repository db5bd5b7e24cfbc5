import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.audio import mulaw
from patter.local import tones
from patter.testing.emulators.elevenlabs_speech import FORMATS, speak

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60)


def heard(audio: bytes) -> list[str]:
    decoder = tones.ToneDecoder()
    return [word for at in range(0, len(audio), 160) for word in decoder.feed(audio[at : at + 160])]


@given(TEXT, st.integers(20, 500))
def test_the_chunks_are_the_sound_of_the_text_and_tell_where_each_character_begins(text, chunk_ms):
    chunks = speak(text, output_format="ulaw_8000", chunk_ms=chunk_ms)
    assert heard(b"".join(chunk.audio for chunk in chunks)) == tones.words_of(text)
    assert all(len(chunk.audio) == 8 * chunk.duration_ms for chunk in chunks)
    assert [chunk.start_ms for chunk in chunks] == [chunk_ms * number for number in range(len(chunks))]
    if chunks:
        alignments = [chunk.alignment() for chunk in chunks]
        assert "".join("".join(found["chars"]) for found in alignments if found) == text
    for chunk in chunks:
        if found := chunk.alignment():
            assert len(found["chars"]) == len(found["charStartTimesMs"]) == len(found["charDurationsMs"])
            assert all(0 <= start <= chunk.duration_ms for start in found["charStartTimesMs"])


def test_a_word_begins_where_its_first_character_says():
    chunks = speak("Hello there, Luigi!", output_format="ulaw_8000", chunk_ms=70)
    audio = b"".join(chunk.audio for chunk in chunks)
    starts = {}
    for chunk in chunks:
        found = chunk.alignment()
        for char, start in zip(found["chars"], found["charStartTimesMs"], strict=True):
            starts.setdefault(char, chunk.start_ms + start)
    for word in ("Hello", "Luigi!"):
        at = starts[word[0]] * 8
        assert audio[at:].startswith(tones.encode_word(word))
    # 90 and 100 ms of words do not end where 70 ms end.
    assert not heard(chunks[0].audio)


def test_digits_are_read_as_words_in_the_normalized_text():
    (chunk,) = speak("at 3:30", output_format="ulaw_8000", chunk_ms=10_000)
    assert "".join(chunk.normalized_alignment()["chars"]) == "at three : three zero"
    assert "".join(chunk.alignment()["chars"]) == "at 3:30"
    assert chunk.timestamps()["alignment"]["character_end_times_seconds"][-1] == pytest.approx(0.17)


@pytest.mark.parametrize("output_format", FORMATS)
def test_every_format_has_its_rate(output_format):
    (chunk,) = speak("hello", output_format=output_format, chunk_ms=10_000)
    assert chunk.duration_ms == 90
    assert len(chunk.audio) == 90 * 8 * FORMATS[output_format]


def test_linear_audio_is_the_same_sound():
    (chunk,) = speak("hello", output_format="pcm_16000", chunk_ms=10_000)
    every_second = b"".join(chunk.audio[at : at + 2] for at in range(0, len(chunk.audio), 4))
    assert heard(mulaw.encode(every_second)) == ["hello"]


def test_symbols_may_have_no_sound():
    assert speak("👍 —", output_format="ulaw_8000", chunk_ms=100, speaks_symbols=False) == []
    (chunk,) = speak("so 👍", output_format="ulaw_8000", chunk_ms=1000, speaks_symbols=False)
    assert heard(chunk.audio) == ["so"]
    assert chunk.alignment()["chars"] == ["s", "o", " ", "👍"]


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_nothing_to_say_is_no_sound(text):
    assert speak(text, output_format="ulaw_8000", chunk_ms=100) == []
