"""Raw sockets against a real server: here the bytes on the connection are the subject."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from gateway.identity.tokens import Failures
from gateway.transports.protocol import Bounds, StrictProtocol, server_config
from tests.transports.exchange import META, MODERN, TOKENS, Exchange, request

HOST = b"Host: localhost\r\n"
SOON = Bounds(header_s=0.2, body_s=0.2, keep_alive_s=1)


class Echo:
    """An app that answers with what it was given, and can be held."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.left, self.asked = asyncio.Event(), asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                self.left.set()
                return
            body += message["body"]
            more = message["more_body"]
        headers = dict(scope["headers"])
        self.seen.append({"method": scope["method"], "path": scope["path"], "headers": headers, "body": body})
        self.asked.set()
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


class Serving:
    """A server on a free port, in the test's own loop."""

    def __init__(self, app: Any, bounds: Bounds | None = None) -> None:
        self.failures = Failures()
        self.opened: list[asyncio.StreamWriter] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.server = uvicorn.Server(
            server_config(app, host="127.0.0.1", port=0, bounds=bounds, failures=self.failures)
        )

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.socket.getsockname())
        self.opened.append(writer)
        return reader, writer

    @property
    def connection(self) -> StrictProtocol:
        """The only one there is."""
        (connection,) = self.server.server_state.connections
        assert isinstance(connection, StrictProtocol)
        return connection

    async def say(self, *parts: bytes) -> bytes:
        """Send `parts`, then everything that comes back until the server closes (or, if it does not, in 5 s fails)."""
        reader, writer = await self.open()
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await all_of(reader)


async def all_of(reader: asyncio.StreamReader) -> bytes:
    got = b""
    async with asyncio.timeout(10):
        while True:
            try:
                part = await reader.read(65_536)
            except ConnectionResetError:
                return got
            if not part:
                return got
            got += part


async def one_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return int(head.split(b" ")[1]), await reader.readexactly(length)


@contextlib.asynccontextmanager
async def serving(app: Any, bounds: Bounds | None = None) -> AsyncIterator[Serving]:
    place = Serving(app, bounds)
    # Not Server.serve: it would take the signals of the test's own process.
    place.server.config.load()
    place.server.lifespan = place.server.config.lifespan_class(place.server.config)
    await place.server.startup(sockets=[place.socket])
    try:
        yield place
    finally:
        for writer in place.opened:
            writer.transport.abort()
        await place.server.shutdown(sockets=[place.socket])


def post(body: bytes = b"abc", *, more: bytes = b"", host: bytes = HOST) -> bytes:
    return b"POST /x HTTP/1.1\r\n" + host + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes = b"3\r\nabc\r\n0\r\n\r\n", *, more: bytes = b"") -> bytes:
    return b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n" + more + b"\r\n" + body


REFUSED: dict[str, bytes] = {
    "length and chunked": post(more=b"Transfer-Encoding: chunked\r\n"),
    "chunked and length": chunked(more=b"Content-Length: 3\r\n"),
    "two equal lengths": post(more=b"Content-Length: 3\r\n"),
    "two lengths": post(more=b"Content-Length: 4\r\n"),
    "a list of lengths": post().replace(b": 3", b": 3, 3"),
    "length +3": post().replace(b": 3", b": +3"),
    "length -3": post().replace(b": 3", b": -3"),
    "length 0x3": post().replace(b": 3", b": 0x3"),
    "length 3 3": post().replace(b": 3", b": 3 3"),
    "length beyond 64 bits": post().replace(b": 3", b": 99999999999999999999999"),
    "unknown transfer coding": post().replace(b"Content-Length: 3", b"Transfer-Encoding: xchunked"),
    "chunked then identity": chunked().replace(b": chunked", b": chunked, identity"),
    "gzip then chunked": chunked().replace(b": chunked", b": gzip, chunked"),
    "chunked twice": chunked(more=b"Transfer-Encoding: chunked\r\n"),
    "identity": post().replace(b"Content-Length: 3", b"Transfer-Encoding: identity"),
    "transfer coding with a vertical tab": chunked().replace(b": chunked", b": \x0bchunked"),
    "transfer coding folded": chunked().replace(b": chunked", b":\r\n chunked"),
    "chunked in HTTP/1.0": chunked().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "folded line": post(more=b"X: a\r\n b\r\n"),
    "bare line feed after the request line": post().replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
    "bare line feed after a header": post(host=b"Host: localhost\n"),
    "bare line feed after the header": post().replace(b"\r\n\r\n", b"\r\n\n"),
    "bare line feeds everywhere": post().replace(b"\r\n", b"\n"),
    "bare carriage return": post(more=b"X: a\rY: b\r\n"),
    "nul in a value": post(more=b"X: a\x00b\r\n"),
    "nul in the target": post().replace(b"/x", b"/\x00"),
    "raw bytes in the target": post().replace(b"/x", b"/\xff"),
    "space before the colon": post(more=b"X : a\r\n"),
    "no header name": post(more=b": a\r\n"),
    "space before the first header": post(host=b" Host: localhost\r\n"),
    "host twice": post(more=HOST),
    "two hosts": post(more=b"Host: evil.example\r\n"),
    "no host": post(host=b""),
    "no host in HTTP/1.0": post(host=b"").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "absolute target": post().replace(b"/x", b"http://localhost/x"),
    "absolute target of another host": post().replace(b"/x", b"http://evil.example/x"),
    "asterisk target": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "authority target": b"CONNECT localhost:1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "target without a slash": post().replace(b"/x", b"x"),
    "fragment": post().replace(b"/x", b"/x#y"),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2.0": post().replace(b"HTTP/1.1", b"HTTP/2.0"),
    "HTTP/0.9 said": post().replace(b"HTTP/1.1", b"HTTP/0.9"),
    "HTTP/0.9 meant": b"GET /\r\n\r\n",
    "HTTP/1.2": post().replace(b"HTTP/1.1", b"HTTP/1.2"),
    "upgrade to h2c": post(more=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"),
    "upgrade to a websocket": post(more=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    "lower-case method": post().replace(b"POST", b"post"),
    "TLS on a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "chunk size with white space": chunked(b"3 \r\nabc\r\n0\r\n\r\n"),
    "negative chunk size": chunked(b"-3\r\nabc\r\n0\r\n\r\n"),
    "chunk size beyond 64 bits": chunked(b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    "chunk size with 0x": chunked(b"0x3\r\nabc\r\n0\r\n\r\n"),
    "chunk ended by a line feed": chunked(b"3\nabc\n0\n\n"),
    "chunk extension ended by a line feed": chunked(b"3;a\nabc\r\n0\r\n\r\n"),
    "chunk longer than it says": chunked(b"3\r\nabcd\r\n0\r\n\r\n"),
    "trailer": chunked(b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n"),
    "trailer host": chunked(b"0\r\nHost: evil.example\r\n\r\n"),
    "101 header lines": post(more=b"X: a\r\n" * 99),
    "one header line of 70 KB": post(more=b"X: " + b"a" * 70_000 + b"\r\n"),
    "header lines of 70 KB together": post(more=(b"X: " + b"a" * 1000 + b"\r\n") * 70),
    "header of 1 MB that does not end": b"POST /x HTTP/1.1\r\n" + HOST + b"X: " + b"a" * (1 << 20),
    "target of 1 MB that does not end": b"POST /" + b"a" * (1 << 20),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_bytes_that_two_readers_may_take_differently_end_the_connection(name: str) -> None:
    app = Echo()
    async with serving(app) as place:
        answer = await place.say(REFUSED[name])
    status = answer.split(b"\r\n")[0]
    # A large header is cut off while it is still being sent, which may cost the sender the answer too.
    assert status in (b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 431 Request Header Fields Too Large", b"")
    assert status or len(REFUSED[name]) > 65_536
    assert answer.count(b"HTTP/1.1") <= 1
    assert [seen for seen in app.seen if seen["body"] or seen["headers"].get(b"authorization")] == []
    assert place.failures.take() == {"http": 1}


ACCEPTED: dict[str, tuple[bytes, bytes]] = {
    "length": (post(), b"abc"),
    "chunked": (chunked(), b"abc"),
    "many chunks": (chunked(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"), b"abc"),
    "chunk extension": (chunked(b'3;a=b;c="d"\r\nabc\r\n0\r\n\r\n'), b"abc"),
    "chunked in capitals": (chunked().replace(b": chunked", b": Chunked"), b"abc"),
    "empty lines before": (b"\r\n\r\n" + post(), b"abc"),
    "no body": (b"POST /x HTTP/1.1\r\n" + HOST + b"\r\n", b""),
    "100 header lines": (post(more=b"X: a\r\n" * 98), b"abc"),
    "a header of 60 KB": (post(more=b"X: " + b"a" * 60_000 + b"\r\n"), b"abc"),
    "HTTP/1.0 with a host": (post().replace(b"HTTP/1.1", b"HTTP/1.0"), b"abc"),
}


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("name", ACCEPTED)
async def test_what_is_well_formed_reaches_the_app_as_it_was_sent(name: str, cut: bool) -> None:
    app = Echo()
    sent, body = ACCEPTED[name]
    async with serving(app) as place:
        reader, writer = await place.open()
        for part in [sent[i : i + 7] for i in range(0, len(sent), 7)] if cut and len(sent) < 1000 else [sent]:
            writer.write(part)
            await writer.drain()
        assert await one_answer(reader) == (200, body)
    assert [(seen["method"], seen["path"], seen["body"]) for seen in app.seen] == [("POST", "/x", body)]
    assert place.failures.take() == {}


async def test_requests_on_one_connection_are_answered_in_turn() -> None:
    app = Echo()
    async with serving(app) as place:
        reader, writer = await place.open()
        writer.write(post(b"a") + post(b"bb") + post(b"ccc"))
        assert [await one_answer(reader) for _ in range(3)] == [(200, b"a"), (200, b"bb"), (200, b"ccc")]
        writer.write(post(b"d"))
        assert await one_answer(reader) == (200, b"d")


@pytest.mark.parametrize("garbage", [b"GARBAGE\r\n\r\n", post(more=HOST), b"GET / HTTP/1.1\r\n\r\n"])
async def test_an_answer_that_is_due_goes_out_before_a_bad_request_ends_the_connection(garbage: bytes) -> None:
    app = Echo()
    app.go.clear()
    async with serving(app) as place:
        reader, writer = await place.open()
        writer.write(post(b"first") + garbage)
        await app.asked.wait()
        place.connection.data_received(post(b"never read"))
        app.go.set()
        answer = await all_of(reader)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"first")
    assert answer.count(b"HTTP/1.1") == 1
    assert len(app.seen) == 1


async def drip(writer: asyncio.StreamWriter, parts: bytes, every: float) -> None:
    """One byte at a time until the connection is gone."""
    with contextlib.suppress(ConnectionError):
        for byte in parts:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(every)


SLOW: dict[str, tuple[bytes, bytes, bytes]] = {
    "header": (b"", post(more=b"X: " + b"a" * 500 + b"\r\n"), b"HTTP/1.1 408"),
    "empty lines": (b"", b"\r\n" * 500, b""),
    "request line": (b"", b"POST /" + b"a" * 500, b"HTTP/1.1 408"),
    "body": (post(b"a" * 500)[:-500], b"a" * 500, b"HTTP/1.1 408"),
    "chunks": (chunked(b""), b"1\r\na\r\n" * 100, b"HTTP/1.1 408"),
    "chunk extension": (chunked(b""), b"1;" + b"a" * 500, b"HTTP/1.1 408"),
    "second header": (post(b"a"), post(more=b"X: " + b"a" * 500 + b"\r\n"), b"HTTP/1.1 200"),
    "empty lines after an answer": (post(b"a"), b"\r\n" * 500, b"HTTP/1.1 200"),
}


@pytest.mark.parametrize("name", SLOW)
async def test_a_byte_now_and_then_does_not_keep_a_connection_open(name: str) -> None:
    app = Echo()
    first, slowly, status = SLOW[name]
    async with serving(app, SOON) as place:
        reader, writer = await place.open()
        writer.write(first)
        async with asyncio.TaskGroup() as group:
            dripping = group.create_task(drip(writer, slowly, 0.02))
            answer = await all_of(reader)
            dripping.cancel()
        assert answer.startswith(status)
        assert place.server.server_state.connections == set()
    assert [seen["body"] for seen in app.seen] == ([b"a"] if status == b"HTTP/1.1 200" else [])


async def test_an_app_that_waits_for_a_late_body_is_told_that_the_client_is_gone() -> None:
    app = Echo()
    async with serving(app, SOON) as place:
        assert (await place.say(post(b"abc")[:-1])).startswith(b"HTTP/1.1 408")
        async with asyncio.timeout(10):
            await app.left.wait()
    assert app.seen == []


async def test_a_body_that_goes_wrong_after_the_answer_began_gets_no_second_answer() -> None:
    began = asyncio.Event()

    async def early(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        began.set()
        while (await receive())["type"] == "http.request":
            pass

    async with serving(early) as place:
        reader, writer = await place.open()
        writer.write(chunked(b"3\r\nabc\r\n"))
        await began.wait()
        writer.write(b"GARBAGE\r\n")
        answer = await all_of(reader)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1


async def test_silent_connections_end_whether_or_not_they_ever_asked() -> None:
    app = Echo()
    async with serving(app) as place:
        opened = [await place.open() for _ in range(200)]
        for reader, writer in opened[:100]:
            writer.write(post(b""))
            assert (await one_answer(reader))[0] == 200
        kept = [one for one in place.server.server_state.connections if isinstance(one, StrictProtocol)]
        silent = [one for one in kept if one._timer is not None]
        answered = [one for one in kept if one.timeout_keep_alive_task is not None]
        assert (len(silent), len(answered)) == (100, 100)
        for one in silent:
            one._late()  # the deadlines, without the wait
        for one in answered:
            one.timeout_keep_alive_handler()
        assert [await all_of(reader) for reader, _ in opened[:100]] == [b""] * 100
        assert [await all_of(reader) for reader, _ in opened[100:]] == [b""] * 100
        assert place.server.server_state.connections == set()


async def test_a_request_that_waits_its_turn_is_not_taken_for_a_slow_one() -> None:
    app = Echo()
    app.go.clear()
    async with serving(app) as place:
        reader, writer = await place.open()
        writer.write(post(b"first") + post(b"second")[:-1])
        await app.asked.wait()
        place.connection._late()  # the deadline, without the wait
        writer.write(b"d")
        app.go.set()
        assert [await one_answer(reader) for _ in range(2)] == [(200, b"first"), (200, b"second")]


async def test_a_long_call_is_not_cut_by_any_deadline() -> None:
    app = Echo()
    app.go.clear()
    async with serving(app, SOON) as place:
        reader, writer = await place.open()
        writer.write(post(b"long"))
        await app.asked.wait()
        assert place.connection._timer is None
        app.go.set()
        assert await one_answer(reader) == (200, b"long")


async def test_strangers_write_nothing_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "uvicorn")
    async with serving(Echo()) as place:
        for _ in range(50):
            await place.say(b"GARBAGE\r\n\r\n")
        assert place.failures.take() == {"http": 50}
    assert [record for record in caplog.records if "Invalid" in record.message or record.levelno > logging.INFO] == []


async def test_uvicorn_takes_no_address_from_a_header_and_says_nothing_of_itself() -> None:
    config = server_config(Echo(), host="127.0.0.1", port=0)
    assert (config.proxy_headers, config.server_header, config.access_log, config.ws) == (False, False, False, "none")


async def test_a_call_over_a_real_connection_is_answered() -> None:
    exchange = Exchange()
    params = {"name": "read_file", "arguments": {"path": "/a"}, "_meta": META}
    body = json.dumps(request("tools/call", params)).encode()
    more = f"Authorization: Bearer {TOKENS['agent']}\r\nContent-Type: application/json\r\n"
    more += f"MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\nMcp-Name: read_file\r\n"
    async with serving(exchange.app) as place:
        reader, writer = await place.open()
        for _ in range(3):
            writer.write(post(body, more=more.encode()).replace(b"/x", b"/mcp/files"))
            status, answer = await one_answer(reader)
            assert (status, json.loads(answer)["result"]["content"][0]["text"]) == (200, "read_file")
        writer.write(post(b"{}").replace(b"/x", b"/mcp/files"))
        assert (await one_answer(reader))[0] == 401
    assert [call.arguments for call in exchange.calls] == [{"path": "/a"}] * 3
