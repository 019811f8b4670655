"""A url as the WHATWG standard reads it, refused where another reader could read it differently.

The rule: the scheme and `//` are written out; what stands between them and the first `/`, `?` or `#` is exactly the
host (and port) the standard reads, but for case; no backslash, space or control character, no user, no `.` or `..`
segment. Names are not resolved: what a public name points to is seen at dial.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from urllib.parse import unquote

import ada_url

from gateway.model import TypedValue
from gateway.validators.types.unfit import Reader, Unfit

LONGEST = 8192
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}
_PLAIN = re.compile(r"([A-Za-z]+)://([^/?#\\\s\x00-\x20\x7f-\x9f]*)([^\\\s\x00-\x20\x7f-\x9f]*)")
_DOTS = re.compile(r"(?:\.|%(?:25)*2e){1,2}(?:;.*)?", re.IGNORECASE)
_PARTS = ("href", "protocol", "hostname", "port", "pathname", "username", "password", "host_type")
_LOCAL_NAMES = (".localhost", ".local", ".internal", ".localdomain", ".home.arpa")
"""And every name without a dot: a search list completes it to one of the network the server stands in."""
_RESERVED = (
    IPv4Network("168.63.129.16/32"),  # Azure's metadata, on a public address
    IPv4Network("192.0.0.0/24"),  # assigned to protocols; Oracle's metadata
    IPv6Network("2001::/32"),  # Teredo and 6to4 carry an IPv4 address inside
    IPv6Network("2002::/16"),
    IPv6Network("fec0::/10"),  # site-local
)
"""Beside what `ipaddress` says, which differs between its versions. All of ::/8 is reserved there: mapped, compatible
and translated IPv4 addresses are in it."""


def reader(settings: Mapping[str, Any]) -> Reader:
    """Reads urls under these settings: `schemes`, `hosts` (`*.example.com` for those below), `allow_private`."""
    schemes = tuple(settings.get("schemes") or ("https", "http"))
    hosts = tuple(settings.get("hosts") or ())
    allow_private = settings.get("allow_private", False)
    wanted = f"a url with {' or '.join(schemes)}" + (f" at {' or '.join(hosts)}" if hosts else " at a public host")

    def read(value: str) -> TypedValue:
        found = _parsed(value, wanted)
        scheme, host = found["protocol"][:-1], found["hostname"].removesuffix(".")
        if scheme not in schemes:
            raise Unfit("has a scheme this tool may not use", wanted)
        if found["username"] or found["password"]:
            raise Unfit("holds a user or a password", "the same url without them")
        if not allow_private and _private(host, found["host_type"]):
            raise Unfit("names a private, local or reserved address", wanted)
        _reads_one_way(value, found)
        if hosts and not any(_names(pattern, host) for pattern in hosts):
            raise Unfit("names a host this tool may not reach", wanted)
        port = int(found["port"]) if found["port"] else DEFAULT_PORTS[scheme]
        parts = {"scheme": scheme, "host": host, "port": port, "path": found["pathname"]}
        return TypedValue("url", found["href"], parts)

    return read


def _parsed(value: str, wanted: str) -> Mapping[str, Any]:
    if len(value) > LONGEST:
        raise Unfit("is longer than any url", wanted)
    try:
        return ada_url.parse_url(value, attributes=_PARTS)
    except ValueError:
        raise Unfit("is not a url", wanted) from None


def _reads_one_way(value: str, found: Mapping[str, Any]) -> None:
    written = _PLAIN.fullmatch(value)
    same = "a url in its plain form: scheme://host/path, an international name as xn--…"
    if written is None or written[1].lower() != found["protocol"][:-1]:
        raise Unfit("is not written as one reads it", same)
    scheme, authority = written[1].lower(), written[2].lower()
    read = found["hostname"] + (f":{found['port']}" if found["port"] else "")
    if authority not in (read, f"{read}:{DEFAULT_PORTS.get(scheme)}"):
        raise Unfit("can be read as a url to another host", same)
    path = re.split(r"[?#]", written[3], maxsplit=1)[0]
    if any(_DOTS.fullmatch(segment) for segment in path.split("/")) or _climbs(path):
        raise Unfit("holds . or .. segments", "the same url without them")


def _climbs(path: str) -> bool:
    """Whether a reader that decodes before it splits finds a `..` segment."""
    if "%" not in path:
        return False
    return ".." in re.split(r"[/\\]", unquote(unquote(path)))


def _names(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _private(host: str, kind: ada_url.HostType) -> bool:
    if kind == ada_url.HostType.DEFAULT:
        return "." not in host or host.endswith(_LOCAL_NAMES)
    if kind == ada_url.HostType.IPV4:
        return _reserved(IPv4Address(host))
    return _reserved(IPv6Address(host[1:-1]))


def _reserved(address: IPv4Address | IPv6Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return True
    return any(address in network for network in _RESERVED)
