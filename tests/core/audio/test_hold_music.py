"""The music is a loop that nobody notices: quiet, without a gap or a click, and no tone means anything."""

import struct
from itertools import pairwise

import pytest

from patter.audio import dtmf, mulaw
from patter.audio.beep import Beep
from patter.audio.hold_music import NOTES_HZ, hold_music
from patter.local.tones import ToneDecoder


def frames(audio, ms):
    size = ms * mulaw.BYTES_PER_MS
    return [audio[at : at + size] for at in range(0, len(audio), size)]


def test_it_is_quiet_and_never_silent():
    levels = [mulaw.level(frame) for frame in frames(hold_music(), 100)]
    assert 0.015 < min(levels) and max(levels) < 0.06
    assert hold_music() is hold_music()


def test_its_end_leads_into_its_beginning():
    audio = hold_music()
    samples = struct.unpack(f"<{len(audio)}h", mulaw.decode(audio))
    steps = [abs(after - before) for before, after in pairwise(samples)]
    assert abs(samples[0] - samples[-1]) < max(steps)
    assert max(map(abs, samples)) < 0.15 * 32768
    # The last notes ring on while the first one begins.
    assert mulaw.level(audio[:16]) > 0.008


@pytest.mark.parametrize("ms", [20, 40])
def test_it_presses_no_key(ms):
    twice = hold_music() * 2
    for shift in range(0, 160, 40):
        assert {dtmf.detect(frame) for frame in frames(twice[shift : shift + len(hold_music())], ms)} == {None}


def test_it_says_nothing_and_is_no_beep():
    decoder, beep = ToneDecoder(), Beep()
    for frame in frames(hold_music() * 2, 20):
        assert decoder.feed(frame) == []
        assert not beep.feed(frame)


def test_its_notes_are_those_of_the_telephone():
    assert all(300 < hz < 1100 for hz in NOTES_HZ.values())
