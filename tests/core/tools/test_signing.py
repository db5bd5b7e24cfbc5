"""The signature of webhooks: made by us, checked by the host's server."""

from __future__ import annotations

import hashlib
import hmac
import time

import pytest

from patter.errors import ConfigError
from patter.tools.signing import signature_headers, verify_webhook

BODY = '{"tool": "order_status", "name": "Jürgen"}'.encode()
SECRET = "whsec-1"


def signed(*, at: float = 0.0, body: bytes = BODY, secret: str = SECRET) -> dict[str, str]:
    return signature_headers(body, secret, timestamp=int(time.time() + at))


def test_the_form_of_the_signature() -> None:
    mac = hmac.new(SECRET.encode(), b"1700000000." + BODY, hashlib.sha256).hexdigest()
    assert signature_headers(BODY, SECRET, timestamp=1700000000) == {
        "X-Patter-Timestamp": "1700000000",
        "X-Patter-Signature": f"v1={mac}",
    }


def test_what_was_signed_is_accepted_whatever_the_case_of_the_headers() -> None:
    assert verify_webhook(BODY, signed(), SECRET)
    assert verify_webhook(BODY.decode(), {name.lower(): value for name, value in signed().items()}, SECRET)
    assert verify_webhook(BODY, {name.upper(): value for name, value in signed().items()}, SECRET)


def test_one_of_several_signatures_is_enough() -> None:
    headers = signed()
    headers["X-Patter-Signature"] = f"v1=00, {headers['X-Patter-Signature']}, v2=abc"
    assert verify_webhook(BODY, headers, SECRET)


@pytest.mark.parametrize(
    "change",
    [
        {"X-Patter-Signature": "v1=" + "0" * 64},
        {"X-Patter-Signature": ""},
        {"X-Patter-Signature": "v1=ä\udcff"},
        {"X-Patter-Timestamp": "1"},
        {"X-Patter-Timestamp": ""},
        {"X-Patter-Timestamp": "NaN"},
        {"X-Patter-Timestamp": "١٢٣"},
        {"X-Patter-Timestamp": "9" * 5000},
    ],
)
def test_what_was_changed_is_refused(change: dict[str, str]) -> None:
    assert not verify_webhook(BODY, {**signed(), **change}, SECRET)


def test_another_body_another_secret_and_no_headers_are_refused() -> None:
    assert not verify_webhook(BODY + b" ", signed(), SECRET)
    assert not verify_webhook(BODY, signed(), "whsec-2")
    assert not verify_webhook(BODY, {}, SECRET)


@pytest.mark.parametrize("at", [-301, 302, -1_000_000])
def test_what_is_old_or_of_the_future_is_refused(at: float) -> None:
    assert not verify_webhook(BODY, signed(at=at), SECRET)
    assert verify_webhook(BODY, signed(at=at), SECRET, tolerance=2_000_000)


@pytest.mark.parametrize("timestamp", ["1e3", "-5", "0x10", "9" * 13])
def test_a_signed_timestamp_must_be_seconds(timestamp: str) -> None:
    mac = hmac.new(SECRET.encode(), timestamp.encode() + b"." + BODY, hashlib.sha256).hexdigest()
    headers = {"X-Patter-Timestamp": timestamp, "X-Patter-Signature": f"v1={mac}"}
    assert not verify_webhook(BODY, headers, SECRET, tolerance=float("inf"))


def test_an_empty_secret_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="secret is empty"):
        verify_webhook(BODY, signed(), "")
    with pytest.raises(ConfigError, match="secret is empty"):
        signed(secret="")
