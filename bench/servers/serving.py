"""How a bench server listens: uvicorn with uvloop and httptools, and a readiness line once it accepts calls."""

import argparse
import socket
from collections.abc import Iterable

import uvicorn
from starlette.types import ASGIApp, Receive, Send

JSON = (b"content-type", b"application/json")


class Announcing(uvicorn.Server):
    """Prints where it listens, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"listening on http://127.0.0.1:{port}/mcp", flush=True)


def serve(app: ASGIApp, port: int) -> None:
    """Serve `app` on loopback until told to stop; port 0 takes a free one."""
    config = uvicorn.Config(
        app,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        access_log=False,
        log_level="error",
    )
    Announcing(config).run()


def arguments(*names: str) -> argparse.Namespace:
    """`--port` and the named options of a bench server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    for name in names:
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_args()


async def body_of(receive: Receive) -> bytes:
    """The whole request body."""
    event = await receive()
    body: bytes = event["body"]
    while event.get("more_body"):
        event = await receive()
        body += event["body"]
    return body


async def reply(send: Send, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
    """One buffered response."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
