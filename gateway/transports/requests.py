"""One request from somebody known, to an endpoint that is there; and its way to the client while it is under way.

Not what its method means (served.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.channel import Channel
from gateway.kinds import LOGGED, PROGRESS
from gateway.model import Endpoint, JsonObject, Principal
from gateway.transports import methods
from gateway.transports.answers import bad_params, unknown_method
from gateway.transports.client import Client, Send
from gateway.transports.protocol import StrictProtocol
from gateway.transports.sessions import Address, Session
from gateway.transports.streams import Pulse, Stream
from gateway.wire import jsonrpc, mcp

NAME_LIMIT: Final = 128
"""Characters of a session or task that a client may name."""


@dataclass(slots=True)
class Wrapped:
    """One client behind `bascule wrap`: what HTTP says anew with each message. Only what `client` holds changes."""

    principal: Callable[[], Principal]
    """Who asks, by the settings in force; raises Malformed where they name them no more."""
    endpoint: Callable[[], Endpoint | None]
    address: Address
    session: str
    """Of all it sends, in either era: a client that changed eras would shed what its session has read."""
    client: Client = field(default_factory=Client)
    send: Send = lambda _message: False
    """Its lines."""


@dataclass(slots=True)
class Request:
    """One request. What stands below `pulse` depends on how it came, and from `era` on is found on the way."""

    message: jsonrpc.Message
    principal: Principal
    endpoint: Endpoint
    address: Address
    headers: Mapping[bytes, bytes]
    transport: str
    pulse: Pulse
    wrapped: Wrapped | None = None
    connection: StrictProtocol | None = None
    reads_events: bool = False
    """Whether its answer may be a stream of events."""
    era: str = ""
    session: str = ""
    opened: Session | None = None
    """The session of a handshake over HTTP."""
    stream: Stream | None = None
    """Its answer, where that is, or may become, a stream."""
    channel: Channel | None = None

    @property
    def client(self) -> Client | None:
        """Whoever shook hands, or sits behind a wrap."""
        if self.wrapped is not None:
            return self.wrapped.client
        return None if self.opened is None else self.opened.client


class Way:
    """What reaches the client of one call beside its answer."""

    __slots__ = ("_client", "_least", "_send", "_token")

    def __init__(self, send: Send, token: str | int | None, least: str, client: Client | None) -> None:
        """`client` is there in the era in which it can be asked."""
        self._send, self._token, self._least, self._client = send, token, least, client

    def tell(self, method: str, params: JsonObject) -> None:
        """Pass on progress under the client's own token, and log messages that are severe enough."""
        if method == PROGRESS and self._token is not None:
            params = {**params, "progressToken": self._token}
        elif method != LOGGED or not self._severe(params.get("level")):
            return
        self._send(jsonrpc.notification(method, params))

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        """Ask the client while it waits. Raises Unanswered."""
        assert self._client is not None
        return await self._client.ask(method, params, self._send)

    def _severe(self, level: object) -> bool:
        """A legacy client that set no level leaves it to the server which messages it sends."""
        if not self._least:
            return self._client is not None
        return level in methods.LEVELS and methods.LEVELS.index(str(level)) >= methods.LEVELS.index(self._least)


def channel_of(request: Request, meta: JsonObject) -> Channel:
    """The outer channel of a call. HOT: where the client can be told nothing, no more than this is made."""
    token = meta.get("progressToken")
    if token is not None and type(token) is not str and type(token) is not int:
        bad_params("progressToken must be a string or an integer")
    if request.era in mcp.MODERN:
        capabilities, level = meta[mcp.META_CAPABILITIES], methods.level(meta, mcp.META_LOG_LEVEL)
        if type(capabilities) is not dict:
            bad_params("the client capabilities must be an object")
        if request.wrapped is not None:
            way = Way(request.wrapped.send, token, level, None)
            return Channel(capabilities, token is not None, level, way.tell)
        return _modern(request, capabilities, token, level)
    return _legacy(request, token)


def _modern(request: Request, capabilities: JsonObject, token: str | int | None, level: str) -> Channel:
    """The end of the connection is the end of the call."""
    connection = request.connection
    if connection is None:
        return Channel(capabilities)
    if not request.reads_events or (token is None and not level):
        channel = Channel(capabilities)
        connection.on_lost = channel.hang_up
        if connection.gone:
            channel.hang_up()
        return channel
    stream = request.stream = Stream(connection, request.pulse)
    way = Way(stream.send, token, level, None)
    channel = Channel(capabilities, token is not None, level, way.tell)
    stream.on_lost = channel.hang_up
    if not stream.connected:
        channel.hang_up()
    return channel


def _legacy(request: Request, token: str | int | None) -> Channel:
    """The call goes on where the connection ends, and its answer waits for the client to come back."""
    client, opened = request.client, request.opened
    assert client is not None
    if request.wrapped is not None:
        send = request.wrapped.send
    elif opened is not None and request.reads_events and request.connection is not None:
        request.stream = Stream(request.connection, request.pulse, opened.replay)
        send = request.stream.send
    elif opened is not None and opened.standalone is not None and opened.standalone.connected:
        way = Way(opened.send, None, "", client)
        return Channel(client.capabilities, ask=way.ask, roots=client.roots)
    else:
        return Channel(client.capabilities)
    way = Way(send, token, client.log_level, client)
    return Channel(client.capabilities, token is not None, client.log_level, way.tell, way.ask, client.roots)


def own_headers(message: jsonrpc.Message) -> dict[bytes, bytes]:
    """The headers that would belong to the message, for rules that compare the two."""
    meta = message.params.get("_meta")
    if not message.method.isascii():
        raise unknown_method()
    headers = {mcp.METHOD_HEADER: message.method.encode("ascii")}
    if type(meta) is dict and mcp.META_VERSION in meta:
        version = _text(meta, mcp.META_VERSION)
        if not version.isascii():
            mcp.unsupported(version)
        headers[mcp.VERSION_HEADER] = version.encode("ascii")
    if (named := mcp.NAMED_BY.get(message.method)) in message.params:
        headers[mcp.NAME_HEADER] = mcp.encode_header(_text(message.params, named)).encode("ascii")
    return headers


def _text(within: JsonObject, member: str) -> str:
    if type(value := within[member]) is not str:
        bad_params(f"{member} must be a string")
    return value


def own_name(principal: Principal, meta: Mapping[str, Any], key: str) -> str | None:
    """What the client calls its session or task, under its principal: nobody can name another's.

    Principal names hold no colon (settings.py), so the parts cannot run into each other.
    """
    if key not in meta:
        return None
    value = meta[key]
    if type(value) is not str or not value.isprintable() or not 0 < len(value) <= NAME_LIMIT:
        bad_params(f"_meta {key} must be a printable string of 1 to {NAME_LIMIT} characters")
    return f"named:{principal.id}:{value}"
