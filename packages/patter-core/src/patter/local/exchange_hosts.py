"""Which addresses the local network reaches: those of this machine, and public names that stand for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from patter.local.exchange_wire import Refusal

__all__ = ["Hosts"]

_PLAIN = {"https": "http", "wss": "ws", "http": "http", "ws": "ws"}


class Hosts:
    """The network's directory.

    Args:
        names: public host names and where they are found on this machine, such as
            ``{"api.example.com": "127.0.0.1:8000"}``: what DNS and a proxy with TLS do in life.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._names = {name.lower(): address for name, address in (names or {}).items()}

    def reach(self, url: str) -> str:
        """Where to connect for a public address, which stays the one that is signed.

        Raises:
            Refusal: it leads away from this machine.
        """
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if host in self._names:
            return parts._replace(scheme=_PLAIN.get(parts.scheme, "http"), netloc=self._names[host]).geturl()
        if host in {"localhost", "::1"} or re.fullmatch(r"127(?:\.\d{1,3}){3}", host):
            return url
        raise Refusal(400, 21205, "the local network reaches only loopback addresses")
