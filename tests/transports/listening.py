"""A real server around an Exchange, and a client that reads its answers event by event."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import uvicorn

from gateway.model import JsonObject
from gateway.transports.protocol import server_config
from gateway.wire import mcp
from tests.transports.exchange import META, MODERN, Exchange, handshake, request, standard

PATIENCE = 10.0


@dataclass
class Heard:
    """One event: its fields as sent."""

    id: str
    data: str
    retry: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Reading:
    """One answer as it comes."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    @property
    def kind(self) -> str:
        return self.response.content_type

    async def event(self) -> Heard | None:
        """The next event; None at the end of the stream. Comments are passed over."""
        fields = {"id": "", "data": "", "retry": ""}
        seen = False
        async with asyncio.timeout(PATIENCE):
            while line := (await self.response.content.readline()).decode():
                name, _, value = line.rstrip("\n").partition(":")
                if name in fields:
                    fields[name], seen = value.removeprefix(" "), True
                elif line == "\n" and seen:
                    return Heard(**fields)
        return None

    async def rest(self) -> list[Heard]:
        events = []
        while (event := await self.event()) is not None:
            events.append(event)
        return events

    async def whole(self) -> Any:
        return json.loads(await self.response.read())

    def leave(self) -> None:
        """Be gone, as a client that crashed is."""
        self.response.close()


class Place:
    """Where an Exchange is served."""

    def __init__(self, exchange: Exchange, url: str, http: aiohttp.ClientSession, server: uvicorn.Server) -> None:
        self.exchange, self.url, self.http, self.server = exchange, url, http, server
        self.readings: list[Reading] = []

    async def send(self, message: JsonObject, agent: str = "agent", **headers: str) -> Reading:
        given = standard(agent) | {name.replace("_", "-"): value for name, value in headers.items()}
        del given["host"]
        return self._reading(await self.http.post(self.url, json=message, headers=given))

    async def modern(
        self, method: str, params: JsonObject, ident: int | str = 1, meta: JsonObject | None = None, **headers: str
    ) -> Reading:
        stated = {"mcp-protocol-version": MODERN, "mcp-method": method}
        if (name := params.get(mcp.NAMED_BY.get(method, ""))) is not None:
            stated["mcp-name"] = name
        return await self.send(request(method, {**params, "_meta": META | (meta or {})}, ident), **(stated | headers))

    async def initialize(self, version: str = "2025-11-25", capabilities: object = None) -> dict[str, str]:
        """Shake hands; the headers of the session."""
        answer = await self.send(request("initialize", handshake(version, capabilities)))
        return {"mcp_session_id": answer.response.headers["mcp-session-id"], "mcp_protocol_version": version}

    async def get(self, agent: str = "agent", **headers: str) -> Reading:
        given = standard(agent) | {"accept": "text/event-stream"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        del given["host"], given["content-type"]
        return self._reading(await self.http.get(self.url, headers=given))

    def stop(self) -> None:
        """What the server says to each connection when it stops."""
        for connection in tuple(self.server.server_state.connections):
            connection.shutdown()

    def _reading(self, response: aiohttp.ClientResponse) -> Reading:
        self.readings.append(Reading(response))
        return self.readings[-1]


@asynccontextmanager
async def listening(exchange: Exchange) -> AsyncIterator[Place]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(exchange.app, host="127.0.0.1", port=0))
    # Not Server.serve: it would take the signals of the test's own process.
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listener])
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp/files"
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            place = Place(exchange, url, http, server)
            try:
                yield place
            finally:
                for reading in place.readings:
                    reading.leave()
    finally:
        async with asyncio.timeout(PATIENCE):
            await server.shutdown(sockets=[listener])
