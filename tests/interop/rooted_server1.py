"""A real server on `mcp` 1.x that keeps its client's roots until it hears of others, in its own environment."""

import logging
from typing import Any

import anyio
from mcp.server.fastmcp import Context, FastMCP  # type: ignore[attr-defined, unused-ignore]  # not what is installed
from mcp.types import RootsListChangedNotification

server = FastMCP("rooted-sdk1")
kept: dict[str, Any] = {"asked": 0}
fresh = anyio.Event()


async def _ask() -> None:
    listed = await kept["session"].list_roots()
    kept["asked"] += 1
    kept["roots"] = [str(root.uri) for root in listed.roots]


@server.tool()  # type: ignore[untyped-decorator, unused-ignore]
async def roots(ctx: Context) -> str:  # type: ignore[type-arg, unused-ignore]
    """The roots that are known, and how often they were asked for."""
    if "session" not in kept:
        kept["session"] = ctx.session
        await _ask()
        fresh.set()
    await fresh.wait()
    return f"{kept['asked']} {' '.join(kept['roots'])}"


async def _changed(_: RootsListChangedNotification) -> None:
    global fresh  # noqa: PLW0603 - a program of one page
    fresh = anyio.Event()
    await _ask()
    fresh.set()


server._mcp_server.notification_handlers[RootsListChangedNotification] = _changed

if __name__ == "__main__":
    logging.disable()
    server.run(transport="stdio")
