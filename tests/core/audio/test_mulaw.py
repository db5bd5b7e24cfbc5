import math
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.audio import mulaw


def sine(peak: int, hz: int = 1000, samples: int = 160) -> bytes:
    return struct.pack(f"<{samples}h", *(round(peak * math.sin(2 * math.pi * hz * at / 8000)) for at in range(samples)))


def test_units() -> None:
    assert mulaw.FRAME_BYTES == mulaw.FRAME_MS * mulaw.BYTES_PER_MS == 160
    assert mulaw.encode(b"\0\0") == bytes((mulaw.SILENCE,))
    assert mulaw.decode(bytes((mulaw.SILENCE,))) == b"\0\0"
    assert mulaw.duration_ms(bytes(160)) == 20
    assert mulaw.silence(20) == b"\xff" * 160


@given(st.binary(max_size=200))
def test_every_code_but_negative_zero_survives(audio: bytes) -> None:
    assert mulaw.encode(mulaw.decode(audio)) == audio.replace(b"\x7f", b"\xff")


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="even number of bytes, not 3"):
        mulaw.encode(b"\0\0\0")


@pytest.mark.parametrize(
    ("audio", "level"),
    [
        (b"", 0.0),
        (mulaw.silence(20), 0.0),
        (mulaw.encode(sine(16384)), 0.5 / math.sqrt(2)),
        (mulaw.encode(sine(3277)), 0.1 / math.sqrt(2)),
        (b"\x00" * 160, 32124 / 32768),
    ],
)
def test_level_is_the_root_mean_square(audio: bytes, level: float) -> None:
    assert mulaw.level(audio) == pytest.approx(level, rel=0.02)


def test_upsampling_repeats_each_sample() -> None:
    assert mulaw.upsample(struct.pack("<3h", 1, -2, 300)) == struct.pack("<6h", 1, 1, -2, -2, 300, 300)


def test_importing_does_not_warn() -> None:
    command = [sys.executable, "-W", "error", "-c", "import patter.audio.mulaw"]
    assert subprocess.run(command, capture_output=True, check=False).stderr == b""
