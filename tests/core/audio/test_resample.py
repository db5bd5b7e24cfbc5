import math
import struct
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio.resample import To8k
from patter.errors import ConfigError


def tone(rate_hz: int, seconds: float = 0.5, hz: int = 440) -> bytes:
    size = round(rate_hz * seconds)
    return struct.pack(f"<{size}h", *(round(9000 * math.sin(2 * math.pi * hz * at / rate_hz)) for at in range(size)))


def samples(pcm16: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(pcm16) // 2}h", pcm16)


@pytest.mark.speech
@pytest.mark.parametrize("rate_hz", [16000, 22050, 24000, 44100, 48000])
def test_a_tone_keeps_its_length_and_shape(rate_hz: int) -> None:
    resampler = To8k(rate_hz)
    audio = resampler.feed(tone(rate_hz)) + resampler.finish()
    expected = tone(8000)
    assert abs(len(audio) - len(expected)) <= 4
    middle = slice(400, 3600)
    both = zip(samples(audio)[middle], samples(expected)[middle], strict=True)
    assert max(abs(got - want) for got, want in both) < 200


@pytest.mark.speech
@settings(max_examples=25)
@given(st.lists(st.integers(1, 1999), min_size=1, max_size=30))
def test_chunks_make_no_difference(sizes: list[int]) -> None:
    source = tone(24000, 0.2)
    whole, parts = To8k(24000), To8k(24000)
    once = whole.feed(source) + whole.finish()
    pieces, at = [], 0
    for size in [*sizes, len(source)]:
        pieces.append(parts.feed(source[at : at + size]))
        at += size
    chunked = b"".join(pieces) + parts.finish()
    assert len(chunked) == len(once)
    # soxr dithers, so samples may differ by a rounding.
    differences = (abs(a - b) for a, b in zip(samples(chunked), samples(once), strict=True))
    assert max(differences) <= 4


def test_8k_passes_through_with_odd_bytes_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    resampler = To8k(8000)
    assert [resampler.feed(b"abc"), resampler.feed(b"d"), resampler.feed(b"e")] == [b"ab", b"cd", b""]
    assert resampler.finish() == b""


def test_a_missing_soxr_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(ConfigError, match=r"pip install patter-core\[speech\]"):
        To8k(24000)


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0 Hz"):
        To8k(0)
