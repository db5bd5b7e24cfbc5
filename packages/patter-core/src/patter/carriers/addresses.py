"""Where a carrier reaches us."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from patter.errors import ConfigError

__all__ = ["Addresses", "public_url", "websocket_url"]

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Addresses:
    """The callback addresses of one carrier under our public address."""

    public_url: str
    carrier: str

    def status(self, ref: str) -> str:
        """Where the progress of the call of this reference is reported."""
        return f"{self.public_url}/{self.carrier}/status/{ref}"

    def machine(self, ref: str) -> str:
        """Where the verdict of the machine detection is reported."""
        return f"{self.public_url}/{self.carrier}/machine/{ref}"

    def leg(self, ref: str) -> str:
        """Where everything about the second leg of a transfer is reported."""
        return f"{self.public_url}/{self.carrier}/leg/{ref}"

    def voice(self) -> str:
        """Where incoming calls are reported."""
        return f"{self.public_url}/{self.carrier}/voice"

    def media(self) -> str:
        """Where the media sockets connect."""
        return f"{websocket_url(self.public_url)}/{self.carrier}/media"


def websocket_url(address: str) -> str:
    """The websocket form of an http address: https becomes wss, http becomes ws."""
    return "ws" + address.removeprefix("http")


def public_url(address: str) -> str:
    """An origin, with the path of a mounted app, from a bare host name or a URL; no slash at the end.

    Raises:
        ConfigError: it is no host name, or plain http to another machine.
    """
    url = urlsplit(address if "://" in address else f"https://{address}")
    host = url.hostname or ""
    is_name = "." in host.strip(".") or host in _LOOPBACK
    if not is_name or re.search(r"\s", address) or url.query or url.fragment or url.username:
        raise ConfigError(f"webhook_url {address!r} is no host name. Pass one such as api.example.com.")
    if url.scheme not in ("https", "http") or (url.scheme == "http") != (host in _LOOPBACK):
        raise ConfigError(
            f"webhook_url {address!r}: carriers call https only. Pass a bare host name such as api.example.com; "
            "http:// is for 127.0.0.1 alone."
        )
    return f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}"
