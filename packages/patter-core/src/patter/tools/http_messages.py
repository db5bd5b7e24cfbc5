"""What tools send over HTTP, what comes back, and how it fails."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from patter.errors import ConfigError

__all__ = ["FailureKind", "HttpAnswer", "HttpFailure", "HttpRequest", "check_header", "check_header_value"]

FailureKind = Literal["refused", "connect", "timeout", "too_large", "broken"]

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "proxy-authorization", "proxy-connection"}
)


class HttpFailure(Exception):
    """A request got no answer that may be used. The message names no more of the address than its host.

    Args:
        kind: ``refused`` (not a public server, or nothing that may be sent), ``connect`` (nothing was sent),
            ``timeout``, ``too_large``, or ``broken`` (the connection or the answer).
        message: cause and remedy, for the developer.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is sent. Only the method is shown: the rest may hold secrets."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """In the order given, duplicates kept; values may hold any characters but control characters."""
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back: the headers' names in lower case, the body decoded."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def value(self) -> Any:
        """The body as the JSON value that it is, or as text if it is none; None if it is empty."""
        if not self.body.strip():
            return None
        try:
            return json.loads(self.body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return self._text()

    def _text(self) -> str:
        charset = re.search(r"charset=[\"']?([\w.:-]+)", self.headers.get("content-type", ""), re.IGNORECASE)
        try:
            return self.body.decode(charset[1] if charset else "utf-8", "replace")
        except (LookupError, ValueError):
            return self.body.decode("utf-8", "replace")


def check_header(name: str) -> None:
    """Refuse a header that is not for a tool to set.

    Raises:
        ConfigError: it is no name of a header, or HTTP itself has need of it.
    """
    if not _TOKEN.fullmatch(name):
        raise ConfigError("headers: a name must consist of letters, digits and hyphens.")
    if name.lower() in _OURS:
        raise ConfigError(f"headers: {name} is set by the client. Take it out.")


def check_header_value(name: str, value: str) -> None:
    """Refuse a value that would end its header, or that cannot be sent.

    Raises:
        ConfigError: it holds a line break, another control character, or half a character.
    """
    if _CONTROL.search(value):
        raise ConfigError(f"headers: the value of {name} holds a line break or a control character.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"headers: the value of {name} is no valid text.") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
