"""A door on the host's own loopback, a site behind it, and names that lead where a test says."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.executors.egress.destinations import parse_allow
from gateway.executors.egress.door import Bounds, Door, Resolve

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PATIENCE = 20


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say back whatever comes, then close."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


class Site:
    """A server on loopback that keeps what it was sent."""

    def __init__(self, talk: Talk, answer: bytes) -> None:
        self._talk = talk
        self.answer = answer
        self.port = 0
        self.got: list[bytes] = []
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            await self._talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.ended.set()

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep one request's head and give the answer."""
        self.got.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        await writer.drain()


@asynccontextmanager
async def site(
    talk: Talk | None = None, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
) -> AsyncIterator[Site]:
    """A site that talks as told; without that it answers one http request."""
    made = Site(talk or echo, answer)
    if talk is None:
        made._talk = made.http
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


class Names:
    """Names that lead to the addresses written here; each look-up is kept."""

    def __init__(self, **names: list[str]) -> None:
        self.names = {name.replace("_", "."): addresses for name, addresses in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return self.names[host]


@asynccontextmanager
async def door(
    *allow: str, resolve: Resolve | None = None, bounds: Bounds | None = None
) -> AsyncIterator[tuple[Door, int]]:
    """An open door, and the port at which it listens."""
    made = Door([parse_allow(text) for text in allow], resolve=resolve or Names(), bounds=bounds)
    listener = socket.create_server(("127.0.0.1", 0))
    made.attach(listener)
    try:
        yield made, listener.getsockname()[1]
    finally:
        await made.close()


async def ask(port: int, request: bytes, *, end: bool = False) -> bytes:
    """Everything a door answers to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        if end:
            writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    finally:
        writer.close()


async def tunnel(port: int, authority: str) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """CONNECT; the head of the answer, and the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    async with asyncio.timeout(PATIENCE):
        return await reader.readuntil(b"\r\n\r\n"), reader, writer
