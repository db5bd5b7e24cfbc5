"""A mind made of the customer's own agent: a function, an address that takes posts, or a websocket."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib import import_module
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from patter.errors import ConfigError, ProviderError
from patter.settings import is_loopback
from patter.voice.answer import Answer
from patter.voice.base import CallContext, ChatModel, Message, ToolCall, ToolSpec
from patter.voice.messages.call import Handler, function
from patter.voice.messages.http import posting
from patter.voice.messages.socket import AgentSocket
from patter.voice.messages.wire import Ask, message_of

__all__ = ["MessageMind", "OnMessage", "mind_of"]

OnMessage = Handler | str

Reach = Callable[[CallContext], AbstractAsyncContextManager[Ask]]

_NOBODY = CallContext(call_id="", caller="", callee="")
_KINDS = (
    "on_message must be a function of one argument, an https:// address or a wss:// address; "
    "plain http:// and ws:// are for 127.0.0.1 alone"
)
_MODULES = {"https": "httpx2", "wss": "websockets.asyncio.client"}


class MessageMind:
    """A chat model that hands what the callee says to an agent of the customer's own.

    The agent is told one message for each turn::

        {"text": "what the callee has just said", "call_id": "...", "caller": "+1...", "callee": "+1...",
         "history": [{"role": "user" or "agent", "text": "..."}, ...], "instructions": "the system prompt"}

    ``history`` is what was said and heard before ``text``. A turn that the callee did not prompt has an
    empty ``text`` and an ``event``: ``answered`` at the beginning of the call, ``silence`` when nobody
    speaks. ``note`` is what has happened beside the talk since the agent spoke last, such as keys that
    were pressed.

    Args:
        on_message: the agent.

            - A function of the message, or an async one, or a generator function of either kind. It answers
              with a text, with ``{"text": ..., "end_call": ...}``, with an iterator of such pieces, or with
              None to say nothing. What is not async runs in a thread, and may run on after a barge-in.
            - An ``https://`` address: the message is posted as JSON. It answers with that object as JSON,
              with ``text/plain``, or with ``text/event-stream`` of ``data: {"delta": "..."}`` lines,
              perhaps ``data: {"end_call": true}``, and ``data: [DONE]``.
            - A ``wss://`` address: `patter.voice.messages.socket` has the frames.
        timeout_s: the longest wait for the next piece of an answer. The call's own limit
            (`patter.settings.Timing.mind_timeout_s`) holds as well.

    Raises:
        ConfigError: ``on_message`` is none of these.
    """

    speculative = False
    """An agent of its own remembers what it was asked, so it is asked only when the turn is certainly over."""

    def __init__(self, on_message: OnMessage, *, timeout_s: float = 8.0) -> None:
        kind, self._reach = _reach(on_message, timeout_s)
        self._kind = kind
        self._timeout_s = timeout_s

    @property
    def model(self) -> str:
        """``custom/callable``, ``custom/https`` or ``custom/wss``."""
        return f"custom/{self._kind}"

    async def start(self) -> None:
        """Import what is needed to reach the agent."""
        if module := _MODULES.get(self._kind):
            await anyio.to_thread.run_sync(import_module, module)

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        """Ask the agent outside of a call. Its tools are its own; it can end the call all the same."""
        return Answer(partial(self._answer_alone, messages), model=self.model)

    def open(self, call: CallContext) -> _CallMind:
        """Open the session of one call, and its connection if it has one."""
        return _CallMind(self.model, self._reach(call), call, self._timeout_s)

    async def _answer_alone(self, messages: Sequence[Message], answer: Answer) -> None:
        async with self.open(_NOBODY) as session:
            await session.write(messages, answer)


def mind_of(mind: ChatModel | OnMessage) -> ChatModel:
    """The chat model itself, or one made of an agent of the customer's own.

    Raises:
        ConfigError: it is neither.
    """
    if not isinstance(mind, str) and callable(getattr(mind, "stream", None)):
        return mind  # type: ignore[return-value]
    return MessageMind(mind)  # type: ignore[arg-type]


class _CallMind:
    """The session of one call."""

    _ask: Ask

    def __init__(self, model: str, link: AbstractAsyncContextManager[Ask], call: CallContext, timeout_s: float) -> None:
        self.model = model
        self._link = link
        self._call = call
        self._timeout_s = timeout_s
        self._hung_up = 0

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        """Ask the agent."""
        return Answer(partial(self.write, messages), model=self.model)

    async def write(self, messages: Sequence[Message], answer: Answer) -> None:
        """Write the agent's answer; after its text, hang up if it says so."""
        answer.accept()
        message = message_of(messages, self._call)
        if message is None:
            return
        end_call = False
        with anyio.CancelScope(deadline=anyio.current_time() + self._timeout_s) as patience:

            async def say(text: str) -> None:
                if text:
                    patience.deadline = math.inf  # a call that is busy is not the agent's delay
                    await answer.send(text)
                    patience.deadline = anyio.current_time() + self._timeout_s

            end_call = await self._ask(message, say)
        if patience.cancelled_caught:
            problem = f"The on_message agent answered nothing for {self._timeout_s:g} s"
            raise ProviderError("llm", f"{problem}; let it answer sooner, or piece by piece.", retryable=True)
        if end_call:
            self._hung_up += 1
            await answer.send(ToolCall(f"end_call_{self._hung_up}", "end_call", '{"reason":"other"}'))

    async def __aenter__(self) -> Self:
        self._ask = await self._link.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._link.__aexit__(kind, error, trace)


def _reach(on_message: OnMessage, timeout_s: float) -> tuple[str, Reach]:
    if callable(on_message):
        return "callable", partial(function, on_message)
    if not isinstance(on_message, str):
        raise ConfigError(f"{_KINDS}. It is {type(on_message).__name__}.")
    try:
        parts = urlsplit(on_message)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.fragment or re.search(r"[\s\x00-\x1f]", on_message):
        raise ConfigError(f"{_KINDS}. The text that was passed is no address.")
    is_local = is_loopback(on_message)
    if parts.scheme == "https" or (parts.scheme == "http" and is_local):
        return "https", lambda call: posting(on_message, is_loopback=is_local, timeout_s=timeout_s)
    if parts.scheme == "wss" or (parts.scheme == "ws" and is_local):
        return "wss", lambda call: AgentSocket(on_message, call)
    raise ConfigError(f"{_KINDS}. The address that was passed begins with {parts.scheme}://.")
