"""The signature of webhook requests: what proves to a host's server that a request is ours, and recent."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping

from patter.errors import ConfigError

__all__ = ["SIGNATURE_HEADER", "TIMESTAMP_HEADER", "signature_headers", "verify_webhook"]

TIMESTAMP_HEADER = "X-Patter-Timestamp"
SIGNATURE_HEADER = "X-Patter-Signature"


def signature_headers(body: bytes, secret: str, *, timestamp: int) -> dict[str, str]:
    """The two headers that sign a body.

    Args:
        body: the body as it is sent.
        secret: what the sender and the receiver share.
        timestamp: seconds since 1970, at which it is sent.

    Raises:
        ConfigError: the secret is empty.
    """
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: f"v1={_digest(body, secret, str(timestamp))}"}


def verify_webhook(body: bytes | str, headers: Mapping[str, str], secret: str, tolerance: float = 300) -> bool:
    """True if a request to your server was sent by Patter with this secret, and not long ago.

    Args:
        body: the body exactly as it arrived, before it was parsed.
        headers: the request's headers; upper and lower case do not matter.
        secret: the tool's ``secret``.
        tolerance: seconds by which the request's time may differ from this machine's.

    Raises:
        ConfigError: the secret is empty.
    """
    given = {name.lower(): value for name, value in headers.items()}
    timestamp = given.get(TIMESTAMP_HEADER.lower(), "")
    expected = _digest(body.encode(errors="replace") if isinstance(body, str) else body, secret, timestamp)
    signatures = given.get(SIGNATURE_HEADER.lower(), "").encode(errors="replace").split(b",")
    is_signed = any(hmac.compare_digest(one.strip(), f"v1={expected}".encode()) for one in signatures)
    if not is_signed or not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return False
    return abs(time.time() - int(timestamp)) <= tolerance


def _digest(body: bytes, secret: str, timestamp: str) -> str:
    if not secret:
        raise ConfigError("secret is empty: pass the one that signs the webhook.")
    return hmac.new(secret.encode(), timestamp.encode(errors="replace") + b"." + body, hashlib.sha256).hexdigest()
