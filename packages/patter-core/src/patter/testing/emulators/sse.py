"""The answer to one HTTP request: its events, when each is sent, and what a fault does to them."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio

from patter.testing.emulators.faults import (
    BlackHole,
    Drop,
    ErrorFrame,
    Fault,
    Garbage,
    SilentEnd,
    Stall,
    UnknownEvents,
)

__all__ = ["Event", "Pace", "Reply", "as_data", "as_event", "as_json", "deliver"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Event:
    """A piece of the body.

    Args:
        tokens: how many tokens it brings.
        pause_s: the model hesitates so long before it.
        early: sent before the model has begun to think.
        ends: belongs to the proper end of an answer: what `SilentEnd` leaves out.
    """

    data: bytes
    tokens: int = 0
    pause_s: float = 0.0
    early: bool = False
    ends: bool = False


def as_json(message: Mapping[str, Any]) -> bytes:
    """A body of its own."""
    return json.dumps(message).encode()


def as_data(message: Mapping[str, Any]) -> bytes:
    """A server-sent event without a name."""
    return b"data: " + as_json(message) + b"\n\n"


def as_event(message: Mapping[str, Any]) -> bytes:
    """A server-sent event that is named after its type."""
    return b"event: " + str(message["type"]).encode() + b"\n" + as_data(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer to be sent.

    Args:
        events: made one by one, while they are sent.
        generated: True if a model writes it, at its pace.
        encode: the shape of a message on this wire.
        error: what the vendor says when it breaks down in the middle.
        unknown: a message of a kind that no client knows; None if there is no such thing.
        garbage: something that no client can parse.
    """

    events: Iterable[Event]
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    generated: bool = False
    encode: Callable[[Mapping[str, Any]], bytes] = as_json
    error: Mapping[str, Any] = field(default_factory=dict)
    unknown: Mapping[str, Any] | None = None
    garbage: bytes = b"<html>"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the model writes, in seconds: to the first token, and from token to token."""

    first_token_s: float
    token_s: float


class Progress(Protocol):
    """Who wants to know how far a reply has come."""

    def on_status(self, status: int) -> None:
        """The headers were sent."""

    def on_event(self, event: Event) -> None:
        """An event was sent."""

    def on_end(self) -> None:
        """The body is about to be closed."""


async def deliver(reply: Reply, fault: Fault | None, pace: Pace, progress: Progress, send: Send) -> bool:
    """Send a reply as far as the fault lets it come.

    Returns:
        False if the connection is to be broken off now.
    """
    if isinstance(fault, BlackHole):
        await anyio.sleep_forever()
    limit_s = math.inf
    if isinstance(fault, Drop):
        if fault.at_once:
            return False
        limit_s = fault.after_s if fault.after_s is not None else math.inf
    with anyio.move_on_after(limit_s):
        headers = {"content-type": reply.media_type, **reply.headers}
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
        progress.on_status(reply.status)
        if await _send_events(reply, fault, pace, progress, send):
            # Before the send: uvicorn reports the end of the response as a disconnection.
            progress.on_end()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return True
    return False


async def _send_events(reply: Reply, fault: Fault | None, pace: Pace, progress: Progress, send: Send) -> bool:
    """Send the body. False if the connection is to be broken off in the middle of it."""
    sent = 0
    begun = not reply.generated
    written = False

    async def write(data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})

    for event in reply.events:
        wait_s = event.pause_s + pace.token_s * (event.tokens if written else max(event.tokens - 1, 0))
        if not begun and not event.early:
            begun = True
            wait_s += pace.first_token_s
        await anyio.sleep(wait_s)
        match fault:
            case Drop(after_messages=int(limit)) if sent >= limit:
                return False
            case Stall(after_messages=limit) if sent >= limit:
                await anyio.sleep_forever()
            case SilentEnd(after_messages=limit) if sent >= limit or event.ends:
                return True
            case ErrorFrame(after_messages=limit) if sent >= limit:
                await write(reply.encode(fault.message or reply.error))
                return True
            case Garbage(after_messages=limit) if sent == limit:
                await write(reply.garbage)
            case UnknownEvents() if reply.unknown is not None:
                await write(reply.encode(reply.unknown))
        await write(event.data)
        progress.on_event(event)
        sent += 1
        written = written or event.tokens > 0
    return True
