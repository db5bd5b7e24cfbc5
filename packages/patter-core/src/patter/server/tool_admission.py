"""Who may carry out which tools at the tool socket: the key, the agent, the call and the tools of a config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import anyio.to_thread

from patter.server.rest.errors import ApiError
from patter.server.rest.gate import Gate
from patter.server.rest.keys import Key, Permission, presented_key
from patter.tools.remote import wire
from patter.tools.remote.wire import WireError
from patter.workspace import KnownAgent, Workspace

__all__ = ["Admission", "Admitted", "LiveCall", "LiveCalls"]

MAX_STRANGER_BYTES = 64 * 1024
"""A first message without a key in the header: nothing costly is done before the key is known."""

_PERMISSION: Permission = "tools:serve"


class LiveCall(Protocol):
    """What a client that is bound to a call may do there. What it asks for is False if there is too much already."""

    @property
    def agent_name(self) -> str | None:
        """The agent that speaks in it."""

    def goes_by(self, call_id: str) -> bool:
        """True if this is the call's id, or was before the carrier gave it one."""

    def say(self, text: str) -> bool:
        """Let the agent say this as soon as nobody else speaks."""

    def note(self, text: str) -> bool:
        """Tell the mind something, for its next answer."""

    def speak(self, note: str | None) -> bool:
        """Let the mind answer as soon as nobody speaks."""


class LiveCalls(Protocol):
    """The calls that go on."""

    def live(self, call_id: str) -> LiveCall | None:
        """The call of this id, if it goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A config that was accepted, whose it is, and the one call that it is for."""

    config: wire.Config
    agent: KnownAgent
    call: LiveCall | None


class Admission:
    """Checks what clients say of themselves.

    Raises (all its methods):
        WireError: the client is refused; the error says why.
    """

    def __init__(self, calls: LiveCalls, workspace: Workspace, gate: Gate) -> None:
        self._calls = calls
        self._workspace = workspace
        self._gate = gate

    def key_of(self, host: str, presented: str | None) -> Key:
        """The key that a client at this address has sent, with the permission to carry out tools."""
        try:
            key = self._gate.recognise(host, presented)
        except ApiError as error:
            code = "rate_limited" if error.code == "RATE_LIMITED" else "unauthorized"
            raise WireError(code, error.message) from None
        if not key.may(_PERMISSION):
            raise WireError("forbidden", f"The key lacks the permission {_PERMISSION}.")
        return key

    def header_key(self, host: str, headers: Mapping[str, str]) -> Key | None:
        """The key that came with the connection, or None if there was none."""
        presented = presented_key(headers)
        return None if presented is None else self.key_of(host, presented)

    def first_key(self, host: str, text: str) -> Key:
        """The key in a first message, which is read for nothing else."""
        if len(text) > MAX_STRANGER_BYTES:
            problem = f"Without a key in its header, a client's first message has at most {MAX_STRANGER_BYTES} bytes."
            raise WireError("invalid_config", problem)
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise WireError("invalid_message", "The message is no JSON object.") from None
        found = message.get("api_key") if isinstance(message, dict) else None
        return self.key_of(host, found if isinstance(found, str) else None)

    async def admit(self, text: str, key: Key) -> Admitted:
        """The config of a first message."""
        message = await parsed(text)
        if not isinstance(message, wire.Config):
            raise WireError("invalid_config", "The first message must be a config.")
        return self.check(message, key)

    def check(self, config: wire.Config, key: Key) -> Admitted:
        """The tools that it names are there, those that it brings are new, and the call is one of the agent's."""
        known = self._workspace.agent(config.agent)
        if known is None or not key.sees(known.id, known.name):
            problem = {"agent": "there is no such agent"}
            raise WireError("unknown_agent", "There is no such agent.", problem)
        offered = {tool.name: tool for tool in (*known.tools, *self._workspace.offered(known))}
        for place, name in enumerate(config.names or ()):
            tool = offered.get(name) or self._workspace.catalogue.tool(None, name)
            if tool is None:
                raise WireError("unknown_tool", "There is no such tool.", {f"tools.{place}": "there is no such tool"})
            if tool.tool_type != "custom_websocket":
                problem = {f"tools.{place}": f"it is of type {tool.tool_type}, which no client carries out"}
                raise WireError("unsupported_tool_type", "A client carries out custom_websocket tools.", problem)
        for tool in config.inline:
            if tool.name in offered or tool.name == "end_call":
                problem = {"tools": f"the agent has a tool {tool.name} already"}
                raise WireError("duplicate_tool", "An inline tool has the name of another tool.", problem)
        call = None if config.call_id is None else self._calls.live(config.call_id)
        if config.call_id is not None and (call is None or call.agent_name != known.name):
            raise WireError("invalid_config", "The call is not there.", {"call_id": "the agent has no such call"})
        return Admitted(config=config, agent=known, call=call)


async def parsed(text: str) -> wire.Message | None:
    """A message; what may take long is read in a thread, away from the calls.

    Raises:
        WireError: it is malformed.
    """
    if len(text) <= _SHORT:
        return wire.parse(text)
    return await anyio.to_thread.run_sync(wire.parse, text)


_SHORT = 2048
"""Characters that are parsed where the calls are: next to nothing, also with a tool in them."""
