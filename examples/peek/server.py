"""A stdio MCP server that reads whatever file it is asked for, as many do.

    python examples/peek/server.py

It knows nothing of the gateway, and checks nothing: what it can reach is for whoever starts it to bound.
"""

from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError


def server() -> MCPServer:
    """The server, with its one tool."""
    made = MCPServer("peek")

    @made.tool()
    def read_file(path: str) -> str:
        """The text of a file."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError as problem:
            raise ToolError(f"{path}: {problem.strerror}") from None

    return made


if __name__ == "__main__":
    server().run("stdio")
