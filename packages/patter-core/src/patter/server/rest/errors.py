"""What a request was refused with, in the one shape that every error of the API has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

__all__ = ["CODES", "ApiError", "invalid", "refuse"]

CODES = {
    "BAD_REQUEST": 400,
    "VALIDATION_ERROR": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "REQUEST_TIMEOUT": 408,
    "CONFLICT": 409,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "RATE_LIMITED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}
"""Every code with its status."""


class ApiError(Exception):
    """A request is refused. Its message says what was wrong and what to do; it never holds a value of the request.

    Args:
        code: one of `CODES`.
        message: for whoever has sent the request.
        details: the fields that are wrong, by their paths, and what is wrong with them.
        headers: what the answer carries beside.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.headers = dict(headers or {})


def invalid(field: str, message: str) -> ApiError:
    """One field is wrong."""
    return ApiError("VALIDATION_ERROR", "The request is not valid, see details.", details=[(field, message)])


def refuse(error: ApiError, request_id: str) -> Response:
    """The answer to a request that is refused."""
    body: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "details": [{"field": field, "message": message} for field, message in error.details],
        "request_id": request_id,
    }
    return JSONResponse({"error": body}, CODES[error.code], error.headers)
