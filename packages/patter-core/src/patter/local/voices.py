"""The two ways to talk on the local network: `speech` for people, `tones` for tests and CI."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from typing import Literal, NamedTuple

from patter.errors import ConfigError
from patter.local.voices_speech import SpeechSTT, SpeechTTS
from patter.local.voices_tones import TonesSTT, TonesTTS
from patter.voice.base import SpeechToText, TextToSpeech

__all__ = ["Available", "Kind", "SpeechSTT", "SpeechTTS", "TonesSTT", "TonesTTS", "available", "pick"]

Kind = Literal["speech", "tones"]


class Available(NamedTuple):
    """The best kind on this machine, and one line that says what speech lacks ("" if nothing)."""

    kind: Kind
    reason: str = ""


def available() -> Available:
    """What this machine can do. Nothing is imported."""
    missing = [name for name in ("pocketsphinx", "soxr") if importlib.util.find_spec(name) is None]
    remedies = ["pip install patter-core[speech]"] if missing else []
    if shutil.which("flite") is None:
        missing.append("flite")
        remedies.append("apt install flite")
    if not missing:
        return Available("speech")
    verb = "is" if len(missing) == 1 else "are"
    return Available("tones", f"no speech: {', '.join(missing)} {verb} not installed ({'; '.join(remedies)})")


def pick(
    kind: Literal["auto", "speech", "tones"], *, role: Literal["agent", "callee"], phrases: Sequence[str]
) -> tuple[SpeechToText, TextToSpeech]:
    """Ears and voice for one end of the line.

    Args:
        kind: "auto" takes speech where it is available, and tones otherwise.
        role: the agent speaks as flite's rms, the callee as awb, so that people can tell them apart.
        phrases: sentences like those that this end will hear; none for any English.

    Raises:
        ConfigError: speech was asked for and is not available; the message has the remedy.
    """
    best, reason = available()
    if kind == "speech" and best != "speech":
        raise ConfigError(reason)
    if kind == "tones" or best == "tones":
        return TonesSTT(), TonesTTS()
    return SpeechSTT(phrases or None), SpeechTTS("rms" if role == "agent" else "awb")
