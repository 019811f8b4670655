"""The fixture server: `python -m tests.conformance.server --port N [--era modern | legacy] [--seen FILE]`.

On the `mcp` SDK, with all that the official suite asks a server for. Restricted to one era it behaves as a server
that knows no other. Into FILE it writes what it got and what it asked: what the log is compared with.
"""

import argparse
import json
import logging
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import NotificationOptions
from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.types import JSONRPCMessage
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.conformance.fixture_changes import knowing, offer_changes
from tests.conformance.fixture_contents import offer_contents
from tests.conformance.fixture_rounds import offer_rounds
from tests.conformance.fixture_seen import note_into, noting
from tests.conformance.fixture_tools import offer_tools

MODERN = "2026-07-28"
CACHEABLE = (
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
)
HINT = CacheHint(ttl_ms=1_000, scope="public")
OLDER = (b"", b"2025-03-26", b"2025-06-18", b"2025-11-25")
OLD = {"code": -32022, "message": "Unsupported protocol version", "data": {"supported": [MODERN], "requested": ""}}
NEW = {"code": -32600, "message": f"Bad Request: Unsupported protocol version: {MODERN}"}


class Events(EventStore):
    """What streams said, so that they can be resumed."""

    def __init__(self) -> None:
        self._said: list[tuple[StreamId, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        self._said.append((stream_id, message))
        return str(len(self._said))

    async def replay_events_after(self, last_event_id: EventId, send_callback: EventCallback) -> StreamId | None:
        last = int(last_event_id)
        stream = self._said[last - 1][0]
        for index, (said_on, message) in enumerate(self._said[last:], last + 1):
            if said_on == stream and message is not None:
                await send_callback(EventMessage(message, str(index)))
        return stream


class OneEra:
    """A server that knows only one era: what comes in the other is refused as such a server would."""

    def __init__(self, app: ASGIApp, era: str) -> None:
        self._app, self._modern = app, era == "modern"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._speaks(scope):
            await self._app(scope, receive, send)
            return
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": OLD if self._modern else NEW}).encode()
        status = 405 if self._modern and scope["method"] != "POST" else 400
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _speaks(self, scope: Scope) -> bool:
        said: bytes = dict(scope["headers"]).get(b"mcp-protocol-version", b"")
        return (said not in OLDER) == self._modern


def made() -> MCPServer:
    """The server with all that it offers."""
    server = MCPServer(
        "conformance-fixture",
        version="1.0.0",
        instructions="A server for tests of conformance.",
        cache_hints=dict.fromkeys(CACHEABLE, HINT),  # type: ignore[arg-type]  # a Literal of these names
        middleware=[noting, knowing],
        log_level="WARNING",
    )
    low = server._lowlevel_server
    changes = NotificationOptions(tools_changed=True, prompts_changed=True, resources_changed=True)
    low.create_initialization_options = partial(low.create_initialization_options, changes)  # type: ignore[method-assign]
    offer_tools(server)
    offer_rounds(server)
    offer_contents(server)
    offer_changes(server)
    return server


class _Announcing(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print("ready", flush=True)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--era", choices=("both", "modern", "legacy"), default="both")
    options.add_argument("--seen", type=Path)
    asked = options.parse_args()
    logging.getLogger("mcp").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    note_into(asked.seen)
    app: ASGIApp = made().streamable_http_app(event_store=Events(), retry_interval=100)
    if asked.era != "both":
        app = OneEra(app, asked.era)
    _Announcing(uvicorn.Config(app, port=asked.port, log_level="warning", http="h11")).run()


if __name__ == "__main__":
    main()
