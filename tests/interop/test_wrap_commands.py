"""A command that nobody registered, wrapped: confined, governed, and an upstream only while its client is there."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Folder
from tests.wraps import end_owner, records, wrapping

pytestmark = pytest.mark.slow
SERVER = """
import json, os, sys

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("tell", "reach")]


def answer(method, params):
    if method == "initialize":
        about = {"serverInfo": {"name": "s", "version": "1"}, "capabilities": {"tools": {}}}
        return {"result": {"protocolVersion": params["protocolVersion"], **about}}
    if method == "tools/list":
        return {"result": {"tools": TOOLS}}
    if method == "tools/call":
        said = {name: os.environ.get(name) for name in ("KEY", "PLANTED")}
        said["files"] = sorted(os.listdir(sys.argv[1]))
        return {"result": {"content": [{"type": "text", "text": json.dumps(said)}]}}
    return {"error": {"code": -32601, "message": "no"}}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        answered = answer(message["method"], message.get("params", {}))
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answered}), flush=True)
"""
TELL = 'package bascule.call\n\nallow contains "telling" if input.tool.name == "tell"\n'


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Folder]:
    made = Folder(tmp_path / "gateway", {}, TELL, environment={"KEY": "canary-of-the-client", "PLANTED": "canary-2"})
    made.write()
    yield made
    await end_owner(made.state)


async def test_a_command_sees_the_folders_and_variables_it_was_given_and_nothing_more(
    folder: Folder, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "server.py").write_text(SERVER)
    (given / "seen").touch()
    words = [
        "--name",
        "own",
        "--folder",
        str(given),
        "--env",
        "KEY",
        "--",
        "python",
        str(given / "server.py"),
        str(given),
    ]
    async with wrapping(folder, *words) as wrap:
        await wrap.shake()
        tools: list[dict[str, Any]] = (await wrap.ask("tools/list"))["result"]["tools"]
        assert [tool["name"] for tool in tools] == ["reach", "tell"]
        told = (await wrap.ask("tools/call", {"name": "tell", "arguments": {}}))["result"]
        said = {"KEY": "canary-of-the-client", "PLANTED": None, "files": ["seen", "server.py"]}
        assert json.loads(told["content"][0]["text"]) == said
        refused = (await wrap.ask("tools/call", {"name": "reach", "arguments": {}}))["result"]
        assert refused["_meta"]["bascule/decision"]["code"] == "NO_RULE"
        async with wrapping(folder, "--name", "own", stderr=asyncio.subprocess.PIPE) as other:
            _, err = await other.process.communicate()
            assert b"no upstream 'own'" in err
    assert [record["name"] for record in records(folder, "admin.lend")] == ["own"]
    assert b"canary-of-the-client" not in (folder.state / "owner.log").read_bytes()
