"""A site of one page on this machine, which says who asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PAGE = b"<html><body><h1>A garden</h1><p>Plant garlic in November, a hand apart.</p></body></html>"


@asynccontextmanager
async def site() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Its address, and the heads of the requests it got."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(
            PAGE
        )
        writer.write(head + PAGE)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/garden", asked
