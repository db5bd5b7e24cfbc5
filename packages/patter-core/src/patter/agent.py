"""The agent of a call: its three providers, its prompt and its tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from patter.errors import ConfigError
from patter.settings import Timing
from patter.tools.model import Tool
from patter.voice.base import ChatModel, SpeechToText, TextToSpeech

__all__ = ["Agent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What speaks on the phone. Immutable: one agent serves any number of calls at once.

    Args:
        stt: the ears.
        llm: the mind.
        tts: the voice.
        system_prompt: what the agent is, and what it wants if a call brings no goal.
        first_message: the first thing it says, if a call brings none.
        tools: what it may use during the call. ``end_call`` is always there.
        timing: when to speak, wait and give up.
    """

    stt: SpeechToText
    llm: ChatModel
    tts: TextToSpeech
    system_prompt: str | None = None
    first_message: str | None = None
    tools: Sequence[Tool] = ()
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        for name, method in (("stt", "open"), ("llm", "stream"), ("tts", "open")):
            provider = getattr(self, name)
            if not callable(getattr(provider, method, None)):
                raise ConfigError(f"agent[{name!r}] is no provider: it has no method {method}().")
            if not isinstance(getattr(provider, "model", None), str):
                raise ConfigError(f"agent[{name!r}] is no provider: it has no model, such as 'vendor/name'.")
        names = ["end_call"]
        for tool in self.tools:
            if not isinstance(tool, Tool):
                raise ConfigError(f"agent tools must be patter.Tool(...), and {type(tool).__name__} is none.")
            if tool.name in names:
                raise ConfigError(f"agent has two tools named {tool.name!r} (end_call is always there).")
            names.append(tool.name)

    @classmethod
    def of(cls, agent: Agent | Mapping[str, Any]) -> Agent:
        """An agent from a mapping such as ``{"stt": ..., "llm": ..., "tts": ...}``.

        Raises:
            ConfigError: a key is missing or unknown, or is no provider.
        """
        if isinstance(agent, Agent):
            return agent
        if not isinstance(agent, Mapping):
            raise ConfigError(f'agent must be a mapping {{"stt": ..., "llm": ..., "tts": ...}}, not {agent!r:.40}.')
        names = [f.name for f in fields(cls)]
        if unknown := sorted(set(agent) - set(names)):
            raise ConfigError(f"agent has no {', '.join(unknown)}. It takes {', '.join(names)}.")
        if missing := [name for name in ("stt", "llm", "tts") if agent.get(name) is None]:
            raise ConfigError(
                f"agent needs {' and '.join(missing)}. "
                'Pass {"stt": ..., "llm": ..., "tts": ...}; patter.voice.base says what each must do.'
            )
        return cls(**agent)
