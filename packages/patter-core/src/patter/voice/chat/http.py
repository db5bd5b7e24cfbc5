"""Chat models over HTTP: what OpenAI's and Anthropic's clients do alike.

A vendor brings a `Dialect`: its SDK, its request and its reply. Connections, time limits, asking again,
and stopping early are done here, once. The body of an answer is read to its end, because a connection
that is left before that cannot be used for the next turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import anyio

from patter.errors import ConfigError, ProviderError
from patter.tasks import OwnTasks
from patter.voice.answer import Answer
from patter.voice.base import Message, ToolSpec, Usage
from patter.voice.chat.failure import Failure, Vendor, read_failure
from patter.voice.chat.wire import Reply, ServerSentData

__all__ = ["Body", "ChatHttp", "ChatSession", "Dialect"]

T = TypeVar("T")

_CLOSE_S = 0.4
_BILL_S = 1.0
"""How long the usage may take, once the model has said why it stopped."""
_TAIL_S = 0.1
"""How long the end of the body may take, once nothing more is to come in it."""


class Client(Protocol):
    """A vendor's SDK client: one pool of connections."""

    async def close(self) -> None: ...


class Body(Protocol):
    """The body of an answer, as the SDKs give it."""

    def iter_bytes(self) -> AsyncIterator[bytes]: ...


class Dialect(Protocol):
    """What is different from vendor to vendor."""

    @property
    def vendor(self) -> Vendor: ...

    @property
    def model(self) -> str:
        """As the price table names it."""

    @property
    def timeout_s(self) -> float:
        """The longest wait for the first piece of an answer, and between two pieces."""

    @property
    def dispensable(self) -> Collection[str]:
        """Parameters that are left out for servers that refuse them."""

    def load(self) -> Callable[[], Client]:
        """Import the SDK; what makes a client. Runs in a thread."""

    def request(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], without: Collection[str]
    ) -> dict[str, Any]:
        """The arguments of the SDK's ``create``."""

    def reply(self) -> Reply:
        """A new reply."""

    def ask(self, client: Any, request: Mapping[str, Any]) -> AbstractAsyncContextManager[Body]:
        """Send the request; entering waits for the headers of the answer."""

    async def greet(self, client: Any) -> None:
        """Send a cheap request, so that there is a connection."""


class ChatHttp:
    """The chat model of one dialect. Cheap until it is started, and used by any number of calls at once."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._new_client: Callable[[], Client] | None = None
        self._refused: set[str] = set()

    async def start(self) -> None:
        """Import the SDK in a thread, unless that was done.

        Raises:
            ConfigError: the SDK cannot be imported.
        """
        if self._new_client is None:
            self._new_client = await anyio.to_thread.run_sync(self.dialect.load)

    def open(self) -> ChatSession:
        """The session of one call."""
        return ChatSession(self)

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec], client: Client | None = None) -> Answer:
        """Ask for an answer, on connections of its own if no client is given."""
        return Answer(partial(self._write, messages, tools, client), model=self.dialect.model)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client of one's own.

        Raises:
            ProviderError: the SDK cannot be imported.
        """
        try:
            await self.start()
        except ConfigError as error:
            raise ProviderError("llm", str(error)) from None
        assert self._new_client is not None
        client = self._new_client()
        try:
            yield client
        finally:
            with anyio.move_on_after(_CLOSE_S, shield=True), suppress(Exception):
                await client.close()

    async def _write(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], client: Client | None, answer: Answer
    ) -> None:
        if client is None:
            async with self.client() as own:
                await self._write(messages, tools, own, answer)
            return
        exchange = _Exchange(self.dialect, client, answer)
        left_out: set[str] = set()
        while True:
            request = self.dialect.request(messages, tools, self._refused)
            failure = await exchange.attempt(request)
            if failure is None:
                return
            if unwanted := failure.unwanted.intersection(self.dialect.dispensable) - left_out:
                left_out |= unwanted
                self._refused |= unwanted
            else:
                await exchange.pause(failure)


class ChatSession:
    """The session of one call: connections of its own, the first of which is made while the phone rings."""

    def __init__(self, chat: ChatHttp) -> None:
        self._chat = chat
        self._owner = OwnTasks()
        self._connections = chat.client()

    @property
    def model(self) -> str:
        """As the price table names it."""
        return self._chat.dialect.model

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        """Ask for an answer. Leaving the context stops the generation, at the vendor too."""
        return self._chat.stream(messages, tools, self._client)

    async def __aenter__(self) -> Self:
        self._client = await self._connections.__aenter__()
        tasks = await self._owner.__aenter__()
        tasks.start_soon(self._warm)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._owner.__aexit__(kind, error, trace)
        finally:
            await self._connections.__aexit__(None, None, None)

    async def _warm(self) -> None:
        with suppress(Exception):  # what is wrong is told by the first real request
            await self._chat.dialect.greet(self._client)


class _Exchange:
    """The requests that one answer takes."""

    def __init__(self, dialect: Dialect, client: Client, answer: Answer) -> None:
        self._dialect = dialect
        self._client = client
        self._answer = answer
        self._left_s = dialect.timeout_s
        self._begun = False
        self._repeated = False

    async def attempt(self, request: Mapping[str, Any]) -> Failure | None:
        """Ask, and write the answer; None if it was written to its end.

        Raises:
            ProviderError: it has failed when a part of it was written, so it cannot be asked for again.
        """
        began = anyio.current_time()
        reply = self._dialect.reply()
        try:
            await self._receive(request, reply)
        except Exception as error:  # the SDKs' versions have no exceptions in common
            failure = read_failure(
                error,
                self._dialect.vendor,
                begun=reply.size > 0,
                timeout_s=self._dialect.timeout_s,
                parameters={**request, **request.get("extra_body", {})},
            )
            if self._begun:
                raise failure.error from None
            self._left_s -= 0 if reply.size else anyio.current_time() - began
            return failure
        return None

    async def pause(self, failure: Failure) -> None:
        """Wait before the second request; raise the failure if there is to be none."""
        if self._repeated or not failure.again or failure.wait_s >= self._left_s:
            raise failure.error
        self._repeated = True
        self._left_s -= failure.wait_s
        await anyio.sleep(failure.wait_s)

    async def _receive(self, request: Mapping[str, Any], reply: Reply) -> None:
        patience = _Patience(self._left_s)
        manager = self._dialect.ask(self._client, request)
        body = await patience.wait(manager.__aenter__())
        self._answer.accept()
        pieces = body.iter_bytes()
        try:
            await self._read(pieces, reply, patience)
        finally:
            with anyio.move_on_after(_CLOSE_S, shield=True):
                await _leave(manager, pieces)
        if reply.usage is not None:
            await self._answer.send(reply.usage)
        reply.check()

    async def _read(self, pieces: AsyncIterator[bytes], reply: Reply, patience: _Patience) -> None:
        decoder = ServerSentData()
        while True:
            try:
                data = await patience.wait(pieces.__anext__(), _tail_s(reply))
            except StopAsyncIteration:
                break
            except Exception:
                if not reply.finished:
                    raise
                return  # all was said; only the bill is missing, or the end of the body
            size = reply.size
            for event in decoder.feed(data):
                await self._feed(reply, event)
            if reply.size > size:
                patience.renew(self._dialect.timeout_s)
        for event in decoder.end():
            await self._feed(reply, event)

    async def _feed(self, reply: Reply, event: str) -> None:
        if reply.complete:
            return
        for delta in reply.feed(event):
            self._begun = self._begun or not isinstance(delta, Usage)
            await self._answer.send(delta)


class _Patience:
    """How long may still be waited for the vendor. The time in which nobody waits for it does not count."""

    def __init__(self, left_s: float) -> None:
        self._left_s = left_s

    def renew(self, left_s: float) -> None:
        self._left_s = left_s

    async def wait(self, work: Awaitable[T], limit_s: float | None = None) -> T:
        """The result of the work. Raises TimeoutError when patience, or the limit, is over."""
        began = anyio.current_time()
        try:
            with anyio.fail_after(self._left_s if limit_s is None else min(limit_s, self._left_s)):
                return await work
        finally:
            self._left_s -= anyio.current_time() - began


def _tail_s(reply: Reply) -> float | None:
    if reply.complete:
        return _TAIL_S
    return _BILL_S if reply.finished else None


async def _leave(manager: AbstractAsyncContextManager[Body], pieces: AsyncIterator[bytes]) -> None:
    """Close the connection, unless its body was read to its end."""
    with suppress(Exception):
        await manager.__aexit__(None, None, None)
    # The SDKs' generators end by themselves now. Left to the garbage collector, each becomes a task of the loop.
    with suppress(Exception, StopAsyncIteration):
        while True:
            await pieces.__anext__()
