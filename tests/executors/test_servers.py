"""The remote executor before real servers: `mcp` 2.x, `mcp` 1.x and FastMCP, each in its own environment."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.model import Limits
from tests.executors.hostile import (
    LEGACY,
    MODERN,
    proposal,
    remote,
    said,
)
from tests.serving import process

ROOT = Path(__file__).resolve().parents[2]
SERVERS = {
    "sdk2": Path(sys.executable),
    "sdk1": ROOT / ".venv-mcp1" / "bin" / "python",
    "fastmcp_server": ROOT / ".venv-fastmcp" / "bin" / "python",
}
SPOKEN = [("sdk2", MODERN), ("sdk2", LEGACY), ("sdk1", LEGACY), ("fastmcp_server", MODERN), ("fastmcp_server", LEGACY)]
PATIENT = Limits(timeout_s=20, result_bytes=1_000_000)


@asynccontextmanager
async def real(name: str) -> AsyncIterator[str]:
    """The address of a real server that listens."""
    assert SERVERS[name].exists(), f"no environment for {name}: run `make test`"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(SERVERS[name]), str(ROOT / "tests" / "servers" / f"{name}.py"), "--port", str(port)]
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    async with process(command, stdout=pipe, stderr=nothing) as child:
        assert child.stdout is not None
        async with asyncio.timeout(60):
            while (line := await child.stdout.readline()) != b"ready\n":
                assert line, f"{name} ended before it listened"
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.mark.parametrize(("name", "era"), SPOKEN)
async def test_a_real_server_is_served_in_the_eras_it_speaks(name: str, era: str) -> None:
    other = LEGACY if era == MODERN else MODERN
    async with real(name) as url, remote(url, PATIENT) as client:
        tools = {tool["name"]: tool for tool in await client.tools()}
        assert set(tools) == {"echo", "read_note", "write_note", "measure", "fail", "unicode"}
        assert tools["measure"]["outputSchema"]["properties"].keys() == {"length", "words"}
        echoed = await client.execute(proposal("echo", arguments={"text": "ä b", "number": 7}, era=era), PATIENT)
        assert said(echoed) == "ä b 7"
        assert echoed.evidence["era"] == era
        await client.execute(proposal("write_note", arguments={"path": "n", "text": "t"}, era=era), PATIENT)
        note = await client.execute(proposal("read_note", arguments={"id": "n"}, era=other), PATIENT)
        assert said(note) == "t"
        measured = await client.execute(proposal("measure", arguments={"text": "a b"}, era=era), PATIENT)
        assert measured.result["structuredContent"] == {"length": 3, "words": ["a", "b"]}
        assert said(await client.execute(proposal("unicode", arguments={}, era=era), PATIENT)) == "Grüße, 世界 🌉"
        failed = await client.execute(proposal("fail", arguments={"reason": "no"}, era=era), PATIENT)
        assert failed.tool_error
