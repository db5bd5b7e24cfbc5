"""Whose accounts a phone and its agents use: objects, single keys, or the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from patter.agent import Agent
from patter.errors import ConfigError, InvalidArguments
from patter.policy.numbers import check_number
from patter.settings import require_env

if TYPE_CHECKING:
    from patter.carriers.base import Carrier
    from patter.voice.base import ChatModel

__all__ = ["Keys", "address_of", "answering_agent", "carrier_of", "check_own_number", "complete_agent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The vendors' keys; None takes the environment variable that the vendor itself has named."""

    openai: str | None = field(default=None, repr=False)
    anthropic: str | None = field(default=None, repr=False)
    deepgram: str | None = field(default=None, repr=False)
    elevenlabs: str | None = field(default=None, repr=False)


def carrier_of(carrier: Carrier | None, *, twilio_sid: str | None, twilio_token: str | None) -> Carrier:
    """The carrier that was given, or Twilio with these credentials.

    Raises:
        ConfigError: there is none, or both.
    """
    if twilio_sid is not None or twilio_token is not None:
        if carrier is not None:
            raise ConfigError("Pass carrier=Twilio(...), or twilio_sid= and twilio_token=, and not both.")
        from patter.carriers.twilio import Twilio

        return Twilio(twilio_sid, twilio_token)
    if isinstance(carrier, type) or (carrier is not None and not hasattr(carrier, "dial")):
        raise ConfigError("carrier must be an account, such as carrier=Twilio().")
    if carrier is None:
        raise ConfigError("carrier is missing. Pass carrier=Twilio(), or use Patter.local() without keys.")
    return carrier


def address_of(webhook_url: str | None, *, tunnel: bool) -> str | None:
    """Where the carrier reaches the phone; None if a tunnel decides it.

    Raises:
        ConfigError: there is none, or both.
    """
    if not tunnel:
        return require_env(webhook_url, argument="webhook_url", variable="PATTER_WEBHOOK_URL")
    if webhook_url is not None:
        raise ConfigError("Pass webhook_url=, a host name of your own, or tunnel=True for development, and not both.")
    return None


def check_own_number(number: str) -> str:
    """The number that calls come from, E.164.

    Raises:
        ConfigError: it is none.
    """
    try:
        return check_number(number, field="phone_number")
    except InvalidArguments as error:
        raise ConfigError(str(error)) from None


def complete_agent(given: Mapping[str, Any], *, default: Agent | None, keys: Keys) -> Agent:
    """An agent whose ears, mind and voice, where they are not given, are those of ``default``, or the vendors'.

    Raises:
        ConfigError: a key is missing, or something is malformed.
    """
    agent = {name: value for name, value in given.items() if value is not None}
    if default is not None:
        agent = {"stt": default.stt, "llm": default.llm, "tts": default.tts} | agent
    if "stt" not in agent:
        from patter.voice.deepgram.stt import DeepgramSTT

        agent["stt"] = DeepgramSTT(keys.deepgram)
    if "llm" not in agent:
        agent["llm"] = _mind(keys)
    if "tts" not in agent:
        from patter.voice.elevenlabs.tts import ElevenLabsTTS

        agent["tts"] = ElevenLabsTTS(keys.elevenlabs)
    return Agent.of(agent)


def answering_agent(
    agent: Agent | Mapping[str, Any] | None,
    on_message: Callable[..., Any] | str | None,
    *,
    default: Agent | None,
    keys: Keys,
) -> Agent:
    """The agent that answers incoming calls; with ``on_message``, an agent of the host's own is its mind.

    Raises:
        ConfigError: there is no mind, or something is malformed.
    """
    if on_message is None:
        if agent is None and default is None:
            raise ConfigError(
                'serve() needs an agent={"stt": ..., "llm": ..., "tts": ...}, or on_message: a function, '
                "an https:// or a wss:// address that answers what the caller says."
            )
        return Agent.of(agent if agent is not None else default)  # type: ignore[arg-type]
    from patter.voice.messages.mind import MessageMind

    mind = MessageMind(on_message)
    if isinstance(agent, Agent):
        return replace(agent, llm=mind)
    return complete_agent({**(agent or {}), "llm": mind}, default=default, keys=keys)


def _mind(keys: Keys) -> ChatModel:
    """OpenAI's, unless Anthropic's is the only key that is there."""
    has_openai = keys.openai is not None or bool(os.environ.get("OPENAI_API_KEY"))
    if not has_openai and (keys.anthropic is not None or os.environ.get("ANTHROPIC_API_KEY")):
        from patter.voice.anthropic import AnthropicLLM

        return AnthropicLLM(keys.anthropic)
    from patter.voice.openai import OpenAILLM

    return OpenAILLM(keys.openai)
