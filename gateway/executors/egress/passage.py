"""Two connections made one: bytes both ways, counted, each end's half-close kept, nothing held that does not move.

Not the judging of the destination: by now it is permitted and dialled. What is judged here is whether the first bytes
belong to it.
"""

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.executors.egress.asking import HEAD_LIMIT, Asked, BadRequest, Request
from gateway.executors.egress.contacts import Tally
from gateway.executors.egress.destinations import is_address, read_host
from gateway.executors.egress.tls import HANDSHAKE, UNRECOGNISED_NAME, NotTls, read_hello

CHUNK = 1 << 16
HTTPS = 443
END_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Stream:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, status: str, told: str) -> None:
        """Answer a request with one sentence, and end."""
        body = f"{told}\n".encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        self.writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        self.shut()
        # Closing on bytes that were not read resets the connection, and the answer is lost with it.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while await self.reader.read(CHUNK):
                    pass

    def shut(self) -> None:
        """Say that nothing more is written."""
        if not self.writer.is_closing():
            self.writer.write_eof()

    async def end(self) -> None:
        """Close it once what was written has left."""
        self.writer.close()
        with contextlib.suppress(OSError):  # TimeoutError is one
            async with asyncio.timeout(END_SECONDS):
                await self.writer.wait_closed()

    def abort(self) -> None:
        """Close it at once."""
        self.writer.transport.abort()


async def open_stream(accepted: socket.socket) -> Stream:
    """An accepted connection as a stream."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=HEAD_LIMIT, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted)
    return Stream(reader, asyncio.StreamWriter(transport, protocol, reader, loop))


async def connect(address: str, port: int, within_s: float) -> Stream:
    """A connection to an address, never to a name.

    Raises:
        OSError: there is none.
    """
    async with asyncio.timeout(within_s):
        return Stream(*await asyncio.open_connection(address, port, limit=CHUNK))


class _Cut(Exception):
    """What came does not belong to the destination: not a byte of it goes there."""


class Passage:
    """What a program inside and its destination outside say to each other."""

    def __init__(self, inside: Stream, outside: Stream, tally: Tally, idle_s: float) -> None:
        self._inside, self._outside = inside, outside
        self._tally = tally
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._moved = 0.0
        self._timer: asyncio.TimerHandle

    async def tunnel(self, asked: Asked, hello_s: float) -> str:
        """Serve CONNECT until both ends are done; why it was cut, if it was."""
        self._inside.writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        refusal = await self._both(self._up_judged(asked, hello_s))
        if refusal and not self._inside.writer.is_closing():
            self._inside.writer.write(UNRECOGNISED_NAME)
        return refusal

    async def forward(self, asked: Asked, request: Request) -> str:
        """Serve one http request until the origin closes; why it was cut, if it was."""
        return await self._both(self._up_request(asked, request))

    async def _both(self, up: Coroutine[Any, Any, None]) -> str:
        """Run both ways until both have ended, one breaks, or nothing has moved for too long."""
        ways = [asyncio.ensure_future(up), asyncio.ensure_future(self._down())]
        self._moved = self._loop.time()
        self._timer = self._loop.call_later(self._idle_s, self._look, ways)
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self._timer.cancel()
            for way in ways:
                way.cancel()
            ended = await asyncio.gather(*ways, return_exceptions=True)
        return next((str(error) for error in ended if isinstance(error, _Cut)), "")

    def _look(self, ways: Sequence[asyncio.Future[None]]) -> None:
        """End both ways if nothing has moved for too long; one timer per connection, set again only when it ran."""
        left = self._moved + self._idle_s - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look, ways)
            return
        for way in ways:
            way.cancel()

    async def _down(self) -> None:
        while data := await self._outside.reader.read(CHUNK):
            self._tally.down += len(data)
            self._moved = self._loop.time()
            self._inside.writer.write(data)
            await self._inside.writer.drain()
        self._inside.shut()

    async def _up(self, data: bytes) -> None:
        self._tally.up += len(data)
        self._moved = self._loop.time()
        self._outside.writer.write(data)
        await self._outside.writer.drain()

    async def _up_request(self, asked: Asked, request: Request) -> None:
        await self._up(asked.head)
        try:
            while data := await self._inside.reader.read(CHUNK):
                await self._up(request.read_body(data))
        except BadRequest as error:
            raise _Cut(str(error)) from None
        if not request.whole:
            raise ConnectionAbortedError

    async def _up_judged(self, asked: Asked, hello_s: float) -> None:
        try:
            async with asyncio.timeout(hello_s if asked.port == HTTPS else None):
                first = await self._first(asked)
        except TimeoutError:
            raise _Cut("no TLS came in time") from None
        await self._up(first)
        while data := await self._inside.reader.read(CHUNK):
            await self._up(data)
        self._outside.shut()

    async def _first(self, asked: Asked) -> bytes:
        """The first bytes of a tunnel once they are known to belong to its destination: where they begin TLS, it must
        name the host; on port 443 they must."""
        first = b""
        while data := await self._inside.reader.read(CHUNK):
            self._moved = self._loop.time()
            first += data
            if first[0] == HANDSHAKE:
                if _names(first, asked.host):
                    return first
            elif asked.port == HTTPS:
                raise _Cut("what was sent to port 443 is not TLS")
            else:
                return first
        if first:
            raise _Cut("it ended within its first message")
        return first


def _names(first: bytes, host: str) -> bool:
    """Whether a ClientHello names that host; False while bytes of it are missing."""
    try:
        hello = read_hello(first)
    except NotTls as error:
        raise _Cut(f"its TLS cannot be read: {error}") from None
    if hello is None:
        return False
    if hello.server_name is None:
        if not is_address(host):
            raise _Cut("its TLS names no server")
        return True
    named = read_host(hello.server_name)
    if named != host:
        raise _Cut(f"its TLS names {named or 'what is no host'}")
    return True
