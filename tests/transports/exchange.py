"""A gateway's client side with nothing behind it: requests go in as ASGI, what was asked behind it is kept."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from gateway.channel import About, Channel, Tell
from gateway.config import Settings
from gateway.errors import Malformed, Refused
from gateway.identity.tokens import Authenticator
from gateway.kinds import Listed
from gateway.model import Call, Code, Endpoint, JsonObject, Principal, Reply
from gateway.subscriptions import Subscription, Wants
from gateway.transports.http import App
from gateway.transports.mcp import Front
from gateway.transports.served import Behind
from gateway.transports.sessions import Sessions
from gateway.wire import mcp

MODERN = "2026-07-28"
TOKENS = {"agent": "token-of-the-agent", "other": "token-of-the-other"}
META: JsonObject = {mcp.META_VERSION: MODERN, mcp.META_CAPABILITIES: {}}
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "region": {"type": "string", "x-mcp-header": "Region"}},
}
SERVER: JsonObject = {"name": "bascule", "version": "0"}
ENDPOINTS = {
    ("files", None): Endpoint("files", ("files",), qualified=False),
    ("crm", None): Endpoint("crm", ("crm",), qualified=False),
    (None, "support"): Endpoint("support", ("files", "crm"), qualified=True),
    (None, None): Endpoint("all", ("files", "crm"), qualified=True),
}


def settings(**changes: Any) -> Settings:
    principals = {name: {"token_sha256": hashlib.sha256(token.encode()).hexdigest()} for name, token in TOKENS.items()}
    given = {"version": 1, "principals": principals, "audit": {"origin": "test.example/log"}}
    return Settings.model_validate(given | changes)


@dataclass
class Answered:
    """One HTTP answer as a client sees it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]


CAPABILITIES: JsonObject = {
    "tools": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "prompts": {},
    "logging": {},
}


def result_of(call: Call) -> JsonObject:
    """A result of the call's kind."""
    results: dict[str, JsonObject] = {
        "tool": {"content": [{"type": "text", "text": call.name}]},
        "resource": {"contents": [{"uri": call.name, "text": ""}]},
        "prompt": {"messages": []},
        "completion": {"completion": {"values": []}},
    }
    return results.get(call.kind, {"of": call.name})


@dataclass(eq=False)
class Subscribed:
    """Stands in for a Subscription: what was accepted, and whether it is closed."""

    principal: Principal
    endpoint: Endpoint
    era: str
    transport: str
    session: str
    wants: Wants
    tell: Tell
    closed: bool = False
    on_close: asyncio.Event = field(default_factory=asyncio.Event)

    settled: bool = True

    @property
    def resting(self) -> Wants | None:
        return Wants(self.wants.lists, self.wants.uris, {}) if self.settled else None

    async def add(self, uri: str) -> None:
        if uri.startswith("secret:"):
            raise Refused(Code.POLICY_DENIED, "not this one")
        self.wants = Wants(self.wants.lists, (*self.wants.uris, uri))

    def remove(self, uri: str) -> None:
        self.wants = Wants(self.wants.lists, tuple(one for one in self.wants.uris if one != uri))

    def close(self) -> None:
        self.closed = True
        self.on_close.set()


@dataclass
class Exchange:
    """An App over fakes. `calls`, `lists` and `subscribed` are what reached behind it."""

    given: Settings = field(default_factory=settings)
    sessions: Sessions = field(default_factory=Sessions)
    reply: Callable[[Call], Reply] = lambda call: Reply(result=result_of(call))
    run: Callable[[Call, Channel], Awaitable[Reply]] | None = None
    tools: Callable[[], list[JsonObject]] = lambda: [{"name": "read_file", "inputSchema": SCHEMA}]
    about: About = field(default_factory=lambda: About(CAPABILITIES, "Ask."))
    ready: bool = True
    calls: list[Call] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    lists: list[tuple[Principal, Endpoint, str, str]] = field(default_factory=list)
    pages: list[tuple[Listed, str | None]] = field(default_factory=list)
    subscribed: list[Subscribed] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with each subscription."""

    def __post_init__(self) -> None:
        behind = Behind(self._call, self._listed, self._about, self._input_schema, self._subscribe)
        self.front = Front(
            endpoints=lambda name, view: ENDPOINTS.get((name, view)),
            behind=behind,
            server=SERVER,
            sessions=self.sessions,
        )
        self.authenticator = Authenticator(self.given)
        self.app = App(self.front, self.authenticator, self.given, ready=lambda: self.ready)

    async def _call(self, call: Call, channel: Channel) -> Reply:
        self.calls.append(call)
        self.channels.append(channel)
        return self.reply(call) if self.run is None else await self.run(call, channel)

    async def _listed(
        self, what: Listed, principal: Principal, endpoint: Endpoint, era: str, session: str, cursor: str | None
    ) -> tuple[list[Any], str | None]:
        if cursor not in (None, "2"):
            raise Malformed(Code.PARSE, "the cursor is not one of ours", jsonrpc=-32602)
        self.lists.append((principal, endpoint, era, session))
        self.pages.append((what, cursor))
        items = self.tools() if what is Listed.TOOLS else [orjson.Fragment(b'{"name":"one"}')]
        return items, "2" if what is Listed.PROMPTS and cursor is None else None

    async def _about(self, _principal: Principal, _endpoint: Endpoint) -> About:
        return self.about

    async def _input_schema(self, _principal: Principal, _endpoint: Endpoint, name: str) -> JsonObject | None:
        return None if name == "hidden" else SCHEMA

    async def _subscribe(self, *given: Any) -> Subscription:
        subscribed = Subscribed(*given)
        for uri in subscribed.wants.uris:
            if uri.startswith("secret:"):
                raise Refused(Code.POLICY_DENIED, "not this one")
        self.subscribed.append(subscribed)
        self.opened.set()
        return cast(Subscription, subscribed)

    async def request(
        self,
        method: str = "POST",
        path: str = "/mcp/files",
        *,
        headers: Iterable[tuple[str, str]] = (),
        parts: Iterable[bytes] = (b"",),
        client: tuple[str, int] | None = ("127.0.0.1", 50_000),
    ) -> Answered:
        """One request whose body comes in `parts`, then the client is gone."""
        sent: list[dict[str, Any]] = []
        left = list(parts)

        async def receive() -> dict[str, Any]:
            if not left:
                return {"type": "http.disconnect"}
            part = left.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(left)}

        async def send(message: Any) -> None:
            sent.append(message)

        lines = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
        scope = {"type": "http", "method": method, "path": path, "headers": lines, "client": client}
        await self.app(scope, receive, send)
        if not sent:
            return Answered(0, {}, b"")
        start, body = sent
        headed = {name.decode(): value.decode() for name, value in start["headers"]}
        if start["status"] != 204:
            assert headed["content-length"] == str(len(body["body"]))
        return Answered(start["status"], headed, body["body"])

    async def post(self, message: Any, *, path: str = "/mcp/files", agent: str = "agent", **headers: str) -> Answered:
        """One message as JSON from a known agent. Header names are given with underscores."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.request(path=path, headers=(standard(agent) | named).items(), parts=[body])

    async def modern(
        self, method: str, given: JsonObject | None = None, *, meta: Any = None, **options: Any
    ) -> Answered:
        """One modern request with the headers that belong to it."""
        params: JsonObject = {"_meta": META | (meta or {})} | (given or {})
        stated = {"mcp_protocol_version": MODERN, "mcp_method": method}
        name = params.get(mcp.NAMED_BY.get(method, ""))
        if isinstance(name, str):
            stated["mcp_name"] = mcp.encode_header(name)
        return await self.post(request(method, params), **(stated | options))

    async def initialize(self, version: str = "2025-11-25", **options: Any) -> str:
        """Shake hands; the session id."""
        answer = await self.post(request("initialize", handshake(version)), **options)
        assert answer.status == 200
        return answer.headers["mcp-session-id"]


def standard(agent: str = "agent") -> dict[str, str]:
    return {
        "host": "127.0.0.1:8484",
        "authorization": f"Bearer {TOKENS[agent]}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
    }


def request(method: str, params: JsonObject | None = None, ident: int | str = 1) -> JsonObject:
    return {"jsonrpc": "2.0", "id": ident, "method": method} | ({} if params is None else {"params": params})


def handshake(version: object, capabilities: object = None) -> JsonObject:
    client = {"name": "c", "version": "0"}
    return {"protocolVersion": version, "capabilities": capabilities or {}, "clientInfo": client}
