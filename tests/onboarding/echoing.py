"""A remote server that tells back what it was sent, in each of the ways a server can fail: `/401`, `/500`, `/rpc`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

STATUS = {"401": "401 Unauthorized", "500": "500 Oh No", "rpc": "200 OK"}


def _reply(path: str, head: str, body: bytes) -> bytes:
    told = " ".join(line.strip() for line in head.splitlines())
    if path == "rpc":
        ident = json.loads(body).get("id")
        text = json.dumps({"jsonrpc": "2.0", "id": ident, "error": {"code": -32000, "message": told, "data": told}})
    else:
        text = told
    kind = "application/json" if path == "rpc" else "text/plain"
    challenge = f'www-authenticate: Bearer error="{told}"\r\n' if path == "401" else ""
    lines = f"HTTP/1.1 {STATUS[path]}\r\ncontent-type: {kind}\r\n{challenge}content-length: {len(text)}\r\n"
    return f"{lines}connection: close\r\n\r\n{text}".encode()


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[str, list[str]]]:
    """Its address, and the heads of the requests it got."""
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            writer.close()
            return
        heads.append(head)
        lengths = [int(line.split(":")[1]) for line in head.lower().splitlines() if line.startswith("content-length:")]
        body = await reader.readexactly(lengths[0] if lengths else 0)
        writer.write(_reply(head.split()[1].strip("/"), head, body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
