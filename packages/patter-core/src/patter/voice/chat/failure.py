"""What the exception of a chat vendor's SDK means, and whether to ask again. Pure.

The SDKs, and their versions, run on different HTTP clients, whose exceptions have nothing in common but
their names; so an exception is read by what it carries: a status, a body, a response.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from patter.errors import ProviderError
from patter.voice.chat.wire import InStreamError, NotAnAnswer
from patter.voice.refusal import RETRYABLE_STATUSES, refusal

__all__ = ["Failure", "Vendor", "read_failure", "read_foreign_failure"]

LONGEST_WAIT_S = 1.5
"""A vendor that wants a longer pause than that is not asked again while somebody waits on the phone."""
WAIT_S = 0.2
"""The pause before asking again, if the vendor names none."""

_STATUS_OF = {
    "api_error": 500,
    "authentication_error": 401,
    "billing_error": 402,
    "insufficient_quota": 402,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "server_error": 500,
    "timeout_error": 504,
}
_MISTAKES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What an SDK raises for arguments that it does not know. Some of the network's errors are ValueErrors, too."""
_NETWORK = ("Connect", "Network", "Protocol", "ReadError", "WriteError")
"""Parts of the names of what HTTP clients raise where the network fails."""
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Vendor:
    """Who is asked, for the error texts."""

    name: str
    variable: str
    """The environment variable of the key, or another name for where it is from."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that has failed.

    Args:
        error: what to raise.
        again: whether asking again may help at once.
        wait_s: how long to wait before.
        unwanted: parameters of the request that the vendor does not take.
    """

    error: ProviderError
    again: bool = False
    wait_s: float = WAIT_S
    unwanted: frozenset[str] = frozenset()


def read_failure(
    error: Exception, vendor: Vendor, *, begun: bool, timeout_s: float, parameters: Collection[str]
) -> Failure:
    """Read what went wrong.

    Args:
        begun: whether a part of the answer has come.
        parameters: the names of what was asked, so that an error can name the one at fault.
    """
    if isinstance(error, ProviderError):
        return Failure(error)
    if isinstance(error, NotAnAnswer):
        message = f"{vendor.name} sent something that is no answer ({error}); check base_url and the model."
        return Failure(ProviderError("llm", message, retryable=True))
    if isinstance(error, InStreamError):
        return _in_stream(error, vendor)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 400:
        return _refused(error, status, vendor, parameters)
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return Failure(ProviderError("llm", _silence(vendor, begun, timeout_s), retryable=True))
    if isinstance(error, _MISTAKES) and not isinstance(error, OSError):
        message = f"The {vendor.name} SDK does not take the request ({type(error).__name__}); check its version."
        return Failure(ProviderError("llm", message))
    what = "broke in the middle of an answer" if begun else "cannot be made or broke at once"
    message = f"The connection to {vendor.name} {what} ({type(error).__name__}); check the network and base_url."
    return Failure(ProviderError("llm", message, retryable=True), again=True)


def read_foreign_failure(error: Exception, vendor: Vendor) -> ProviderError:
    """What went wrong in a framework that asks a model in our place; by itself, or by code of the host's.

    It may have asked again already. None of its words are told: they may repeat what was said on the phone.
    """
    kind = type(error).__name__
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, NotAnAnswer):
        message = f"{vendor.name} answered {error}; let it answer with messages that can be spoken."
        return ProviderError("llm", message)
    if (status := _foreign_status(error)) is not None:
        return _refused(error, status, vendor, ()).error
    if isinstance(error, TimeoutError) or "Timeout" in kind:
        message = f"{vendor.name} did not answer in time ({kind}); try again later, or use a faster model."
        return ProviderError("llm", message, retryable=True)
    if isinstance(error, OSError) or any(part in kind for part in _NETWORK):
        message = f"{vendor.name} cannot be reached, or broke off ({kind}); check the network and its address."
        return ProviderError("llm", message, retryable=True)
    return ProviderError("llm", f"{vendor.name} failed with {kind}; ask it without a call to see the cause.")


def _foreign_status(error: Exception) -> int | None:
    """The HTTP status, where the clients of vendors put it."""
    response = getattr(error, "response", None)
    for holder, name in ((error, "status_code"), (response, "status_code"), (error, "code")):
        status = getattr(holder, name, None)
        if isinstance(status, int) and 400 <= status < 600:
            return int(status)
    return None


def _silence(vendor: Vendor, begun: bool, timeout_s: float) -> str:
    if begun:
        problem = f"{vendor.name} stopped in the middle of an answer, and wrote nothing for {timeout_s:g} s"
        return f"{problem}; try again later, or add a fallback provider."
    return f"{vendor.name} wrote nothing for {timeout_s:g} s; try again later, use a faster model, or raise timeout_s."


def _in_stream(error: InStreamError, vendor: Vendor) -> Failure:
    told = _Told(error.body)
    status = told.status
    if status is not None and status not in RETRYABLE_STATUSES:
        return Failure(refusal("llm", vendor.name, status, variable=vendor.variable, detail=told.code))
    code = f" ({told.code})" if told.code else ""
    message = f"{vendor.name} broke off its answer with an error{code}; try again later, or add a fallback provider."
    return Failure(ProviderError("llm", message, retryable=True), again=True)


def _refused(error: Exception, status: int, vendor: Vendor, parameters: Collection[str]) -> Failure:
    told = _Told(getattr(error, "body", None))
    if told.no_credit:
        detail = ", ".join(filter(None, [f"HTTP {status}", told.code]))
        message = (
            f"The {vendor.name} account has no credit left; add some, or use another key in {vendor.variable} "
            f"({detail})."
        )
        return Failure(ProviderError("llm", message))
    at_fault = [name for name in parameters if told.names(name)] if status in (400, 422) else []
    detail = ": ".join(filter(None, [told.code, ", ".join(at_fault)]))
    refused = refusal("llm", vendor.name, status, variable=vendor.variable, detail=detail)
    wait_s, forbidden = _pause(getattr(error, "response", None))
    again = (status in (408, 409, 429) or status >= 500) and not forbidden and wait_s <= LONGEST_WAIT_S
    return Failure(refused, again, wait_s, frozenset(at_fault))


def _pause(response: Any) -> tuple[float, bool]:
    """How long to wait before the next request, and whether the vendor forbids one."""
    headers = getattr(response, "headers", {})
    wait_s = WAIT_S
    for name, unit_s in (("retry-after", 1.0), ("retry-after-ms", 0.001)):
        try:
            wait_s = max(float(headers[name]) * unit_s, 0.0)
        except (KeyError, ValueError):
            continue  # not given, or a date
    return wait_s, headers.get("x-should-retry") == "false"


class _Told:
    """A vendor's own account of an error. Its words may repeat what was said on the phone, so they are never shown."""

    def __init__(self, body: object) -> None:
        outer = body if isinstance(body, Mapping) else {}
        inner = outer.get("error")
        told = inner if isinstance(inner, Mapping) else outer
        self._words = str(told.get("message") or inner or body or "")
        self._param = str(told.get("param") or "")
        self._codes = [code for key in ("code", "type") if _CODE.fullmatch(code := str(told.get(key) or ""))]

    @property
    def code(self) -> str:
        """The vendor's name for the error, or nothing."""
        return next(iter(self._codes), "")

    @property
    def status(self) -> int | None:
        """The HTTP status that stands for the error, if it is a known one."""
        for code in self._codes:
            if code in _STATUS_OF:
                return _STATUS_OF[code]
            if re.fullmatch(r"[45]\d\d", code):
                return int(code)
        return None

    @property
    def no_credit(self) -> bool:
        return self.status == 402 or "credit balance is too low" in self._words.lower()

    def names(self, parameter: str) -> bool:
        """True if the error is about this parameter of the request."""
        if self._param:
            return re.split(r"[.\[]", self._param)[0] == parameter
        # Outside of quotes and paths, "model" and "messages" are but words.
        quoted = rf"(^|['\"`]){parameter}(?=[.:\['\"`])"
        return re.search(quoted, self._words) is not None
