"""The upstream of the bench: raw ASGI, and just enough MCP of both eras to be listed and called."""

from typing import Any

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.servers.serving import JSON, arguments, body_of, reply, serve

MODERN = "2026-07-28"
LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26")
SERVER = {"name": "echo", "version": "1"}
CAPABILITIES: dict[str, Any] = {"tools": {}}
INPUT = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["path", "content"],
    "additionalProperties": False,
}
CACHE = {"resultType": "complete", "ttlMs": 60_000, "cacheScope": "private"}


def tools(count: int) -> list[dict[str, Any]]:
    """`write`, and as many others of the same shape as make `count`."""
    names = ["write", *(f"write_{number:05}" for number in range(1, count))]
    return [{"name": name, "description": "Write a note.", "inputSchema": INPUT} for name in names]


def answer(message: dict[str, Any], listed: list[dict[str, Any]], size: int) -> dict[str, Any] | None:
    """The result for one request; None where the method is unknown."""
    modern = "io.modelcontextprotocol/protocolVersion" in (message.get("params") or {}).get("_meta", {})
    match message["method"]:
        case "tools/call":
            content = [{"type": "text", "text": f"wrote {size} bytes"}]
            return {"content": content, **({"resultType": "complete"} if modern else {})}
        case "tools/list":
            return {"tools": listed, **(CACHE if modern else {})}
        case "server/discover":
            return {"supportedVersions": [MODERN], "capabilities": CAPABILITIES, "_meta": _stamp(), **CACHE}
        case "initialize":
            asked = message["params"]["protocolVersion"]
            version = asked if asked in LEGACY else LEGACY[0]
            return {"protocolVersion": version, "capabilities": CAPABILITIES, "serverInfo": SERVER}
        case "ping":
            return {}
        case _:
            return None


def _stamp() -> dict[str, Any]:
    return {"io.modelcontextprotocol/serverInfo": SERVER}


def echo(count: int) -> ASGIApp:
    """An app that lists `count` tools and answers each call with the size of its body."""
    listed = tools(count)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await reply(send, 405, [], b"")
            return
        body = await body_of(receive)
        message = orjson.loads(body)
        if "id" not in message:
            await reply(send, 202, [], b"")
            return
        envelope = {"jsonrpc": "2.0", "id": message["id"]}
        result = answer(message, listed, len(body))
        if result is None:
            error = {"code": -32601, "message": "Method not found"}
            await reply(send, 404, [JSON], orjson.dumps({**envelope, "error": error}))
            return
        await reply(send, 200, [JSON], orjson.dumps({**envelope, "result": result}))

    return app


if __name__ == "__main__":
    options = arguments("tools")
    serve(echo(int(options.tools)), options.port)
