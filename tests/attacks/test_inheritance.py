"""A server that the gateway starts inherits nothing of it but its three standard streams."""

import json
import sys
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.serving import PATIENCE, TOKEN, Folder, serving

SERVER = """
import json, os, sys
for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" not in message:
        continue
    if message["method"] == "initialize":
        about = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}
        answer = {"result": about | {"serverInfo": {"name": "s", "version": "1"}}}
    elif message["method"] == "tools/list":
        answer = {"result": {"tools": [{"name": "held", "inputSchema": {"type": "object"}}]}}
    elif message["method"] == "tools/call":
        held = {}
        for name in os.listdir("/proc/self/fd"):
            try:
                held[name] = os.readlink(f"/proc/self/fd/{name}")
            except OSError:
                pass
        said = {"held": held, "environ": dict(os.environ)}
        answer = {"result": {"content": [{"type": "text", "text": json.dumps(said)}]}}
    else:
        answer = {"error": {"code": -32601, "message": "unknown"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"""


@pytest.mark.promise("secrets-stay-inside")
@pytest.mark.parametrize(
    "sandbox", ["none", pytest.param("default", marks=pytest.mark.slow)], ids=["unconfined", "confined"]
)
async def test_a_server_holds_no_descriptor_and_no_variable_of_the_gateway(tmp_path: Path, sandbox: str) -> None:
    script = tmp_path / "own" / "server.py"
    script.parent.mkdir()
    script.write_text(SERVER)
    command = {"command": sys.executable, "args": [str(script)], "sandbox": sandbox}
    folder = Folder(tmp_path / "gateway", {"own": command}, environment={"PLANTED": "canary"})
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        serving(folder) as served,
        httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http,
        Client(streamable_http_client(served.url("own"), http_client=http)) as client,
    ):
        result = await client.call_tool("held", {})
    seen = json.loads(result.content[0].text)  # type: ignore[union-attr]
    own = {seen["held"][name] for name in ("0", "1", "2")}  # libuv leaves second numbers of these three
    assert [what for what in seen["held"].values() if what not in own and not what.startswith("/proc/")] == []
    assert "canary" not in json.dumps(seen["environ"])
