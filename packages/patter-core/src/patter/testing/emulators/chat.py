"""What the chat vendors' emulators share: the server, the record of each request, and refusals."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from patter.testing.emulators.faults import Fault, Faults, Refuse
from patter.testing.emulators.minds import Mind, Writing, ask
from patter.testing.emulators.serving import Serving
from patter.testing.emulators.sse import Event, Pace, Reply, as_json, deliver
from patter.voice.base import Message, ToolSpec

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["Asked", "ChatRequest", "ChatServer", "RateLimited", "Refused", "json_reply", "write"]

REQUESTS_KEPT = 10_000
SECRET_HEADERS = frozenset({"authorization", "x-api-key", "cookie"})


@dataclass(frozen=True, slots=True)
class RateLimited(Refuse):
    """Refuses with 429 and a time to wait.

    Args:
        retry_after_ms: the header retry-after-ms, which the SDKs prefer to Retry-After, or none.
    """

    status: int = 429
    retry_after_ms: float | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer, besides those of its body."""
        given = {"Retry-After": self.retry_after_s, "retry-after-ms": self.retry_after_ms}
        return {name: f"{value:g}" for name, value in given.items() if value is not None}


class Refused(Exception):
    """The request is answered with an HTTP error."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"HTTP {status}: {json.dumps(body)}")
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants of the model.

    Args:
        tools: those that may be called now.
        limit: the most tokens of the answer.
        usage: True if the stream is to tell the tokens.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    stream: bool
    limit: int | None
    usage: bool = True


@dataclass(slots=True, eq=False)
class ChatRequest:
    """A request and what became of it. Times are those of `anyio.current_time`, in seconds."""

    method: str
    path: str
    body: Any
    """The parsed JSON, or None if there was none."""
    headers: Mapping[str, str]
    """By their names in lower case, without the key."""
    fault: Fault | None = None
    started_at: float = field(default_factory=anyio.current_time)
    messages: tuple[Message, ...] = ()
    """The history, once it was read and found valid."""
    tools: tuple[ToolSpec, ...] = ()
    status: int | None = None
    first_token_at: float | None = None
    ended_at: float | None = None
    stopped_by_client: bool = False
    """True if the client closed the connection, at ``ended_at``, before the answer was complete."""
    complete: bool = False
    """True once the answer has come to its proper end."""
    tokens_sent: int = 0
    token_times: list[float] = field(default_factory=list, repr=False)
    """When each piece of the answer that brought tokens was sent."""
    _over: anyio.Event = field(default_factory=anyio.Event, repr=False)

    async def ended(self) -> None:
        """Wait until the answer has ended, properly or not."""
        await self._over.wait()

    def on_status(self, status: int) -> None:
        """Note that the headers were sent."""
        self.status = status

    def on_event(self, event: Event) -> None:
        """Note that an event was sent."""
        if event.tokens:
            self.token_times.append(anyio.current_time())
            self.first_token_at = self.token_times[0]
        self.tokens_sent += event.tokens
        self.complete = self.complete or event.ends

    def on_end(self, *, stopped: bool = False) -> None:
        """Note that the answer has ended, unless it had ended before."""
        if self.ended_at is None:
            self.ended_at = anyio.current_time()
            self.stopped_by_client = stopped and not self.complete
            self._over.set()


def json_reply(
    body: Mapping[str, Any],
    status: int = 200,
    *,
    headers: Mapping[str, str] | None = None,
    tokens: int = 0,
    pause_s: float = 0.0,
) -> Reply:
    """A whole answer. ``tokens`` other than 0 takes a model's time."""
    event = Event(as_json(body), tokens, pause_s, ends=True)
    return Reply(events=[event], status=status, headers=headers or {}, generated=tokens > 0)


async def write(mind: Mind, request: ChatRequest, asked: Asked) -> Writing:
    """Ask the mind, and enter into the record what it was asked."""
    request.messages, request.tools = asked.messages, asked.tools
    answer = await ask(mind, asked.messages, asked.tools)
    if answer.endless and not asked.stream:
        # It is written for ever, and only then sent.
        await anyio.sleep_forever()
    return Writing(answer, asked.limit)


class Vendor(Protocol):
    """What an emulator adds to the server."""

    first_token_ms: float
    token_ms: float

    async def reply(self, request: ChatRequest, key: str) -> Reply:
        """The answer to a request that came with this key, or an empty one. Raises `Refused`."""

    def refusal(self, status: int) -> Mapping[str, Any]:
        """The vendor's usual body of an HTTP error."""


class ChatServer:
    """An HTTP server that answers as a vendor says, at a model's pace, with the faults that are queued.

    What a test's own answer function raises is answered with 500, and raised when the server is left.
    """

    def __init__(self, vendor: Vendor) -> None:
        self.faults = Faults()
        self.requests: list[ChatRequest] = []
        self._vendor = vendor
        self._serving = Serving(self)
        self._running: set[anyio.CancelScope] = set()
        self._failure: Exception | None = None

    async def __aenter__(self) -> str:
        self._came = anyio.Event()
        return await self._serving.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        for running in self._running:
            running.cancel()
        handled = await self._serving.__aexit__(kind, error, trace)
        if error is None and self._failure is not None:
            raise self._failure
        return handled

    async def nth_request(self, number: int = 1) -> ChatRequest:
        """Wait until this many requests have come, and return the last of them."""
        while len(self.requests) < number:
            await self._came.wait()
        return self.requests[number - 1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _read(receive)
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        shown = {name: value for name, value in headers.items() if name not in SECRET_HEADERS}
        request = ChatRequest(scope["method"], scope["path"], body, shown, self.faults.take())
        self._enter(request)
        done = False
        with anyio.CancelScope() as running:
            self._running.add(running)
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_watch, receive, request, running)
                    reply = await self._reply(request, _key(headers))
                    pace = Pace(self._vendor.first_token_ms / 1000, self._vendor.token_ms / 1000)
                    done = await deliver(reply, request.fault, pace, request, send)
                    tasks.cancel_scope.cancel()
            finally:
                self._running.discard(running)
                request.on_end()
        if not done:
            await _break_off(receive, send)

    def _enter(self, request: ChatRequest) -> None:
        self.requests.append(request)
        del self.requests[:-REQUESTS_KEPT]
        came, self._came = self._came, anyio.Event()
        came.set()

    async def _reply(self, request: ChatRequest, key: str) -> Reply:
        if isinstance(fault := request.fault, Refuse):
            if isinstance(fault.body, str):
                events = [Event(fault.body.encode(), ends=True)]
                return Reply(events=events, status=fault.status, media_type="text/plain", headers=fault.headers)
            return json_reply(fault.body or self._vendor.refusal(fault.status), fault.status, headers=fault.headers)
        try:
            return await self._vendor.reply(request, key)
        except Refused as refused:
            return json_reply(refused.body, refused.status)
        except Exception as error:  # whatever a test's own function raises
            self._failure = self._failure or error
            return json_reply(self._vendor.refusal(500), 500)


async def _read(receive: Receive) -> Any:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    try:
        return json.loads(body)
    except ValueError:
        return None


def _key(headers: Mapping[str, str]) -> str:
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")


async def _watch(receive: Receive, request: ChatRequest, running: anyio.CancelScope) -> None:
    """Stop the answer when the client closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    request.on_end(stopped=True)
    running.cancel()


async def _break_off(receive: Receive, send: Callable[..., Awaitable[None]]) -> None:
    """Reset the connection, as a lost network does. ASGI has no word for it; uvicorn's ``send`` knows the transport."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        return
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
