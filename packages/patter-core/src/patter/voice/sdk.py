"""The vendors' SDKs: whether one is there, how it is imported, and what it sends its requests with."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NoReturn

from patter.errors import ConfigError
from patter.settings import is_loopback, require_env

__all__ = ["as_extras", "check_sdk", "http_client", "load_sdk", "ssl_context", "vendor_key"]

_KEEP_S = 120.0
"""An idle connection is kept so long: a callee may speak for longer than the five seconds of the SDKs' default."""


def vendor_key(api_key: str | None, *, variable: str) -> str:
    """A vendor's key, from the argument or the environment.

    Raises:
        ConfigError: there is none, or it holds what cannot be sent in a header.
    """
    key = require_env(api_key, argument="api_key", variable=variable).strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError(f"api_key ({variable}) holds characters that no key has; copy it again.")
    return key


def check_sdk(name: str) -> None:
    """Raise `ConfigError` if a vendor's SDK, which is also the name of its extra, is not installed."""
    if find_spec(name) is None:
        _missing(name)


def load_sdk(name: str, *modules: str) -> ModuleType:
    """Import a vendor's SDK, and the modules of it that it would else import when it is first used.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        # Another vendor's SDK may be importing it in another thread; OpenAI's uses it as soon as it has begun to.
        if find_spec("httpx") is not None:
            import_module("httpx")
        for module in modules:
            import_module(f"{name}.{module}")
        return import_module(name)
    except ImportError:
        _missing(name)


def _missing(name: str) -> NoReturn:
    raise ConfigError(f"The package {name} is missing or broken. Install it with: pip install 'patter-core[{name}]'")


@cache
def ssl_context() -> ssl.SSLContext:
    """What certificates are checked with. Takes tens of milliseconds the first time, so call it in a thread."""
    import httpx2

    return httpx2.create_ssl_context()


def as_extras(request: Mapping[str, Any]) -> dict[str, Any]:
    """The same request for an SDK's ``create``, with its messages and tools as extras of the body.

    The SDKs walk through every part of an argument that has a type, which takes milliseconds, grows with
    the history, and changes nothing in what is on the wire already. Extras they leave as they are.
    """
    extras = {name: request[name] for name in ("messages", "tools") if name in request}
    typed = {name: value for name, value in request.items() if name not in extras}
    return {**typed, "messages": [], "extra_body": {**extras, **(request.get("extra_body") or {})}}


def http_client(sdk: Any, base_url: str) -> Any:
    """What a vendor's SDK sends its requests with."""
    usual = sdk.DEFAULT_CONNECTION_LIMITS
    limits = type(usual)(
        max_connections=usual.max_connections,
        max_keepalive_connections=usual.max_keepalive_connections,
        keepalive_expiry=_KEEP_S,
    )
    # With a proxy in the environment, even a loopback address would go there; Anthropic's ignores trust_env.
    direct = dict.fromkeys(("all://", "http://", "https://")) if is_loopback(base_url) else {}
    return sdk.DefaultAsyncHttpxClient(verify=ssl_context(), limits=limits, mounts=direct)
