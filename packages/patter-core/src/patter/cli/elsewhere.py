"""The tools of an agent of a phone that runs elsewhere, over its API."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from patter.errors import ConfigError
from patter.settings import is_loopback

if TYPE_CHECKING:
    from patter.tools.model import Tool

__all__ = ["is_address", "tools_at", "try_at"]

_TIMEOUT_S = 30.0


def is_address(where: str) -> bool:
    """True if it names an agent by its address, such as ``https://phone.example.com/v1/agents/shop``."""
    return where.startswith(("http://", "https://"))


def tools_at(where: str) -> tuple[Tool, ...]:
    """The tools that the API has for the agent; those of its program are not among them.

    Raises:
        ConfigError: it cannot be asked, or it refuses.
    """
    from patter.tools.model import Tool

    return tuple(Tool.from_any(one) for one in _ask("GET", where, "/tools"))


def try_at(where: str, name: str, arguments: Any) -> dict[str, Any]:
    """Carry a tool out there; ``output``, ``is_error``, ``reason`` and ``duration_ms``.

    Raises:
        ConfigError: it cannot be asked, or it refuses.
    """
    answer: dict[str, Any] = _ask("POST", where, f"/tools/{name}/test", {"arguments": arguments})
    return answer


def _ask(method: str, where: str, path: str, body: Any = None) -> Any:
    import httpx2

    if where.startswith("http://") and not is_loopback(where):
        raise ConfigError(f"{where} must be https://: the key would be readable on the way.")
    if not (key := os.environ.get("PATTER_API_KEY")):
        raise ConfigError("PATTER_API_KEY is not set: the key of the phone's API.")
    address = where.rstrip("/") + path
    headers = {"Authorization": f"Bearer {key}"}
    try:
        with httpx2.Client(timeout=_TIMEOUT_S, trust_env=not is_loopback(where)) as client:
            response = client.request(method, address, headers=headers, json=body)
            answer = response.json()
    except httpx2.HTTPError as error:
        raise ConfigError(f"{where} cannot be asked ({type(error).__name__}). Does the phone run there?") from None
    except json.JSONDecodeError:
        raise ConfigError(f"{where} is no address such as https://phone.example.com/v1/agents/shop.") from None
    if response.is_success:
        return answer
    refusal = answer.get("error", {}) if isinstance(answer, dict) else {}
    details = " ".join(f"{one['field']}: {one['message']}." for one in refusal.get("details", ()))
    raise ConfigError(f"{where} refuses ({response.status_code}): {refusal.get('message', '')} {details}".strip())
