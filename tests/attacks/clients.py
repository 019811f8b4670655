"""A client that says exactly what a test wants it to say, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from tests.serving import MODERN, PATIENCE, TOKEN

META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
}


class Client:
    """Modern MCP by hand. Every method gives the HTTP status and the parsed body."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url
        self._ids = 0

    async def post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any]:
        usual = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        async with self._session.post(self._url, data=body, headers=usual | dict(headers)) as response:
            text = await response.read()
            return response.status, orjson.loads(text) if text else None

    async def request(self, method: str, params: Mapping[str, Any], token: str = TOKEN) -> tuple[int, Any]:
        self._ids += 1
        body = {"jsonrpc": "2.0", "id": self._ids, "method": method, "params": {"_meta": META} | dict(params)}
        headers = {"mcp-protocol-version": MODERN, "mcp-method": method, "authorization": f"Bearer {token}"}
        if "name" in params:
            headers["mcp-name"] = params["name"]
        return await self.post(orjson.dumps(body), headers)

    async def call(self, tool: str, arguments: Mapping[str, Any], **meta: Any) -> Any:
        """The result or the error of one call."""
        params = {"name": tool, "arguments": arguments, "_meta": META | meta}
        _, body = await self.request("tools/call", params)
        return body.get("result", body.get("error"))


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    """A client with connections of its own."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
        yield Client(session, url)
        await asyncio.sleep(0)


def decision(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the gateway said beside a result."""
    told: dict[str, Any] = result["_meta"]["bascule/decision"]
    return told
