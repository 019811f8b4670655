"""A real client on `mcp` 1.x over stdio, in its own environment: `python wrapped1.py COMMAND ARGUMENT …`."""

import asyncio
import json
import sys
from typing import Any

from client1 import _seen  # type: ignore[import-not-found, unused-ignore]  # beside this file, which is run as a program
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def _main(command: str, *args: str) -> None:
    streams: Any = stdio_client(StdioServerParameters(command=command, args=list(args)))
    async with streams as (read, write), ClientSession(read, write) as session:
        shaken: Any = await session.initialize()
        print(json.dumps({"version": shaken.protocolVersion, **await _seen(session, "")}))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
