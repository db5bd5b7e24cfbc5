"""PatterTool: a phone as one tool, the front door for every framework."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import anyio

from patter import schema
from patter.agent import Agent
from patter.call.request import EventSink
from patter.errors import ConfigError, InvalidArguments, NotAllowed, PatterError, PhoneStopped
from patter.phone import Patter
from patter.policy.numbers import AllowedNumbers, check_allowed, read_allowed
from patter.schema import CallArguments, check_arguments, check_purpose
from patter.settings import DEFAULT_CALL_S, MAX_CALL_S, MIN_CALL_S

if TYPE_CHECKING:
    from patter.envelope import CallResult

__all__ = ["HermesRegistry", "PatterTool", "ToolAnswer"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CODES: tuple[tuple[type[PatterError], str], ...] = (
    (NotAllowed, "not_allowed"),
    (InvalidArguments, "invalid_arguments"),
    (ConfigError, "config_error"),
    (PhoneStopped, "phone_stopped"),
)
_log = logging.getLogger("patter")


class HermesRegistry(Protocol):
    """What `PatterTool.register_hermes` needs of Hermes's tool registry."""

    def register(
        self, *, name: str, toolset: str, schema: dict[str, Any], handler: Callable[..., Awaitable[str]]
    ) -> Any: ...


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What the host's model reads of one use of the tool, and the envelope behind it.

    Args:
        text: the envelope as compact JSON; of an error, a sentence that names the field or the remedy.
        result: the envelope; None if nothing was dialled.
        code: None, or why nothing was dialled: ``invalid_arguments``, ``not_allowed``, ``config_error``,
            ``phone_stopped`` or ``internal_error``.
    """

    text: str
    result: CallResult | None = None
    code: str | None = None

    @property
    def is_error(self) -> bool:
        """True if nothing was dialled. A call that was busy or failed is a result."""
        return self.result is None

    def __str__(self) -> str:
        return self.text


class PatterTool:
    """Wraps one phone as exactly one tool.

    Args:
        phone: the phone that places the calls.
        agent: who speaks on it: an `Agent` or ``{"stt": ..., "llm": ..., "tts": ...}``. On the local
            network it may be left out.
        name: the tool's name for the host's model.
        description: what the host's model reads.
        max_duration_sec: length of a call that names none.
        max_concurrent_calls: more calls than this wait for their turn.
        include_details: False leaves ``details`` out of the envelopes.
        allowed_numbers: prefixes such as ``["+1555"]`` or a function; None allows all. A model
            dials real phones: set it in production.

    Raises:
        ConfigError: something is missing or malformed.
    """

    def __init__(
        self,
        phone: Patter,
        agent: Agent | Mapping[str, Any] | None = None,
        *,
        name: str = "make_phone_call",
        description: str = schema.DESCRIPTION,
        max_duration_sec: int = DEFAULT_CALL_S,
        max_concurrent_calls: int = 10,
        include_details: bool = True,
        allowed_numbers: AllowedNumbers | None = None,
    ) -> None:
        if not isinstance(phone, Patter):
            raise ConfigError("phone must be a Patter(...), or Patter.local() to try without keys.")
        if not _NAME.fullmatch(name):
            raise ConfigError(f"name {name!r} is no tool name: 1 to 64 characters of A-Z a-z 0-9 _ -.")
        if type(max_duration_sec) is not int or not MIN_CALL_S <= max_duration_sec <= MAX_CALL_S:
            raise ConfigError(f"max_duration_sec must be a whole number of seconds, {MIN_CALL_S} to {MAX_CALL_S}.")
        if type(max_concurrent_calls) is not int or max_concurrent_calls < 1:
            raise ConfigError("max_concurrent_calls must be a whole number, at least 1.")
        self.phone = phone
        self.agent = phone.check_agent(agent)
        self.name = name
        self.description = description
        self._max_duration_sec = max_duration_sec
        self._include_details = include_details
        self._allowed = read_allowed(allowed_numbers)
        self._slots = anyio.Semaphore(max_concurrent_calls)
        self._queued: set[anyio.CancelScope] = set()
        self._is_stopped = False

    @classmethod
    def of(cls, tool: PatterTool | None = None, **arguments: Any) -> PatterTool:
        """The tool itself, or one made of `PatterTool`'s own arguments: what an adapter's constructor takes.

        Raises:
            ConfigError: both were given, or neither.
        """
        if tool is None:
            if "phone" not in arguments:
                raise ConfigError("Pass tool=PatterTool(...), or PatterTool's own arguments, phone=Patter(...) first.")
            return cls(**arguments)
        if not isinstance(tool, PatterTool):
            raise ConfigError(f"tool must be a PatterTool, and {type(tool).__name__} is none.")
        if arguments:
            raise ConfigError(f"Pass {', '.join(sorted(arguments))} to PatterTool(...), not beside tool=.")
        return tool

    # --- lifetime ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the phone. Calling it again does nothing; `execute` does it when needed."""
        await self.phone.start(self.agent)
        await self.phone.engine.run(lambda _: self.agent.start())
        self._is_stopped = False

    async def stop(self) -> None:
        """End the live calls, each with its envelope, and the phone. Further calls raise `PhoneStopped`."""
        self._is_stopped = True
        await self.phone.stop()

    async def __aenter__(self) -> PatterTool:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.stop()

    # --- the call ------------------------------------------------------------------------------

    async def execute(
        self,
        args: Mapping[str, Any] | None = None,
        /,
        *,
        on_event: EventSink | None = None,
        idempotency_key: str | None = None,
        **kwargs: Any,
    ) -> CallResult:
        """Place a call and wait until it is over. Cancelling hangs up.

        Args:
            args: ``{"to": ..., "goal": ..., "first_message": ..., "max_duration_sec": ...}``; the same
                may be passed as keywords. Only ``to`` is required, and ``goal`` unless the agent has a
                ``system_prompt``.
            on_event: takes progress events, on this loop.
            idempotency_key: a second use of the key gets the first one's envelope; nothing is dialled.

        Returns:
            The envelope. Busy, unanswered, failed and timed-out calls are envelopes too.

        Raises:
            InvalidArguments, ConfigError, PhoneStopped: nothing was dialled.
        """
        arguments = self.check(args, **kwargs)
        return await self.phone.engine.run(lambda sink: self._execute(arguments, sink, idempotency_key), on_event)

    def execute_sync(
        self,
        args: Mapping[str, Any] | None = None,
        /,
        *,
        on_event: EventSink | None = None,
        idempotency_key: str | None = None,
        **kwargs: Any,
    ) -> CallResult:
        """`execute` for plain and threaded code; events arrive in this thread. An interrupt hangs up."""
        arguments = self.check(args, **kwargs)
        return self.phone.engine.run_sync(lambda sink: self._execute(arguments, sink, idempotency_key), on_event)

    async def answer(
        self,
        args: Mapping[str, Any] | str | None = None,
        /,
        *,
        on_event: EventSink | None = None,
        tool_call_id: str | None = None,
        scope: str = "",
    ) -> ToolAnswer:
        """`execute` for a framework: never raises, and says what the model reads. Cancelling hangs up.

        Args:
            args: as for `execute`, or JSON text as a model writes it.
            tool_call_id: the host model's id of this use. The same use twice, with the same arguments,
                gets the first one's envelope and nothing is dialled.
            scope: what the id is unique in, such as a thread's id.
        """
        try:
            args = _read(args)
            key = self._key(args, tool_call_id, scope)
            return _told(await self.execute(args, on_event=on_event, idempotency_key=key))
        except Exception as error:  # the boundary to the host: its model reads this
            return _refused(error)

    def answer_sync(
        self,
        args: Mapping[str, Any] | str | None = None,
        /,
        *,
        on_event: EventSink | None = None,
        tool_call_id: str | None = None,
        scope: str = "",
    ) -> ToolAnswer:
        """`answer` for plain and threaded code; events arrive in this thread. An interrupt hangs up."""
        try:
            args = _read(args)
            key = self._key(args, tool_call_id, scope)
            return _told(self.execute_sync(args, on_event=on_event, idempotency_key=key))
        except Exception as error:  # the boundary to the host: its model reads this
            return _refused(error)

    def _key(self, args: Mapping[str, Any] | None, tool_call_id: str | None, scope: str) -> str | None:
        """The idempotency key of a use: an id is not enough, for some models number their calls anew each time."""
        return None if not tool_call_id else f"{scope}/{tool_call_id}/{self.check(args)!r}"

    def check(self, args: Mapping[str, Any] | None = None, /, **kwargs: Any) -> CallArguments:
        """The checked arguments of a call that may be placed; everything `execute` raises for, without dialling."""
        if args is not None and not isinstance(args, Mapping):
            problem = f"{type(args).__name__} is not an object"
            raise InvalidArguments("arguments", problem, 'Pass {"to": "+15551234567", "goal": "..."}.')
        if both := sorted(set(args or {}) & set(kwargs)):
            raise InvalidArguments(both[0], "it was passed twice", "Pass it in the object or as a keyword.")
        if self._is_stopped:
            raise PhoneStopped("This tool was stopped. Start it again, or make a new one.")
        arguments = check_arguments({**(args or {}), **kwargs})
        check_allowed(arguments.to, self._allowed)
        if self.agent.name is None:  # else the store may say what it wants
            check_purpose(arguments, self.agent)
        return arguments

    def hangup(self, call_id: str) -> bool:
        """Hang up one call, from any thread. False if there is no such live call."""
        return self.phone.hangup(call_id)

    def hangup_all(self) -> int:
        """Hang up every live call of the phone, from any thread; how many there were.

        Calls of this tool that wait for their turn are not placed any more, and raise `PhoneStopped`.
        """
        self.phone.engine.invoke(self._drop_queued)
        return self.phone.hangup_all()

    def _drop_queued(self) -> None:
        for scope in self._queued:
            scope.cancel()

    async def _wait_for_slot(self) -> None:
        with anyio.CancelScope() as scope:
            self._queued.add(scope)
            try:
                await self._slots.acquire()
            finally:
                self._queued.discard(scope)
        if scope.cancelled_caught:
            raise PhoneStopped("The call was hung up while it waited for its turn; nothing was dialled.")

    async def _execute(self, arguments: CallArguments, sink: EventSink | None, key: str | None) -> CallResult:
        await self._wait_for_slot()
        try:
            result = await self.phone.call(
                arguments.to,
                goal=arguments.goal,
                first_message=arguments.first_message,
                max_duration_s=arguments.max_duration_sec or self._max_duration_sec,
                agent=self.agent,
                on_event=sink,
                idempotency_key=key,
            )
        finally:
            self._slots.release()
        return result if self._include_details else result.model_copy(update={"details": None})

    # --- schemas -------------------------------------------------------------------------------

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of the arguments; the same in every exporter. A copy."""
        parameters: dict[str, Any] = self.hermes_schema()["parameters"]
        return parameters

    def openai_schema(self, api: Literal["chat", "responses"] = "chat", *, strict: bool = False) -> dict[str, Any]:
        """The tool for OpenAI's chat completions or responses."""
        return schema.openai_schema(self.name, self.description, api=api, strict=strict)

    def anthropic_schema(self) -> dict[str, Any]:
        """The tool for Anthropic's messages."""
        return schema.anthropic_schema(self.name, self.description)

    def hermes_schema(self) -> dict[str, Any]:
        """The tool for Hermes."""
        return schema.hermes_schema(self.name, self.description)

    def hermes_handler(self) -> Callable[..., Awaitable[str]]:
        """A handler that takes the arguments and returns JSON text: the envelope, or ``{"error": "..."}``.

        It never raises. The text of an error names the field or the remedy, and nothing of the program.
        """

        async def handler(args: Mapping[str, Any] | None = None, **_: Any) -> str:
            answer = await self.answer(args or {})
            if answer.result is None:
                return json.dumps({"error": answer.text}, ensure_ascii=False)
            return answer.result.to_json()

        return handler

    def register_hermes(self, registry: HermesRegistry, toolset: str = "patter") -> None:
        """Enter the tool into a Hermes tool registry."""
        registry.register(name=self.name, toolset=toolset, schema=self.hermes_schema(), handler=self.hermes_handler())

    # --- other frameworks ----------------------------------------------------------------------

    def to_mcp(self, server: Any = None) -> Any:
        """The tool on an MCP server: the one given (``FastMCP`` of mcp 1.x, ``MCPServer`` of 2.x), or a new one.

        Cancelling and disconnecting hang up; progress is reported to clients that ask for it.

        Raises:
            ConfigError: the package mcp is missing, or the server cannot take the tool.
        """
        from patter.exports.mcp import to_mcp

        return to_mcp(self, server)

    def to_openai_agents(self, *, needs_approval: bool = False, on_event: EventSink | None = None) -> Any:
        """The tool as an ``agents.FunctionTool``; its outputs in the run's items are `ToolAnswer`.

        Raises:
            ConfigError: the package openai-agents is missing.
        """
        from patter.exports.openai_agents import to_openai_agents

        return to_openai_agents(self, needs_approval=needs_approval, on_event=on_event)

    def to_pydantic_ai(self, *, requires_approval: bool = False, on_event: EventSink | None = None) -> Any:
        """The tool as a ``pydantic_ai.Tool``; the envelope is the ``metadata`` of its returns.

        Raises:
            ConfigError: the package pydantic-ai-slim is missing.
        """
        from patter.exports.pydantic_ai import to_pydantic_ai

        return to_pydantic_ai(self, requires_approval=requires_approval, on_event=on_event)


def _read(args: Mapping[str, Any] | str | None) -> Mapping[str, Any] | None:
    if not isinstance(args, str):
        return args
    try:
        arguments: Mapping[str, Any] | None = json.loads(args) if args.strip() else None
    except ValueError:
        raise InvalidArguments("arguments", "they are no JSON", 'Pass {"to": "+15551234567", "goal": "..."}.') from None
    return arguments


def _told(result: CallResult) -> ToolAnswer:
    return ToolAnswer(result.to_llm(), result)


def _refused(error: Exception) -> ToolAnswer:
    """Patter's own errors name the field or the remedy; the text of others may hold anything, and is not told."""
    if isinstance(error, PatterError):
        code = next((code for kind, code in _CODES if isinstance(error, kind)), "internal_error")
        return ToolAnswer(str(error), code=code)
    _log.warning("a phone call failed with %s", type(error).__name__)
    return ToolAnswer("The phone call could not be placed.", code="internal_error")
