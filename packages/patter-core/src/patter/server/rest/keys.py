"""The keys of the API: who holds one may do what, with which agents, until when."""

from __future__ import annotations

import hmac
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal, get_args

from patter.errors import ConfigError, PatterError

__all__ = ["PERMISSIONS", "Key", "KeyRefused", "Keys", "Permission", "presented_key"]

Permission = Literal["tools:read", "tools:write", "tools:serve", "kb:read", "kb:write", "agents:read", "agents:write"]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

_VARIABLE = "PATTER_API_KEY"
_FIELDS = {"permissions", "allowed_agent_ids", "expires_at"}
_EXAMPLE = 'api_keys={"...": {"permissions": ["tools:read"]}}'


class KeyRefused(PatterError):
    """There is no such key, or not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What the holder of a key may do.

    Args:
        label: names it in limits and logs; nothing of the key follows from it.
        permissions: what it may do.
        agents: ids or names of the agents that it may see; None sees all, and what belongs to no agent.
        expires_at: it is refused from then on.
    """

    label: str
    permissions: frozenset[Permission]
    agents: frozenset[str] | None = None
    expires_at: datetime | None = None

    def may(self, permission: Permission) -> bool:
        """True if it has the permission."""
        return permission in self.permissions

    def sees(self, *agent: str) -> bool:
        """True if it may know of the agent that has this id or this name."""
        return self.agents is None or not self.agents.isdisjoint(agent)


class Keys:
    """Every key that is accepted. Keys themselves are not kept, only what they hash to.

    Args:
        api_keys: keys with their ``permissions``, and, if there are any, ``allowed_agent_ids`` (ids or names) and
            ``expires_at`` (a datetime or ISO text, with its time zone). The key in the environment variable
            ``PATTER_API_KEY`` may do everything.

    Raises:
        ConfigError: a key or what stands beside it is malformed.
    """

    def __init__(self, api_keys: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        if api_keys is not None and not isinstance(api_keys, Mapping):
            raise ConfigError(f"api_keys must be a mapping, such as {_EXAMPLE}.")
        self._keys: list[tuple[bytes, Key]] = [
            (_digest(_checked(key, f"api_keys, key {number}")), _key(number, given))
            for number, (key, given) in enumerate((api_keys or {}).items(), 1)
        ]
        if found := os.environ.get(_VARIABLE):
            everything = Key(label="env", permissions=frozenset(PERMISSIONS))
            self._keys.append((_digest(_checked(found, _VARIABLE)), everything))

    def check(self, presented: str | None) -> Key:
        """The key of this text.

        Args:
            presented: what came with the request, see `presented_key`.

        Raises:
            KeyRefused: the message may be told to whoever has sent it.
        """
        if not self._keys:
            raise KeyRefused(f"This server has no API keys. Set {_VARIABLE} where it runs, or pass {_EXAMPLE}.")
        if not presented:
            raise KeyRefused("There is no API key. Send it as X-API-Key, or as Authorization: Bearer.")
        digest = _digest(presented)
        found: Key | None = None
        for known, key in self._keys:  # all of them, so that the time tells nothing
            if hmac.compare_digest(known, digest):
                found = key
        if found is None:
            raise KeyRefused("The API key is not known.")
        if found.expires_at is not None and datetime.now(UTC) >= found.expires_at:
            raise KeyRefused("The API key has expired.")
        return found


def presented_key(headers: Mapping[str, str]) -> str | None:
    """The key that came with a request, from ``X-API-Key`` or ``Authorization: Bearer``."""
    if given := headers.get("x-api-key", "").strip():
        return given
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _checked(key: Any, where: str) -> str:
    if not isinstance(key, str) or not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"{where}: a key must be a text of printable ASCII characters without spaces.")
    return key


def _key(number: int, given: Any) -> Key:
    where = f"api_keys, key {number}"  # its place, for the key is a secret
    if not isinstance(given, Mapping) or "permissions" not in given:
        raise ConfigError(f"{where}: it needs its permissions, such as {_EXAMPLE}.")
    if unknown := set(given) - _FIELDS:
        raise ConfigError(f"{where}: there is no {min(map(str, unknown))}. It takes {', '.join(sorted(_FIELDS))}.")
    permissions = _texts(given["permissions"], f"{where}, permissions")
    if unknown := set(permissions) - set(PERMISSIONS):
        raise ConfigError(f"{where}: there is no permission {min(unknown)}. There are {', '.join(PERMISSIONS)}.")
    agents = given.get("allowed_agent_ids")
    return Key(
        label=f"key {number}",
        permissions=frozenset(one for one in PERMISSIONS if one in permissions),
        agents=None if agents is None else frozenset(_texts(agents, f"{where}, allowed_agent_ids")),
        expires_at=_moment(given.get("expires_at"), f"{where}, expires_at"),
    )


def _texts(given: Any, where: str) -> Collection[str]:
    is_list = isinstance(given, Collection) and not isinstance(given, str | Mapping)
    if not is_list or not all(isinstance(one, str) for one in given):
        raise ConfigError(f"{where}: it must be a list of texts.")
    found: Collection[str] = given
    return found


def _moment(given: Any, where: str) -> datetime | None:
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ConfigError(f"{where}: it must be a datetime or ISO text with a time zone, such as 2030-12-31T00:00:00Z.")
    return moment.astimezone(UTC)
