"""Where a sandbox may connect to: what the operator wrote, read strictly, and which addresses are public. Pure.

Not the resolving of names: a name is looked up only once it is permitted, and each address it gives is judged then.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import ada_url

from gateway.errors import ConfigError

LONGEST = 253
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@\s]+):([^:]*)")
_FORMS = "write host:port, *.host:port for all below a host, or an address: 127.0.0.1:8080, [::1]:8080"
_GLOBAL_IPV6 = IPv6Network("2000::/3")
"""Outside of it lie loopback, link-local, unique-local, site-local and multicast addresses, and all that carry an IPv4
address inside: mapped, compatible, NAT64 (64:ff9b::/96 and 64:ff9b:1::/48)."""
_RESERVED = (
    IPv4Network("168.63.129.16/32"),  # Azure's metadata, on a public address
    IPv4Network("192.0.0.0/24"),  # assigned to protocols; Oracle's metadata
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv6Network("2001::/23"),  # assigned to protocols; Teredo carries an IPv4 address inside
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),  # 6to4 carries an IPv4 address inside
    IPv6Network("3fff::/20"),
)
"""Beside what `ipaddress` says, which differs between its versions."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One entry of an allow-list. `below`: every name below `host`, but not `host` itself."""

    host: str
    port: int
    below: bool = False

    def permits(self, host: str, port: int) -> bool:
        """Whether this entry opens that host, as `read_host` gives it, at that port."""
        if port != self.port:
            return False
        return host.endswith(f".{self.host}") if self.below else host == self.host

    def __str__(self) -> str:
        """The entry as it is written."""
        return f"{'*.' if self.below else ''}{entry(self.host, self.port)}"


def entry(host: str, port: int) -> str:
    """What an operator writes to open exactly this."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def permits(allow: Sequence[Destination], host: str, port: int) -> bool:
    """Whether any entry opens it; an empty list opens nothing."""
    return any(destination.permits(host, port) for destination in allow)


def parse_allow(text: str) -> Destination:
    """Read an entry of `network.allow`.

    Raises:
        ConfigError: it is none; the message says what would be one.
    """
    if "://" in text or "/" in text:
        raise ConfigError(f"network.allow: '{text}' is a url or holds a path: {_FORMS}")
    below = text.startswith("*.")
    found = _AUTHORITY.fullmatch(text.removeprefix("*.") if below else text)
    if found is None or not _PORT.fullmatch(found[2]) or int(found[2]) > 65535:
        raise ConfigError(f"network.allow: '{text}' is no host and port: {_FORMS}")
    host = read_host(_ascii(found[1]))
    if host is None:
        raise ConfigError(f"network.allow: '{text}' names no host: {_FORMS}")
    if below and (is_address(host) or "." not in host):
        raise ConfigError(f"network.allow: '{text}' opens too much: *. stands before a name that holds a dot")
    return Destination(host, int(found[2]), below)


def _ascii(host: str) -> str:
    """An international name in the form that is looked up; anything else as it is."""
    if host.isascii():
        return host
    return ada_url.idna_to_ascii(host).decode()


def read_authority(text: str, default: int | None = None) -> tuple[str, int] | None:
    """`host:port` as a program sent it; without a port only where there is a default. None: it is not that."""
    found = _AUTHORITY.fullmatch(text)
    if found is None and default is not None:
        found = _AUTHORITY.fullmatch(f"{text}:{default}")
    if found is None or not _PORT.fullmatch(found[2]) or int(found[2]) > 65535:
        return None
    host = read_host(found[1])
    return None if host is None else (host, int(found[2]))


def read_host(text: str) -> str | None:
    """A name in lower case without a last dot, or an address in its one form. None: another reader might read another
    host (`127.1`, `0x7f.1`, `2130706433`), or it is none."""
    if text.startswith("["):
        try:
            return str(IPv6Address(text[1:-1])) if text.endswith("]") else None
        except ValueError:
            return None
    if not text.isascii():
        return None
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > LONGEST or not all(_LABEL.fullmatch(label) for label in labels):
        return None
    if not _NUMERIC.fullmatch(labels[-1]):
        return name
    try:
        return str(IPv4Address(text))
    except ValueError:
        return None


def is_address(host: str) -> bool:
    """Whether a host, as `read_host` gives it, is an address and no name."""
    return ":" in host or _NUMERIC.fullmatch(host.rpartition(".")[2]) is not None


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet and nothing else."""
    try:
        read = ip_address(address)
    except ValueError:
        return False
    if not read.is_global or read.is_multicast or read.is_reserved:
        return False
    if isinstance(read, IPv6Address) and read not in _GLOBAL_IPV6:
        return False
    return not any(read in network for network in _RESERVED)
