"""Who carries out which tool: the clients that are connected, and the tool calls that they have not answered yet."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from patter.tools.context import ToolContext
from patter.tools.model import Tool
from patter.tools.refusals import ToolRefusal
from patter.tools.remote import wire

__all__ = ["Client", "Hub"]

_END_S = 1.0
_EARLY_S = 0.005
"""A wait that was cancelled so shortly before the tool's time limit has reached it."""


@dataclass(eq=False, slots=True, kw_only=True)
class Client:
    """One connection of a program that carries out tools.

    Args:
        send: takes a message; never waits and never raises.
        end: closes the connection, because the phone stops.
        agent: the name of the agent whose tools it carries out.
        config: what it has asked for.
        is_in_call: whether a call is the one of the config's ``call_id``; by default, whether that is its id.
    """

    send: Callable[[dict[str, Any]], None] = field(repr=False)
    end: Callable[[], None] = field(default=lambda: None, repr=False)
    agent: str
    config: wire.Config
    is_in_call: Callable[[str], bool] | None = field(default=None, repr=False)
    conversation_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    gone: anyio.Event = field(default_factory=anyio.Event, repr=False)
    """Set when the connection is closed."""

    def serves_call(self, call_id: str) -> bool:
        """True if it is there for this call."""
        if self.config.call_id is None:
            return True
        return self.config.call_id == call_id if self.is_in_call is None else self.is_in_call(call_id)

    def brings(self, tool: str) -> bool:
        """True if the tool of this name is there because this client is."""
        return any(one.name == tool for one in self.config.inline)

    def carries_out(self, tool: str) -> bool:
        """True if it carries out the tool of this name, which is the agent's, or the workspace's."""
        config = self.config
        return tool in config.names if config.names is not None else not config.inline


@dataclass(eq=False, slots=True, kw_only=True)
class _Use:
    """A tool call on its way: ``client`` has it, and nobody else can answer it."""

    client: Client
    over: anyio.Event = field(default_factory=anyio.Event)
    output: Any = None
    refusal: ToolRefusal | None = None

    def settle(self, output: Any, refusal: ToolRefusal | None = None) -> None:
        self.output, self.refusal = output, refusal
        self.over.set()


class Hub:
    """The clients of one phone. It lives on the phone's loop; nothing here waits but `ask`."""

    def __init__(self) -> None:
        self.version = 0
        """Another number whenever inline tools have come or gone."""
        self._clients: list[Client] = []
        self._uses: dict[str, _Use] = {}

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    async def end(self) -> None:
        """The phone stops: close every connection, and wait a moment until they are."""
        clients = list(self._clients)
        for client in clients:
            client.end()
        with anyio.move_on_after(_END_S):
            for client in clients:
                await client.gone.wait()

    def rename(self, before: str, after: str) -> None:
        """An agent has another name now; its clients stay with it."""
        for client in self._clients:
            if client.agent == before:
                client.agent = after

    def join(self, client: Client) -> None:
        """A client is there: from now on it carries out what it offers, in place of whoever did before."""
        self._clients.append(client)
        self._offer(client)

    def change(self, client: Client, config: wire.Config) -> None:
        """The client carries out other tools from now on. Tool calls that it has stay with it."""
        client.config = config
        self._clients.remove(client)
        self._clients.append(client)
        self._offer(client)

    def leave(self, client: Client) -> None:
        """A client is gone: what it has not answered is over at once."""
        self._clients.remove(client)
        self.version += 1
        for use in self._uses.values():
            if use.client is client:
                use.settle(None, ToolRefusal("shutdown"))

    def inline(self, agent: str, call_id: str) -> tuple[Tool, ...]:
        """The tools that clients bring to a call of this agent; of two with one name, that of the later client."""
        found: dict[str, Tool] = {}
        for client in self._of(agent, call_id):
            found |= {tool.name: tool for tool in client.config.inline}
        return tuple(found.values())

    def named(self, agent: str, call_id: str) -> tuple[str, ...]:
        """The names of tools of the workspace that clients want in a call of this agent."""
        return tuple(name for client in self._of(agent, call_id) for name in client.config.names or ())

    def variables(self, agent: str) -> dict[str, Any]:
        """What clients of this agent give the templates of every call."""
        found: dict[str, Any] = {}
        for client in self._clients:
            if client.agent == agent and client.config.call_id is None:
                found |= client.config.variables
        return found

    async def ask(
        self, agent: str, tool: Tool, arguments: Mapping[str, Any], context: ToolContext, *, limit_s: float
    ) -> Any:
        """Let a client carry out a tool; its output, any JSON value. Cancelling it tells the client so.

        Args:
            limit_s: after which the caller cancels this because it took too long.

        Raises:
            ToolRefusal: ``shutdown``: no client does, or it is gone; ``handler_error``: the client says so;
                ``invalid_arguments``: they are no JSON.
        """
        _check_json(arguments)
        call_id = str(context.get("call_id", ""))
        client = self._whom(agent, call_id, tool.name)
        if client is None:
            raise ToolRefusal("shutdown")
        id_ = f"tool_{uuid.uuid4().hex}"
        use = self._uses[id_] = _Use(client=client)
        began = anyio.current_time()

        def tell_processed(output: Any = None, error: str | None = None) -> None:
            duration_ms = (anyio.current_time() - began) * 1000
            client.send(
                wire.processed(
                    tool, tool_call_id=id_, parameters=arguments, output=output, duration_ms=duration_ms, error=error
                )
            )

        client.send(
            wire.tool_call(
                tool_call_id=id_,
                tool_name=tool.name,
                parameters=arguments,
                call_id=call_id,
                conversation_id=client.conversation_id,
            )
        )
        try:
            await use.over.wait()
        except anyio.get_cancelled_exc_class():
            if anyio.current_time() - began >= limit_s - _EARLY_S:
                tell_processed(error="timeout")
            else:
                client.send(wire.interrupted(id_, tool.name))
            raise
        finally:
            del self._uses[id_]
        if use.refusal is not None:
            if use.refusal.reason != "shutdown":
                tell_processed(use.output, use.refusal.reason)
            raise use.refusal
        tell_processed(use.output)
        return use.output

    def answer(self, client: Client, message: wire.Output) -> None:
        """A client's output. The first one counts; one that nobody waits for is warned of."""
        use = self._uses.get(message.tool_call_id)
        if use is None or use.client is not client or use.over.is_set():
            client.send(wire.warning("stale_tool_call", "Nobody waits for this tool call; its output is ignored."))
        else:
            use.settle(message.output, ToolRefusal("handler_error") if message.is_error else None)

    def heard(self, agent: str, event: Mapping[str, Any]) -> None:
        """Tell the clients of a call what has happened in it, as far as they want to know."""
        call_id = str(event.get("call_id", ""))
        if event["type"] == "user":
            for client in self._of(agent, call_id):
                if "transcript" in client.config.events:
                    client.send({"type": "input_text", "text": event["text"], "call_id": call_id})
        elif event["type"] == "ended":
            for client in self._of(agent, call_id):
                client.send({"type": "assistant_ended_conversation", "call_id": call_id})

    def _of(self, agent: str, call_id: str) -> list[Client]:
        return [one for one in self._clients if one.agent == agent and one.serves_call(call_id)]

    def _whom(self, agent: str, call_id: str, tool: str) -> Client | None:
        """Who is asked: of those that bring the tool the latest, and else of those that carry it out."""
        clients = self._of(agent, call_id)
        able = [one for one in clients if one.brings(tool)] or [one for one in clients if one.carries_out(tool)]
        return able[-1] if able else None

    def _offer(self, client: Client) -> None:
        self.version += 1
        offered = _names(client.config)
        for other in self._clients:
            if other is client or other.agent != client.agent or not _meet(other.config, client.config):
                continue
            for name in sorted(offered & _names(other.config)):
                other.send(wire.warning("tool_replaced", f"Another client carries out {name} from now on."))


def _names(config: wire.Config) -> set[str]:
    return {*(config.names or ()), *(tool.name for tool in config.inline)}


def _check_json(arguments: Mapping[str, Any]) -> None:
    try:
        json.dumps(arguments, allow_nan=False, default=str)
    except (ValueError, RecursionError):
        raise ToolRefusal("invalid_arguments") from None


def _meet(one: wire.Config, other: wire.Config) -> bool:
    """True if there are calls that both are for."""
    return one.call_id is None or other.call_id is None or one.call_id == other.call_id
