"""One tool tried out without a call, for real: a server is asked, a handler does what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from patter.errors import ConfigError
from patter.settings import Timing
from patter.tools.runner import Hooks, ToolOutcome, ToolRunner
from patter.tools.services import CallServices
from patter.tools.variables import Variables

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.store.knowledge import Retriever
    from patter.tools.model import Handler, Tool
    from patter.tools.safe_http import SafeHttp

__all__ = ["Trial", "check_trial", "try_out"]

_WITHOUT_CALL = ("handler", "webhook", "http_request", "knowledge_base")
_CALLER, _CALLEE = "+15550100001", "+15550100199"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What there is in place of a call.

    Args:
        variables: what the host gives its calls.
        secrets, webhook_secret, knowledge: the agent's.
        timeout_s: of a tool that names no time-out.
        call_id, caller, callee, direction: what the tool learns of the call.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    knowledge: Retriever | None = None
    timeout_s: float = Timing().tool_timeout_s
    call_id: str = "none"
    caller: str = _CALLER
    callee: str = _CALLEE
    direction: str = "outbound"

    @classmethod
    def of(cls, agent: Agent) -> Trial:
        """What an agent brings to its calls."""
        return cls(
            variables=agent.variables,
            secrets=agent.secrets,
            webhook_secret=agent.webhook_secret,
            knowledge=agent.knowledge,
            timeout_s=agent.timing.tool_timeout_s,
        )


def check_trial(tool: Tool) -> None:
    """Refuse a tool that acts on a call.

    Raises:
        ConfigError: it is one.
    """
    if tool.tool_type not in _WITHOUT_CALL:
        raise ConfigError(f"{tool.name} acts on a call, and here is none. Try it in a call of Patter.local().")


async def try_out(
    tool: Tool,
    arguments: str | Mapping[str, Any],
    trial: Trial,
    *,
    http: SafeHttp,
    raised: Callable[[str, str, BaseException], object] | None = None,
) -> ToolOutcome:
    """Carry a tool out as in a call; what the mind would be told.

    Args:
        tool: one that `check_trial` lets pass.
        arguments: what the mind would pass.
        trial: what there is in place of a call.
        http: sends its requests.
        raised: takes tool call id, tool and exception of a handler that has raised.
    """
    facts = {"call_id": trial.call_id, "caller": trial.caller, "callee": trial.callee, "direction": trial.direction}
    runner = ToolRunner(
        [tool],
        timeout_s=trial.timeout_s,
        context=lambda: {**facts, "variables": dict(trial.variables)},
        bind=_binder(trial, http),
        hooks=Hooks(raised=raised),
    )
    return await runner.run(f"try-{uuid4().hex}", tool.exported_name, arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Services(CallServices):
    knowledge: Any


def _binder(trial: Trial, http: SafeHttp) -> Callable[[Tool], Handler]:
    now = datetime.now().astimezone()
    system = {
        "caller_phone": trial.caller,
        "callee_phone": trial.callee,
        "call_id": trial.call_id,
        "direction": trial.direction,
        "now": now.isoformat(timespec="seconds"),
        "date": now.date().isoformat(),
        "time": now.strftime("%H:%M"),
    }
    services = _Services(
        variables=Variables(trial.variables, system),
        http=http,
        secrets=trial.secrets,
        webhook_secret=trial.webhook_secret,
        knowledge=trial.knowledge,
    )

    def bind(tool: Tool) -> Handler:
        handler: Handler = import_module(f"patter.tools.executors.{tool.tool_type}").bind(tool, services)
        return handler

    return bind
