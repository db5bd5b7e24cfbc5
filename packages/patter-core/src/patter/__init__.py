"""Patter: a telephone for AI agents.

An agent calls one tool, ``make_phone_call(to, goal)``; a real phone rings, a real conversation
happens, and the tool answers with one honest envelope::

    from patter import Patter, PatterTool

    tool = PatterTool(phone=Patter.local())
    result = tool.execute_sync(to="+15550100199", goal="Book a haircut for tomorrow at three.")
    print(result.status, result.transcript)

Names are imported when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.agent import Agent as Agent
    from patter.carriers.twilio import Twilio as Twilio
    from patter.envelope import CallResult as CallResult
    from patter.errors import CarrierError as CarrierError
    from patter.errors import ConfigError as ConfigError
    from patter.errors import InvalidArguments as InvalidArguments
    from patter.errors import NotAllowed as NotAllowed
    from patter.errors import PatterError as PatterError
    from patter.errors import PhoneStopped as PhoneStopped
    from patter.errors import PortInUse as PortInUse
    from patter.errors import ProviderError as ProviderError
    from patter.phone import Patter as Patter
    from patter.settings import Timing as Timing
    from patter.signals import hang_up_on_signals as hang_up_on_signals
    from patter.tool import PatterTool as PatterTool
    from patter.tools.clients import ClientToolManager as ClientToolManager
    from patter.tools.model import Tool as Tool
    from patter.tools.model import ToolContext as ToolContext
    from patter.tools.remote.client import RemoteToolClient as RemoteToolClient
    from patter.tools.signing import verify_webhook as verify_webhook
    from patter.voice.anthropic import AnthropicLLM as AnthropicLLM
    from patter.voice.deepgram.stt import DeepgramSTT as DeepgramSTT
    from patter.voice.elevenlabs.tts import ElevenLabsTTS as ElevenLabsTTS
    from patter.voice.fallback.llm import FallbackLLM as FallbackLLM
    from patter.voice.fallback.stt import FallbackSTT as FallbackSTT
    from patter.voice.fallback.tts import FallbackTTS as FallbackTTS
    from patter.voice.messages.mind import MessageMind as MessageMind
    from patter.voice.openai import OpenAILLM as OpenAILLM

_WHERE = {
    "Agent": "patter.agent",
    "AnthropicLLM": "patter.voice.anthropic",
    "CallResult": "patter.envelope",
    "CarrierError": "patter.errors",
    "ClientToolManager": "patter.tools.clients",
    "ConfigError": "patter.errors",
    "DeepgramSTT": "patter.voice.deepgram.stt",
    "ElevenLabsTTS": "patter.voice.elevenlabs.tts",
    "FallbackLLM": "patter.voice.fallback.llm",
    "FallbackSTT": "patter.voice.fallback.stt",
    "FallbackTTS": "patter.voice.fallback.tts",
    "InvalidArguments": "patter.errors",
    "MessageMind": "patter.voice.messages.mind",
    "NotAllowed": "patter.errors",
    "OpenAILLM": "patter.voice.openai",
    "Patter": "patter.phone",
    "PatterError": "patter.errors",
    "PatterTool": "patter.tool",
    "PhoneStopped": "patter.errors",
    "PortInUse": "patter.errors",
    "ProviderError": "patter.errors",
    "RemoteToolClient": "patter.tools.remote.client",
    "Timing": "patter.settings",
    "Tool": "patter.tools.model",
    "ToolContext": "patter.tools.model",
    "Twilio": "patter.carriers.twilio",
    "hang_up_on_signals": "patter.signals",
    "verify_webhook": "patter.tools.signing",
}

__all__ = sorted(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'patter' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
