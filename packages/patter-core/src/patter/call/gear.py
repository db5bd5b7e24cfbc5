"""What the tools of a call work with: some of it is the phone's, some the agent's, and some the call's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from anyio.abc import TaskGroup

from patter.agent import Agent
from patter.call.request import CallRequest
from patter.tools.mcp.servers import McpServers
from patter.tools.safe_http import SafeHttp
from patter.tools.services import CallServices
from patter.tools.variables import Variables

if TYPE_CHECKING:
    from patter.call.transcript import Transcript
    from patter.store.knowledge import Retriever
    from patter.tools.shelf import Shelf
    from patter.workspace import Workspace

__all__ = ["CallGear", "PhoneGear", "call_gear", "filled_in"]


class PhoneGear:
    """What all calls of a phone share. Used on the phone's loop, and closed there.

    Args:
        tasks: where connections to MCP servers live; None has none of them.
        allow_hosts: hosts with their ports that requests may reach though they are not public; for development.
        workspace: what others own of the phone's agents.
    """

    def __init__(
        self,
        tasks: TaskGroup | None = None,
        *,
        allow_hosts: Collection[str] = (),
        workspace: Workspace | None = None,
    ) -> None:
        self.workspace = workspace
        self.http = SafeHttp(allow_hosts=allow_hosts)
        self.mcp = None if tasks is None else McpServers(tasks, allow_hosts=allow_hosts)

    async def aclose(self) -> None:
        """Close what is open."""
        if self.mcp is not None:
            await self.mcp.aclose()
        await self.http.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallGear(CallServices):
    """What the tools of one call share.

    Args:
        agent_id: the agent's name, or None.
        mcp: the phone's MCP servers.
        knowledge: where the agent's documents are searched.
        shelf: the tools that others own, if there are any.
        on_tool_error: the host's own hook for what its handlers raise.
        transcript: what was said so far.
        play: plays mu-law audio into the call, and returns once it was played.
    """

    agent_id: str | None = None
    mcp: McpServers | None
    transcript: Transcript
    knowledge: Retriever | None = None
    shelf: Shelf | None = None
    on_tool_error: Callable[[str, str, BaseException], object] | None = None
    play: Callable[[bytes], Awaitable[None]] = field(repr=False)

    @property
    def caller_turns(self) -> int:
        """How many turns the other side has had."""
        return self.transcript.user_turns


def call_gear(
    request: CallRequest,
    phone: PhoneGear,
    transcript: Transcript,
    play: Callable[[bytes], Awaitable[None]],
    call_id: Callable[[], str],
) -> CallGear:
    """What the tools of a call work with."""
    agent = request.agent
    now = datetime.now().astimezone()
    system = {
        "caller_phone": request.from_number,
        "callee_phone": request.to,
        "direction": "inbound" if request.inbound else "outbound",
        "now": now.isoformat(timespec="seconds"),
        "date": now.date().isoformat(),
        "time": now.strftime("%H:%M"),
        **({} if agent.name is None else {"agent_id": agent.name}),
    }
    return CallGear(
        variables=Variables(agent.variables, system),
        http=phone.http,
        agent_id=agent.name,
        mcp=phone.mcp,
        secrets=agent.secrets,
        webhook_secret=agent.webhook_secret,
        knowledge=agent.knowledge,
        shelf=None if phone.workspace is None else phone.workspace.shelf(agent, call_id),
        on_tool_error=agent.on_tool_error,
        transcript=transcript,
        play=play,
    )


def filled_in(agent: Agent, variables: Variables) -> Agent:
    """The agent with the variables of the call in its own texts. A goal is the host's model's, and stays as it is."""
    texts = {name: getattr(agent, name) for name in ("system_prompt", "first_message", "voicemail_message")}
    filled: dict[str, Any] = {name: variables.prompt(text) for name, text in texts.items() if text and "{{" in text}
    return replace(agent, **filled) if filled else agent
