"""The configuration files of MCP clients: where they are, what stands in them, and Bascule put in front of it."""
