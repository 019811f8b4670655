"""What a sandboxed program asks of the door: one request, read strictly and written anew. Pure.

CONNECT and absolute-form http, nothing else. The parser is httptools' (llhttp, strict: no bare line feed, no folded
header, no Content-Length beside Transfer-Encoding); what it lets pass and two readers could read in two ways is refused
here. What goes on is our own serialisation of what was read, never the program's bytes.
"""

import re
from dataclasses import dataclass
from typing import Any

import httptools

from gateway.executors.egress.destinations import entry, read_authority

HEAD_LIMIT = 1 << 14
END = b"\r\n\r\n"
_URL = re.compile(r"http://([^/?#\\@]*)(/[^#]*|\?[^#]*)?", re.IGNORECASE)
_CONNECTION = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length"}
)
"""What is said to the next hop only, or is written anew."""


class BadRequest(ValueError):
    """It cannot be judged. The text is for the program that sent it and names nothing of the host."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a destination. `head` is what goes there; empty for CONNECT."""

    method: str
    host: str
    port: int
    head: bytes = b""


class Request:
    """Takes the bytes of one connection: first the head, at once, then the body."""

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._head_read = False
        self._body = bytearray()
        self.chunked = False
        self.whole = False
        """Nothing more belongs to it."""

    def read_head(self, head: bytes) -> Asked:
        """Read all up to and with the empty line.

        Raises:
            BadRequest: it is not what a proxy is asked.
        """
        self._feed(head)
        if not self._head_read:
            raise BadRequest("this is no well-formed HTTP request")
        method, version = self._parser.get_method().decode("ascii"), self._parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise BadRequest("only HTTP/1.1 and HTTP/1.0 are spoken here")
        if self.chunked and [value.lower() for name, value in self._headers if name == "transfer-encoding"] != [
            "chunked"
        ]:
            raise BadRequest("Transfer-Encoding is chunked, once, or absent")
        if method == "CONNECT":
            return self._tunnel(version)
        return self._forward(method, version)

    def read_body(self, data: bytes) -> bytes:
        """What of the body these bytes hold, as it goes on.

        Raises:
            BadRequest: they are no body, or more than one request.
        """
        self._feed(data)
        body, self._body = bytes(self._body), bytearray()
        return body

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # CONNECT, or an Upgrade that is not passed on
        except httptools.HttpParserError:
            raise BadRequest("this is no well-formed HTTP request") from None

    def _tunnel(self, version: str) -> Asked:
        target = read_authority(self._target.decode("latin-1"))
        if target is None:
            raise BadRequest("CONNECT takes host:port, the host a name or an address in its usual form")
        if self._has("content-length") or self._has("transfer-encoding"):
            raise BadRequest("CONNECT has no body")
        host = self._host(version, default=target[1])
        if host not in {None, target}:
            raise BadRequest("Host names another host than CONNECT")
        return Asked("CONNECT", *target)

    def _forward(self, method: str, version: str) -> Asked:
        url = _URL.fullmatch(self._target.decode("latin-1"))
        if url is None:
            raise BadRequest("this is a proxy: it takes CONNECT host:port and http://host/…")
        target = read_authority(url[1], default=80)
        if target is None:
            raise BadRequest("the url names no host, or one that can be read in two ways")
        if self._host(version, default=80) not in {None, target}:
            raise BadRequest("Host names another host than the url")
        if self.chunked and version == "1.0":
            raise BadRequest("HTTP/1.0 knows no Transfer-Encoding")
        path = url[2] or "/"
        head = self._written(method, path if path.startswith("/") else f"/{path}", target, version)
        # The body is read under the head that goes on, not under the one that came: what was left out of it, an Upgrade
        # above all, has no say in where the body ends.
        # And it says `Connection: close`, after which the parser refuses whatever follows.
        self._parser, self.whole = httptools.HttpRequestParser(self), False
        self._feed(head)
        return Asked(method, *target, head)

    def _host(self, version: str, default: int) -> tuple[str, int] | None:
        hosts = [value for name, value in self._headers if name == "host"]
        if len(hosts) > 1 or (not hosts and version == "1.1"):
            raise BadRequest("a request has one Host")
        if not hosts:
            return None
        read = read_authority(hosts[0], default)
        if read is None:
            raise BadRequest("Host is no host")
        return read

    def _has(self, name: str) -> bool:
        return any(known == name for known, _ in self._headers)

    def _written(self, method: str, path: str, target: tuple[str, int], version: str) -> bytes:
        """The head as it goes on. The origin is asked to close, so the connection ends with its answer."""
        named = {
            word.strip().lower() for name, value in self._headers if name == "connection" for word in value.split(",")
        }
        host, port = target
        authority = entry(host, port).removesuffix(":80") if port == 80 else entry(host, port)
        lines = [f"{method} {path} HTTP/{version}", f"Host: {authority}"]
        for name, value in self._headers:
            if name not in _CONNECTION and name not in named and not name.startswith("proxy-"):
                lines.append(f"{name}: {value}")
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
        lines += [f"Content-Length: {int(value)}" for name, value in self._headers if name == "content-length"]
        lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_read:  # afterwards come trailers, which are not passed on
            self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self._head_read = True
        self.chunked = self._has("transfer-encoding")

    def on_body(self, body: bytes) -> None:
        self._body += b"%x\r\n%b\r\n" % (len(body), body) if self.chunked else body

    def on_message_complete(self) -> None:
        self.whole = True
        if self.chunked:
            self._body += b"0\r\n\r\n"
