"""Which addresses a tool may send requests to: those of other people's public servers, however they are written."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from patter.errors import ConfigError

__all__ = ["Target", "check_allowed", "check_url", "is_public", "target_of"]

_PRIVATE_4 = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's own services, reached from its machines only
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_UNICAST_6 = ip_network("2000::/3")
_PRIVATE_6 = tuple(
    # 2001::/23 holds Teredo, which leads to an IPv4 address of the sender's choice.
    map(ip_network, ("2001::/23", "2001:db8::/32", "3fff::/20"))
)
_NAT64 = ip_network("64:ff9b::/96")

_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_SPACED = re.compile(r"\{\{ *[A-Za-z0-9_.]+ *\}\}")
_LOCAL_NAMES = ("localhost", "localdomain", "local", "internal", "intranet", "lan", "home.arpa")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: what an address says, read by the parser that also sends the request."""

    scheme: str
    host: str
    port: int
    path: bytes
    """Path and query as they are sent."""

    @property
    def place(self) -> str:
        """The form of ``allow_hosts``: host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_public(address: str) -> bool:
    """True if an IP address belongs to the public Internet, also where it wraps an IPv4 address.

    IPv4-mapped, 6to4 and NAT64 addresses are as public as the IPv4 address in them.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            return False
        wrapped = _wrapped(ip)
        if wrapped is None:
            return ip in _UNICAST_6 and ip.is_global and not any(ip in network for network in _PRIVATE_6)
        ip = wrapped
    # What is_global says differs between versions of Python; the list is what must not change.
    return ip.is_global and not any(ip in network for network in _PRIVATE_4)


def target_of(url: str) -> Target:
    """Read an address, or the template of one.

    Raises:
        ConfigError: it is no http(s) address of a literal host, or it carries credentials. The message holds
            nothing of the address but its host.
    """
    import httpx2

    if re.search(r"[\s\\\x00-\x1f\x7f]", _SPACED.sub("{{}}", url)):
        raise ConfigError("url: it holds a space, a backslash or a control character. Percent-encode it.")
    try:
        parsed = httpx2.URL(url)
        host = parsed.raw_host.decode("ascii").lower()
        port = parsed.port
    except (httpx2.InvalidURL, UnicodeError, ValueError):
        raise ConfigError("url: it is no address. Write one such as https://api.example.com/orders.") from None
    if parsed.scheme not in _PORTS:
        raise ConfigError("url: it must begin with https:// or http://, written out.")
    if parsed.userinfo:
        raise ConfigError("url: it holds a user name or a password. Send them in a header, as a secret.")
    if not _HOST.fullmatch(host) and not _is_ip6(host):
        raise ConfigError("url: its host must be a literal name or IP address, without {{...}}.")
    if port is not None and not 0 < port < 65536:
        raise ConfigError("url: its port is not between 1 and 65535.")
    return Target(parsed.scheme, host, port or _PORTS[parsed.scheme], parsed.raw_path)


def check_url(url: str, *, allow_hosts: Collection[str] = ()) -> None:
    """Refuse an address that cannot be a public server, before anything is sent to it. Its path may be a template.

    What a name leads to is seen only when a request is sent, and is checked then.

    Args:
        url: an address, or the template of one.
        allow_hosts: hosts with their ports, such as ``localhost:9000``, that are exempt; for development.

    Raises:
        ConfigError: says what is wrong with the address, and what to do.
    """
    target = target_of(url)
    if target.place in allow_hosts or _may_be_public(target.host):
        return
    raise ConfigError(
        f"url: {target.host} is a host of this machine or of a private network. Use a public one, or, for "
        f"development, pass allow_hosts=[{target.place!r}]."
    )


def check_allowed(hosts: Collection[str]) -> frozenset[str]:
    """The exempt hosts, in the form in which they are compared.

    Raises:
        ConfigError: one is not a host with a port.
    """
    if isinstance(hosts, str):
        raise ConfigError(f"allow_hosts must be a list, such as [{hosts!r}].")
    for host in hosts:
        name, _, port = host.rpartition(":")
        is_host = _HOST.fullmatch(name) or (name[:1] + name[-1:] == "[]" and _is_ip6(name[1:-1]))
        if not is_host or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise ConfigError(f"allow_hosts: {host!r} is not a host with its port, such as 'localhost:9000'.")
    return frozenset(host.lower() for host in hosts)


def _wrapped(ip: IPv6Address) -> IPv4Address | None:
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


def _is_ip6(host: str) -> bool:
    if ":" not in host or "%" in host:
        return False
    try:
        return isinstance(ip_address(host), IPv6Address)
    except ValueError:
        return False


def _may_be_public(host: str) -> bool:
    name = host.removesuffix(".")
    if ":" in host:
        return is_public(host)
    try:
        # Resolvers read 127.1, 0x7f.1, 017700000001 and 2130706433 as addresses, and so does this.
        return is_public(socket.inet_ntoa(socket.inet_aton(name)))
    except OSError:
        pass
    return "." in name and not any(name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES)
