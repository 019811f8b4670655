"""An upstream over the talkative server, and those who call it and listen to it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.channel import SILENT, Channel
from gateway.executors.stdio.upstream import Stdio
from gateway.model import JsonObject, Principal
from tests.executors.hostile import said
from tests.executors.stdio.talk import Client
from tests.executors.stdio_upstream import LIMITS, Launcher, by


def talkative(start: str) -> Launcher:
    return Launcher((sys.executable, "-I", "-S", str(Path(__file__).with_name("talkative.py")), start))


async def told(client: Stdio, tool: str, channel: Channel = SILENT, *, who: str = "ann", **arguments: Any) -> Any:
    """What a tool answers, from JSON."""
    return json.loads(said(await client.execute(by(who, tool, arguments=arguments), LIMITS, channel)))


@asynccontextmanager
async def fed(client: Stdio, owner: Principal | None, *uris: str) -> AsyncIterator[tuple[Client, asyncio.Task[None]]]:
    """A feed, and what it is told."""
    listener = Client()
    feeding = asyncio.ensure_future(client.feed(owner, "s", uris, listener.tell))
    await asyncio.sleep(0)
    try:
        yield listener, feeding
    finally:
        feeding.cancel()
        await asyncio.wait({feeding})


async def reports(client: Stdio, holds: str, value: Any, who: str = "ann", channel: Channel = SILENT) -> JsonObject:
    """What a process saw, once it saw that: each question of ours is read after what was written before it."""
    async with asyncio.timeout(20):
        while True:
            seen: JsonObject = await told(client, "report", channel, who=who)
            if seen[holds] == value:
                return seen
