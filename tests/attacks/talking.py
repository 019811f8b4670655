"""A gateway between a client that is written byte by byte and upstreams that send what a test says."""

import asyncio
import hashlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests import nouns
from tests.attacks.clients import META
from tests.executors import hostile
from tests.executors.hostile import SSE, Answer, Reply, Seen, Upstream, always, result
from tests.serving import ALLOW_READS_AND_NOTES, MODERN, PATIENCE, TOKEN, Folder, Served, serving
from tests.wraps import LEGACY, records, request

OTHER_TOKEN = "test-token-of-somebody-else"
WRITE = {"name": "write_note", "arguments": {"path": "notes/a.md", "text": "x"}}
POLICY = ALLOW_READS_AND_NOTES + '\nallow contains "tests may be asked" if input.call.kind == "sampling"\n'
CAPABILITIES = {"tools": {"listChanged": True}, "prompts": {}}
DISCOVERED = {"resultType": "complete", "supportedVersions": [MODERN], "capabilities": CAPABILITIES}
HEAD = f"HTTP/1.1 200 OK\r\ncontent-type: {SSE}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
LAST = b"0\r\n\r\n"


def chunk(text: str) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text.encode()), text.encode())


class Shared(Folder):
    """A gateway that two principals use."""

    def write(self) -> None:
        Folder.write(self)
        digest = hashlib.sha256(OTHER_TOKEN.encode()).hexdigest()
        both = f'principals: {{other: {{token_sha256: "{digest}", roles: [dev]}}, '
        self.config.write_text(self.config.read_text().replace("principals: {", both))


@dataclass(slots=True)
class Place:
    """The gateway, and an upstream of each era."""

    served: Served
    folder: Folder
    modern: Upstream
    legacy: Upstream
    tools: list[dict[str, Any]] = field(default_factory=lambda: [nouns.WRITE_NOTE, nouns.WRITE_NOTE | {"name": "read"}])

    def settled(self) -> list[dict[str, Any]]:
        return records(self.folder, "call.settled")

    def memory_kb(self, line: str = "VmRSS") -> int:
        lines = Path(f"/proc/{self.served.process.pid}/status").read_text().splitlines()
        return next(int(one.split()[1]) for one in lines if one.startswith(f"{line}:"))


@asynccontextmanager
async def talking(path: Path) -> AsyncIterator[Place]:
    """A gateway before two well-behaved upstreams, whose answers a test replaces."""
    made: list[Place] = []

    def listed(seen: Seen) -> Reply:
        return result(seen, {"resultType": "complete", "tools": made[0].tools})

    both = {"tools/list": always(listed)}
    discovered = {"server/discover": always(lambda seen: result(seen, DISCOVERED))}
    async with (
        hostile.upstream(hostile.modern() | discovered | both) as modern,
        hostile.upstream(hostile.legacy() | both) as legacy,
    ):
        upstreams = {"modern": {"url": modern.url}, "legacy": {"url": legacy.url}}
        folder = Shared(path / "gateway", upstreams, POLICY)
        made.append(Place(None, folder, modern, legacy))  # type: ignore[arg-type] # it is served in a moment
        async with serving(folder) as served:
            made[0].served = served
            yield made[0]


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - another process makes it so
            await asyncio.sleep(0.02)


# The client's side.


def written(place: Place, message: Any, upstream: str = "modern", verb: str = "POST", **headers: str) -> bytes:
    """A request as bytes; without a session it is a modern one. Further headers by their names, `_` for `-`."""
    lines = {"host": place.served.base.rpartition("/")[2], "authorization": f"Bearer {TOKEN}"}
    lines["accept"] = SSE if verb == "GET" else f"application/json, {SSE}"
    body = b"" if message is None else orjson.dumps(message)
    if message is not None:
        lines |= {"content-type": "application/json", "content-length": str(len(body))}
        if "_meta" in message.get("params", {}) and "mcp_session_id" not in headers:
            lines |= {"mcp-protocol-version": MODERN, "mcp-method": message["method"]}
            if "name" in message["params"]:
                lines["mcp-name"] = message["params"]["name"]
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = [f"{verb} /mcp/{upstream} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items())]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def stated(method: str, params: Any, ident: Any = 1, **meta: Any) -> dict[str, Any]:
    """A modern message."""
    return request(method, {**params, "_meta": META | meta}, ident)


@dataclass(slots=True)
class Raw:
    """One connection of a client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def event(self) -> tuple[str, Any]:
        """The next event that says something: its id and its message, None for one without."""
        while True:
            async with asyncio.timeout(PATIENCE):
                said = (await self.reader.readuntil(b"\n\n")).decode().splitlines()
            ident = "".join(line[4:] for line in said if line.startswith("id: "))
            for line in said:
                if line.startswith("data:"):
                    return ident, orjson.loads(line[5:]) if line[5:].strip() else None

    async def answer(self, ident: Any = 1) -> tuple[list[Any], Any]:
        """What is said on the stream before the answer, and the answer."""
        before: list[Any] = []
        while True:
            _, message = await self.event()
            if message is not None and "method" not in message and message["id"] == ident:
                return before, message
            before.append(message)

    async def whole(self) -> tuple[int, dict[str, str], bytes]:
        """An answer with a length: its status, its headers but for the date, and its body."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            lines = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in lines}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        headers.pop("date", None)
        return int(head[0].split(" ")[1]), headers, body

    async def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        self.writer.write(data)
        return await self.whole()

    def vanish(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def raw(place: Place, data: bytes = b"") -> AsyncIterator[Raw]:
    """A connection, and what is said on it first."""
    host, _, port = place.served.base.rpartition("/")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 24)
    writer.write(data)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


async def opened(place: Place, upstream: str = "modern", **capabilities: Any) -> dict[str, str]:
    """The headers of a session of a handshake revision."""
    hello = {"protocolVersion": LEGACY, "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}}
    async with raw(place) as talk:
        status, headers, body = await talk.ask(written(place, request("initialize", hello), upstream))
    assert status == 200, body
    return {"mcp_session_id": headers["mcp-session-id"], "mcp_protocol_version": LEGACY}


def deaf(place: Place, data: bytes) -> socket.socket:
    """A client that says something and reads nothing."""
    host, _, port = place.served.base.rpartition("/")[2].partition(":")
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect((host, int(port)))
    made.sendall(data)
    return made


# The upstreams' side.


def streaming(send: Callable[[Seen], AsyncGenerator[bytes, None]]) -> Answer:
    """An answer that is written as the generator gives it."""

    async def answer(seen: Seen) -> Reply:
        return send(seen)

    return answer


def watched(there: asyncio.Event, gone: asyncio.Event) -> Answer:
    """A call that never ends, and notices when nobody waits for it any more."""

    async def send(seen: Seen) -> AsyncGenerator[bytes, None]:
        there.set()
        try:
            yield HEAD
            while not seen.upstream.over.is_set():
                yield chunk(":\n\n")
                await asyncio.sleep(0.02)
        finally:
            gone.set()

    return streaming(send)
