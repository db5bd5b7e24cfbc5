from __future__ import annotations

import ssl
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from patter.errors import ConfigError
from patter.voice.sdk import as_extras, check_sdk, http_client, load_sdk, ssl_context, vendor_key


@dataclass
class Limits:
    max_connections: int | None = None
    max_keepalive_connections: int | None = None
    keepalive_expiry: float | None = 5.0


def client(base_url: str) -> dict[str, Any]:
    """What the SDK's HTTP client is made of."""
    sdk = SimpleNamespace(DEFAULT_CONNECTION_LIMITS=Limits(1000, 100), DefaultAsyncHttpxClient=dict)
    made: dict[str, Any] = http_client(sdk, base_url)
    return made


def test_a_connection_outlives_a_callee_who_speaks_for_long() -> None:
    assert client("https://api.vendor.com")["limits"] == Limits(1000, 100, 120.0)


def test_certificates_are_checked_with_one_context_for_all() -> None:
    context = client("https://api.vendor.com")["verify"]
    assert context is ssl_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("base_url", "takes_them"),
    [
        ("https://api.vendor.com/v1", True),
        ("http://192.168.1.5:8000/v1", True),
        ("http://127.0.0.1:8000/v1", False),
        ("http://localhost:11434/v1", False),
        ("http://[::1]:8000", False),
    ],
)
def test_proxies_of_the_environment_are_for_other_machines(base_url: str, takes_them: bool) -> None:
    assert client(base_url)["mounts"] == ({} if takes_them else {"all://": None, "http://": None, "https://": None})


def test_a_key_is_stripped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_API_KEY", "sk-1\n")
    assert vendor_key(None, variable="VENDOR_API_KEY") == "sk-1"


def test_an_sdk_that_is_not_there() -> None:
    for load in (check_sdk, load_sdk):
        with pytest.raises(ConfigError, match=r"pip install 'patter-core\[no_such_sdk\]'"):
            load("no_such_sdk")


def test_an_sdk_that_lacks_a_module_is_broken() -> None:
    with pytest.raises(ConfigError, match="missing or broken"):
        load_sdk("json", "decoder", "no_such_module")


def test_what_is_long_is_not_walked_through_by_the_sdk() -> None:
    messages, tools = [{"role": "user", "content": "Hello."}], [{"type": "function"}]
    assert as_extras({"model": "m", "messages": messages, "stream": True}) == {
        "model": "m",
        "messages": [],
        "stream": True,
        "extra_body": {"messages": messages},
    }
    request = {"model": "m", "messages": messages, "tools": tools, "extra_body": {"service_tier": "priority"}}
    assert as_extras(request) == {
        "model": "m",
        "messages": [],
        "extra_body": {"messages": messages, "tools": tools, "service_tier": "priority"},
    }
    assert request["messages"] is messages
