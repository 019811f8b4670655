"""An upstream on a raw socket that answers with exactly the bytes a test gives, and keeps what reached it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.executors.remote import Remote
from gateway.model import Code, Limits, Proposal
from gateway.settings import UpstreamSettings
from tests.nouns import call, pin

MODERN = "2026-07-28"
LEGACY = "2025-11-25"


@dataclass(slots=True)
class Seen:
    """One request as it arrived."""

    verb: str
    headers: dict[str, str]
    body: bytes
    upstream: "Upstream"
    connection: int

    @property
    def message(self) -> dict[str, Any]:
        return orjson.loads(self.body) if self.body else {}

    @property
    def method(self) -> str:
        return self.message.get("method", self.verb)  # type: ignore[no-any-return]

    @property
    def ident(self) -> Any:
        return self.message.get("id")

    @property
    def text(self) -> str:
        """The id as it stands in JSON."""
        return orjson.dumps(self.ident).decode()


Reply = bytes | AsyncGenerator[bytes, None] | None
Answer = Callable[[Seen], Awaitable[Reply]]


@dataclass(slots=True)
class Upstream:
    """The server. `on` maps methods to answers; None closes the connection without one."""

    on: dict[str, Answer] = field(default_factory=dict)
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the test is: what never answers waits for this."""
    sent: int = 0

    def of(self, method: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method]

    async def answer(self, seen: Seen) -> Reply:
        if (given := self.on.get(seen.method)) is not None:
            return await given(seen)
        return http(404, orjson.dumps({"jsonrpc": "2.0", "id": seen.ident, "error": {"code": -32601, "message": ""}}))


def http(status: int, body: bytes = b"", kind: str = "application/json", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}"]
    if kind:
        lines.append(f"content-type: {kind}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def result(seen: Seen, value: Any, **headers: str) -> bytes:
    return http(200, orjson.dumps({"jsonrpc": "2.0", "id": seen.ident, "result": value}), **headers)


def error(seen: Seen, code: int, message: str = "", status: int = 200, data: Any = None) -> bytes:
    fault = {"code": code, "message": message, "data": data}
    return http(status, orjson.dumps({"jsonrpc": "2.0", "id": seen.ident, "error": fault}))


def text(seen: Seen, said: str = "done") -> bytes:
    return result(seen, {"resultType": "complete", "content": [{"type": "text", "text": said}]})


def always(make: Callable[[Seen], Reply]) -> Answer:
    async def answer(seen: Seen) -> Reply:
        return make(seen)

    return answer


def never(head: bytes = b"") -> Answer:
    """Sends `head` and then nothing until the test is over."""

    async def drip(seen: Seen) -> AsyncGenerator[bytes, None]:
        yield head
        await seen.upstream.over.wait()

    async def answer(seen: Seen) -> Reply:
        return drip(seen)

    return answer


def modern(call: Answer | None = None) -> dict[str, Answer]:
    """A well-behaved modern server, but for its answer to tools/call."""
    discovered = {"resultType": "complete", "supportedVersions": [MODERN], "capabilities": {}}
    return {
        "server/discover": always(lambda seen: result(seen, discovered)),
        "tools/call": call or always(text),
    }


def legacy(call: Answer | None = None, session: str = "s-1") -> dict[str, Answer]:
    """A well-behaved server of the legacy era."""
    info = {"protocolVersion": LEGACY, "capabilities": {}, "serverInfo": {"name": "old", "version": "1"}}
    refused = b'{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Missing session ID"}}'
    return {
        "server/discover": always(lambda seen: http(400, refused)),
        "initialize": always(lambda seen: result(seen, info, mcp_session_id=session)),
        "notifications/initialized": always(lambda seen: http(202, kind="")),
        "DELETE": always(lambda seen: http(200, kind="")),
        "tools/call": call or always(text),
    }


LIMITS = Limits(timeout_s=5, result_bytes=100_000)
SOON = Limits(timeout_s=0.3, result_bytes=100_000)
SSE = "text/event-stream"


def proposal(tool: str = "write_note", **changed: Any) -> Proposal:
    definition = changed.pop("definition", {"name": tool, "inputSchema": {"type": "object"}})
    return Proposal(call(tool, **changed), pin(tool, definition=definition))


def said(outcome: Any) -> str:
    return str(outcome.result["content"][0]["text"])


def stream(*events: str) -> Callable[[Seen], bytes]:
    def answer(seen: Seen) -> bytes:
        body = "".join(f"data: {event.replace('ID', seen.text)}\n\n" for event in events)
        return http(200, body.encode(), SSE)

    return answer


def body(said: str, kind: str = "application/json", **headers: str) -> Callable[[Seen], bytes]:
    return lambda seen: http(200, said.replace("DONE", DONE).replace("ID", seen.text).encode(), kind, **headers)


DONE = '{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"done"}]}}'
FINAL = f"data: {DONE}\n\n"
PROGRESS = '{"jsonrpc":"2.0","method":"notifications/progress","params":{}}'
ASKING = '{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{}}'


def chunked(*parts: bytes, kind: str = "application/json") -> Answer:
    async def send(seen: Seen) -> AsyncGenerator[bytes, None]:
        yield f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        for part in parts:
            yield b"%x\r\n%s\r\n" % (len(part), part)
        yield b"0\r\n\r\n"

    async def answer(seen: Seen) -> Reply:
        return send(seen)

    return answer


def live(*steps: "str | asyncio.Event", ident: str = "") -> Answer:
    """A stream of events as they are given: text is written as it stands but for ID, an event is waited for."""

    async def send(seen: Seen) -> AsyncGenerator[bytes, None]:
        yield f"HTTP/1.1 200 OK\r\ncontent-type: {SSE}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        for step in steps:
            if step == HELD:
                await seen.upstream.over.wait()
            elif isinstance(step, asyncio.Event):
                await _either(step, seen.upstream.over)
            else:
                part = step.replace("ID", ident or seen.text).encode()
                yield b"%x\r\n%s\r\n" % (len(part), part)
        yield b"0\r\n\r\n"

    async def answer(seen: Seen) -> Reply:
        return send(seen)

    return answer


async def _either(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waiting:
            wait.cancel()


HELD = "held"
"""A stream that comes to it stays open until the test is over."""


def event(method: str, params: Any = None, **more: Any) -> str:
    """An event that holds a notification, or with an id a request."""
    message = {"jsonrpc": "2.0", "method": method, "params": params or {}, **more}
    return f"data: {orjson.dumps(message).decode()}\n\n"


def noted(happened: asyncio.Event, reply: bytes | None = None) -> Answer:
    """Says that it was reached, and answers 202 or so."""

    async def answer(seen: Seen) -> Reply:
        happened.set()
        return http(202, kind="") if reply is None else reply

    return answer


def raw(body: str, **headers: str) -> Answer:
    return always(lambda seen: http(200, body.replace("ID", seen.text).encode(), **headers))


def value(said: Any) -> Answer:
    return always(lambda seen: result(seen, said))


INVALID, UNAVAILABLE, WITHHELD = Code.UPSTREAM_INVALID, Code.UPSTREAM_UNAVAILABLE, Code.RESULT_WITHHELD
MEGABYTE = b"x" * 2**20


async def _only(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data


def cut(data: bytes) -> Reply:
    """These bytes, then the connection closes."""
    return _only(data)


@asynccontextmanager
async def upstream(on: dict[str, Answer]) -> AsyncIterator[Upstream]:
    made = Upstream(on)
    open_writers: set[asyncio.StreamWriter] = set()
    idle = asyncio.Event()
    idle.set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.connections += 1
        number = made.connections
        open_writers.add(writer)
        idle.clear()
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await _exchange(made, number, reader, writer):
                pass
        open_writers.discard(writer)
        writer.close()
        if not open_writers:
            idle.set()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    try:
        yield made
    finally:
        made.over.set()
        server.close()
        for writer in list(open_writers):
            writer.close()
        async with asyncio.timeout(10):
            await idle.wait()


async def _exchange(made: Upstream, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    seen = Seen(head[0].split(" ")[0], headers, body, made, number)
    made.seen.append(seen)
    reply = await made.answer(seen)
    if reply is None:
        return False
    if isinstance(reply, bytes):
        writer.write(reply)
        await writer.drain()
        return True
    async with aclosing(reply) as chunks:
        async for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            made.sent += len(chunk)
    return False


@asynccontextmanager
async def remote(url: str, limits: Limits = Limits(5, 100_000), **more: Any) -> AsyncIterator[Remote]:  # noqa: B008
    settings = UpstreamSettings(url=url, headers=more.pop("headers", {}))
    made = Remote("notes", settings, limits, **more)
    try:
        yield made
    finally:
        await made.close()
