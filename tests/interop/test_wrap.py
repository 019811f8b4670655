"""Real clients over stdio through `bascule wrap` to real servers: nothing tells them that a gateway is between."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.commands import ran
from tests.executors.test_servers import SERVERS, real
from tests.interop.test_clients_and_servers import LEGACY, expected, seen
from tests.serving import MODERN, ROOT, Folder
from tests.wraps import WRAP, end_owner, records

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Folder]:
    """A gateway that is not running, before all three servers."""
    async with AsyncExitStack() as running:
        upstreams = {name: {"url": await running.enter_async_context(real(name))} for name in SERVERS}
        made = Folder(tmp_path_factory.mktemp("wrap") / "gateway", upstreams)
        made.write()
        yield made
        await end_owner(made.state)


def words(folder: Folder, name: str) -> list[str]:
    return [*WRAP, "--name", name, "-c", str(folder.config)]


@pytest.mark.promise("interop.clients", "interop.servers")
@pytest.mark.parametrize(("mode", "version"), [("auto", MODERN), (MODERN, MODERN), ("legacy", LEGACY)])
async def test_a_client_on_mcp_2_works_with_every_server(folder: Folder, mode: str, version: str) -> None:
    for name in SERVERS:
        command, *args = words(folder, name)
        server = StdioServerParameters(command=command, args=args)
        async with Client(stdio_client(server), mode=mode) as client:
            assert await seen(client, "") == expected("", version), name


@pytest.mark.promise("interop.clients", "interop.servers")
async def test_a_client_on_mcp_1_works_with_every_server(folder: Folder) -> None:
    own = ROOT / ".venv-mcp1" / "bin" / "python"
    assert own.exists(), "no environment for mcp 1.x: run `make test`"
    script = Path(__file__).with_name("wrapped1.py")
    for name in SERVERS:
        ended = await ran([str(own), str(script), *words(folder, name)])
        assert ended.code == 0, ended.err
        assert json.loads(ended.out) == expected("", LEGACY), name


@pytest.mark.promise("every-ending-is-recorded")
async def test_a_wrapped_call_is_recorded_before_and_after_as_one_over_stdio(folder: Folder) -> None:
    command, *args = words(folder, "sdk2")
    async with Client(stdio_client(StdioServerParameters(command=command, args=args))) as client:
        await client.call_tool("echo", {"text": "once told"})
        refused = await client.call_tool("write_note", {"path": "private/a", "text": "t"})
    assert refused.meta is not None
    assert refused.meta["bascule/decision"]["code"] == "POLICY_DENIED"
    intents = [record for record in records(folder, "call.intent") if record["args"].get("text") == "once told"]
    [run] = [record["run"] for record in intents]
    assert intents[0]["call"]["transport"] == "stdio"
    assert intents[0]["call"]["session"].startswith("wrap:agent:")
    assert [record["run"] for record in records(folder, "call.settled")].count(run) == 1
    assert records(folder, "call.refused")[-1]["call"]["transport"] == "stdio"
