from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any

import pytest

from patter.errors import ProviderError
from patter.voice.chat.failure import Failure, Vendor, read_failure, read_foreign_failure
from patter.voice.chat.wire import InStreamError, NotAnAnswer

VENDOR = Vendor("Vendor", "VENDOR_API_KEY")
PARAMETERS = ("model", "messages", "stream_options", "temperature", "thinking")


@dataclass
class Response:
    headers: dict[str, str] = field(default_factory=dict)


class Status(Exception):
    """What both SDKs raise for a refusal, as far as it is read."""

    def __init__(self, status: int, body: Any = None, **headers: str) -> None:
        self.status_code = status
        self.body = body
        self.response = Response({name.replace("_", "-"): value for name, value in headers.items()})


class ReadTimeout(Exception): ...


class RemoteProtocolError(Exception): ...


def read(error: Exception, *, begun: bool = False) -> Failure:
    return read_failure(error, VENDOR, begun=begun, timeout_s=8, parameters=PARAMETERS)


@pytest.mark.parametrize(
    ("status", "again", "retryable"),
    [
        (400, False, False),
        (401, False, False),
        (402, False, False),
        (403, False, False),
        (404, False, False),
        (408, True, True),
        (409, True, True),
        (413, False, False),
        (422, False, False),
        (429, True, True),
        (500, True, True),
        (503, True, True),
        (529, True, True),
    ],
)
def test_what_may_be_asked_again(status: int, again: bool, retryable: bool) -> None:
    failure = read(Status(status))
    assert (failure.again, failure.error.retryable) == (again, retryable)
    assert f"HTTP {status}" in str(failure.error)


@pytest.mark.parametrize(
    ("headers", "again", "wait_s"),
    [
        ({}, True, 0.2),
        ({"retry_after": "1"}, True, 1.0),
        ({"retry_after": "0"}, True, 0.0),
        ({"retry_after": "-3"}, True, 0.0),
        ({"retry_after": "1.5"}, True, 1.5),
        ({"retry_after": "20"}, False, 20.0),
        ({"retry_after": "20", "retry_after_ms": "40"}, True, 0.04),
        ({"retry_after": "Fri, 20 Nov 2026 07:28:00 GMT"}, True, 0.2),
        ({"retry_after": "inf"}, False, float("inf")),
        ({"x_should_retry": "false"}, False, 0.2),
        ({"x_should_retry": "true"}, True, 0.2),
    ],
)
def test_the_vendors_pause_is_kept_if_it_is_short(headers: dict[str, str], again: bool, wait_s: float) -> None:
    failure = read(Status(429, **headers))
    assert (failure.again, failure.wait_s) == (again, wait_s)


def test_a_pause_that_is_no_number_is_not_waited_for() -> None:
    assert not read(Status(429, retry_after="nan")).again


@pytest.mark.parametrize(
    "error",
    [
        Status(429, {"code": "insufficient_quota", "type": "insufficient_quota", "message": "You exceeded"}),
        Status(429, {"error": {"type": "insufficient_quota", "message": "You exceeded"}}),
        Status(400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to"}}),
        Status(403, {"error": {"type": "billing_error", "message": "Pay."}}),
    ],
)
def test_an_account_without_credit_is_not_asked_again(error: Status) -> None:
    failure = read(error)
    assert "no credit" in str(failure.error)
    assert "VENDOR_API_KEY" in str(failure.error)
    assert f"HTTP {error.status_code}" in str(failure.error)
    assert not failure.again
    assert not failure.error.retryable


@pytest.mark.parametrize(
    ("body", "unwanted"),
    [
        ({"param": "stream_options", "message": "Unsupported parameter."}, {"stream_options"}),
        ({"param": "stream_options.include_usage", "message": "No."}, {"stream_options"}),
        ({"param": "messages[0].content", "message": "Not 'temperature'."}, {"messages"}),
        ({"message": "Unknown parameter: 'stream_options'"}, {"stream_options"}),
        ({"error": {"message": "`temperature` is deprecated for this model."}}, {"temperature"}),
        ({"error": {"message": "thinking.type: Input tag 'disabled' is not expected"}}, {"thinking"}),
        ({"error": {"message": '"thinking.type.disabled" is not supported for this model.'}}, {"thinking"}),
        ({"error": "unknown field 'stream_options'"}, {"stream_options"}),
        ({"detail": [{"loc": ["body", "stream_options"], "type": "extra_forbidden"}]}, {"stream_options"}),
        ("json: unknown field `stream_options`", {"stream_options"}),
        ({"error": {"message": "This model does not support messages like that."}}, set()),
        (None, set()),
        ([1], set()),
    ],
)
def test_the_parameter_at_fault_is_found(body: object, unwanted: set[str]) -> None:
    failure = read(Status(400, body))
    assert failure.unwanted == unwanted
    assert all(name in str(failure.error) for name in unwanted)


def test_the_vendors_words_are_not_shown_because_they_may_repeat_what_was_said() -> None:
    said = "my card is 4242 sk-secret"
    for body in ({"message": said, "code": said, "type": said, "param": said}, {"error": {"message": said}}, said):
        for error in (Status(400, body), Status(401, body), Status(429, body), InStreamError(body)):
            assert "4242" not in str(read(error).error)
            assert "secret" not in str(read(error).error)


def test_the_vendors_code_is_shown() -> None:
    assert "context_length_exceeded" in str(read(Status(400, {"code": "context_length_exceeded"})).error)


@pytest.mark.parametrize(
    ("error", "again", "retryable", "words"),
    [
        (TimeoutError(), False, True, "wrote nothing for 8 s"),
        (ReadTimeout(), False, True, "wrote nothing for 8 s"),
        (RemoteProtocolError("peer said sk-secret"), True, True, "RemoteProtocolError"),
        (OSError("no route to sk-secret"), True, True, "check the network and base_url"),
        (ssl.SSLCertVerificationError("sk-secret"), True, True, "check the network"),
        (TypeError("no argument temperature"), False, False, "check its version"),
        (NotAnAnswer("no JSON"), False, True, "no answer"),
        (ProviderError("llm", "as it is"), False, False, "as it is"),
    ],
)
def test_failures_without_an_answer(error: Exception, again: bool, retryable: bool, words: str) -> None:
    failure = read(error)
    assert (failure.again, failure.error.retryable) == (again, retryable)
    assert words in str(failure.error)
    assert "secret" not in str(failure.error)


def test_a_failure_in_the_middle_is_told_as_one() -> None:
    assert "in the middle of an answer" in str(read(TimeoutError(), begun=True).error)
    assert "in the middle of an answer" in str(read(RemoteProtocolError(), begun=True).error)


@pytest.mark.parametrize(
    ("body", "again", "words"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, True, "overloaded_error"),
        ({"error": {"message": "The server had an error.", "type": "server_error", "code": None}}, True, "broke off"),
        ({"error": {"code": 502, "message": "Upstream"}}, True, "502"),
        ({"error": "something"}, True, "broke off"),
        ({"error": {"type": "authentication_error"}}, False, "VENDOR_API_KEY"),
        ({"error": {"code": 401}}, False, "VENDOR_API_KEY"),
        ({"error": {"code": "insufficient_quota"}}, False, "no credit"),
    ],
)
def test_an_error_in_the_stream_is_read_like_a_refusal(body: object, again: bool, words: str) -> None:
    failure = read(InStreamError(body))
    assert (failure.again, failure.error.retryable) == (again, again)
    assert words in str(failure.error)


class Coded(Exception):
    code = 403


class Answered(Exception):
    def __init__(self, status: int) -> None:
        super().__init__("secret")
        self.response = Status(status)


@pytest.mark.parametrize(
    ("error", "words", "retryable"),
    [
        (Status(401, {"error": {"code": "bad", "message": "secret"}}), "does not accept the key; check VENDOR", False),
        (Status(429), "turns requests away", True),
        (Status(400, {"error": {"message": "Your credit balance is too low"}}), "no credit left", False),
        (Coded("secret"), "may not use this at Vendor", False),
        (Answered(503), "Vendor failed; try again later", True),
        (ReadTimeout("secret"), "did not answer in time", True),
        (TimeoutError("secret"), "did not answer in time", True),
        (RemoteProtocolError("secret"), "cannot be reached, or broke off", True),
        (ConnectionResetError("secret"), "cannot be reached, or broke off", True),
        (NotAnAnswer("a dict, and no message"), "answered a dict, and no message", False),
        (KeyError("secret"), "Vendor failed with KeyError", False),
        (ProviderError("llm", "As it is."), "As it is.", False),
    ],
)
def test_errors_of_a_framework(error: Exception, words: str, retryable: bool) -> None:
    failure = read_foreign_failure(error, VENDOR)
    assert words in str(failure)
    assert (failure.stage, failure.retryable) == ("llm", retryable)
    assert "secret" not in str(failure)
    assert "SDK" not in str(failure)
