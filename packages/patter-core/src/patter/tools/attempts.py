"""Sends a tool's request, again where that is safe and asked for, and says safely what went wrong."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

import anyio

from patter.tools.http_messages import HttpAnswer, HttpFailure, HttpRequest
from patter.tools.refusals import ToolRefusal
from patter.tools.safe_http import SafeHttp

__all__ = ["send"]

logger = logging.getLogger(__name__)

_MAY_REPEAT = frozenset({429, 502, 503, 504})
"""The statuses of a server that has not taken the request."""

_PAUSE_S = 0.25
"""Before the second attempt; doubles with each, less up to half of it by chance."""
_LONGEST_PAUSE_S = 4.0


async def send(
    http: SafeHttp,
    make: Callable[[int], HttpRequest],
    *,
    tool_name: str,
    timeout_s: float,
    retries: int,
    connect_retries: int = 0,
) -> HttpAnswer:
    """The answer of a server that accepted the request.

    It is sent again if nothing was sent, or if the server answered 429, 502, 503 or 504; never after a time-out or
    a connection that broke off, when it may have been carried out.

    Args:
        http: sends it.
        make: makes the request of an attempt, counted from 1.
        tool_name: for the log.
        timeout_s: seconds for all attempts and the pauses between them.
        retries: attempts more than one.
        connect_retries: the same if nothing was sent, if that is more.

    Raises:
        ToolRefusal: ``timeout``, or ``handler_error``, with the status if the server answered.
    """
    until = anyio.current_time() + timeout_s
    attempt = 0
    while True:
        attempt += 1
        failure: HttpFailure | None = None
        answer: HttpAnswer | None = None
        try:
            answer = await http.request(make(attempt), timeout_s=max(0.0, until - anyio.current_time()))
        except HttpFailure as error:
            failure = error
        if answer is not None and answer.is_success:
            return answer
        pause = _pause(attempt, answer)
        is_left = attempt <= _allowed(answer, failure, retries, connect_retries)
        if not is_left or anyio.current_time() + pause >= until:
            raise _refusal(tool_name, answer, failure) from failure
        await anyio.sleep(pause)


def _allowed(answer: HttpAnswer | None, failure: HttpFailure | None, retries: int, connect_retries: int) -> int:
    if failure is not None:
        return max(retries, connect_retries) if failure.kind == "connect" else 0
    return retries if answer is not None and answer.status in _MAY_REPEAT else 0


def _pause(attempt: int, answer: HttpAnswer | None) -> float:
    asked = answer.headers.get("retry-after", "") if answer is not None else ""
    if asked.isascii() and asked.isdecimal():
        return float(asked[:9])
    return min(_LONGEST_PAUSE_S, _PAUSE_S * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)


def _refusal(tool_name: str, answer: HttpAnswer | None, failure: HttpFailure | None) -> ToolRefusal:
    if answer is not None:
        logger.warning("Tool %s: the server answered with status %d.", tool_name, answer.status)
        return ToolRefusal("handler_error", status=answer.status)
    logger.warning("Tool %s: %s.", tool_name, failure)
    return ToolRefusal("timeout" if failure is not None and failure.kind == "timeout" else "handler_error")
