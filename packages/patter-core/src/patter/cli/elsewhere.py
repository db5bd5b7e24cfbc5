"""The tools of an agent of a phone that runs elsewhere, over its API."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from patter.errors import ConfigError
from patter.settings import is_loopback

if TYPE_CHECKING:
    from patter.tools.model import Tool

__all__ = ["is_address", "tools_at", "try_at"]

_TIMEOUT_S = 30.0
_TRIAL_TIMEOUT_S = 610.0
"""A tool may take 600 seconds."""


def is_address(where: str) -> bool:
    """True if it names an agent by its address, such as ``https://phone.example.com/v1/agents/shop``."""
    return where.startswith(("http://", "https://"))


def tools_at(where: str) -> tuple[Tool, ...]:
    """The tools that the API has for the agent; those of its program are not among them.

    Raises:
        ConfigError: it cannot be asked, or it refuses.
    """
    from patter.tools.model import Tool

    listed = _ask("GET", where, "/tools")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise _no_phone(where)
    return tuple(Tool.from_any(one) for one in listed)


def try_at(where: str, name: str, arguments: Any) -> dict[str, Any]:
    """Carry a tool out there; ``output``, ``is_error``, ``reason`` and ``duration_ms``.

    Raises:
        ConfigError: it cannot be asked, or it refuses.
    """
    answer = _ask("POST", where, f"/tools/{name}/test", {"arguments": arguments}, wait_s=_TRIAL_TIMEOUT_S)
    if not isinstance(answer, dict) or not {"output", "is_error", "reason", "duration_ms"} <= answer.keys():
        raise _no_phone(where)
    return answer


def _ask(method: str, where: str, path: str, body: Any = None, *, wait_s: float = _TIMEOUT_S) -> Any:
    import httpx2

    if where.startswith("http://") and not is_loopback(where):
        raise ConfigError(f"{where} must be https://: the key would be readable on the way.")
    if not (key := os.environ.get("PATTER_API_KEY")):
        raise ConfigError("PATTER_API_KEY is not set: the key of the phone's API.")
    address = where.rstrip("/") + path
    headers = {"Authorization": f"Bearer {key}"}
    try:
        limits = httpx2.Timeout(_TIMEOUT_S, read=wait_s)
        with httpx2.Client(timeout=limits, trust_env=not is_loopback(where)) as client:
            response = client.request(method, address, headers=headers, json=body)
            answer = response.json()
    except httpx2.HTTPError as error:
        raise ConfigError(f"{where} cannot be asked ({type(error).__name__}). Does the phone run there?") from None
    except (ValueError, RecursionError):  # no JSON, or no text at all
        raise _no_phone(where) from None
    if response.is_success:
        return answer
    raise ConfigError(f"{where} refuses ({response.status_code}): {_refusal(answer)}".rstrip(": "))


def _no_phone(where: str) -> ConfigError:
    return ConfigError(
        f"{where} does not answer as a phone does. Give an address such as https://phone.example.com/v1/agents/shop."
    )


def _refusal(answer: Any) -> str:
    """What a phone says of why it refuses; "" if it is another server, such as one before the phone."""
    try:
        details = [f"{one['field']}: {one['message']}." for one in answer["error"]["details"]]
        return " ".join([answer["error"]["message"], *details])
    except (KeyError, TypeError):
        return ""
