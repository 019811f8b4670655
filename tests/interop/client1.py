"""A real client on `mcp` 1.x, in its own environment: `python client1.py TOKEN URL PREFIX [URL PREFIX …]`.

Prints, for each address, what it saw, as the test beside it writes it down for its own clients.
"""

import asyncio
import json
import sys
from typing import Any

import httpx  # type: ignore[import-not-found, unused-ignore]  # of 1.x, not what the gateway installs
from mcp import ClientSession, McpError  # type: ignore[attr-defined, unused-ignore]  # 1.x
from mcp.client.streamable_http import streamable_http_client


async def _unknown(session: Any, name: str) -> int:
    try:
        await session.call_tool(name, {})
    except McpError as problem:
        return int(problem.error.code)
    return 0


async def _seen(session: Any, prefix: str) -> dict[str, Any]:
    tools = [tool.name for tool in (await session.list_tools()).tools]
    echoed = await session.call_tool(f"{prefix}echo", {"text": "ä b", "number": 7})
    said = await session.call_tool(f"{prefix}unicode", {})
    measured = await session.call_tool(f"{prefix}measure", {"text": "a b"})
    failed = await session.call_tool(f"{prefix}fail", {"reason": "no"})
    refused = await session.call_tool(f"{prefix}write_note", {"path": "private/a", "text": "t"})
    return {
        "tools": sorted(name for name in tools if name.startswith(prefix)),
        "echo": echoed.content[0].text,
        "unicode": said.content[0].text,
        "structured": measured.structuredContent,
        "failed": failed.isError,
        "refused": [refused.isError, refused.meta["bascule/decision"]["code"]],
        "unknown": await _unknown(session, f"{prefix}no_such_tool"),
    }


async def _main(token: str, *addresses: str) -> None:
    seen = []
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, trust_env=False) as http:
        for url, prefix in zip(addresses[::2], addresses[1::2], strict=True):
            streams: Any = streamable_http_client(url, http_client=http)
            async with streams as (read, write, _), ClientSession(read, write) as session:
                shaken: Any = await session.initialize()
                seen.append({"version": shaken.protocolVersion, **await _seen(session, prefix)})
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
