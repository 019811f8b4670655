"""A real client on `mcp` 1.x whose roots change: `python rooted1.py TOKEN URL`, or `- COMMAND WORD …`. In its own
environment. Prints what the tool `roots` says before and after.
"""

import asyncio
import json
import sys
from typing import Any

import httpx  # type: ignore[import-not-found, unused-ignore]  # of 1.x, not what the gateway installs
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

TYPES: Any = types
"""Its models are not those of the version that is checked here."""


async def _met(streams: Any) -> list[str]:
    now = "file:///srv/first"

    async def rooted(_: Any) -> Any:
        return TYPES.ListRootsResult(roots=[TYPES.Root(uri=now)])

    made: Any = ClientSession
    async with streams as opened, made(*opened[:2], list_roots_callback=rooted) as session:
        await session.initialize()
        said = [(await session.call_tool("roots", {})).content[0].text for _ in range(2)]
        now = "file:///srv/second"
        await session.send_roots_list_changed()
        return said + [(await session.call_tool("roots", {})).content[0].text for _ in range(2)]


async def _main(token: str, address: str, *words: str) -> None:
    if token == "-":
        print(json.dumps(await _met(stdio_client(StdioServerParameters(command=address, args=list(words))))))
        return
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=60) as http:
        print(json.dumps(await _met(streamable_http_client(address, http_client=http))))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
