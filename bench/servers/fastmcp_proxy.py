"""FastMCP's own proxy in front of the echo: `create_proxy` as its manual shows it, or with one shared client.

Runs in an environment of its own (`.venv-fastmcp`), so it imports nothing else of the bench.
"""

import argparse
import asyncio
import logging
import socket
from typing import Any

from fastmcp import Client
from fastmcp.server import create_proxy


async def run(upstream: str, port: int, *, shared: bool) -> None:
    """Serve the proxy; `shared` hands it one connected client instead of one client per request."""
    if not shared:
        await serve(create_proxy(upstream, name="proxy"), port)
        return
    async with Client(upstream) as client:
        await serve(create_proxy(client, name="proxy"), port)


async def serve(proxy: Any, port: int) -> None:
    # Named as TCP: asyncio turns Nagle's algorithm off only on sockets that say so, and 40 ms a call hang on it.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
        print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
        quiet = {"access_log": False}
        await proxy.run_http_async(show_banner=False, log_level="ERROR", uvicorn_config=quiet, sockets=[listener])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--shared", action="store_true")
    options = parser.parse_args()
    logging.getLogger("fastmcp").setLevel(logging.ERROR)
    asyncio.run(run(options.upstream, options.port, shared=options.shared))
