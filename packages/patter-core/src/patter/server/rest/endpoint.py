"""One endpoint of the API, and the way of a request through it: key, limit, body, act, answer."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from patter.errors import NameTaken, StoreError, WriteUncertain
from patter.server.reading import read_body
from patter.server.rest import json_text
from patter.server.rest.errors import ApiError, refuse
from patter.server.rest.gate import Gate
from patter.server.rest.keys import Key, Permission
from patter.server.rest.site import Site
from patter.workspace import KnownAgent

__all__ = ["MANY", "MOST_BYTES", "Answer", "Endpoint", "Visit", "explained", "request_id_of", "serve"]

MOST_BYTES = 256 * 1024
BODY_S = 5.0

_HEAVY_BYTES = 8 * 1024
"""What is made of a longer body is made in a thread, so that no call's audio waits for it."""

MANY = 50
"""The same is true of a longer list, on its way out."""

T = TypeVar("T")

_log = logging.getLogger("patter")


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answers: JSON, perhaps written already, or nothing, and where to find what was created."""

    body: Any = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """One request that was let in.

    Args:
        site: what the API is about.
        key: whose it is.
        path: the parts of the path that vary.
        given: the body's object.
        length: of the body, bytes.
        root: where the API is mounted.
    """

    site: Site
    key: Key
    path: Mapping[str, str]
    given: dict[str, Any] = field(repr=False)
    length: int
    root: str

    def agent(self) -> KnownAgent:
        """The agent of the path.

        Raises:
            ApiError: there is none that this key may know of.
        """
        known = self.site.workspace.agent(self.path["agent"])
        if known is None or not self.key.sees(known.id, known.name):
            raise ApiError("NOT_FOUND", "There is no such agent.")
        return known

    def check_unlimited(self) -> None:
        """Refuse a key that is limited to some agents.

        Raises:
            ApiError: it is one.
        """
        if self.key.agents is not None:
            raise ApiError("FORBIDDEN", "This key is limited to certain agents, and this belongs to none of them.")

    async def make(self, what: Callable[[], T]) -> T:
        """What the body describes; in a thread, if that may take its time."""
        return what() if self.length <= _HEAVY_BYTES else await anyio.to_thread.run_sync(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What is asked for under one path by one method.

    Args:
        path: below ``/v1``, with names in braces.
        act: carries it out.
        summary: one line for the description of the API.
        permission: what the key must have; None lets everybody in.
        takes: the name of the schema of the body; None takes none.
        gives: the name of the schema of the answer, a list of them in brackets; None gives nothing.
        status: of the answer.
        refusals: codes beside those that every endpoint has.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    act: Callable[[Visit], Awaitable[Answer]]
    summary: str
    permission: Permission | None
    takes: str | None = None
    gives: str | None = None
    status: int = 200
    refusals: tuple[str, ...] = ()


async def serve(endpoint: Endpoint, request: Request, *, site: Site, gate: Gate) -> Response:
    """Answer a request. Whatever goes wrong is an answer too."""
    headers: dict[str, str] = {}
    try:
        key = gate.admit(request, endpoint.permission, headers)
        given, length = await _body(endpoint, request)
        root = request.scope.get("root_path", "")
        answer = await endpoint.act(Visit(site, key, request.path_params, given, length, root))
        if answer.location is not None:
            headers["Location"] = root + answer.location
        response = await _response(endpoint, answer)
    except Exception as error:  # the boundary of a request
        response = refuse(explained(error, request), request_id_of(request))
    response.headers.update(headers)
    return response


def request_id_of(request: Request) -> str:
    """What a request is called in its answer and in the log."""
    found: str = request.scope["patter.request_id"]
    return found


async def _body(endpoint: Endpoint, request: Request) -> tuple[dict[str, Any], int]:
    if endpoint.takes is None:
        return {}, 0
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if kind.strip() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise ApiError("UNSUPPORTED_MEDIA_TYPE", "Send JSON in UTF-8, with Content-Type: application/json.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError("UNSUPPORTED_MEDIA_TYPE", "Send the body as it is, without Content-Encoding.")
    data = await read_body(request, most_bytes=MOST_BYTES, within_s=BODY_S)
    if len(data) <= _HEAVY_BYTES:
        return json_text.read_object(data), len(data)
    return await anyio.to_thread.run_sync(json_text.read_object, data), len(data)


async def _response(endpoint: Endpoint, answer: Answer) -> Response:
    if endpoint.gives is None:
        return Response(status_code=endpoint.status)
    if isinstance(answer.body, bytes):
        return Response(answer.body, endpoint.status, media_type="application/json")
    if isinstance(answer.body, list) and len(answer.body) > MANY:
        return await anyio.to_thread.run_sync(JSONResponse, answer.body, endpoint.status)
    return JSONResponse(answer.body, endpoint.status)


_HTTP = {
    400: ("BAD_REQUEST", "The request ended before its body did."),
    404: ("NOT_FOUND", "There is nothing under this path."),
    405: ("METHOD_NOT_ALLOWED", "This path has other methods, see Allow."),
    408: ("REQUEST_TIMEOUT", f"The body did not come within {BODY_S:.0f} seconds."),
    413: ("PAYLOAD_TOO_LARGE", f"The body may have {MOST_BYTES // 1024} KiB at most."),
}


def explained(error: Exception, request: Request) -> ApiError:
    """What an exception is to whoever has sent the request. What is nobody's fault there stands in the log."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException) and error.status_code in _HTTP:
        code, message = _HTTP[error.status_code]
        return ApiError(code, message, headers=error.headers)
    if isinstance(error, NameTaken):
        return ApiError("CONFLICT", str(error))
    request_id = request_id_of(request)
    if isinstance(error, StoreError):
        _log.warning("Request %s: %s", request_id, error)
        if isinstance(error, WriteUncertain):
            told = "The store broke off in the middle of this change. It may have been made, wholly or in part."
            return ApiError("UNAVAILABLE", f"{told} Read before you repeat it.")
        return ApiError("UNAVAILABLE", "The store cannot be used now. Nothing was changed. Try again later.")
    # Its text may hold what was sent.
    places = "".join(traceback.format_tb(error.__traceback__))
    _log.error("Request %s failed: %s\n%s", request_id, type(error).__name__, places)
    return ApiError("INTERNAL", "Something is wrong here. The log has more under this request's id.")
