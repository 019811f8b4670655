"""A real MCP server on `mcp` 2.x, both eras over streamable HTTP: `python sdk2.py --port N`."""

from mcp.server import MCPServer
from sample_tools import TOOLS, serve  # type: ignore[import-not-found, unused-ignore]  # found beside the script

server = MCPServer("notes-sdk2")
for tool in TOOLS:
    server.tool()(tool)

if __name__ == "__main__":
    serve(server.streamable_http_app())
