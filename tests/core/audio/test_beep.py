"""The detector of an answering machine's beep. A table of sounds that are one, and of sounds that are none."""

from __future__ import annotations

import math
import random
import shutil
import struct
import subprocess
import wave
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.audio import dtmf, mulaw
from patter.audio.beep import Beep
from patter.audio.resample import To8k
from patter.local import tones

FRAME = mulaw.FRAME_BYTES
PEAK = 9000
AFTER = mulaw.silence(700)


def tone(ms: float, *hz: float, peak: float = PEAK, noise: float = 0.0, seed: int = 1) -> bytes:
    """Sines of equal strength, together as loud as ``peak``, in white noise of this root mean square."""
    rng = random.Random(seed)
    turns = [2 * math.pi * one / mulaw.SAMPLE_RATE_HZ for one in hz]
    part = peak / max(len(turns), 1)
    size = round(ms * mulaw.BYTES_PER_MS)
    samples = (
        sum(part * math.sin(turn * at) for turn in turns) + (rng.gauss(0, noise) if noise else 0) for at in range(size)
    )
    return mulaw.encode(struct.pack(f"<{size}h", *(round(max(-32768, min(32767, one))) for one in samples)))


def linear(audio: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(audio)}h", mulaw.decode(audio))


def talk(ms: int, seed: int = 1) -> bytes:
    """Syllables: three formants over a pitch that moves, with short pauses."""
    rng = random.Random(seed)
    sound = b""
    while len(sound) < ms * mulaw.BYTES_PER_MS:
        formants = rng.uniform(250, 800), rng.uniform(900, 2200), rng.uniform(2300, 3300)
        pitch = rng.uniform(90, 230)
        sound += tone(rng.randrange(20, 120), pitch, *formants, peak=rng.uniform(3000, 12000), noise=300)
        sound += mulaw.silence(rng.choice([0, 0, 0, 40, 120]))
    return sound[: ms * mulaw.BYTES_PER_MS]


def heard_at_ms(audio: bytes, chunk: int = FRAME) -> float | None:
    """When the detector says that a beep has ended, or None."""
    beep = Beep()
    said = [at + chunk for at in range(0, len(audio), chunk) if beep.feed(audio[at : at + chunk])]
    assert len(said) <= 1
    return said[0] / mulaw.BYTES_PER_MS if said else None


# --- beeps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("peak", [600, 3000, 9000, 32000])
@pytest.mark.parametrize("hz", [400, 480, 523, 697, 800, 1000, 1209, 1400, 1633, 2000, 2100, 2500])
def test_a_single_tone_is_a_beep(hz: int, peak: int) -> None:
    greeting = talk(1200, seed=hz) + mulaw.silence(400 + hz % 20)
    assert heard_at_ms(greeting + tone(400, hz, peak=peak) + AFTER) is not None


@pytest.mark.parametrize("offset", [0, 1, 79, 80, 159])
@pytest.mark.parametrize(("ms", "is_beep"), [(100, False), (125, False), (150, True), (2000, True), (2050, False)])
def test_a_beep_takes_150_ms_to_2_s(ms: int, is_beep: bool, offset: int) -> None:
    heard = heard_at_ms(mulaw.silence(200) + bytes((mulaw.SILENCE,)) * offset + tone(ms, 1000) + AFTER)
    assert (heard is not None) == is_beep
    if heard is not None:
        end_ms = 200 + offset / mulaw.BYTES_PER_MS + ms
        assert 100 - 20 <= heard - end_ms <= 100 + 2 * 20


@given(
    hz=st.integers(460, 2500),
    ms=st.integers(160, 1990),
    peak=st.integers(600, 32000),
    before=st.integers(0, 5000),
    chunk=st.integers(1, 900),
)
def test_any_beep_in_noise_20_db_below_it(hz: int, ms: int, peak: int, before: int, chunk: int) -> None:
    noise = peak / math.sqrt(2) / 10
    quiet = tone(before / 8, noise=noise, seed=2)
    assert heard_at_ms(quiet + tone(ms, hz, peak=peak, noise=noise) + tone(400, noise=noise, seed=3), chunk) is not None


def test_a_beep_straight_after_the_last_word() -> None:
    assert heard_at_ms(talk(2000) + tone(300, 1400) + AFTER) is not None


def test_a_beep_that_fades_out() -> None:
    fading = b"".join(tone(10, 1000, peak=PEAK * share) for share in (0.8, 0.5, 0.2, 0.05))
    assert heard_at_ms(tone(300, 1000) + fading + AFTER) is not None


def test_the_beep_of_the_local_networks_answering_machine() -> None:
    """500 ms of 1000 Hz, with a peak of 9000, as `patter.local.callee` makes it."""
    assert heard_at_ms(tones.encode("please leave a message") + tone(500, 1000) + AFTER) is not None


def test_it_is_told_once_and_not_before_the_silence() -> None:
    beep = Beep()
    assert not beep.feed(tone(400, 1000))
    assert not beep.feed(mulaw.silence(60))
    assert beep.feed(mulaw.silence(60))
    assert not beep.feed(mulaw.silence(3000) + tone(400, 1000) + AFTER)


@pytest.mark.parametrize("hz", [400, 425, 440, 450])
def test_where_networks_ring_a_beep_needs_a_greeting_before_it(hz: int) -> None:
    beep = tone(500, hz) + AFTER
    assert heard_at_ms(talk(1500) + mulaw.silence(800) + beep) is not None
    assert heard_at_ms(mulaw.silence(3000) + beep) is None
    assert heard_at_ms(talk(1500) + mulaw.silence(4000) + beep) is None


# --- other sounds ---------------------------------------------------------------------------------


def cadence(times: int, *steps: tuple[float, Sequence[float]]) -> bytes:
    return times * b"".join(tone(ms, *hz) if hz else mulaw.silence(round(ms)) for ms, hz in steps)


SOUNDS = {
    "ringing, America": cadence(2, (2000, (440, 480)), (4000, ())),
    "ringing, Britain": cadence(2, (400, (400, 450)), (200, ()), (400, (400, 450)), (2000, ())),
    "ringing, Europe": cadence(3, (1000, (425,)), (4000, ())),
    "busy, America": cadence(6, (500, (480, 620)), (500, ())),
    "busy, Britain": cadence(6, (375, (400,)), (375, ())),
    "busy, Europe": cadence(6, (500, (425,)), (500, ())),
    "busy after a goodbye": talk(1500) + cadence(6, (500, (425,)), (500, ())),
    "congestion": cadence(8, (250, (480, 620)), (250, ())),
    "dial tone": tone(1500, 350, 440) + AFTER,
    "dial tone that stays": tone(5000, 425) + AFTER,
    "fax answering": tone(3000, 2100) + AFTER,
    "special information": cadence(1, (276, (914,)), (276, (1371,)), (380, (1777,)), (1000, ())),
    "special information, gaps": cadence(
        1, (330, (950,)), (30, ()), (330, (1400,)), (30, ()), (330, (1800,)), (900, ())
    ),
    "melody": cadence(1, *((250, (hz,)) for hz in (523, 587, 659, 698, 784, 880)), (700, ())),
    "melody, detached": cadence(2, *((ms, hz) for one in (523, 659, 784) for ms, hz in ((250, (one,)), (60, ())))),
    "chords": cadence(1, *((400, hz) for hz in ((523, 659, 784), (587, 698, 880))), (700, ())),
    "a note with overtones": tone(400, 523, 1046, 1569) + AFTER,
    "a note that dies away": b"".join(tone(20, 1000, peak=PEAK * 0.8**at) for at in range(20)) + AFTER,
    "a glide": b"".join(tone(20, 600 + 40 * at) for at in range(20)) + AFTER,
    "a slow glide": b"".join(tone(20, 900 + 6 * at) for at in range(30)) + AFTER,
    "a tone of two levels": tone(200, 1000) + tone(200, 1000, peak=PEAK / 2) + AFTER,
    "too low": tone(400, 300) + AFTER,
    "too high": tone(400, 2800) + AFTER,
    "too faint": tone(400, 1000, peak=150) + AFTER,
    "in noise": tone(400, 1000, noise=2500) + tone(700, noise=2500),
    "talk goes on at once": tone(400, 1000) + talk(600) + AFTER,
    "sounds over it": tone(400, 1000, 300, 1900) + AFTER,
    "noise": random.Random(1).randbytes(40_000) + AFTER,
    "faint noise": tone(3000, noise=250) + AFTER,
    "silence": mulaw.silence(5000),
    "data tones": tones.encode("hello there, what can I do for you? ÄÖÜ ~~~~~~~~ UUUUUUUU @@@@@@@@") + AFTER,
    "data tones, pauses": b"".join([tones.encode_word(word) + mulaw.silence(200) for word in "a to the house".split()]),
}


@pytest.mark.parametrize("offset", [0, 67])
@pytest.mark.parametrize("name", SOUNDS)
def test_other_sounds_are_no_beep(name: str, offset: int) -> None:
    assert heard_at_ms(bytes((mulaw.SILENCE,)) * offset + SOUNDS[name]) is None


@pytest.mark.parametrize("volume", [0.05, 0.8])
@pytest.mark.parametrize("key", "0123456789*#ABCD")
def test_a_key_is_no_beep(key: str, volume: float) -> None:
    assert heard_at_ms(dtmf.tones(key, on_ms=300, gap_ms=400, volume=volume)) is None


@pytest.mark.parametrize("column_hz", [1209, 1336, 1477, 1633])
@pytest.mark.parametrize("row_hz", [697, 770, 852, 941])
@pytest.mark.parametrize("peaks", [(6000, 3000), (3000, 6000)])
def test_a_key_whose_tones_are_6_db_apart_is_no_beep(row_hz: int, column_hz: int, peaks: tuple[int, int]) -> None:
    both = zip(
        *(linear(tone(300, hz, peak=peak)) for hz, peak in zip((row_hz, column_hz), peaks, strict=True)), strict=True
    )
    samples = [row + column for row, column in both]
    assert heard_at_ms(mulaw.encode(struct.pack(f"<{len(samples)}h", *samples)) + AFTER) is None


@given(st.integers(0, 2**32))
def test_talk_is_no_beep(seed: int) -> None:
    assert heard_at_ms(talk(1500, seed) + AFTER) is None


@pytest.mark.speech
@pytest.mark.skipif(shutil.which("flite") is None, reason="needs flite")
@pytest.mark.parametrize("voice", ["rms", "awb", "slt"])
def test_speech_is_no_beep_and_hides_none(voice: str, tmp_path) -> None:
    text = "Oh, you have reached the voicemail of Alex. Soon, too, who knew? Please leave a message after the tone."
    file = tmp_path / "speech.wav"
    subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(file)], check=True)
    with wave.open(str(file)) as sound:
        resample = To8k(sound.getframerate())
        speech = mulaw.encode(resample.feed(sound.readframes(sound.getnframes())) + resample.finish())
    assert heard_at_ms(speech + AFTER) is None
    assert heard_at_ms(speech + tone(300, 1000) + AFTER) is not None
