"""A real modern server on `mcp` 2.x that tells and asks, over its standard streams."""

import logging

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult

server = MCPServer("chatty-sdk2")


@server.tool()
async def steps(count: int, ctx: Context) -> str:
    """Report progress and say something."""
    for step in range(count):
        await ctx.report_progress(step, count, "on")
    await ctx.info("half of it")
    return "done"


@server.tool()
async def touch(ctx: Context) -> str:
    """Tell of a resource and of the list of tools."""
    await ctx.notify_resource_updated("note://a")
    await ctx.notify_tools_changed()
    return "done"


@server.tool()
async def elicit(ctx: Context) -> str | InputRequiredResult:
    """Ask the person, in the manner of this era."""
    if ctx.input_responses is None:
        schema = {"type": "object", "properties": {"colour": {"type": "string"}}}
        asked = ElicitRequest(params=ElicitRequestFormParams(message="Which?", requested_schema=schema))
        return InputRequiredResult(input_requests={"colour": asked}, request_state="kept")
    return f"{ctx.request_state} {sorted(ctx.input_responses)}"


@server.resource("note://a")
def note() -> str:
    """A note."""
    return "a"


if __name__ == "__main__":
    logging.disable()
    server.run(transport="stdio")
