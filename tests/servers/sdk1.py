"""A real MCP server on `mcp` 1.x, the legacy era only: `python sdk1.py --port N`, in its own environment."""

from mcp.server.fastmcp import FastMCP  # type: ignore[attr-defined, unused-ignore]  # 1.x, not what the gateway installs
from sample_tools import TOOLS, serve  # type: ignore[import-not-found, unused-ignore]  # found beside the script

server = FastMCP("notes-sdk1")
for tool in TOOLS:
    server.tool()(tool)

if __name__ == "__main__":
    serve(server.streamable_http_app())
