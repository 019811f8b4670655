"""What each method of each era does: one table per era, at the end.

Not the rules by which a message is judged before (mcp.py), and not the judging of calls: what a call or a list comes
to is asked of the callables that `Behind` holds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from gateway.channel import About, Channel, Tell
from gateway.kinds import METHODS, Kind, Listed
from gateway.model import Call, Endpoint, JsonObject, Principal, Reply
from gateway.subscriptions import Subscription, Wants
from gateway.transports import methods
from gateway.transports.answers import JSON, Answer, bad_params, of_fault, unknown_method, unreadable
from gateway.transports.client import Client, Send
from gateway.transports.requests import Request, channel_of, own_name
from gateway.transports.sessions import Sessions
from gateway.transports.streams import Stream
from gateway.wire import jsonrpc, mcp

SESSION_HEADER: Final = b"mcp-session-id"
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
LONGEST_TTL_MS: Final = 5_000
"""A resource may be kept no longer than this, which is how late a change of the policy may act on it."""
RESOURCE_MISSING: Final = -32002
ADDRESS_REQUIRED: Final = -32042
"""2025-11-25: a person must visit an address first. No other revision has a meaning for it."""
_DECLARED_LIMIT = 16_384
_WATCHES_ADDRESSES: Final = "2025-11-25"


@dataclass(frozen=True, slots=True)
class Behind:
    """What stands behind the client side."""

    call: Callable[[Call, Channel], Awaitable[Reply]]
    listed: Callable[[Listed, Principal, Endpoint, str, str, str | None], Awaitable[tuple[list[Any], str | None]]]
    """One page of a list, and where the next begins: (what, who, where, era, session, cursor)."""
    about: Callable[[Principal, Endpoint], Awaitable[About]]
    input_schema: Callable[[Principal, Endpoint, str], Awaitable[JsonObject | None]]
    """The same object for the same tool each time; None where the principal may not know of the tool."""
    subscribe: Callable[[Principal, Endpoint, str, str, str, Wants, Tell], Awaitable[Subscription]]
    """(who, where, era, transport, session, what, tell)"""


class Served:
    """The methods. Each is given a request that the rules of its era let through."""

    def __init__(self, behind: Behind, server: JsonObject, sessions: Sessions) -> None:
        self._behind, self._server, self._sessions = behind, server, sessions
        self._declared: dict[int, tuple[JsonObject, tuple[mcp.ParamHeader, ...]]] = {}
        self._waking: set[asyncio.Task[None]] = set()

    async def discover(self, request: Request) -> Answer:
        """`server/discover`."""
        about = await self._about(request)
        return self._result(request, {"supportedVersions": list(mcp.MODERN), **about}, cacheable=True)

    async def initialize(self, request: Request) -> Answer:
        """Shake hands. An id the client may have sent is of another session and is not taken over."""
        asked, capabilities = request.message.params.get("protocolVersion"), request.message.params.get("capabilities")
        if type(asked) is not str:
            bad_params("protocolVersion must be a string")
        if capabilities is not None and type(capabilities) is not dict:
            bad_params("capabilities must be an object")
        version = asked if asked in mcp.LEGACY else mcp.LATEST_LEGACY
        about = await self._about(request)
        told = {"protocolVersion": version, "serverInfo": self._server, **about}
        body = jsonrpc.result(request.message.id, told)
        lists = methods.promised(about["capabilities"])
        if request.wrapped is not None:
            client = request.wrapped.client
            client.version, client.capabilities, client.lists = version, capabilities or {}, lists
            client.log_level = ""
            return Answer(200, body, (JSON,))
        client = Client(version, capabilities or {}, lists)
        opened = self._sessions.open(request.principal.id, request.address, client)
        return Answer(200, body, (JSON, (SESSION_HEADER, opened.id.encode("ascii"))))

    async def ping(self, request: Request) -> Answer:
        """`ping`."""
        self._wake(request)
        return self._result(request, {})

    async def set_level(self, request: Request) -> Answer:
        """`logging/setLevel`: kept in the session, and wanted of an upstream with each call."""
        level = methods.level(request.message.params)
        if not level:
            bad_params("level must be a string")
        _known(request).log_level = level
        self._wake(request)
        return self._result(request, {})

    async def subscribe(self, request: Request) -> Answer:
        """`resources/subscribe`."""
        uri, client = methods.uri(request.message.params), _known(request)
        await self.watch(request)
        if client.subscription is not None:  # the session may have ended meanwhile
            await client.subscription.add(uri)
        return self._result(request, {})

    async def unsubscribe(self, request: Request) -> Answer:
        """`resources/unsubscribe`; what is not subscribed changes nothing."""
        uri, client = methods.uri(request.message.params), _known(request)
        async with client.opening:
            if client.subscription is not None:
                client.subscription.remove(uri)
            elif (opened := request.opened) is not None and (rests := opened.resting) is not None:
                opened.resting = replace(rests, uris=tuple(one for one in rests.uris if one != uri))
        self._wake(request)
        return self._result(request, {})

    async def watch(self, request: Request) -> None:
        """Open a legacy client's one subscription, with the lists whose changes it was promised, or the one it had
        before a rest."""
        client, session = _known(request), request.opened
        async with client.opening:
            if client.subscription is None and not client.ended:
                rests = None if session is None else session.resting
                opened = await self._behind.subscribe(
                    request.principal,
                    request.endpoint,
                    request.era,
                    request.transport,
                    request.session,
                    rests or Wants(client.lists),
                    partial(_told, _sender(request)),
                )
                client.keep(opened)
                if session is not None:
                    session.resting = None

    def _wake(self, request: Request) -> None:
        """The client is back: open again what rests. The request does not wait for that."""
        if request.opened is not None and request.opened.resting is not None:
            waking = asyncio.ensure_future(self._woken(request))
            self._waking.add(waking)
            waking.add_done_callback(self._waking.discard)

    async def _woken(self, request: Request) -> None:
        try:
            await self.watch(request)
        except Exception as fault:  # noqa: BLE001 - the transport's boundary: it rests until the client comes again
            of_fault(fault, None)

    async def listen(self, request: Request) -> Answer:
        """`subscriptions/listen`: its answer goes on until the client, or we, end it."""
        lists, uris = methods.wanted(request.message.params)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        send = _listening(request, over)
        tagged = {mcp.META_SUBSCRIPTION: request.message.id}
        tell = partial(_tagged, send, tagged)
        subscription = None
        try:
            subscription = await self._behind.subscribe(
                request.principal,
                request.endpoint,
                request.era,
                request.transport,
                request.session,
                Wants(lists, uris),
                tell,
            )
            accepted = subscription.wants
            tell(ACKNOWLEDGED, {"notifications": methods.acknowledged(accepted.lists, accepted.uris)})
            await over
        finally:
            if subscription is not None:
                subscription.close()
            if request.wrapped is not None:
                request.wrapped.client.listening.pop(request.message.id, None)
        return self._result(request, {"_meta": tagged})

    async def list_(self, request: Request) -> Answer:
        """Any of the lists, a page at a time."""
        params = request.message.params
        methods.no_round(params)
        self._wake(request)
        what = methods.LISTS[request.message.method]
        items, cursor = await self._behind.listed(
            what, request.principal, request.endpoint, request.era, request.session, methods.cursor(params)
        )
        page: JsonObject = {what.value: items}
        if cursor is not None:
            page["nextCursor"] = cursor
        return self._result(request, page, cacheable=True)

    async def tool(self, request: Request) -> Answer:
        """`tools/call`, whose arguments a modern client may have to repeat as headers. HOT."""
        asked = methods.tool(request.message.params)
        if request.wrapped is None and request.era in mcp.MODERN:
            schema = await self._behind.input_schema(request.principal, request.endpoint, asked.name)
            if schema is not None and (declared := self._declared_headers(schema)):
                mcp.check_params(declared, asked.arguments, request.headers)
        return await self._call(request, asked)

    async def call(self, request: Request) -> Answer:
        """The other methods whose params we know."""
        return await self._call(request, methods.CALLS[request.message.method](request.message.params))

    async def other(self, request: Request) -> Answer:
        """Any method we know nothing of: the policy may."""
        message = request.message
        if message.method in REMOVED or message.method.startswith("notifications/"):
            raise unknown_method()
        return await self._call(request, methods.other(message.method, message.params))

    async def _call(self, request: Request, asked: methods.Asked) -> Answer:
        meta = request.message.params.get("_meta", {})
        if type(meta) is not dict:
            bad_params("_meta must be an object")
        if asked.round is not None and request.era not in mcp.MODERN:
            bad_params("nothing was asked of the client that this request could answer")
        task = own_name(request.principal, meta, "bascule/task") or request.session
        call = Call(
            request.principal,
            request.endpoint,
            asked.kind,
            asked.name,
            asked.arguments,
            "mcp",
            request.era,
            request.transport,
            request.session,
            task,
            meta,
            asked.round,
        )
        channel = request.channel = channel_of(request, meta)
        client, ident = request.client, request.message.id
        if client is None:
            return self._replied(request, asked, await self._behind.call(call, channel))
        client.begin(ident, channel)
        self._wake(request)
        try:
            return self._replied(request, asked, await self._behind.call(call, channel))
        finally:
            del client.under_way[ident]

    def _replied(self, request: Request, asked: methods.Asked, reply: Reply) -> Answer:
        if (result := reply.result) is not None:
            if result.get("resultType") == mcp.INPUT_REQUIRED and request.era not in mcp.MODERN:
                raise RuntimeError("a legacy client was to be asked by a result")
            read = asked.kind is Kind.RESOURCE
            ttl_ms = _ttl_ms(result) if read and asked.round is None else 0
            return self._result(request, result, cacheable=read, ttl_ms=ttl_ms)
        error = reply.error or {"code": jsonrpc.INTERNAL_ERROR, "message": "there is no result"}
        error = _numbered(error, request.era, asked.kind)
        status = mcp.STATUS.get(error["code"], reply.status) if request.era in mcp.MODERN else reply.status
        body = jsonrpc.encode({"jsonrpc": "2.0", "id": request.message.id, "error": error})
        return Answer(status, body, (JSON,))

    def _result(self, request: Request, result: JsonObject, *, cacheable: bool = False, ttl_ms: int = 0) -> Answer:
        shaped = mcp.shape_result(request.era, result, cacheable=cacheable, server=self._server, ttl_ms=ttl_ms)
        return Answer(200, jsonrpc.result(request.message.id, shaped), (JSON,))

    async def _about(self, request: Request) -> JsonObject:
        about = await self._behind.about(request.principal, request.endpoint)
        told: JsonObject = {"capabilities": about.capabilities}
        return told | {"instructions": about.instructions} if about.instructions else told

    def _declared_headers(self, schema: JsonObject) -> tuple[mcp.ParamHeader, ...]:
        known = self._declared.get(id(schema))
        if known is None or known[0] is not schema:
            if len(self._declared) >= _DECLARED_LIMIT:
                self._declared.clear()
            # The schema is kept beside its headers, so its id cannot become another's.
            known = self._declared[id(schema)] = (schema, mcp.param_headers(schema))
        return known[1]


def _known(request: Request) -> Client:
    assert request.client is not None  # the rules of the era let nobody else through
    return request.client


def _sender(request: Request) -> Send:
    if request.wrapped is not None:
        return request.wrapped.send
    assert request.opened is not None
    return request.opened.send


def _told(send: Send, method: str, params: JsonObject) -> None:
    send(jsonrpc.notification(method, params))


def _tagged(send: Send, tagged: JsonObject, method: str, params: JsonObject) -> None:
    send(jsonrpc.notification(method, {**params, "_meta": tagged}))


def _listening(request: Request, over: asyncio.Future[None]) -> Send:
    """Whoever listens is sent to by what is returned; `over` is done when it listens no more, or we stop."""

    def end() -> None:
        if not over.done():
            over.set_result(None)

    channel = request.channel = Channel(on_hang_up=end)
    if request.wrapped is not None:
        client = request.wrapped.client
        client.begin(request.message.id, channel)
        client.listening[request.message.id] = client.under_way.pop(request.message.id)
        if client.ended:
            channel.hang_up()
        return request.wrapped.send
    if request.connection is None or not request.reads_events:
        raise unreadable()
    stream = request.stream = Stream(request.connection, request.pulse)
    stream.on_lost = channel.hang_up
    request.connection.on_stop = end
    if not stream.connected:
        channel.hang_up()
    return stream.send


def _ttl_ms(result: JsonObject) -> int:
    ttl_ms = result.get("ttlMs")
    return min(ttl_ms, LONGEST_TTL_MS) if type(ttl_ms) is int and ttl_ms > 0 else 0


def _numbered(error: JsonObject, era: str, kind: Kind) -> JsonObject:
    """The error by the number that this revision has for it."""
    code = error["code"]
    if code == ADDRESS_REQUIRED and era != _WATCHES_ADDRESSES:
        return {"code": jsonrpc.INTERNAL_ERROR, "message": error["message"]}
    missing = kind is Kind.RESOURCE and code == jsonrpc.INVALID_PARAMS and "uri" in (error.get("data") or ())
    return {**error, "code": RESOURCE_MISSING} if missing and era not in mcp.MODERN else error


Method = Callable[[Served, Request], Awaitable[Answer]]

_BOTH: Final[Mapping[str, Method]] = {
    **dict.fromkeys(methods.LISTS, Served.list_),
    METHODS[Kind.TOOL]: Served.tool,
    METHODS[Kind.RESOURCE]: Served.call,
    METHODS[Kind.PROMPT]: Served.call,
    METHODS[Kind.COMPLETION]: Served.call,
}
MODERN: Final[Mapping[str, Method]] = {
    **_BOTH,
    "server/discover": Served.discover,
    "subscriptions/listen": Served.listen,
}
LEGACY: Final[Mapping[str, Method]] = {
    **_BOTH,
    "initialize": Served.initialize,
    "ping": Served.ping,
    "logging/setLevel": Served.set_level,
    "resources/subscribe": Served.subscribe,
    "resources/unsubscribe": Served.unsubscribe,
}
REMOVED: Final = frozenset(MODERN.keys() ^ LEGACY.keys())
"""What one era has and the other has not is unknown there; what neither has is `Served.other` in both."""
