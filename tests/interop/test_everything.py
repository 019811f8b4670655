"""Real clients do through the gateway all that MCP has: over HTTP and `wrap`, in each era, to whatever server."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.commands import ran
from tests.conformance.running import NAME, POLICY, fixture
from tests.interop.everything import EXPECTED, met
from tests.serving import MODERN, ROOT, TOKEN, Folder, Served, serving
from tests.wraps import WRAP, end_owner

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),
]

ERAS = {NAME: "both", "modern": "modern", "legacy": "legacy"}
PATIENT = httpx2.Timeout(60)
BEFORE = Path(__file__).with_name("everything1.py")
OWN = ROOT / ".venv-mcp1" / "bin" / "python"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstreams() -> AsyncIterator[dict[str, dict[str, str]]]:
    """The fixture server three times: in both eras, and in each alone."""
    async with AsyncExitStack() as running:
        yield {name: {"url": await running.enter_async_context(fixture(era))} for name, era in ERAS.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(
    upstreams: dict[str, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    async with serving(Folder(tmp_path_factory.mktemp("served") / "gateway", upstreams, POLICY)) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wrapped(
    upstreams: dict[str, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Folder]:
    """A gateway that the first wrap starts."""
    made = Folder(tmp_path_factory.mktemp("wrapped") / "gateway", upstreams, POLICY)
    made.write()
    yield made
    await end_owner(made.state)


def words(folder: Folder, name: str) -> list[str]:
    return [*WRAP, "--name", name, "-c", str(folder.config)]


@pytest.mark.parametrize("name", ERAS)
@pytest.mark.parametrize("mode", [MODERN, "legacy"])
async def test_a_client_on_mcp_2_does_everything_over_http(served: Served, mode: str, name: str) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENT, trust_env=False) as http:
        assert await met(streamable_http_client(served.url(name), http_client=http), mode) == EXPECTED


@pytest.mark.parametrize("name", ERAS)
@pytest.mark.parametrize("mode", [MODERN, "legacy"])
async def test_a_client_on_mcp_2_does_everything_over_stdio(wrapped: Folder, mode: str, name: str) -> None:
    command, *args = words(wrapped, name)
    assert await met(stdio_client(StdioServerParameters(command=command, args=args)), mode) == EXPECTED


@pytest.mark.parametrize("name", ERAS)
async def test_a_client_on_mcp_1_does_everything_over_http(served: Served, name: str) -> None:
    assert OWN.exists(), "no environment for mcp 1.x: run `make test`"
    ended = await ran([str(OWN), str(BEFORE), TOKEN, served.url(name)])
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == EXPECTED


@pytest.mark.parametrize("name", ERAS)
async def test_a_client_on_mcp_1_does_everything_over_stdio(wrapped: Folder, name: str) -> None:
    assert OWN.exists(), "no environment for mcp 1.x: run `make test`"
    ended = await ran([str(OWN), str(BEFORE), "-", *words(wrapped, name)])
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == EXPECTED


@pytest.mark.parametrize("mode", [MODERN, "legacy"])
async def test_without_the_gateway_the_client_finds_the_same(upstreams: dict[str, dict[str, str]], mode: str) -> None:
    async with httpx2.AsyncClient(timeout=PATIENT, trust_env=False) as http:
        assert await met(streamable_http_client(upstreams[NAME]["url"], http_client=http), mode) == EXPECTED
