"""The ASGI app: paths, who may speak to us at all, how large a message may be. No framework on this path.

Not what a message means (mcp.py) and not the bytes of HTTP (protocol.py). The order is fixed: host and origin,
then the token, then the size, then the message; what fails early costs a stranger's request nothing further.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from gateway.config import Listen, Settings
from gateway.errors import Malformed
from gateway.identity.tokens import Authenticator
from gateway.model import Code, Principal
from gateway.transports.answers import JSON, Answer, malformed, not_allowed, nowhere
from gateway.transports.desk import DESK, LARGEST, Desk
from gateway.transports.mcp import Front
from gateway.transports.protocol import StrictProtocol
from gateway.transports.sessions import Address
from gateway.wire.jsonrpc import INVALID_REQUEST, error

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SINGLE = frozenset(
    {b"host", b"origin", b"authorization", b"content-type", b"content-encoding", b"content-length", b"mcp-session-id"}
)
"""Sent twice, two readers may take different ones: refused."""
_NONE: frozenset[bytes] = frozenset()
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
_CLOSE: Final = (b"connection", b"close")
_LOCAL: Final = frozenset(name.encode() for name in _LOOPBACK)
_EVENTS: Final = b"text/event-stream"
_READABLE: Final = (b"application/json", b"application/*", b"*/*")


class App:
    """The gateway's HTTP face. `configure` swaps what a reload may change; requests in flight keep what they had."""

    def __init__(
        self,
        front: Front,
        authenticator: Authenticator,
        settings: Settings,
        *,
        ready: Callable[[], bool],
        desk: Desk | None = None,
    ) -> None:
        self._front, self._ready, self._desk = front, ready, desk
        self.configure(settings, authenticator)

    def configure(self, settings: Settings, authenticator: Authenticator) -> None:
        """Take names, origins, bounds and principals from `settings`."""
        self._authenticator = authenticator
        self._hosts = _host_names(settings.listen)
        self._origins = frozenset(origin.lower().encode() for origin in settings.listen.origins)
        self._largest = settings.limits.body_mb << 20
        self._front.depth = settings.limits.depth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that left before it had asked gets nothing, nor one that had a stream."""
        # Taken out: a connection whose scope holds it would wait, with all it holds, for the collection of garbage.
        connection = scope.pop("connection", None)
        if scope["type"] != "http" or (answer := await self._answer(scope, receive, connection)) is None:
            return
        headers = list(answer.headers)
        if answer.status != 204:
            headers.append((b"content-length", b"%d" % len(answer.body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive, connection: StrictProtocol | None) -> Answer | None:
        path = scope["path"]
        if path == "/healthz":
            return Answer(200, b"alive\n", (_TEXT,))
        if path == "/readyz":
            return Answer(200, b"ready\n", (_TEXT,)) if self._ready() else Answer(503, b"not ready\n", (_TEXT,))
        lines = scope["headers"]
        # RFC 9110, 5.5: the blanks around a value are no part of it, and the parser leaves those behind it.
        headers: dict[bytes, bytes] = {name: value.strip(b" \t") for name, value in lines}
        repeated = _NONE if len(headers) == len(lines) else _repeated(lines)
        if (stranger := self._stranger(headers, repeated)) is not None:
            return stranger
        if self._desk is not None and path.split("/")[1:2] == [DESK]:
            return await self._at_desk(self._desk, scope, headers, repeated, receive)
        if (address := _address(path)) is None:
            return nowhere()
        return await self._at_endpoint(address, scope, headers, repeated, connection, receive)

    async def _at_endpoint(
        self,
        address: Address,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        repeated: frozenset[bytes],
        connection: StrictProtocol | None,
        receive: Receive,
    ) -> Answer | None:
        principal = self._known(headers, loopback=_from_loopback(scope))
        if isinstance(principal, Answer):
            return principal
        if scope.get("http_version") != "1.1":  # it has no way to say where an answer of unknown length ends
            connection = None
        match scope["method"]:
            case "POST":
                return await self._post(principal, address, headers, repeated, connection, receive)
            case "GET":
                stream = connection if _reads_events(headers) else None
                return await self._front.get(principal, address, headers, stream)
            case "DELETE":
                return self._front.delete(principal, address, headers)
        return not_allowed()

    async def _post(
        self,
        principal: Principal,
        address: Address,
        headers: Mapping[bytes, bytes],
        repeated: frozenset[bytes],
        connection: StrictProtocol | None,
        receive: Receive,
    ) -> Answer | None:
        body = await self._read(headers, repeated, receive, self._largest)
        if body is None or isinstance(body, Answer):
            return body
        reads_events = connection is not None and _reads_events(headers)
        return await self._front.post(
            principal, address, body, headers, repeated, connection, reads_events=reads_events
        )

    async def _at_desk(
        self, desk: Desk, scope: Scope, headers: Mapping[bytes, bytes], repeated: frozenset[bytes], receive: Receive
    ) -> Answer | None:
        """Approvals: never without a token, wherever it is asked from."""
        who, body = self._known(headers, loopback=False), b""
        if isinstance(who, Answer):
            return who
        if scope["method"] == "POST":
            read = await self._read(headers, repeated, receive, min(LARGEST, self._largest))
            if read is None or isinstance(read, Answer):
                return read
            body = read
        return await desk.serve(who, scope["method"], scope["path"], body)

    def _known(self, headers: Mapping[bytes, bytes], *, loopback: bool) -> Principal | Answer:
        authorization = headers.get(b"authorization")
        stated = None if authorization is None else authorization.decode("latin-1")
        try:
            return self._authenticator.principal(stated, loopback=loopback)
        except Malformed as fault:
            return _unauthenticated(fault, stated)

    async def _read(
        self, headers: Mapping[bytes, bytes], repeated: frozenset[bytes], receive: Receive, most: int
    ) -> bytes | Answer | None:
        """The body; the refusal of it; None when the client left."""
        if (unreadable := _unreadable(headers, repeated)) is not None:
            return unreadable
        try:
            return await _body(headers, receive, most)
        except Malformed as fault:
            refused = malformed(fault, None)
            return Answer(refused.status, refused.body, (JSON, _CLOSE))  # what is left of it is not read

    def _stranger(self, headers: Mapping[bytes, bytes], repeated: frozenset[bytes]) -> Answer | None:
        """Refuse who was led here by a foreign name (DNS rebinding) or a foreign page."""
        if twice := repeated & _SINGLE:
            return _refuse(400, f"the {min(twice).decode('ascii')} header is there more than once")
        host = headers.get(b"host", b"").lower()
        name, _, port = host.rpartition(b":")
        if host not in self._hosts and not (port.isdigit() and name in self._hosts):
            self._authenticator.failures.count("host")
            return _refuse(421, "this Host is not one of the gateway's names: see listen.hosts")
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in self._origins and not _own_page(origin.lower(), host):
            self._authenticator.failures.count("origin")
            return _refuse(403, "this Origin may not use the gateway: see listen.origins")
        return None


async def _body(headers: Mapping[bytes, bytes], receive: Receive, most: int) -> bytes | None:
    """The body, at most as large as allowed; None when the client left."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and (len(declared) > 18 or int(declared) > most):
        raise _too_large(most)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)


def _too_large(most: int) -> Malformed:
    bound = f"{most >> 20} MB" if most >> 20 else f"{most >> 10} KB"
    return Malformed(Code.TOO_LARGE, f"the body is larger than {bound}", jsonrpc=INVALID_REQUEST, status=413)


def _host_names(listen: Listen) -> frozenset[bytes]:
    own = f"[{listen.host}]" if ":" in listen.host else listen.host
    return frozenset(name.lower().encode() for name in (*_LOOPBACK, own, *listen.hosts))


def _own_page(origin: bytes, host: bytes) -> bool:
    """Whether the page is of this very name and port, on loopback: no foreign name was followed to here."""
    name, _, port = host.rpartition(b":")
    return (name if port.isdigit() else host) in _LOCAL and origin in (b"http://" + host, b"https://" + host)


def _reads_events(headers: Mapping[bytes, bytes]) -> bool:
    """Only who names the media type is given it: a wildcard is what clients say that know of no streams."""
    return _EVENTS in headers.get(b"accept", b"").lower()


def _repeated(lines: list[tuple[bytes, bytes]]) -> frozenset[bytes]:
    return frozenset(name for name, times in Counter(name for name, _ in lines).items() if times > 1)


def _address(path: str) -> Address | None:
    """(upstream, view) of `/mcp/{upstream}`, `/mcp/view/{name}` or `/mcp`; None elsewhere."""
    match path.split("/"):
        case ["", "mcp"]:
            return (None, None)
        case ["", "mcp", upstream] if upstream:
            return (upstream, None)
        case ["", "mcp", "view", view] if view:
            return (None, view)
    return None


def _from_loopback(scope: Scope) -> bool:
    """Whether the peer's own address is on loopback. A forwarded address never gets here: see protocol.py."""
    client = scope.get("client")
    return client is not None and (client[0].startswith("127.") or client[0] in ("::1", "::ffff:127.0.0.1"))


def _unauthenticated(fault: Malformed, stated: str | None) -> Answer:
    challenge = b"Bearer" if stated is None else b'Bearer error="invalid_token"'
    return Answer(401, malformed(fault, None).body, (JSON, (b"www-authenticate", challenge)))


def _unreadable(headers: Mapping[bytes, bytes], repeated: frozenset[bytes]) -> Answer | None:
    """Refuse a body in another form than plain JSON, and a client that could not read the answer."""
    if (kind := headers.get(b"content-type")) != b"application/json":
        essence, _, rest = (kind or b"").lower().partition(b";")
        if essence.strip() != b"application/json" or rest.strip() not in (b"", b"charset=utf-8", b'charset="utf-8"'):
            return _refuse(415, "the content type must be application/json in UTF-8")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        return _refuse(415, "compressed bodies are not read")
    accept = headers.get(b"accept")
    if accept is not None and b"accept" not in repeated and not any(kind in accept.lower() for kind in _READABLE):
        return _refuse(406, "the answer is application/json")
    return None


def _refuse(status: int, reason: str) -> Answer:
    return Answer(status, error(None, INVALID_REQUEST, reason), (JSON,))
