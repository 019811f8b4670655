"""The floor: the least that forwards a call over HTTP in Python. It parses, checks and records nothing."""

import aiohttp
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.servers.serving import arguments, body_of, reply, serve

FORWARDED = frozenset({b"content-type", b"accept", b"mcp-protocol-version", b"mcp-method", b"mcp-name"})


def proxy(upstream: str) -> ASGIApp:
    """An app that sends every body to `upstream` over pooled connections."""
    sessions: list[aiohttp.ClientSession] = []  # made at the first call: aiohttp wants the running loop

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not sessions:
            sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False))
        body = await body_of(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"] if name in FORWARDED}
        async with sessions[0].post(upstream, data=body, headers=headers) as response:
            answer = await response.read()
        await reply(send, response.status, [(b"content-type", response.headers["content-type"].encode())], answer)

    return app


if __name__ == "__main__":
    options = arguments("upstream")
    serve(proxy(options.upstream), options.port)
