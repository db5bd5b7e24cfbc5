"""An agent of the customer's own that answers HTTP requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from patter.errors import ProviderError
from patter.voice.messages.wire import ANSWER_BYTES, DONE, Ask, Events, Say, read_json, read_piece
from patter.voice.refusal import RETRYABLE_STATUSES

if TYPE_CHECKING:
    import httpx2

__all__ = ["posting"]

_CONNECT_S = 5.0
_CONNECTIONS = 4
_HEADERS = {
    "accept": "text/event-stream, application/json;q=0.9, text/plain;q=0.8",
    # What is compressed may be larger than it looks.
    "accept-encoding": "identity",
}


@asynccontextmanager
async def posting(url: str, *, is_loopback: bool, timeout_s: float) -> AsyncIterator[Ask]:
    """Posts each message to the address, over connections that are kept.

    Args:
        is_loopback: a proxy of the environment is not for this machine.
        timeout_s: the longest wait for any part of an answer.
    """

    def client() -> httpx2.AsyncClient:
        httpx = import_module("httpx2")
        opened: httpx2.AsyncClient = httpx.AsyncClient(
            trust_env=not is_loopback,
            verify=not url.lower().startswith("http:"),
            follow_redirects=False,
            headers=_HEADERS,
            timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
            limits=httpx.Limits(max_connections=_CONNECTIONS),
        )
        return opened

    # Importing the client and reading the certificates takes a tenth of a second.
    async with await anyio.to_thread.run_sync(client) as opened:
        yield _Posting(opened, url).ask


class _Posting:
    def __init__(self, client: httpx2.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url

    async def ask(self, message: dict[str, Any], say: Say) -> bool:
        """Say what comes back; whether the call shall end after it."""
        from httpx2 import HTTPError, InvalidURL

        try:
            async with self._client.stream("POST", self._url, json=message) as response:
                return await _read(response, say)
        except (HTTPError, InvalidURL) as error:
            text = f"The request to the on_message address failed ({type(error).__name__}); check it and its server."
            raise ProviderError("llm", text, retryable=True) from None


async def _read(response: httpx2.Response, say: Say) -> bool:
    if not response.is_success:
        status = response.status_code
        remedy = "pass the address it redirects to" if response.has_redirect_location else "it must answer 200"
        text = f"The on_message address answered HTTP {status}; {remedy}."
        raise ProviderError("llm", text, retryable=status in RETRYABLE_STATUSES)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return await _read_events(response, say)
    body = b"".join([data async for data in _bounded(response)])
    if not body.strip():
        return False
    if kind == "text/plain":
        await say(body.decode("utf-8", "replace"))
        return False
    if kind != "application/json" and not kind.endswith("+json"):
        expected = "application/json, text/plain or text/event-stream"
        raise ProviderError("llm", f"The on_message address answered another content type than {expected}.")
    text, end_call = read_piece(read_json(body))
    await say(text)
    return end_call


async def _read_events(response: httpx2.Response, say: Say) -> bool:
    events, end_call = Events(), False
    async with aclosing(_bounded(response)) as body:
        async for data in body:
            for event in events.feed(data):
                if event == DONE:
                    return end_call
                end_call = await _take(event, say) or end_call
    for event in events.feed(b"", last=True):
        if event != DONE:
            end_call = await _take(event, say) or end_call
    return end_call


async def _take(event: str, say: Say) -> bool:
    piece = read_json(event)
    text, end_call = read_piece({"text": piece.get("delta"), "end_call": piece.get("end_call")})
    await say(text)
    return end_call


async def _bounded(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    size = 0
    async for data in response.aiter_bytes():
        size += len(data)
        if size > ANSWER_BYTES:
            raise ProviderError("llm", f"The on_message address answered more than {ANSWER_BYTES // 1024} KiB.")
        yield data
