"""MCP over one POST or one line of a wrap: which rules judge it, in which session it is, how its answer goes out.

Not what its method does (served.py).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from gateway.errors import Malformed
from gateway.kinds import CANCELLED, ROOTS_CHANGED
from gateway.model import Code, Endpoint, JsonObject, Principal
from gateway.transports import served
from gateway.transports.answers import (
    ACCEPTED,
    NOWHERE,
    Answer,
    lost_session,
    malformed,
    no_handshake,
    no_session,
    not_allowed,
    nowhere,
    of_fault,
    unreadable,
)
from gateway.transports.protocol import StrictProtocol
from gateway.transports.requests import Request, Wrapped, own_headers, own_name
from gateway.transports.served import SESSION_HEADER, Behind, Served
from gateway.transports.sessions import Address, Session, Sessions
from gateway.transports.streams import Stream
from gateway.wire import jsonrpc, mcp

RESUME_HEADER: Final = b"last-event-id"
INITIALIZE: Final = "initialize"
INITIALIZED: Final = "notifications/initialized"
_NONE: frozenset[bytes] = frozenset()


class Front:
    """The methods a client may call. `depth` may be changed while serving."""

    def __init__(
        self,
        *,
        endpoints: Callable[[str | None, str | None], Endpoint | None],
        behind: Behind,
        server: JsonObject,
        depth: int = 64,
        sessions: Sessions | None = None,
    ) -> None:
        self._endpoints = endpoints
        self.depth = depth
        self.sessions = sessions if sessions is not None else Sessions()
        self._pulse = self.sessions.pulse
        self._served = Served(behind, server, self.sessions)

    async def post(
        self,
        principal: Principal,
        address: Address,
        body: bytes,
        headers: Mapping[bytes, bytes],
        repeated: frozenset[bytes] = _NONE,
        connection: StrictProtocol | None = None,
        *,
        reads_events: bool = False,
    ) -> Answer | None:
        """Answer one message; None where the answer went out as a stream. `headers` have lower-case names;
        `repeated` are those that came more than once."""
        ident: jsonrpc.Id = None
        request: Request | None = None
        try:
            endpoint = self._endpoints(*address)
            if endpoint is None:
                return nowhere()
            message = jsonrpc.parse(body, depth=self.depth)
            if isinstance(message, jsonrpc.Response):
                return self._answered(principal, address, headers, message)
            ident = message.id
            if repeated:
                mcp.check_repeated(repeated)
            request = Request(message, principal, endpoint, address, headers, "http", self._pulse)
            request.connection, request.reads_events = connection, reads_events
            stated = headers.get(mcp.VERSION_HEADER)
            version = None if stated is None else stated.decode("latin-1")
            if mcp.is_modern(version, message.params):
                answer = await self._modern(request, version)
            else:
                answer = await self._legacy(request)
        except Exception as fault:  # noqa: BLE001 - the transport's boundary: no text of an unforeseen fault leaves
            answer = of_fault(fault, ident)
        if request is not None and (stream := request.stream) is not None and stream.begun:
            stream.end(answer.body)
            return None
        return answer

    async def line(self, wrapped: Wrapped, message: jsonrpc.Message) -> Answer | None:
        """Answer one request of a wrap; None where it was cancelled. It has no headers, so what the rules look for
        in them is taken from itself."""
        request: Request | None = None
        try:
            request = self._of_line(wrapped, message)
            if mcp.is_modern(None, message.params):
                answer = await self._modern(request, None)
            else:
                answer = await self._legacy(request)
        except Exception as fault:  # noqa: BLE001 - the transport's boundary: no text of an unforeseen fault leaves
            answer = of_fault(fault, message.id)
        cancelled = request is not None and request.channel is not None and request.channel.hung_up
        return None if cancelled else answer

    async def initialized(self, wrapped: Wrapped, message: jsonrpc.Message) -> None:
        """A wrap's client is ready to be told of changes."""
        try:
            request = self._of_line(wrapped, message)
            request.era, request.session = self._agreed(request)
            await self._served.watch(request)
        except Exception as fault:  # noqa: BLE001 - the transport's boundary: a notification has no answer
            of_fault(fault, None)

    async def get(
        self, principal: Principal, address: Address, headers: Mapping[bytes, bytes], connection: StrictProtocol | None
    ) -> Answer | None:
        """Serve a stream of a session until it ends: its own, or the rest of another where the client says from where.

        There is one of its own at a time, and the newest has it: a client whose connection broke unseen comes for
        another while we still hold the first, and each message may go to one of them only.
        """
        if SESSION_HEADER not in headers or headers.get(mcp.VERSION_HEADER, b"").decode("latin-1") in mcp.MODERN:
            return not_allowed()
        try:
            if (endpoint := self._endpoints(*address)) is None:
                return nowhere()
            opened, lost = self._found(principal, address, headers), asyncio.get_running_loop().create_future()
            if connection is None:
                raise unreadable()
            if connection.gone:
                return None
            _attach(opened, headers.get(RESUME_HEADER), connection, lost)
        except Malformed as fault:
            return malformed(fault, None)
        if opened.client.lists or opened.resting is not None:
            request = Request(jsonrpc.Message(None, "", {}), principal, endpoint, address, headers, "http", self._pulse)
            request.opened, request.era, request.session = opened, opened.client.version, f"mcp:{opened.id}"
            try:
                await self._served.watch(request)
            except Exception as fault:  # noqa: BLE001 - the transport's boundary: the stream is begun, and has other uses
                of_fault(fault, None)
        await lost
        return None

    def delete(self, principal: Principal, address: Address, headers: Mapping[bytes, bytes]) -> Answer:
        """End a session of the handshake revisions."""
        if headers.get(mcp.VERSION_HEADER, b"").decode("latin-1") in mcp.MODERN:
            return not_allowed()
        stated = headers.get(SESSION_HEADER)
        if stated is None:
            return malformed(no_session(), None)
        if not self.sessions.end(principal.id, address, stated.decode("latin-1")):
            return malformed(lost_session(), None)
        return Answer(204)

    def _of_line(self, wrapped: Wrapped, message: jsonrpc.Message) -> Request:
        endpoint = wrapped.endpoint()
        if endpoint is None:
            raise Malformed(Code.PARSE, NOWHERE, jsonrpc=jsonrpc.INVALID_REQUEST)
        headers = own_headers(message)
        return Request(message, wrapped.principal(), endpoint, wrapped.address, headers, "stdio", self._pulse, wrapped)

    async def _modern(self, request: Request, version: str | None) -> Answer:
        message = request.message
        if message.id is None:
            # Nothing a client may notify of on this wire acts on anything; the version is all there is to check.
            if version not in mcp.MODERN:
                mcp.unsupported(version or "")
            return ACCEPTED
        request.era = mcp.climb(message.method, message.params, request.headers)
        request.session = _session(request)
        return await served.MODERN.get(message.method, Served.other)(self._served, request)

    async def _legacy(self, request: Request) -> Answer:
        message = request.message
        if message.method == INITIALIZE and message.id is not None:
            return await self._served.initialize(request)
        request.era, request.session = self._agreed(request)
        if message.id is None:
            if message.method == CANCELLED and request.client is not None:
                request.client.cancel(message.params.get("requestId"))
            elif message.method == ROOTS_CHANGED and request.client is not None:
                request.client.roots.changed()
            return ACCEPTED
        try:
            return await served.LEGACY.get(message.method, Served.other)(self._served, request)
        except Malformed as fault:
            # Within a session only the JSON-RPC error speaks: 404 would say that the session has ended.
            return malformed(fault, message.id, status=200)

    def _agreed(self, request: Request) -> tuple[str, str]:
        """The revision this session agreed on, and what the session is called."""
        if request.wrapped is None:
            opened = request.opened = self._found(request.principal, request.address, request.headers)
            return opened.client.version, f"mcp:{opened.id}"
        if not request.wrapped.client.version:
            raise no_handshake()
        return request.wrapped.client.version, request.wrapped.session

    def _found(self, principal: Principal, address: Address, headers: Mapping[bytes, bytes]) -> Session:
        stated = headers.get(SESSION_HEADER)
        if stated is None:
            raise no_session()
        opened = self.sessions.find(principal.id, address, stated.decode("latin-1"))
        if opened is None:
            raise lost_session()
        version = headers.get(mcp.VERSION_HEADER)
        if version is not None and version.decode("latin-1") != opened.client.version:
            mcp.mismatch("the mcp-protocol-version header is not the version this session agreed on")
        return opened

    def _answered(
        self, principal: Principal, address: Address, headers: Mapping[bytes, bytes], response: jsonrpc.Response
    ) -> Answer:
        """Take a client's answer to what it was asked. One that nobody waits for is as welcome."""
        if headers.get(mcp.VERSION_HEADER, b"").decode("latin-1") in mcp.MODERN:
            reason = "responses are not accepted: nothing was asked of the client"
            raise Malformed(Code.PARSE, reason, jsonrpc=jsonrpc.INVALID_REQUEST)
        self._found(principal, address, headers).client.answer(response)
        return ACCEPTED


def _session(request: Request) -> str:
    """The session of a modern request, which its `_meta` may name."""
    if named := own_name(request.principal, request.message.params["_meta"], "bascule/session"):
        return named
    return f"principal:{request.principal.id}" if request.wrapped is None else request.wrapped.session


def _attach(opened: Session, last_id: bytes | None, connection: StrictProtocol, lost: "asyncio.Future[None]") -> None:
    """Give a connection to a stream of the session."""

    def done() -> None:
        if not lost.done():
            lost.set_result(None)

    if last_id is None:
        stream, missed = _standalone(opened)
    elif (found := opened.replay.after(last_id)) is not None:
        stream, missed = found
    else:
        reason = "what followed this last-event-id is not kept"
        raise Malformed(Code.PARSE, reason, jsonrpc=jsonrpc.INVALID_REQUEST)
    stream.resume(connection, missed, done)
    connection.on_stop = stream.release


def _standalone(opened: Session) -> tuple[Stream, list[bytes]]:
    """The session's own stream for whoever comes for it: a new one, unless none has come for this one yet."""
    stream = opened.standalone
    if stream is None or stream.met:
        opened.standalone = Stream(None, opened.replay.pulse, opened.replay)
        if stream is not None:
            stream.end()
        return opened.standalone, []
    return stream, opened.replay.of(stream)
