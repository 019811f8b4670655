"""From a client's file with eight servers to eight governed servers: no hand-written YAML, in minutes."""

import asyncio
import json
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.commands import GATEWAY, Ended, ran
from tests.executors.test_servers import real
from tests.onboarding.servers import Stock, prepared, stock
from tests.onboarding.site import site
from tests.serving import ROOT, process

pytestmark = pytest.mark.slow
CANARY = "canary-5f2d8c31"
REMOTE = Stock({}, "echo", {"text": "over", "number": 1}, "over")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's home, with nothing in it but what the test puts there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CANARY_OF_THE_GATEWAY", CANARY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def said(*words: str) -> Ended:
    ended = await ran((*GATEWAY, *words), within_s=240)
    assert ended.code == 0, ended.err + ended.out
    return ended


@asynccontextmanager
async def serving(config: Path) -> AsyncIterator[str]:
    """`bascule serve`, and its address."""
    command = (*GATEWAY, "serve", "-c", str(config))
    async with process(command, stdout=asyncio.subprocess.PIPE, cwd=ROOT, env=dict(os.environ)) as child:
        assert child.stdout is not None
        async with asyncio.timeout(60):
            line = (await child.stdout.readline()).decode()
        yield line.split(" listening on ")[1].split()[0]


def text(result: Any) -> str:
    return " ".join(getattr(part, "text", "") for part in result.content)


async def used(client: Client, wanted: Stock) -> None:
    """List and call, as an agent does."""
    names = {tool.name for tool in (await client.list_tools()).tools}
    assert wanted.tool in names
    result = await client.call_tool(wanted.tool, wanted.arguments)
    assert not result.is_error, text(result)
    assert wanted.says in text(result)


@asynccontextmanager
async def over_http(entry: dict[str, Any]) -> AsyncIterator[Client]:
    """A client as its own file now has it."""
    async with (
        httpx2.AsyncClient(headers=entry["headers"], timeout=httpx2.Timeout(120)) as http,
        Client(streamable_http_client(entry["url"], http_client=http)) as client,
    ):
        yield client


@asynccontextmanager
async def over_wrap(config: Path, name: str, principal: str) -> AsyncIterator[Client]:
    """The same server as a client sees it whose file takes only commands."""
    arguments = ["-m", "gateway", "wrap", "--name", name, "--as", principal, "--config", str(config)]
    environment = {"PYTHONPATH": str(ROOT), "HOME": os.environ["HOME"]}
    shim = StdioServerParameters(command=sys.executable, args=arguments, env=environment)
    async with Client(stdio_client(shim)) as client:
        yield client


def client_file(folder: Path, servers: dict[str, Stock], remote: str) -> Path:
    """What a client has before anybody heard of Bascule."""
    entries = {name: one.entry for name, one in servers.items()}
    entries["time"] = entries["time"] | {"env": {"API_KEY": f"{CANARY}-of-time"}}
    entries["remote"] = {"type": "http", "url": remote, "headers": {"X-Api-Key": f"{CANARY}-of-remote"}}
    file = folder / ".mcp.json"
    file.write_text("// what I use\n" + json.dumps({"mcpServers": entries}, indent=2) + "\n")
    return file


@pytest.mark.promise("onboarding.stopwatch")
async def test_eight_servers_of_a_client_are_governed_in_minutes_and_given_back_byte_for_byte(home: Path) -> None:
    begun = time.monotonic()
    await prepared(home)
    config = home / "gateway" / "bascule.yaml"
    async with site() as (address, _), real("sdk2") as remote:
        servers = stock(home, address)
        file = client_file(home, servers, remote)
        before = file.read_bytes()
        await said("init", str(config.parent))
        on_a_free_port(config)
        await said("init", str(config.parent), "--from", str(file), "--write")
        assert CANARY not in config.read_text()
        assert CANARY not in file.read_text()
        host, port = re.findall(r"//([^:/]+):(\d+)", address)[0]
        await said("upstream", "set", "fetch", "--allow", f"{host}:{port}", "-c", str(config))
        entries = json.loads(re.sub(r"^//.*\n", "", file.read_text()))["mcpServers"]
        async with serving(config) as base:
            assert all(entry["url"].startswith(base) for entry in entries.values())
            for name, wanted in {**servers, "remote": REMOTE}.items():
                async with over_http(entries[name]) as client:
                    await used(client, wanted)
                async with over_wrap(config, name, principal_of(config)) as client:
                    await used(client, wanted)
            await said("upstream", "set", "memory", "--mode", "enforce", "-c", str(config))
            async with over_http(entries["memory"]) as client:
                refused = await client.call_tool("delete_entities", {"entityNames": ["none"]})
                assert refused.is_error
                assert (refused.meta or {})["bascule/decision"]["code"] == "APPROVAL_REQUIRED"
        await said("init", str(config.parent), "--undo")
        assert file.read_bytes() == before
    print(f"from a client's file to eight governed servers and back: {time.monotonic() - begun:.0f} s")


def on_a_free_port(config: Path) -> None:
    """Something else of this machine may have the one that `init` writes."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        config.write_text(config.read_text().replace("port: 8484", f"port: {found.getsockname()[1]}"))


def principal_of(config: Path) -> str:
    """The one whose token `init` put into the client's file."""
    names = re.findall(r"^  ([\w.@-]+): \{tenant", config.read_text(), flags=re.MULTILINE)
    return str(names[-1])
