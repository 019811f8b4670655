"""A real legacy server on `mcp` 1.x that tells and asks, over its standard streams, in an environment of its own."""

import logging
from typing import Any

from mcp.server.fastmcp import Context, FastMCP  # type: ignore[attr-defined, unused-ignore]  # not what is installed
from mcp.types import SamplingMessage, TextContent
from pydantic import AnyUrl, BaseModel

server = FastMCP("chatty-sdk1")
subscribed: set[str] = set()


class Colour(BaseModel):
    """What a person is asked for."""

    colour: str


@server.tool()  # type: ignore[untyped-decorator, unused-ignore]
async def steps(count: int, ctx: Context) -> str:  # type: ignore[type-arg, unused-ignore]
    """Report progress and say something."""
    for step in range(count):
        await ctx.report_progress(step, count, "on")
    await ctx.info("half of it")
    return "done"


@server.tool()  # type: ignore[untyped-decorator, unused-ignore]
async def sample(ctx: Context) -> str:  # type: ignore[type-arg, unused-ignore]
    """Ask the client's model."""
    said = SamplingMessage(role="user", content=TextContent(type="text", text="hello?"))
    answer: Any = await ctx.session.create_message([said], max_tokens=5)
    return str(answer.content.text)


@server.tool()  # type: ignore[untyped-decorator, unused-ignore]
async def elicit(ctx: Context) -> str:  # type: ignore[type-arg, unused-ignore]
    """Ask the person."""
    answer: Any = await ctx.elicit("Which?", Colour)
    return f"{answer.action} {answer.data.colour}" if answer.action == "accept" else str(answer.action)


@server.tool()  # type: ignore[untyped-decorator, unused-ignore]
async def roots(ctx: Context) -> str:  # type: ignore[type-arg, unused-ignore]
    """Ask for the client's roots."""
    return ",".join(str(root.uri) for root in (await ctx.session.list_roots()).roots)


@server.tool()  # type: ignore[untyped-decorator, unused-ignore]
async def touch(ctx: Context) -> str:  # type: ignore[type-arg, unused-ignore]
    """Tell of a resource and of the list of tools."""
    for uri in subscribed:
        await ctx.session.send_resource_updated(AnyUrl(uri))
    await ctx.session.send_tool_list_changed()
    return ",".join(subscribed)


@server.resource("note://a")  # type: ignore[untyped-decorator, unused-ignore]
def note() -> str:
    """A note."""
    return "a"


@server._mcp_server.subscribe_resource()  # type: ignore[untyped-decorator, unused-ignore]
async def _subscribe(uri: Any) -> None:
    subscribed.add(str(uri))


@server._mcp_server.unsubscribe_resource()  # type: ignore[untyped-decorator, unused-ignore]
async def _unsubscribe(uri: Any) -> None:
    subscribed.discard(str(uri))


if __name__ == "__main__":
    logging.disable()
    server.run(transport="stdio")
