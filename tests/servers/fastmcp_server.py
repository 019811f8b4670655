"""A real MCP server on FastMCP: `python fastmcp_server.py --port N`, in its own environment."""

from fastmcp import FastMCP
from sample_tools import TOOLS, serve  # type: ignore[import-not-found, unused-ignore]  # found beside the script

server = FastMCP("notes-fastmcp")
for tool in TOOLS:
    server.tool()(tool)

if __name__ == "__main__":
    serve(server.http_app(path="/mcp"))
