"""The client side's I/O: HTTP, MCP over it, the control socket. Not what is decided about a call."""
