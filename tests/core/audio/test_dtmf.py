import cmath
import math
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.audio import dtmf, mulaw

KEYS = "0123456789*#ABCD"


def frames(audio: bytes) -> list[bytes]:
    return [audio[at : at + 160] for at in range(0, len(audio) - 159, 160)]


@pytest.mark.parametrize("volume", [0.05, 0.8, 1.0])
@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_detected_in_each_of_its_frames(key: str, volume: float) -> None:
    found = [dtmf.detect(frame) for frame in frames(dtmf.tones(key, volume=volume))]
    assert found == [key] * 6 + [None] * 4


@given(st.text(KEYS + "w", min_size=1, max_size=6), st.integers(0, 159))
def test_keys_are_heard_in_order_from_any_offset(digits: str, offset: int) -> None:
    heard: list[str] = []
    last = None
    for frame in frames(mulaw.silence(20)[:offset] + dtmf.tones(digits)):
        key = dtmf.detect(frame)
        if key and key != last:
            heard.append(key)
        last = key
    assert "".join(heard) == digits.replace("w", "")


def test_times() -> None:
    assert mulaw.duration_ms(dtmf.tones("1")) == 200
    assert mulaw.duration_ms(dtmf.tones("1w2", on_ms=60, gap_ms=40)) == 100 + 500 + 100
    assert dtmf.tones("w") == mulaw.silence(500)
    assert dtmf.tones("a") == dtmf.tones("A")


def test_tones_rise_and_fall_softly() -> None:
    tone = dtmf.tones("5")[: 120 * 8]
    assert mulaw.level(tone[:8]) < mulaw.level(tone[8:24]) < mulaw.level(tone[40:80])
    assert mulaw.level(tone[-8:]) < mulaw.level(tone[-24:-8]) < mulaw.level(tone[-80:-40])


@pytest.mark.parametrize(
    ("digits", "options", "message"),
    [
        ("", {}, "no digits"),
        ("12x", {}, r"'x' is not a key; accepted are 0-9, \*, #, A-D, and w"),
        ("١", {}, "is not a key"),
        ("ß", {}, "is not a key"),
        ("1", {"on_ms": 30}, "at least 40 ms"),
        ("1", {"gap_ms": 0}, "at least 40 ms"),
        ("1", {"volume": -0.1}, "a number from 0 to 1"),
        ("1", {"volume": 1.5}, "a number from 0 to 1"),
    ],
)
def test_bad_input_is_refused(digits: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dtmf.tones(digits, **options)  # type: ignore[arg-type]


def test_noise_and_silence_are_no_keys() -> None:
    noise = random.Random(1)
    assert {dtmf.detect(noise.randbytes(160)) for _ in range(300)} == {None}
    assert dtmf.detect(mulaw.silence(20)) is None
    assert dtmf.detect(dtmf.tones("5")[:100]) is None


def sine(hz: float, peak: int, size: int = 160) -> list[float]:
    return [peak * math.sin(2 * math.pi * hz * at / 8000) for at in range(size)]


def frame_of(*waves: list[float]) -> bytes:
    return mulaw.encode(struct.pack("<160h", *(round(sum(parts)) for parts in zip(*waves, strict=True))))


@pytest.mark.parametrize(
    ("key", "row_hz", "column_hz"),
    [("1", 697, 1209), ("5", 770, 1336), ("9", 852, 1477), ("D", 941, 1633), ("*", 941, 1209), ("#", 941, 1477)],
)
def test_keys_have_the_standards_frequencies(key: str, row_hz: int, column_hz: int) -> None:
    tone = frames(dtmf.tones(key, volume=1.0))[2]
    assert dtmf.detect(frame_of(sine(row_hz, 9000), sine(column_hz, 9000))) == key
    linear = struct.unpack("<160h", mulaw.decode(tone))
    for hz in (row_hz, column_hz):
        there = abs(sum(sample * cmath.exp(-2j * math.pi * hz * at / 8000) for at, sample in enumerate(linear)))
        assert there == pytest.approx(160 * 0.9 * 32767 / 4, rel=0.08)


@pytest.mark.parametrize("peaks", [(9000, 0), (0, 9000), (9000, 2000), (2000, 9000)])
def test_one_tone_alone_is_no_key(peaks: tuple[int, int]) -> None:
    assert dtmf.detect(frame_of(sine(697, peaks[0]), sine(1209, peaks[1]))) is None
