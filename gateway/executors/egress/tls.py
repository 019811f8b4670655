"""The server's name in a TLS ClientHello, read from the first bytes of a connection. Pure; nothing is decrypted.

Not proof of whom the program talks to: what it asks for inside the encrypted stream (a `Host` of its own at a front
that serves many names) cannot be seen here. With Encrypted ClientHello the name read is the outer one.
"""

from dataclasses import dataclass

LONGEST = 1 << 14
HANDSHAKE = 0x16
UNRECOGNISED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"
"""The alert that tells a program why its connection ends."""
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0
_RECORD_LIMIT = 1 << 14


class NotTls(ValueError):
    """These bytes begin no TLS connection, or one whose name can be read in two ways."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a ClientHello says. No name: the extension is absent."""

    server_name: str | None


class _Short(ValueError):
    """The structure says that more bytes follow than there are."""


class _Reader:
    """Takes lengths and bytes off the front of a structure that must hold them."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise _Short
        self._at += size
        return taken

    def rest(self) -> bytes:
        return self._data[self._at :]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def sized(self, length_size: int) -> "_Reader":
        return _Reader(self.take(self.number(length_size)))


def read_hello(data: bytes) -> Hello | None:
    """What the ClientHello at the start of a connection says; None while bytes of it are missing.

    Raises:
        NotTls: no further byte can make one of it.
    """
    message = _handshake(data)
    if message is None:
        if len(data) > LONGEST:
            raise NotTls("its first message is too long")
        return None
    try:
        return Hello(_server_name(_Reader(message)))
    except _Short:
        raise NotTls("its first message is not whole") from None


def _handshake(data: bytes) -> bytes | None:
    """The body of the first handshake message, put together from as many records as it was split into."""
    records, message = _Reader(data), b""
    try:
        while True:
            if records.number(1) != HANDSHAKE:
                raise NotTls("it does not begin with a handshake")
            if records.number(1) != 3:
                raise NotTls("its version is none of TLS")
            records.take(1)
            size = records.number(2)
            if not 0 < size <= _RECORD_LIMIT:
                raise NotTls("a record has no valid size")
            message += records.take(size)
            if message[0] != _CLIENT_HELLO:
                raise NotTls("its first message is no ClientHello")
            if len(message) >= 4 and len(message) >= (end := 4 + int.from_bytes(message[1:4])):
                if len(message) > end:
                    raise NotTls("something stands behind its ClientHello")
                return message[4:]
    except _Short:
        return None


def _server_name(hello: _Reader) -> str | None:
    hello.take(2 + 32)  # version, random
    hello.sized(1)  # session
    hello.sized(2)  # cipher suites
    hello.sized(1)  # compression methods
    if not hello:
        return None
    extensions = hello.sized(2)
    if hello:
        raise NotTls("something stands behind its extensions")
    found: list[_Reader] = []
    while extensions:
        kind = extensions.number(2)
        content = extensions.sized(2)
        if kind == _SERVER_NAME:
            found.append(content)
    if len(found) > 1:
        raise NotTls("it names its server twice")
    return _host_name(found[0]) if found else None


def _host_name(extension: _Reader) -> str:
    names = extension.sized(2)
    kind, name = names.number(1), names.sized(2)
    # RFC 6066: "The ServerNameList MUST NOT contain more than one name of the same name_type"; no other type exists.
    if extension or names or kind != _HOST_NAME:
        raise NotTls("it names its server in an unknown way")
    try:
        return name.rest().decode("ascii")
    except UnicodeDecodeError:
        raise NotTls("its server's name is not ASCII") from None
