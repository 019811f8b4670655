"""Pure codecs that both legs use: JSON-RPC, MCP and its eras, SSE. No I/O, no policy."""
