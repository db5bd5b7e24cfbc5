import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.audio import mulaw
from patter.local import tones
from patter.testing.emulators.deepgram_hearing import Hearing, ScriptedUtterance, Word


def heard(hearing: Hearing, audio: bytes, frame: int = mulaw.FRAME_BYTES) -> list[Word]:
    return [word for at in range(0, len(audio), frame) for word in hearing.feed(audio[at : at + frame])]


@given(st.integers(1, 160), st.integers(0, 60))
def test_words_stand_where_they_were_spoken(frame, lead_ms):
    audio = mulaw.silence(lead_ms) + tones.encode("wait a") + mulaw.silence(40) + tones.encode("moment,")
    words = heard(Hearing([]), audio, frame)
    assert [word.text for word in words] == ["wait", "a", "moment,"]
    begin = lead_ms / 1000
    times = [begin, begin + 0.08, begin + 0.08, begin + 0.13, begin + 0.17, begin + 0.28]
    assert [at for word in words for at in (word.start_s, word.end_s)] == pytest.approx(times)


@given(st.integers(0, 20_000))
def test_silence_is_never_words(samples):
    hearing = Hearing([])
    assert heard(hearing, b"\xff" * samples) == []
    assert hearing.silence_ms == pytest.approx(samples / 8)
    assert hearing.sound_start_s is None


@pytest.mark.parametrize(
    ("text", "bare"),
    [("Hello,", "hello"), ("3:30", "3:30"), ("¿Qué?", "qué"), ("-", "-"), ("...", "..."), ("P.M.", "p.m")],
)
def test_a_bare_word_has_no_punctuation_around_it(text, bare):
    assert Word(text, 0, 1).bare == bare


def test_a_script_is_heard_in_whatever_sounds_and_only_then():
    noise = bytes([0x10, 0x90]) * 4
    script = [ScriptedUtterance("book a table", after_ms=300), ScriptedUtterance("thanks", after_ms=100)]
    hearing = Hearing(script)
    assert heard(hearing, mulaw.silence(1000)) == []
    assert [word.text for word in heard(hearing, noise * 220)] == ["book", "a"]
    assert heard(hearing, mulaw.silence(500)) == []
    assert [word.text for word in heard(hearing, noise * 80)] == ["table"]
    assert len(script) == 1
    assert [word.text for word in heard(hearing, noise * 100)] == ["thanks"]
    assert heard(hearing, noise * 400) == [] == script
