import asyncio
import gc
import json
import weakref
from typing import Any

import pytest

from gateway.identity.tokens import Authenticator
from gateway.wire import mcp
from tests.transports.exchange import MODERN, TOKENS, Exchange, request, settings, standard
from tests.transports.test_protocol import one_answer, serving

CALL = {"name": "read_file", "arguments": {"path": "/a"}}
PING = json.dumps(request("ping")).encode()


async def test_a_call_goes_through_and_comes_back_as_json() -> None:
    exchange = Exchange()
    answer = await exchange.modern("tools/call", CALL)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["result"]["content"] == [{"type": "text", "text": "read_file"}]
    assert [call.name for call in exchange.calls] == ["read_file"]


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [("/mcp/files", "files"), ("/mcp/crm", "crm"), ("/mcp/view/support", "support"), ("/mcp", "all")],
)
async def test_each_address_reaches_its_endpoint(path: str, endpoint: str) -> None:
    exchange = Exchange()
    assert (await exchange.modern("tools/call", CALL, path=path)).status == 200
    assert exchange.calls[0].endpoint.name == endpoint


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/mcp/",
        "/mcp/unknown",
        "/mcp/view",
        "/mcp/view/",
        "/mcp/view/files",
        "/mcp/support",
        "/mcp/files/",
        "/mcp/files/x",
        "/mcp//files",
        "//mcp/files",
        "/MCP/files",
        "/mcpfiles",
        "/metrics",
        "/mcp/../files",
        "/mcp/view/support/x",
    ],
)
async def test_there_is_nothing_at_any_other_address(path: str) -> None:
    exchange = Exchange()
    answer = await exchange.modern("tools/call", CALL, path=path)
    assert answer.status == 404
    assert exchange.calls == []


async def test_health_needs_neither_token_nor_name_and_readiness_follows_the_log() -> None:
    exchange = Exchange()
    assert (await exchange.request("GET", "/healthz")).status == 200
    assert (await exchange.request("GET", "/readyz")).status == 200
    exchange.ready = False
    assert (await exchange.request("GET", "/healthz")).status == 200
    assert (await exchange.request("GET", "/readyz")).status == 503


HOSTS = {
    "localhost": True,
    "localhost:8484": True,
    "LOCALHOST:8484": True,
    "127.0.0.1": True,
    "127.0.0.1:9": True,
    "[::1]:8484": True,
    "[::1]": True,
    "gate.example": True,
    "gate.example:443": True,
    "exact.example:8443": True,
    "exact.example": False,
    "exact.example:8444": False,
    "evil.example": False,
    "evil.example:8484": False,
    "localhost.evil.example": False,
    "localhost:8484.evil.example": False,
    "localhost:": False,
    "localhost:x": False,
    "evil@localhost": False,
    "127.0.0.2": False,
    "localhost,evil.example": False,
    " localhost\t": True,
    "local host": False,
    "localhost\xa0": False,
    "": False,
    "xgate.example": False,
}


@pytest.mark.parametrize("host", HOSTS)
async def test_only_the_gateways_own_names_are_answered(host: str) -> None:
    exchange = Exchange(settings(listen={"hosts": ["gate.example", "exact.example:8443"]}))
    answer = await exchange.modern("tools/call", CALL, host=host)
    assert answer.status == (200 if HOSTS[host] else 421)
    assert len(exchange.calls) == HOSTS[host]
    assert exchange.authenticator.failures.take() == ({} if HOSTS[host] else {"host": 1})


async def test_the_address_listened_on_is_one_of_the_names() -> None:
    for listen, host in (("10.1.2.3", "10.1.2.3:8484"), ("fd00::1", "[fd00::1]:8484")):
        exchange = Exchange(settings(listen={"host": listen}))
        assert (await exchange.modern("tools/call", CALL, host=host)).status == 200


ORIGINS = {
    "https://console.example": True,
    "HTTPS://Console.example": True,
    "https://console.example:8443": False,
    "http://console.example": False,
    "http://localhost:8484": False,
    "http://127.0.0.1:8484": True,
    "http://127.0.0.1:8485": False,
    "http://127.0.0.1": False,
    "http://127.0.0.1:8484.evil.example": False,
    "https://console.example.evil.example": False,
    "null": False,
    "": False,
}


@pytest.mark.parametrize("origin", ORIGINS)
async def test_a_page_may_ask_only_from_an_allowed_origin(origin: str) -> None:
    exchange = Exchange(settings(listen={"origins": ["https://console.example"]}))
    answer = await exchange.modern("tools/call", CALL, origin=origin)
    assert answer.status == (200 if ORIGINS[origin] else 403)
    assert len(exchange.calls) == ORIGINS[origin]


@pytest.mark.parametrize(
    "name",
    ["host", "origin", "authorization", "content-type", "content-encoding", "content-length", "mcp-session-id"],
)
async def test_a_header_that_two_readers_may_take_differently_is_refused(name: str) -> None:
    exchange = Exchange()
    headers = [*standard().items(), (name, "x"), (name, "x")]
    answer = await exchange.request(headers=headers, parts=[PING])
    assert answer.status == 400
    assert name in answer.error["message"]


async def test_other_headers_may_repeat() -> None:
    exchange = Exchange()
    headers = [*standard().items(), ("accept", "text/event-stream"), ("x-other", "1"), ("x-other", "2")]
    headers += [("mcp-protocol-version", MODERN), ("mcp-method", "server/discover")]
    body = json.dumps(request("server/discover", {"_meta": {mcp.META_VERSION: MODERN, mcp.META_CAPABILITIES: {}}}))
    assert (await exchange.request(headers=headers, parts=[body.encode()])).status == 200


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "PUT", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("path", ["/mcp", "/mcp/files", "/mcp/unknown", "/mcp/view/support"])
async def test_without_a_token_no_route_says_more_than_that_one_is_needed(method: str, path: str) -> None:
    exchange = Exchange()
    lines = {name: value for name, value in standard().items() if name != "authorization"}
    answer = await exchange.request(method, path, headers=lines.items(), parts=[PING])
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.error == {"code": 1027, "message": "a bearer token is required"}


async def test_a_wrong_token_is_told_so_and_its_body_is_never_read() -> None:
    exchange = Exchange()

    async def receive() -> Any:
        pytest.fail("the body was asked for")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    lines = [(b"host", b"localhost"), (b"authorization", b"Bearer wrong"), (b"content-length", b"999999999")]
    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": lines, "client": ("127.0.0.1", 1)}
    await exchange.app(scope, receive, send)
    assert sent[0]["status"] == 401
    assert (b"www-authenticate", b'Bearer error="invalid_token"') in sent[0]["headers"]


PEERS = {
    ("127.0.0.1", 1): True,
    ("127.8.9.10", 1): True,
    ("::1", 1): True,
    ("::ffff:127.0.0.1", 1): True,
    ("10.0.0.1", 1): False,
    ("::ffff:10.0.0.1", 1): False,
    None: False,
}


@pytest.mark.parametrize("peer", PEERS)
async def test_insecure_local_lets_in_peers_on_loopback_and_no_forwarded_ones(peer: tuple[str, int] | None) -> None:
    exchange = Exchange(settings(insecure_local=True))
    lines = {name: value for name, value in standard().items() if name != "authorization"}
    lines |= {"x-forwarded-for": "127.0.0.1", "forwarded": "for=127.0.0.1", "mcp-protocol-version": MODERN}
    body = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
    answer = await exchange.request(headers=lines.items(), parts=[body], client=peer)
    assert answer.status == (202 if PEERS[peer] else 401)


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "HEAD", "PATCH"])
async def test_other_methods_are_not_allowed(method: str) -> None:
    answer = await Exchange().request(method, headers=standard().items())
    assert (answer.status, answer.headers["allow"], answer.body) == (405, "GET, POST, DELETE", b"")


CONTENT_TYPES = {
    "application/json": True,
    "Application/JSON": True,
    "application/json; charset=utf-8": True,
    'application/json;charset="UTF-8"': True,
    "application/json ": True,
    "application/json; charset=utf-16": False,
    "application/json; charset=utf-8; charset=utf-7": False,
    "application/jsonp": False,
    "application/json, text/plain": False,
    "text/plain": False,
    "application/x-www-form-urlencoded": False,
    "multipart/form-data": False,
    "": False,
}


@pytest.mark.parametrize("kind", CONTENT_TYPES)
async def test_only_json_is_read(kind: str) -> None:
    exchange = Exchange()
    answer = await exchange.modern("tools/call", CALL, content_type=kind)
    assert answer.status == (200 if CONTENT_TYPES[kind] else 415)
    assert len(exchange.calls) == CONTENT_TYPES[kind]


async def test_a_body_without_a_content_type_is_not_read() -> None:
    lines = {name: value for name, value in standard().items() if name != "content-type"}
    assert (await Exchange().request(headers=lines.items(), parts=[PING])).status == 415


@pytest.mark.parametrize(("coding", "status"), [("gzip", 415), ("br", 415), ("gzip, identity", 415), ("identity", 200)])
async def test_a_compressed_body_is_not_read(coding: str, status: int) -> None:
    assert (await Exchange().modern("tools/call", CALL, content_encoding=coding)).status == status


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("application/*", 200),
        ("text/event-stream, Application/JSON;q=0.9", 200),
        ("text/event-stream", 406),
        ("text/html", 406),
    ],
)
async def test_a_client_that_cannot_read_json_is_told_so(accept: str, status: int) -> None:
    assert (await Exchange().modern("tools/call", CALL, accept=accept)).status == status


def padded(size: int) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
    return body + b" " * (size - len(body))


LIMIT = 1 << 20
NOTE = {"mcp-protocol-version": MODERN}


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(("size", "status"), [(LIMIT, 202), (LIMIT + 1, 413), (64 << 20, 413)])
async def test_a_body_is_read_up_to_the_limit_and_no_further(size: int, status: int, declared: bool) -> None:
    exchange = Exchange(settings(limits={"body_mb": 1}))
    lines = standard() | NOTE | ({"content-length": str(size)} if declared else {})
    whole = padded(size)
    parts = [whole[place : place + 65_536] for place in range(0, size, 65_536)]
    answer = await exchange.request(headers=lines.items(), parts=parts)
    assert answer.status == status
    if status == 413:
        assert answer.headers["connection"] == "close"
        assert answer.error["message"] == "the body is larger than 1 MB"


@pytest.mark.parametrize("declared", ["9" * 400, "1" + "0" * 17, "+5", "x", "-1", "\u00b2"])
async def test_what_content_length_says_is_never_believed_over_what_is_read(declared: str) -> None:
    exchange = Exchange(settings(limits={"body_mb": 1}))
    lines = standard() | NOTE | {"content-length": declared}
    answer = await exchange.request(headers=lines.items(), parts=[padded(LIMIT), b" "])
    assert answer.status == 413


async def test_a_body_in_many_parts_is_one_message() -> None:
    exchange = Exchange()
    body = json.dumps(request("tools/call", CALL | {"_meta": {mcp.META_VERSION: MODERN, mcp.META_CAPABILITIES: {}}}))
    lines = standard() | {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "read_file"}
    answer = await exchange.request(headers=lines.items(), parts=[bytes([byte]) for byte in body.encode()])
    assert answer.status == 200
    assert exchange.calls[0].arguments == CALL["arguments"]


async def test_a_client_that_leaves_before_its_body_is_whole_gets_nothing_and_asked_nothing() -> None:
    exchange = Exchange()
    lines = [(name.encode(), value.encode()) for name, value in standard().items()]
    coming = [{"type": "http.request", "body": b'{"jsonrpc"', "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return coming.pop(0)

    async def send(_message: Any) -> None:
        pytest.fail("an answer was sent")

    await exchange.app(
        {"type": "http", "method": "POST", "path": "/mcp", "headers": lines, "client": None}, receive, send
    )
    assert (coming, exchange.calls) == ([], [])
    await exchange.app({"type": "websocket"}, receive, send)


async def test_a_reload_changes_principals_names_and_bounds_at_once() -> None:
    exchange = Exchange()
    assert (await exchange.modern("tools/call", CALL)).status == 200
    given = settings(principals={}, insecure_local=True, listen={"hosts": ["new.example"]}, limits={"depth": 4})
    exchange.app.configure(given, Authenticator(given))
    assert (await exchange.modern("tools/call", CALL, host="new.example")).status == 401
    answer = await exchange.request(
        headers=[("host", "new.example"), ("content-type", "application/json")], parts=[b'{"a":[[[[]]]]}']
    )
    assert answer.status == 400
    assert exchange.front.depth == 4


async def test_any_number_of_strangers_leaves_only_counters() -> None:
    exchange = Exchange()
    lines = [("host", "localhost"), ("content-type", "application/json")]
    for number in range(2000):
        attempt = [("authorization", f"Bearer guess-{number}"), ("mcp-session-id", f"s{number}")]
        assert (await exchange.request(path=f"/mcp/u{number}", headers=[*lines, *attempt])).status == 401
        assert (await exchange.request(headers=[("host", f"evil{number}.example")])).status == 421
    assert exchange.authenticator.failures.take() == {"token": 2000, "host": 2000}
    assert (exchange.calls, exchange.lists, len(exchange.sessions)) == ([], [], 0)


async def test_a_principal_is_known_by_its_own_token_only() -> None:
    exchange = Exchange()
    for agent in TOKENS:
        await exchange.modern("tools/call", CALL, agent=agent)
    assert [call.principal.id for call in exchange.calls] == list(TOKENS)


async def test_a_connection_that_ended_is_gone_without_the_collection_of_garbage() -> None:
    exchange, gone = Exchange(), asyncio.Event()
    async with serving(exchange.app) as place:
        reader, writer = await place.open()
        writer.write(b"GET /mcp/files HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await one_answer(reader))[0] == 401
        kept = weakref.ref(place.connection, lambda _: gone.set())
        gc.disable()
        try:
            writer.close()
            async with asyncio.timeout(10):
                await gone.wait()
        finally:
            gc.enable()
    assert kept() is None
