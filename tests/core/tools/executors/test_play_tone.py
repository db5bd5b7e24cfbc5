"""C-27: the keys that are pressed are those that a receiver reads, as loud and as long as they were configured."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest

from patter.audio import mulaw
from patter.tools.executors.play_tone import bind
from patter.tools.model import Tool, ToolContext

pytestmark = pytest.mark.anyio

KEYS = "123A456B789C*0#D"
ROWS_HZ, COLUMNS_HZ = (697, 770, 852, 941), (1209, 1336, 1477, 1633)


class Line:
    def __init__(self) -> None:
        self.played: list[bytes] = []

    async def play(self, audio: bytes) -> None:
        self.played.append(audio)


async def press(digits: str | None = None, **config: Any) -> tuple[Any, bytes]:
    line = Line()
    tool = Tool(name="press", description="Press keys.", tool_type="play_tone", config=config)
    arguments = {} if digits is None else {"digits": digits}
    told = await bind(tool, line)(arguments, ToolContext())
    (audio,) = line.played
    return told, audio


def power(samples: tuple[int, ...], hz: int) -> float:
    """Goertzel's, written out here: what is tested must not read itself."""
    coefficient = 2 * math.cos(2 * math.pi * hz / 8000)
    one = two = 0.0
    for sample in samples:
        one, two = sample + coefficient * one - two, one
    return one * one + two * two - coefficient * one * two


def read(audio: bytes) -> str:
    samples = struct.unpack(f"<{len(audio)}h", mulaw.decode(audio))
    row, column = ([power(samples, hz) for hz in choices] for choices in (ROWS_HZ, COLUMNS_HZ))
    return KEYS[4 * row.index(max(row)) + column.index(max(column))]


@pytest.mark.parametrize("volume", [0.1, 0.8, 1.0])
@pytest.mark.parametrize("duration", [40, 100, 500])
async def test_every_key_is_read_back(duration: int, volume: float) -> None:
    told, audio = await press(KEYS, duration=duration, volume=volume, gap_ms=60)
    assert told == {"status": "played", "digits": 16}
    each = (duration + 60) * 8
    assert len(audio) == 16 * each
    tones = [audio[at : at + duration * 8] for at in range(0, len(audio), each)]
    assert "".join(map(read, tones)) == KEYS
    gaps = b"".join(audio[at + duration * 8 : at + each] for at in range(0, len(audio), each))
    assert gaps == mulaw.silence(16 * 60)


async def test_the_configured_key_needs_no_argument() -> None:
    told, audio = await press(dtmf_digit="1", duration=500, volume=0.8)
    assert told == {"status": "played", "digits": 1}
    assert mulaw.duration_ms(audio) == 600
    assert read(audio[:4000]) == "1"


async def test_the_mind_cannot_replace_the_configured_key() -> None:
    told, audio = await press("999", dtmf_digit="1")
    assert told["digits"] == 1
    assert read(audio[:4000]) == "1"


async def test_a_pause_is_half_a_second_and_no_digit() -> None:
    told, audio = await press("1ww2", duration=100, gap_ms=40)
    assert told == {"status": "played", "digits": 2}
    assert mulaw.duration_ms(audio) == 140 + 2 * 500 + 140
    assert audio[800 : 1120 + 8000] == mulaw.silence(1040)
    assert read(audio[1120 + 8000 : 1120 + 8800]) == "2"


async def test_volume_is_a_share_of_nine_tenths_of_full_scale() -> None:
    levels = {}
    for volume in (0.4, 0.8, 1.0):
        _, audio = await press(dtmf_digit="5", duration=500, volume=volume)
        levels[volume] = mulaw.level(audio[80:3920])
        samples = struct.unpack("<4000h", mulaw.decode(audio[:4000]))
        assert max(map(abs, samples)) == pytest.approx(volume * 0.9 * 32767, rel=0.05)
    assert levels[0.8] / levels[0.4] == pytest.approx(2, rel=0.02)


async def test_no_volume_is_silence_of_the_same_length() -> None:
    told, audio = await press(dtmf_digit="5", duration=100, volume=0, gap_ms=100)
    assert told["status"] == "played"
    assert audio == mulaw.silence(200)


async def test_a_long_tone_does_not_change() -> None:
    _, audio = await press(dtmf_digit="7", duration=6000)
    assert mulaw.duration_ms(audio) == 6100
    assert {read(audio[at : at + 800]) for at in range(0, 48000, 4000)} == {"7"}
    assert audio[8000:16000] == audio[16000:24000]
    # Across the seam of two seconds too.
    assert power(struct.unpack("<800h", mulaw.decode(audio[7600:8400])), 852) == pytest.approx(
        power(struct.unpack("<800h", mulaw.decode(audio[3600:4400])), 852), rel=0.05
    )


async def test_tones_begin_and_end_softly() -> None:
    _, audio = await press(dtmf_digit="5", duration=100)
    tone = audio[:800]
    assert mulaw.level(tone[:8]) < mulaw.level(tone[8:24]) < mulaw.level(tone[40:80])
    assert mulaw.level(tone[-8:]) < mulaw.level(tone[-24:-8]) < mulaw.level(tone[-80:-40])
