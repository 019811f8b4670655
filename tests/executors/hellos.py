"""ClientHellos: a real one, as Python's own TLS writes it, and the same one taken apart and put together otherwise."""

import ssl


def hello(name: str | None) -> bytes:
    """The first bytes of a TLS connection to a server of that name."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake ended without a server")


def record(content: bytes) -> bytes:
    """One TLS record of the handshake."""
    return b"\x16\x03\x01" + len(content).to_bytes(2) + content


def server_name(*names: bytes, kind: int = 0) -> bytes:
    """The extension that names a server."""
    listed = b"".join(bytes([kind]) + len(name).to_bytes(2) + name for name in names)
    content = len(listed).to_bytes(2) + listed
    return b"\x00\x00" + len(content).to_bytes(2) + content


def message(*extensions: bytes, session: bytes = b"", behind: bytes = b"") -> bytes:
    """A ClientHello with these extensions."""
    joined = b"".join(extensions)
    body = b"\x03\x03" + bytes(32) + bytes([len(session)]) + session + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += len(joined).to_bytes(2) + joined + behind
    return b"\x01" + len(body).to_bytes(3) + body
