"""Bascule: a gateway between MCP clients and their tool servers. The model proposes; the runtime decides."""

__version__ = "0.1.0"
