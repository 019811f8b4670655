"""MCP over one POST or one line of a wrap: which rules judge it, which method it asks for, what its revision answers.

Not the judging of calls: what a call or a list comes to is asked of the callables that `Front` is made of.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn

from gateway.errors import JSONRPC_NUMBER, Failed, LogUnavailable, Malformed, Refused
from gateway.model import Call, Code, Endpoint, JsonObject, Principal, Reply
from gateway.transports.sessions import Address, Session, Sessions
from gateway.wire import jsonrpc, mcp

SESSION_HEADER: Final = b"mcp-session-id"
JSON: Final = (b"content-type", b"application/json")
NAME_LIMIT: Final = 128
"""Characters of a session or task that a client may name."""
NOWHERE: Final = "there is nothing at this address"
_DECLARED_LIMIT = 16_384
_NONE: frozenset[bytes] = frozenset()

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, whole."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


ACCEPTED: Final = Answer(202)


@dataclass(slots=True)
class Wrapped:
    """One client behind `bascule wrap`: what HTTP says anew with each message. Only `version` ever changes."""

    principal: Callable[[], Principal]
    """Who asks, by the settings in force; raises Malformed where they name them no more."""
    endpoint: Callable[[], Endpoint | None]
    address: Address
    session: str
    """Of all it sends, in either era: a client that changed eras would shed what its session has read."""
    version: str = ""
    """The handshake revision it agreed on."""


class Request(NamedTuple):
    """One message from somebody known, to an endpoint that is there."""

    message: jsonrpc.Message
    principal: Principal
    endpoint: Endpoint
    address: Address
    headers: Mapping[bytes, bytes]
    transport: str
    wrapped: Wrapped | None = None


class Front:
    """The methods a client may call. `depth` may be changed while serving."""

    def __init__(
        self,
        *,
        endpoints: Callable[[str | None, str | None], Endpoint | None],
        call_tool: Callable[[Call], Awaitable[Reply]],
        list_tools: Callable[[Principal, Endpoint, str, str], Awaitable[list[JsonObject]]],
        input_schema: Callable[[Principal, Endpoint, str], Awaitable[JsonObject | None]],
        server: JsonObject,
        instructions: str = "",
        depth: int = 64,
        sessions: Sessions | None = None,
    ) -> None:
        """`input_schema` gives the same object for the same tool each time, and None where the principal
        may not know of the tool."""
        self._endpoints, self._call_tool, self._list_tools = endpoints, call_tool, list_tools
        self._input_schema = input_schema
        self._declared: dict[int, tuple[JsonObject, tuple[mcp.ParamHeader, ...]]] = {}
        self._server = server
        self._about: JsonObject = {"capabilities": {"tools": {}}}
        if instructions:
            self._about["instructions"] = instructions
        self.depth = depth
        self.sessions = sessions if sessions is not None else Sessions()

    async def post(
        self,
        principal: Principal,
        address: Address,
        body: bytes,
        headers: Mapping[bytes, bytes],
        repeated: frozenset[bytes] = _NONE,
        transport: str = "http",
    ) -> Answer:
        """Answer one message. `headers` have lower-case names; `repeated` are those that came more than once."""
        ident: jsonrpc.Id = None
        try:
            endpoint = self._endpoints(*address)
            if endpoint is None:
                return nowhere()
            message = jsonrpc.parse(body, depth=self.depth)
            ident = message.id
            if repeated:
                mcp.check_repeated(repeated)
            request = Request(message, principal, endpoint, address, headers, transport)
            stated = headers.get(mcp.VERSION_HEADER)
            version = None if stated is None else stated.decode("latin-1")
            if mcp.is_modern(version, message.params):
                return await self._modern(request, version)
            return await self._legacy(request, version)
        except Exception as fault:  # noqa: BLE001 - the transport's boundary: no text of an unforeseen fault leaves
            return _fault(fault, ident)

    async def line(self, wrapped: Wrapped, message: jsonrpc.Message) -> Answer:
        """Answer one request of a wrap. It has no headers, so what the rules look for in them is taken from itself."""
        try:
            endpoint = wrapped.endpoint()
            if endpoint is None:
                raise Malformed(Code.PARSE, NOWHERE, jsonrpc=jsonrpc.INVALID_REQUEST)
            principal, headers = wrapped.principal(), _own_headers(message)
            request = Request(message, principal, endpoint, wrapped.address, headers, "stdio", wrapped)
            if mcp.is_modern(None, message.params):
                return await self._modern(request, None)
            return await self._legacy(request, None)
        except Exception as fault:  # noqa: BLE001 - the transport's boundary: no text of an unforeseen fault leaves
            return _fault(fault, message.id)

    def delete(self, principal: Principal, address: Address, headers: Mapping[bytes, bytes]) -> Answer:
        """End a session of the handshake revisions."""
        if headers.get(mcp.VERSION_HEADER, b"").decode("latin-1") in mcp.MODERN:
            return not_allowed()
        stated = headers.get(SESSION_HEADER)
        if stated is None:
            return malformed(_no_session(), None)
        if not self.sessions.end(principal.id, address, stated.decode("latin-1")):
            return malformed(_lost_session(), None)
        return Answer(204)

    async def _modern(self, request: Request, version: str | None) -> Answer:
        message = request.message
        if message.id is None:
            # Nothing a client may notify of on this wire acts on anything; the version is all there is to check.
            if version not in mcp.MODERN:
                mcp.unsupported(version or "")
            return ACCEPTED
        version = mcp.climb(message.method, message.params, request.headers)
        if message.method == "tools/call":
            name, arguments = _named(message.params)
            if request.wrapped is None and (declared := await self._declared_headers(request, name)):
                mcp.check_params(declared, arguments, request.headers)
            return await self._call(request, version, _session(request))
        if message.method == "tools/list":
            return await self._list(request, version, _session(request))
        if message.method == "server/discover":
            about = {"supportedVersions": list(mcp.MODERN), **self._about}
            return self._result(request, version, about, cacheable=True)
        raise _unknown_method()

    async def _legacy(self, request: Request, version: str | None) -> Answer:
        message = request.message
        if message.method == "initialize" and message.id is not None:
            return self._initialize(request)
        agreed, session = self._agreed(request, version)
        if message.id is None:
            return ACCEPTED
        try:
            if message.method == "tools/call":
                return await self._call(request, agreed, session)
            if message.method == "tools/list":
                return await self._list(request, agreed, session)
            if message.method == "ping":
                return self._result(request, agreed, {}, cacheable=False)
            raise _unknown_method()
        except Malformed as fault:
            # Within a session only the JSON-RPC error speaks: 404 would say that the session has ended.
            return malformed(fault, message.id, status=200)

    def _initialize(self, request: Request) -> Answer:
        """Shake hands. An id the client may have sent is of another session and is not taken over."""
        asked = request.message.params.get("protocolVersion")
        if type(asked) is not str:
            _bad_params("protocolVersion must be a string")
        version = asked if asked in mcp.LEGACY else mcp.LATEST_LEGACY
        told = {"protocolVersion": version, "serverInfo": self._server, **self._about}
        body = jsonrpc.result(request.message.id, told)
        if request.wrapped is not None:
            request.wrapped.version = version
            return Answer(200, body, (JSON,))
        opened = self.sessions.open(request.principal.id, request.address, version)
        return Answer(200, body, (JSON, (SESSION_HEADER, opened.id.encode("ascii"))))

    def _agreed(self, request: Request, version: str | None) -> tuple[str, str]:
        """The revision this session agreed on, and what the session is called."""
        if request.wrapped is None:
            opened = self._opened(request, version)
            return opened.version, f"mcp:{opened.id}"
        if not request.wrapped.version:
            raise _no_handshake()
        return request.wrapped.version, request.wrapped.session

    def _opened(self, request: Request, version: str | None) -> Session:
        stated = request.headers.get(SESSION_HEADER)
        if stated is None:
            raise _no_session()
        opened = self.sessions.find(request.principal.id, request.address, stated.decode("latin-1"))
        if opened is None:
            raise _lost_session()
        if version is not None and version != opened.version:
            mcp.mismatch("the mcp-protocol-version header is not the version this session agreed on")
        return opened

    async def _call(self, request: Request, era: str, session: str) -> Answer:
        params = request.message.params
        name, arguments = _named(params)
        meta = params.get("_meta", {})
        if type(meta) is not dict:
            _bad_params("_meta must be an object")
        task = _own_name(request.principal, meta, "bascule/task") or session
        call = Call(
            request.principal,
            request.endpoint,
            "tool",
            name,
            arguments,
            "mcp",
            era,
            request.transport,
            session,
            task,
            meta,
        )
        reply = await self._call_tool(call)
        if reply.result is not None:
            return self._result(request, era, reply.result, cacheable=False)
        error = reply.error or {"code": jsonrpc.INTERNAL_ERROR, "message": "there is no result"}
        status = mcp.STATUS.get(error["code"], reply.status) if era in mcp.MODERN else reply.status
        body = jsonrpc.encode({"jsonrpc": "2.0", "id": request.message.id, "error": error})
        return Answer(status, body, (JSON,))

    async def _list(self, request: Request, era: str, session: str) -> Answer:
        """All tools in one page, so there is no cursor that a client could have from us."""
        if request.message.params.get("cursor") is not None:
            _bad_params("the cursor is not one of ours")
        tools = await self._list_tools(request.principal, request.endpoint, era, session)
        return self._result(request, era, {"tools": tools}, cacheable=True)

    def _result(self, request: Request, era: str, result: JsonObject, *, cacheable: bool) -> Answer:
        shaped = mcp.shape_result(era, result, cacheable=cacheable, server=self._server)
        return Answer(200, jsonrpc.result(request.message.id, shaped), (JSON,))

    async def _declared_headers(self, request: Request, name: str) -> tuple[mcp.ParamHeader, ...]:
        schema = await self._input_schema(request.principal, request.endpoint, name)
        if schema is None:
            return ()
        known = self._declared.get(id(schema))
        if known is None or known[0] is not schema:
            if len(self._declared) >= _DECLARED_LIMIT:
                self._declared.clear()
            # The schema is kept beside its headers, so its id cannot become another's.
            known = self._declared[id(schema)] = (schema, mcp.param_headers(schema))
        return known[1]


def _named(params: JsonObject) -> tuple[str, JsonObject]:
    """The tool and the arguments of a `tools/call`."""
    name, arguments = params.get("name"), params.get("arguments")
    if type(name) is not str:
        _bad_params("name must be a string")
    if arguments is None:
        arguments = {}
    elif type(arguments) is not dict:
        _bad_params("arguments must be an object")
    if "requestState" in params or "inputResponses" in params:
        _bad_params("nothing was asked of the client that this call could answer")
    return name, arguments


def _session(request: Request) -> str:
    """The session of a modern request, which its `_meta` may name."""
    if named := _own_name(request.principal, request.message.params["_meta"], "bascule/session"):
        return named
    return f"principal:{request.principal.id}" if request.wrapped is None else request.wrapped.session


def _own_headers(message: jsonrpc.Message) -> dict[bytes, bytes]:
    """The headers that would belong to the message, for rules that compare the two."""
    meta = message.params.get("_meta")
    if not message.method.isascii():
        raise _unknown_method()
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
        _bad_params(f"{member} must be a string")
    return value


def _own_name(principal: Principal, meta: Mapping[str, Any], key: str) -> str | None:
    """What the client calls its session or task, under its principal: nobody can name another's.

    Principal names hold no colon (settings.py), so the parts cannot run into each other.
    """
    if key not in meta:
        return None
    value = meta[key]
    if type(value) is not str or not value.isprintable() or not 0 < len(value) <= NAME_LIMIT:
        _bad_params(f"_meta {key} must be a printable string of 1 to {NAME_LIMIT} characters")
    return f"named:{principal.id}:{value}"


def _bad_params(reason: str) -> NoReturn:
    raise Malformed(Code.PARSE, reason, jsonrpc=jsonrpc.INVALID_PARAMS)


def _unknown_method() -> Malformed:
    return Malformed(Code.PARSE, "unknown method", jsonrpc=jsonrpc.METHOD_NOT_FOUND, status=404)


def _no_session() -> Malformed:
    return Malformed(
        Code.PARSE, "the mcp-session-id header is missing: begin with initialize", jsonrpc=jsonrpc.INVALID_REQUEST
    )


def _no_handshake() -> Malformed:
    return Malformed(Code.PARSE, "begin with initialize", jsonrpc=jsonrpc.INVALID_REQUEST)


def _lost_session() -> Malformed:
    return Malformed(Code.PARSE, "there is no such session", jsonrpc=jsonrpc.INVALID_REQUEST, status=404)


def _fault(fault: Exception, ident: jsonrpc.Id) -> Answer:
    """Any fault, told."""
    if isinstance(fault, Malformed):
        return malformed(fault, ident)
    if isinstance(fault, Refused | Failed | LogUnavailable):
        return _not_done(fault, ident)
    reference = secrets.token_hex(8)
    logger.error("unforeseen fault %s", reference, exc_info=fault)
    # Not 5xx: what stands between would take that as leave to send the call again.
    return Answer(200, jsonrpc.error(ident, jsonrpc.INTERNAL_ERROR, f"internal error {reference}"), (JSON,))


def malformed(fault: Malformed, ident: jsonrpc.Id, *, status: int = 0) -> Answer:
    """The specification's own error, with the id where one was understood."""
    body = jsonrpc.error(ident, fault.jsonrpc, fault.reason, fault.data)
    return Answer(status or fault.status, body, (JSON,))


def nowhere() -> Answer:
    """No endpoint at this address."""
    return Answer(404, jsonrpc.error(None, jsonrpc.INVALID_REQUEST, NOWHERE), (JSON,))


def not_allowed() -> Answer:
    """Neither a stream of the server's own nor anything else than POST is served."""
    return Answer(405, headers=((b"allow", b"POST, DELETE"),))


def _not_done(fault: Refused | Failed | LogUnavailable, ident: jsonrpc.Id) -> Answer:
    """A refusal or failure outside a tool result (surface.md): error 1000+n with the decision in `data`."""
    if isinstance(fault, LogUnavailable):
        code, reason = Code.LOG_UNAVAILABLE, str(fault)
    else:
        code, reason = fault.code, fault.reason
    told: JsonObject = {"code": code.value, "effect": "deny", "reasons": [reason]}
    if isinstance(fault, Refused) and fault.would_pass:
        told["would_pass"] = fault.would_pass
    return Answer(200, jsonrpc.error(ident, JSONRPC_NUMBER[code], reason, told), (JSON,))
