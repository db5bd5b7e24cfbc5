"""The phone as a tool of CrewAI's agents."""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from typing import Any

from crewai.tools import BaseTool, EnvVar, ToolFailure, ToolFailurePolicy, ToolFailureReason
from crewai.types.callback import SerializableCallable
from pydantic import BaseModel, Field, PrivateAttr, ValidationError

from patter import CallResult, Patter, PatterTool
from patter.arguments import CallArgs, explain
from patter.tool import ToolAnswer
from patter_crewai.events import tell_bus

__all__ = ["PatterCrewAITool", "never_cache"]

_ENV_VARS = {
    "TWILIO_ACCOUNT_SID": "Account of the carrier, for Twilio().",
    "TWILIO_AUTH_TOKEN": "Secret of the carrier's account, for Twilio().",
    "TWILIO_PHONE_NUMBER": "The number that calls come from, E.164, for Patter(carrier=...).",
    "PATTER_WEBHOOK_URL": "The public host name at which the carrier reaches this machine, for Patter(carrier=...).",
    "DEEPGRAM_API_KEY": "Key of the ears, for DeepgramSTT().",
    "OPENAI_API_KEY": "Key of the mind, for OpenAILLM().",
    "ELEVENLABS_API_KEY": "Key of the voice, for ElevenLabsTTS().",
}


def never_cache(_args: Any = None, _result: Any = None) -> bool:
    """False: two equal calls are two calls. A function of the module, for CrewAI stores it by its path."""
    return False


class PatterCrewAITool(BaseTool):
    """Makes phone calls for a crew: dials, holds the conversation, and returns what came of it.

    It takes a ready tool, ``PatterCrewAITool(tool=PatterTool(...))``, or `PatterTool`'s own arguments,
    ``PatterCrewAITool(phone=phone, agent={...}, allowed_numbers=["+1555"])``. CrewAI's own fields may be
    set beside either.

    `run` returns the envelope, a `CallResult`, and the agent reads its compact JSON; busy, unanswered and failed
    calls are envelopes too. If nothing was dialled, it returns a `ToolFailure` whose text says what to mend.

    Args:
        tool: a ready tool.
        max_usage_count: so many calls, and no more.
        result_as_answer: the envelope is the agent's answer.
        tool_failure_policy: what a `ToolFailure` does to the task; CrewAI's default warns and goes on.
        arguments: `PatterTool`'s own, if no ready tool is given.

    Raises:
        ConfigError: something is missing or malformed.
    """

    args_schema: type[BaseModel] = CallArgs
    result_schema: type[BaseModel] | None = CallResult
    cache_function: SerializableCallable = never_cache
    env_vars: list[EnvVar] = Field(
        default_factory=lambda: [
            EnvVar(name=name, description=text, required=False) for name, text in _ENV_VARS.items()
        ]
    )
    _tool: PatterTool = PrivateAttr()

    def __init__(
        self,
        tool: PatterTool | None = None,
        *,
        max_usage_count: int | None = None,
        result_as_answer: bool = False,
        tool_failure_policy: ToolFailurePolicy | None = None,
        **arguments: Any,
    ) -> None:
        patter_tool = PatterTool.of(tool, **arguments)
        super().__init__(
            name=patter_tool.name,
            description=patter_tool.description,
            max_usage_count=max_usage_count,
            result_as_answer=result_as_answer,
            tool_failure_policy=tool_failure_policy,
        )
        self._tool = patter_tool

    @property
    def phone(self) -> Patter:
        """The phone, for `patter.signals.hang_up_on_signals` and for what the framework cannot do."""
        return self._tool.phone

    def hangup_all(self) -> int:
        """Hang up every live call of the phone, from any thread; how many there were.

        CrewAI cannot cancel a tool: this ends the calls of a crew whose task was cancelled.
        """
        return self._tool.hangup_all()

    def run(self, *args: Any, **kwargs: Any) -> CallResult | ToolFailure:
        """Place a call and wait until it is over. CrewAI's agents use this, in worker threads."""
        try:
            return self._count(super().run(*args, **kwargs))
        except ValueError as error:
            return _misused(error)

    async def arun(self, *args: Any, **kwargs: Any) -> CallResult | ToolFailure:
        """`run` in async code. Cancelling hangs up."""
        try:
            return self._count(await super().arun(*args, **kwargs))
        except ValueError as error:
            return _misused(error)

    def format_output_for_agent(self, raw_result: Any) -> str:
        """What the agent reads of a result of `run`."""
        if isinstance(raw_result, CallResult):
            return raw_result.to_llm()
        return super().format_output_for_agent(raw_result)

    def _run(
        self,
        to: str,
        goal: str | None = None,
        first_message: str | None = None,
        max_duration_sec: int | None = None,
    ) -> CallResult | ToolFailure:
        arguments = _named(to, goal, first_message, max_duration_sec)
        return _given(self._tool.answer_sync(arguments, on_event=partial(tell_bus, self, self.name)))

    async def _arun(
        self,
        to: str,
        goal: str | None = None,
        first_message: str | None = None,
        max_duration_sec: int | None = None,
    ) -> CallResult | ToolFailure:
        arguments = _named(to, goal, first_message, max_duration_sec)
        # CrewAI keeps in the context whose events these are; the loop delivers them in that of the phone.
        context = copy_context()
        tell = partial(tell_bus, self, self.name)
        return _given(await self._tool.answer(arguments, on_event=lambda event: context.run(tell, event)))

    def _count(self, result: CallResult | ToolFailure) -> CallResult | ToolFailure:
        """The result; a use that dialled nothing is given back, so that the agent can mend it."""
        if isinstance(result, ToolFailure) and result.reason is not ToolFailureReason.USAGE_LIMIT:
            with self._usage_lock:
                self.current_usage_count -= 1
        return result


def _named(*values: Any) -> dict[str, Any]:
    return dict(zip(CallArgs.model_fields, values, strict=True))


def _given(answer: ToolAnswer) -> CallResult | ToolFailure:
    if answer.result is not None:
        return answer.result
    return _failure(answer.text, answer.code)


def _misused(error: ValueError) -> ToolFailure:
    """What CrewAI raises for arguments that the schema refuses, before it counts the use."""
    if not isinstance(error.__cause__, ValidationError):
        raise error
    return _failure(explain(error.__cause__), "invalid_arguments")


def _failure(message: str, code: str | None) -> ToolFailure:
    reason = ToolFailureReason.INVALID_INPUT if code == "invalid_arguments" else ToolFailureReason.TOOL_REPORTED
    return ToolFailure(message=message, reason=reason, code=code, retryable=False)
