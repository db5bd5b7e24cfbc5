"""Who is let in: the key of a request, and whether it may ask again already."""

from __future__ import annotations

from starlette.requests import Request

from patter.server.rest.errors import ApiError
from patter.server.rest.keys import Key, KeyRefused, Keys, Permission, presented_key
from patter.server.rest.rate import GUESSES, RateLimit, Standing, network_of
from patter.tools.addresses import is_public

__all__ = ["Gate"]

_NOBODY = Key(label="", permissions=frozenset(), agents=frozenset())


class Gate:
    """Stands before every endpoint.

    Args:
        keys: who may come in.
        rate_limit: how often with each key, such as ``60/minute; 1000/hour``; None does not count.
    """

    def __init__(self, keys: Keys, rate_limit: str | None) -> None:
        self._keys = keys
        self._limit = None if rate_limit is None else RateLimit(rate_limit)
        self._guesses = RateLimit(GUESSES)

    def admit(self, request: Request, permission: Permission | None, headers: dict[str, str]) -> Key:
        """The key of a request that may have this permission.

        Args:
            permission: None lets everybody in.
            headers: takes what the answer is to carry, whatever it will be.

        Raises:
            ApiError: it is not let in.
        """
        if permission is None:
            return _NOBODY
        client = request.client
        key = self.recognise("" if client is None else client.host, presented_key(request.headers))
        if self._limit is not None:
            standing = self._limit.hit(key.label)
            headers |= standing.headers
            if standing.is_over:
                raise _too_often(standing, "This key has asked too often.")
        if not key.may(permission):
            raise ApiError("FORBIDDEN", f"This key has no permission {permission}.")
        return key

    def recognise(self, host: str, presented: str | None) -> Key:
        """The key that somebody has sent.

        Args:
            host: the address that it came from.

        Raises:
            ApiError: it is not known, or too many came from there that were not.
        """
        host = network_of(host)
        # Behind a proxy or a tunnel everybody has its address; there a stranger's guesses must not lock others out.
        if is_public(host.partition("/")[0]) and (standing := self._guesses.look(host)).is_over:
            raise _too_often(standing, "This address has sent too many keys that are not known.")
        try:
            return self._keys.check(presented)
        except KeyRefused as refusal:
            if (standing := self._guesses.hit(host)).is_over:
                raise _too_often(standing, "This address has sent too many keys that are not known.") from None
            raise ApiError("UNAUTHORIZED", str(refusal), headers={"WWW-Authenticate": "Bearer"}) from None


def _too_often(standing: Standing, message: str) -> ApiError:
    return ApiError("RATE_LIMITED", f"{message} See Retry-After.", headers={"Retry-After": str(standing.retry_after_s)})
