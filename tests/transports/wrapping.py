"""A client behind a wrap: both ends of its connection, without a socket between."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.channel import Channel
from gateway.model import Call, JsonObject, Principal, Reply
from gateway.transports.requests import Wrapped
from gateway.transports.wrapped import converse
from tests.transports.exchange import ENDPOINTS, META, Exchange, request

FILES = ENDPOINTS["files", None]
CALL: JsonObject = {"name": "read_file", "arguments": {"path": "/a", "region": "eu"}}
SESSION = "wrap:agent:0"


class Client:
    """Both ends of a connection, without a socket between."""

    def __init__(self, exchange: Exchange, largest: int = 1 << 20) -> None:
        self.exchange = exchange
        self.known = Wrapped(lambda: Principal("agent"), lambda: FILES, ("files", None), SESSION)
        self.reader = asyncio.StreamReader()
        self.written = bytearray()
        self.told: asyncio.Queue[bytes] = asyncio.Queue()
        self.draining = asyncio.Event()
        self.draining.set()
        self.closed = False
        self.largest = largest
        self.transport = self
        self.unsent = 0

    def write(self, said: bytes) -> None:
        self.written += said
        self.told.put_nowait(said)

    async def drain(self) -> None:
        await self.draining.wait()

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def send(self, *messages: JsonObject | bytes) -> None:
        for message in messages:
            self.reader.feed_data(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")

    async def run(self) -> None:
        await converse(self.exchange.front, self.known, self.reader, self, largest=lambda: self.largest)  # type: ignore[arg-type] # only what is asked of a writer

    async def served(self, *messages: JsonObject | bytes) -> list[Any]:
        """Send these, hang up; all that was answered."""
        self.send(*messages)
        self.reader.feed_eof()
        await self.run()
        return [json.loads(line) for line in self.written.splitlines()]


class Held(Exchange):
    """Calls stay open until they are let go, by the name of their tool."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.go: dict[str, asyncio.Event] = {}
        self.begun: asyncio.Queue[str] = asyncio.Queue()

        async def run(call: Call, _channel: Channel) -> Reply:
            self.go[call.name] = asyncio.Event()
            self.begun.put_nowait(call.name)
            await self.go[call.name].wait()
            return self.reply(call)

        self.run = run


def modern(method: str, params: JsonObject | None = None, ident: int | str = 1, **meta: Any) -> JsonObject:
    return request(method, {**(params or {}), "_meta": META | meta}, ident)


def called(name: str, ident: int | str = 1) -> JsonObject:
    return modern("tools/call", {"name": name}, ident)


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[Client]:
    serving = asyncio.ensure_future(client.run())
    try:
        yield client
    finally:
        client.reader.feed_eof()
        async with asyncio.timeout(10):
            await serving
