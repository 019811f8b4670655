"""An upstream that keeps what reached it: a modern MCP server by hand, over real HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvicorn

META = {"io.modelcontextprotocol/serverInfo": {"name": "kept", "version": "1"}}
TOOLS = [
    {
        "name": "write_note",
        "inputSchema": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "text": {"type": "string"}},
            "required": ["path", "text"],
            "additionalProperties": False,
        },
    },
    {"name": "read_note", "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}}},
]
Answer = Callable[["Upstream", dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(slots=True)
class Upstream:
    """What reached a server: raw bodies and headers, and the arguments of each call that it ran."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[bytes, bytes]] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=lambda: list(TOOLS))
    call: Answer | None = None
    """Answers tools/call in place of the usual."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            part = await receive()
            body += part.get("body", b"")
            more = part.get("more_body", False)
        if scope["method"] != "POST":
            await _send(send, 405, b"")
            return
        self.bodies.append(body)
        self.headers.append(dict(scope["headers"]))
        message = orjson.loads(body)
        answer = await self._answer(message)
        await _send(send, 200 if "result" in answer else 400, orjson.dumps(answer))

    async def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        envelope = {"jsonrpc": "2.0", "id": message.get("id")}
        method = message["method"]
        result: dict[str, Any]
        if method == "server/discover":
            result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
        elif method == "tools/list":
            result = {"tools": self.tools}
        elif method == "tools/call":
            self.effects.append(message["params"])
            if self.call is not None:
                return envelope | await self.call(self, message)
            result = {"content": [{"type": "text", "text": "done"}]}
        else:
            return envelope | {"error": {"code": -32601, "message": "no such method"}}
        cached: dict[str, Any] = {"ttlMs": 0, "cacheScope": "private"} if method != "tools/call" else {}
        return envelope | {"result": result | {"resultType": "complete", "_meta": META} | cached}


async def _send(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """A server on a free port of loopback, for the length of the block."""
    kept = Upstream()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        kept.url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        config = uvicorn.Config(kept, http="httptools", ws="none", lifespan="off", log_level="error")
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            try:
                yield kept
            finally:
                server.should_exit = True
