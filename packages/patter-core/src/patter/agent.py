"""The agent of a call: its three providers, its prompt and its tools."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from patter.errors import ConfigError
from patter.settings import Timing
from patter.voice.base import ChatModel, SpeechToText, TextToSpeech

if TYPE_CHECKING:
    from patter.store.knowledge import Retriever
    from patter.tools.model import Tool

__all__ = ["Agent", "check_name"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_ID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
"""An id: as a name it could stand for another agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """What speaks on the phone. Immutable: one agent serves any number of calls at once.

    Args:
        stt: the ears.
        llm: the mind.
        tts: the voice.
        name: under which people and programs outside find it, 1 to 100 characters of ``A-Z a-z 0-9 _ -``. Of two
            agents with one name they see the later one.
        system_prompt: what the agent is, and what it wants if a call brings no goal.
        first_message: the first thing it says, if a call brings none.
        voicemail_message: what it says to an answering machine, after the beep, before it hangs up. Without
            it, the mind is told of the machine and finds its own words.
        tools: what it may use during the call, in any shape that `patter.Tool.from_any` takes; afterwards they are
            `patter.Tool` objects. ``end_call`` is always there.
        variables: values that templates such as ``{{name}}`` in tools may use.
        secrets: values for the requests of tools, by names in capital letters; no mind ever sees them.
        secrets_env: names of environment variables that are secrets too; no others are ever read.
        webhook_secret: signs the requests of its webhook tools; one that a store keeps has its own secret or none.
        knowledge: where tools of the type ``knowledge_base`` search.
        on_tool_error: takes tool call id, tool and exception of a handler that has raised; nobody else sees it.
        timing: when to speak, wait and give up.
    """

    stt: SpeechToText
    llm: ChatModel
    tts: TextToSpeech
    name: str | None = None
    system_prompt: str | None = None
    first_message: str | None = None
    voicemail_message: str | None = None
    tools: Sequence[Any] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets_env: Sequence[str] = ()
    webhook_secret: str | None = field(default=None, repr=False)
    knowledge: Retriever | None = None
    on_tool_error: Callable[[str, str, BaseException], object] | None = None
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        for name, method in (("stt", "open"), ("llm", "stream"), ("tts", "open")):
            provider = getattr(self, name)
            if not callable(getattr(provider, method, None)):
                raise ConfigError(f"agent[{name!r}] is no provider: it has no method {method}().")
            if not isinstance(getattr(provider, "model", None), str):
                raise ConfigError(f"agent[{name!r}] is no provider: it has no model, such as 'vendor/name'.")
        if self.name is not None:
            check_name(self.name)
        if self.secrets or self.secrets_env:
            from patter.tools.variables import collect_secrets

            object.__setattr__(self, "secrets", collect_secrets(self.secrets, self.secrets_env))
        if self.tools:
            object.__setattr__(self, "tools", _read_tools(self.tools))

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

    async def start(self) -> None:
        """Import what the providers need, in threads, before the first call needs it.

        Raises:
            ConfigError: a vendor's SDK is not installed.
        """
        for provider in (self.stt, self.llm, self.tts):
            if callable(start := getattr(provider, "start", None)):
                await start()


def check_name(name: str) -> None:
    """The name of an agent.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or _ID.fullmatch(name):
        raise ConfigError("agent['name'] must be 1 to 100 characters of A-Z a-z 0-9 _ -, and no UUID.")


def _read_tools(given: Sequence[Any]) -> tuple[Tool, ...]:
    from patter.tools.exporters import names_by_export
    from patter.tools.model import Tool

    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise ConfigError("agent tools must be a list.")
    tools: list[Tool] = []
    names: set[str] = set()
    for place, one in enumerate(given):
        try:
            tool = Tool.from_any(one)
        except ConfigError as error:
            raise ConfigError(f"agent tools[{place}]: {error}") from None
        if tool.name in names or (tool.name == "end_call" and tool.tool_type != "end_call"):
            raise ConfigError(f"agent has two tools named {tool.name!r} (end_call is always there).")
        names.add(tool.name)
        tools.append(tool)
    names_by_export(tool.name for tool in tools)
    return tuple(tools)
