"""The carrier and the vendors whose accounts the environment names, for commands that place real calls."""

from __future__ import annotations

import os
from collections.abc import Collection
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.cli.checks import Mind
    from patter.phone import Patter
    from patter.voice.base import ChatModel

__all__ = ["MindName", "check_variables", "choose_mind", "demo_agent", "twilio_phone", "vendor_agent"]


class MindName(StrEnum):
    """Whose model thinks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


def choose_mind(chosen: MindName | None) -> Mind:
    """The vendor of the mind: the one asked for, or else the one that has a key."""
    from patter.cli.checks import mind_of

    return mind_of(os.environ) if chosen is None else chosen.value


def check_variables(mind: Mind | None, *, is_chosen: bool, without: Collection[str] = ()) -> None:
    """Make sure that every key is there, so that all that are not are told at once.

    Args:
        without: variables that are not needed.
    """
    from patter.cli.checks import missing_variables
    from patter.errors import ConfigError

    missing = [name for name in missing_variables(os.environ, mind) if name not in without]
    if not missing:
        return
    names = [
        f"{name} (or ANTHROPIC_API_KEY)" if name == "OPENAI_API_KEY" and not is_chosen else name for name in missing
    ]
    raise ConfigError(
        f"not set: {', '.join(names)}. 'patter doctor' says where to get them and whether they work; "
        "'patter demo' calls on this machine without any."
    )


def twilio_phone(port: int) -> Patter:
    """The phone of the environment's Twilio account."""
    from patter.carriers.twilio import Twilio
    from patter.phone import Patter

    return Patter(carrier=Twilio(), port=port)


def vendor_agent(mind: Mind, stt_model: str | None, llm_model: str | None, voice: str | None) -> Agent:
    """Ears, mind and voice of the vendors, each with the model asked for or its default."""
    from patter.agent import Agent
    from patter.voice.deepgram.stt import DeepgramSTT
    from patter.voice.elevenlabs.tts import ElevenLabsTTS

    return Agent(
        stt=DeepgramSTT(model=stt_model) if stt_model else DeepgramSTT(),
        llm=_chat_model(mind, llm_model),
        tts=ElevenLabsTTS(voice_id=voice) if voice else ElevenLabsTTS(),
    )


def _chat_model(mind: Mind, model: str | None) -> ChatModel:
    if mind == "anthropic":
        from patter.voice.anthropic import AnthropicLLM

        return AnthropicLLM(model=model) if model else AnthropicLLM()
    from patter.voice.openai import OpenAILLM

    return OpenAILLM(model=model) if model else OpenAILLM()


def demo_agent() -> Agent:
    """The demo's ears, mind and voice."""
    from patter.agent import Agent
    from patter.local.brain import DemoBrain
    from patter.local.voices import pick

    stt, tts = pick("auto", role="agent", phrases=())
    return Agent(stt=stt, llm=DemoBrain(), tts=tts)
