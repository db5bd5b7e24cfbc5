"""The vendors on this machine: emulators that speak the wire protocols of Deepgram, OpenAI, Anthropic and ElevenLabs.

The real SDKs, and Patter's own providers, are pointed at them by ``base_url``; nothing else differs::

    async with Vendors() as vendors:
        stt = DeepgramSTT("test-key", base_url=vendors.deepgram.base_url)
        vendors.deepgram.faults.append(Drop(after_audio_ms=500))
        ...
        assert vendors.deepgram.connections[0].parameter("encoding") == "mulaw"

Every emulator is an async context manager with ``base_url``, ``connections`` (chat models: ``requests``),
``faults`` and knobs that may be changed while it runs. Minds are in `patter.testing.emulators.minds`.
Voices speak, and ears hear, data tones, so every word is exact.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.testing.emulators.anthropic import AnthropicEmulator as AnthropicEmulator
    from patter.testing.emulators.connection import Connection as Connection
    from patter.testing.emulators.connection import Connections as Connections
    from patter.testing.emulators.connection import Entry as Entry
    from patter.testing.emulators.deepgram import DeepgramEmulator as DeepgramEmulator
    from patter.testing.emulators.deepgram import ScriptedUtterance as ScriptedUtterance
    from patter.testing.emulators.elevenlabs import ElevenLabsEmulator as ElevenLabsEmulator
    from patter.testing.emulators.elevenlabs import EmulatedVoice as EmulatedVoice
    from patter.testing.emulators.faults import BlackHole as BlackHole
    from patter.testing.emulators.faults import Drop as Drop
    from patter.testing.emulators.faults import ErrorFrame as ErrorFrame
    from patter.testing.emulators.faults import Fault as Fault
    from patter.testing.emulators.faults import Faults as Faults
    from patter.testing.emulators.faults import Garbage as Garbage
    from patter.testing.emulators.faults import Refuse as Refuse
    from patter.testing.emulators.faults import SilentEnd as SilentEnd
    from patter.testing.emulators.faults import SlowClose as SlowClose
    from patter.testing.emulators.faults import Stall as Stall
    from patter.testing.emulators.faults import UnknownEvents as UnknownEvents
    from patter.testing.emulators.openai import OpenAIEmulator as OpenAIEmulator
    from patter.testing.emulators.vendors import Vendors as Vendors

_MODULES = {
    "anthropic": ("AnthropicEmulator",),
    "connection": ("Connection", "Connections", "Entry"),
    "deepgram": ("DeepgramEmulator", "ScriptedUtterance"),
    "elevenlabs": ("ElevenLabsEmulator", "EmulatedVoice"),
    "faults": (
        "BlackHole",
        "Drop",
        "ErrorFrame",
        "Fault",
        "Faults",
        "Garbage",
        "Refuse",
        "SilentEnd",
        "SlowClose",
        "Stall",
        "UnknownEvents",
    ),
    "openai": ("OpenAIEmulator",),
    "vendors": ("Vendors",),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
